"""
The picture of a status: one line a flow, the overall progress, instances and the last changes.
"""

from datetime import timedelta
from fractions import Fraction
from typing import Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cutover.cli.bars import COARSE, FINE, Glyphs, bar
from cutover.cli.differences import told
from cutover.cli.flows_view import flows_view
from cutover.cli.listing import STATE_STYLES, plain_table
from cutover.cli.words import age, ago, count, moment, percent, plain, short
from cutover.core.bucketing import PARTS
from cutover.core.checkin import InstanceState
from cutover.core.names import NameKind
from cutover.core.percent import format_percent
from cutover.operations.status import Status

__all__ = ["status_view"]

WIDE: Final = 110
NARROW: Final = 72
LEAST_REASON: Final = 12  # columns; a reason that is cut to fewer says nothing
MOST_NAMED: Final = 3
LAST_CHANGES: Final = 3
SOON: Final = 14  # days
MOST_UNKNOWN: Final = 5
CONSEQUENCES: Final = {
    NameKind.FLOW: "its requests go to OLD",
    NameKind.JOURNEY: "its visits keep no side",
    NameKind.COHORT: "it has no dial",
}


def status_view(status: Status, *, width: int, encoding: str = "utf-8") -> RenderableType:
    """
    Draw a status.

    Args:
        width: Columns of the terminal.
        encoding: Of the terminal; one that is no UTF gets bars of ASCII.
    """
    glyphs = FINE if encoding.lower().startswith("utf") else COARSE
    parts: list[RenderableType] = [_header(status, width, glyphs), Text(), _progress(status, width, glyphs), Text()]
    if status.problem:
        parts += [_problem(status), Text()]
    if status.unknown:
        parts += [_unknown(status), Text()]
    parts += [flows_view(status, width, glyphs), Text()]
    if status.exceptions:
        parts += [_exceptions(status), Text()]
    if any(flow.is_mirrored for flow in status.flows):
        parts += [_stages(status), Text()]
    if any(flow.shadow for flow in status.flows):
        parts += [_compared(status), Text()]
    if status.work:
        parts += [_work(status, width, glyphs), Text()]
    parts.append(_instances(status))
    if status.last:
        parts += [Text(), _last(status, width)]
    return Group(*parts)


def _problem(status: Status) -> Text:
    text = f"The store is away: these dials were confirmed {age(status.age)} ago; traffic and instances are not known. "
    return Text(text, style="bold red").append(plain(status.problem), style="dim")


def _header(status: Status, width: int, glyphs: Glyphs) -> RenderableType:
    head = Text(short(status.version, status.head), style="bold")
    changed = Text(f"changed {ago(status.at - status.changed_at)}", style="dim")
    if status.durability:
        changed.append(f", {status.durability}")
    grid = Table.grid(expand=True, padding=(0, 0, 0, 1))
    grid.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.width = width
    grid.add_row(Text(plain(status.title), style="bold"), head)
    sides = Text(f"{status.old} {glyphs.arrow} {status.new}", style="dim")
    grid.add_row(sides, changed)
    return Group(grid, _frozen(status, width)) if status.is_frozen else grid


def _frozen(status: Status, width: int) -> Text:
    text = Text("FROZEN", style="bold cyan")
    if status.frozen is not None:
        since = moment(status.frozen.at, now=status.at, zone=status.zone)
        text.append(f" since {since} by {plain(status.frozen.actor)}: ")
        why = Text(plain(status.frozen.reason))
        why.truncate(max(width - text.cell_len, LEAST_REASON), overflow="ellipsis")
        text.append(why)
    return text


def _progress(status: Status, width: int, glyphs: Glyphs) -> Table:
    progress = status.progress
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    drawn = bar(progress.effective, progress.target, 40 if width >= WIDE else 28 if width >= NARROW else 12, glyphs)
    figures = Text(f"  {percent(progress.target)}", style="bold")
    figures.append(f"  actual {percent(progress.effective, 'unknown')}", style="dim not bold")
    grid.add_row(Text("Progress"), drawn + figures)
    if progress.deadline is not None:
        grid.add_row(Text("Deadline"), _deadline(status))
    if (forecast := _forecast(status)) is not None:
        grid.add_row(Text("Forecast"), forecast)
    return grid


def _deadline(status: Status) -> Text:
    progress = status.progress
    if progress.deadline is None or progress.days_left is None:
        return Text("-")
    days = progress.days_left
    last_day = (progress.deadline - timedelta(microseconds=1)).astimezone(status.zone)
    is_over = days < 0 and progress.target < 1
    number = f"{abs(days)} day" if abs(days) == 1 else f"{abs(days)} days"
    left = f"{number} over" if days < 0 else "today" if days == 0 else f"{number} left"
    text = Text(f"{last_day:%Y-%m-%d}, ")
    return text.append(left, style="bold red" if is_over else "yellow" if days < SOON else "")


