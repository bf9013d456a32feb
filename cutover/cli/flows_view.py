"""
The flows of a status, one line each: the dial, what users see, errors, and what the flow waits for.

On a narrow terminal the column WAITING FOR moves below the line of its flow. On narrower ones the totals and then the
bar are left out. At last the name of the flow gets a line of its own. Nothing else is cut.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cutover.cli.bars import Glyphs, bar
from cutover.cli.words import age, ago, count, moment, percent, plain, span
from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.core.fleet import WINDOW, Calls
from cutover.core.percent import format_percent
from cutover.operations.status import FlowStatus, Status, Waiting

__all__ = ["flows_view"]

WAITING: Final = "WAITING FOR"
ROOM: Final = 36  # the least width of that column beside the figures
GAP: Final = "  "
NOTHING: Final = "-"


class Layout(NamedTuple):
    """
    How the figures of a flow are laid out.

    Attributes:
        bar: Columns of the bar; 0 for none.
        totals: The requests that were ever counted are shown.
        beside: The column WAITING FOR is beside the figures, not below.
    """

    bar: int
    totals: bool
    beside: bool


SHORT_BAR: Final = 8
LAYOUTS: Final = (
    Layout(20, totals=True, beside=True),
    Layout(SHORT_BAR, totals=True, beside=True),
    Layout(20, totals=True, beside=False),
    Layout(SHORT_BAR, totals=True, beside=False),
    Layout(SHORT_BAR, totals=False, beside=False),
    Layout(0, totals=False, beside=False),
)


class Column(NamedTuple):
    """
    One figure of all flows.
    """

    title: str
    cells: Sequence[Text]
    align: str = "left"

    @property
    def width(self) -> int:
        """
        Give how many columns of the terminal it takes.
        """
        return max(len(self.title), *(cell.cell_len for cell in self.cells))

    def lines(self) -> list[Text]:
        """
        Give the title and the cells, all of one width.
        """
        lines = [Text(self.title, style="dim"), *(cell.copy() for cell in self.cells)]
        for line in lines:
            line.align("right" if self.align == "right" else "left", self.width)
        return lines


def flows_view(status: Status, width: int, glyphs: Glyphs) -> RenderableType:
    """
    Draw the flows.
    """
    names = Column("FLOW", [Text(flow.name) for flow in status.flows])
    waiting = [Text(WAITING, style="dim"), *(_waiting(flow, status) for flow in status.flows)]
    for layout in LAYOUTS:
        columns = [names, *_figures(status, layout, glyphs)]
        taken = sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)
        if layout.beside and taken + len(GAP) + ROOM <= width:
            return _beside(_joined(columns), waiting)
        if not layout.beside and taken <= width:
            return _below(_joined(columns), waiting)
    return _below(names.lines(), _joined(_figures(status, LAYOUTS[-1], glyphs)), waiting)


def _joined(columns: Sequence[Column]) -> list[Text]:
    return [Text(GAP).join(line) for line in zip(*(column.lines() for column in columns), strict=True)]


def _beside(lines: Sequence[Text], waiting: Sequence[Text]) -> Table:
    grid = Table.grid(padding=(0, len(GAP), 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for line, one in zip(lines, waiting, strict=True):
        grid.add_row(line, one)
    return grid


def _below(first: Sequence[Text], *more: Sequence[Text]) -> Group:
    parts: list[RenderableType] = []
    for line, *rest in zip(first, *more, strict=True):
        parts.append(line)
        parts += [Padding(one, (0, 0, 0, len(GAP)), expand=False) for one in rest if one.plain != NOTHING]
    return Group(*parts)


def _figures(status: Status, layout: Layout, glyphs: Glyphs) -> list[Column]:
    flows = status.flows
    dials = Column("", [Text(format_percent(flow.effective)) for flow in flows], "right")
    if layout.bar:
        bars = [bar(flow.share, Fraction(flow.effective, PARTS), layout.bar, glyphs) for flow in flows]
        columns = [Column("TARGET", bars), dials]
    else:
        columns = [dials._replace(title="TARGET")]
    columns.append(Column("ACTUAL", [_actual(flow, status) for flow in flows], "right"))
    if layout.totals:
        totals = [Text(f"{count(flow.old_requests)}/{count(flow.new_requests)}") for flow in flows]
        columns.append(Column("REQUESTS OLD/NEW" if layout.bar > SHORT_BAR else "OLD/NEW", totals, "right"))
    return [*columns, Column(f"ERRORS IN {age(WINDOW)}: OLD / NEW", [_errors(flow) for flow in flows])]


def _actual(flow: FlowStatus, status: Status) -> Text:
    if flow.share is None:
        return Text("-")
    size = f"{count(sum(flow.traffic.requests))} in {age(status.at - flow.traffic.since)}"
    return Text(f"{percent(flow.share)} of {size}")


def _errors(flow: FlowStatus) -> Text:
    old, new = (flow.calls.get(side, Calls()) for side in Backend)
    if not old.total and not new.total:
        return Text("-")
    is_worse = new.failed and (not old.total or new.failed * old.total > old.failed * new.total)
    return Text(f"{_rate(old)} / ").append(_rate(new), style="bold red" if is_worse else "")


def _rate(calls: Calls) -> str:
    return f"{percent(calls.ratio)} of {count(calls.total)}" if calls.total else "-"


def _waiting(flow: FlowStatus, status: Status) -> Text:
    if not flow.waiting_for:
        return Text("done", style="green") if flow.effective == PARTS else Text(NOTHING, style="dim")
    first, *more = flow.waiting_for
    told = [first, *(one for one in more if one.explains_actual)]
    text = Text("; ".join(_waiting_text(one, status) for one in told))
    if left := len(flow.waiting_for) - len(told):
        text.append(f"; {left} more: --json", style="dim")
    return text


def _waiting_text(waiting: Waiting, status: Status) -> str:
    text = plain(waiting.text)
    if waiting.until is not None:
        until = moment(waiting.until, now=status.at, zone=status.zone)
        return f"{text} until {until} ({span(waiting.until - status.at)})"
    if waiting.since is None:
        return text
    if waiting.explains_actual:
        return f"{text} ({ago(status.at - waiting.since)})"
    return f"{text}, since {moment(waiting.since, now=status.at, zone=status.zone)}"