def _forecast(status: Status) -> Text | None:
    progress = status.progress
    if progress.target >= 1:
        return Text("complete", style="green")
    if progress.forecast is not None:
        is_late = progress.deadline is not None and progress.forecast > progress.deadline
        day = f"{progress.forecast.astimezone(status.zone):%Y-%m-%d}"
        text = Text("complete on ").append(day, style="red" if is_late else "green")
        return text.append(" at the mean pace so far", style="dim")
    if progress.target and progress.forecast_from is not None and status.at < progress.forecast_from:
        when = moment(progress.forecast_from, now=status.at, zone=status.zone)
        return Text(f"no forecast before {when}: a day of history is needed", style="dim")
    return None


def _exceptions(status: Status) -> Text:
    return Text("Beside the dials: ").append("; ".join(status.exceptions), style="bold")


def _unknown(status: Status) -> Text:
    text = Text()
    for one in status.unknown[:MOST_UNKNOWN]:
        what = f"Unknown {one.kind.value} {plain(one.name)}: "
        text.append(what, style="bold red" if one.splits else "bold").append(f"{CONSEQUENCES[one.kind]}. ")
        text.append(f"Requests: {count(one.requests)}, from {plain(one.who)}", style="dim")
        text.append(f"; {plain(one.hint)}\n" if one.hint else "\n", style="dim")
    if (more := len(status.unknown) - MOST_UNKNOWN) > 0:
        text.append(f"{more} more unknown {'name' if more == 1 else 'names'}: --json\n", style="dim")
    text.rstrip()
    return text


def _stages(status: Status) -> Text:
    moved = (f"{flow.name} {flow.stage.value}" for flow in status.flows if flow.is_mirrored and flow.stage is not None)
    return Text("Data: ").append(", ".join(moved), style="bold")


def _compared(status: Status) -> Text:
    shares = (f"{flow.name} {format_percent(flow.shadow)}" for flow in status.flows if flow.shadow)
    return Text("Compared: ").append(", ".join(shares), style="bold").append(" of keys", style="dim")


def _work(status: Status, width: int, glyphs: Glyphs) -> Table:
    wide = width >= WIDE
    table = plain_table("WORK", "DONE", "", "WHAT")
    table.columns[2].justify = "right"
    for column in table.columns[:3]:
        column.no_wrap = True
    for item in status.work:
        ratio = Fraction(item.parts, PARTS)
        drawn = bar(ratio, ratio, 20 if wide else 8, glyphs)
        table.add_row(Text(item.name), drawn, Text(format_percent(item.parts)), Text(plain(item.title), style="dim"))
    return table


def _instances(status: Status) -> RenderableType:
    text = Text("Instances  ")
    if status.problem:
        return text.append("not known", style="bold red")
    if not status.instances:
        ever = any(flow.old_requests + flow.new_requests for flow in status.flows)
        return text.append("none runs now" if ever else "none has checked in", style="dim")
    shown = [state for state in InstanceState if status.count(state)]
    for index, state in enumerate(shown):
        text.append(", " if index else "")
        text.append(f"{status.count(state)} {state.value}", style=STATE_STYLES[state])
    away = (
        Padding(_named(status, state), (0, 0, 0, 2), expand=False)
        for state in shown
        if state is not InstanceState.CURRENT
    )
    return Group(text, *away)


def _named(status: Status, state: InstanceState) -> Text:
    """
    Name the instances of one state, those first that were heard of last.
    """
    found = sorted((one for one in status.instances if one.state is state), key=lambda one: one.age)
    text = Text(f"{state.value}: ", style=STATE_STYLES[state])
    text.append(", ".join(plain(one.who) for one in found[:MOST_NAMED]), style="default")
    if len(found) > MOST_NAMED:
        text.append(f", {len(found) - MOST_NAMED} more: cutover instances", style="dim")
    if state is InstanceState.REGRESSED:
        who = "it runs" if len(found) == 1 else "they run"
        text.append(f"; {who} a version that the store does not have", style="dim")
    if state is InstanceState.LOST:
        since = moment(min(one.seen for one in found), now=status.at, zone=status.zone)
        text.append(f"; what {'it' if len(found) == 1 else 'they'} counted since {since} is missing", style="dim")
    return text


def _last(status: Status, width: int) -> Group:
    """
    Show the last changes; of a line that is too long the reason is cut, and never the change.
    """
    changes = told(status.last, status.before)[-LAST_CHANGES:]
    whens = [
        f"{c.version:>{len(str(status.version))}}  {moment(c.at, now=status.at, zone=status.zone)}" for c, _ in changes
    ]
    when_size, what_size = (max(map(cell_len, texts)) for texts in (whens, [what for _, what in changes]))
    what_size = min(what_size, width - when_size - LEAST_REASON - 4)  # one long change leaves the others their reasons
    lines = []
    for (change, what), when in zip(changes, whens, strict=True):
        line = Text(when.ljust(when_size), style="dim")
        line.append("  ").append(what).append(" " * max(what_size - cell_len(what), 0))
        why = Text(f"{plain(change.actor)}: {plain(change.reason)}")
        if (room := width - line.cell_len - 2) >= LEAST_REASON:
            why.truncate(room, overflow="ellipsis")
            line.append("  ").append(why)
        lines.append(line)
    return Group(*lines)
