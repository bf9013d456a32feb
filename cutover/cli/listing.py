"""
Tables of things: changes, instances, rules.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cutover.cli.differences import Told
from cutover.cli.words import age, count, plain, short
from cutover.core.checkin import InstanceState
from cutover.operations.explanation import Rule
from cutover.operations.status import Instance
from cutover.ports.homes import Sides

__all__ = ["STATE_STYLES", "history_view", "homes_table", "instances_table", "plain_table", "rules_table"]

LEAST_REASON: Final = 30  # columns; a longer reason stands below the change where it has fewer beside it
LONGEST_SHOWN: Final = 32  # characters of such a name
MOST_SHOWN: Final = 3  # names in one line
SHORT_ID: Final = 8  # as much of an instance's id as tells it from others

STATE_STYLES = {
    InstanceState.CURRENT: "green",
    InstanceState.BEHIND: "yellow",
    InstanceState.REGRESSED: "bold red",
    InstanceState.LOST: "red",
}


def plain_table(*columns: str) -> Table:
    """
    Make a table without lines, with a dim header.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def history_view(changes: Sequence[Told], timezone: str, width: int) -> Group:
    """
    Show changes, oldest first, with times in a timezone. A change is always whole; a reason that does not fit beside it
    stands below it, and is cut where it is longer than the line.
    """
    zone = ZoneInfo(timezone)
    rows = [("VERSION", f"WHEN ({timezone})", "WHO", "WHAT", "WHY")]
    for change, what in changes:
        why = plain(change.reason) + (f" [{plain(change.ticket)}]" if change.ticket else "")
        when = f"{change.at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
        rows.append((short(change.version, change.hash), when, plain(change.actor), what, why))
    sizes = [max(cell_len(row[index]) for row in rows) for index in range(3)]
    most = width - sum(sizes) - LEAST_REASON - 8
    sizes.append(max((size for row in rows if (size := cell_len(row[3])) <= most), default=0))
    return Group(*(part for row in rows for part in _history_row(row, sizes, width)))


def _history_row(row: Sequence[str], sizes: Sequence[int], width: int) -> Iterator[RenderableType]:
    *when, what, why = row
    line = Text("  ".join(text + " " * (size - cell_len(text)) for text, size in zip(when, sizes[:3], strict=True)))
    reason, room = Text(why), width - line.cell_len - max(cell_len(what), sizes[3]) - 4
    if room >= min(LEAST_REASON, reason.cell_len):
        reason.truncate(room, overflow="ellipsis")
        yield line.append(f"  {what}{' ' * (sizes[3] - cell_len(what))}  ").append(reason)
        return
    if line.cell_len + cell_len(what) + 2 <= width:
        yield line.append(f"  {what}")
    else:
        yield line
        yield Padding(Text(what), (0, 0, 0, 4))
    reason.truncate(width - 4, overflow="ellipsis")
    yield Padding(reason, (0, 0, 0, 4))


def instances_table(instances: Iterable[Instance], width: int) -> Table:
    """
    Show router processes; on a narrow terminal without what tells least.
    """
    rows = [_instance_cells(one) for one in instances]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    if all(cell.plain == "-" for cell in columns["UNKNOWN NAMES"]):
        del columns["UNKNOWN NAMES"]
    spare = ["LIBRARY", "UP", "ID", "LAST SEEN", "RUNS"]
    if all(cell.plain == "-" for cell in columns["BREAK-GLASS"]):
        spare.insert(0, "BREAK-GLASS")
    while spare and _width(columns) > width:
        del columns[spare.pop(0)]
    table = plain_table(*columns)
    for column in table.columns[2:]:
        column.no_wrap = column.header not in ("BREAK-GLASS", "UNKNOWN NAMES")
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    return table


def _instance_cells(one: Instance) -> dict[str, Text]:
    return {
        "NAME": Text(plain(one.name) or "-"),
        "HOST/PID": Text(f"{plain(one.host)}/{one.pid}"),
        "STATE": Text(one.state.value, style=STATE_STYLES[one.state]),
        "RUNS": Text(one.version or "-"),
        "LAST SEEN": Text(f"{age(one.age)} ago"),
        "UP": Text(age(one.seen + one.age - one.started)),
        "LIBRARY": Text(plain(one.library)),
        "BREAK-GLASS": Text(plain(", ".join(one.break_glass)) or "-"),
        "UNKNOWN NAMES": Text(_unknown(one)),
        "ID": Text(one.id[:SHORT_ID]),
    }


def _width(columns: Mapping[str, Sequence[Text]]) -> int:
    return sum(max(cell_len(name), *(cell.cell_len for cell in cells)) + 2 for name, cells in columns.items()) - 2


def _unknown(instance: Instance) -> str:
    most = sorted(instance.unknown, key=lambda one: (-one.requests, one))
    names = [f"{one.kind.value} {_cut(plain(one.name))} {count(one.requests)}x" for one in most[:MOST_SHOWN]]
    more = len(most) - len(names)
    return ", ".join((*names, f"{more} more: --json") if more else names) or "-"


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_SHOWN else name[: LONGEST_SHOWN - 3] + "..."


def homes_table(counts: Mapping[str, Sides]) -> Table:
    """
    Show how many things of each kind live on each side.
    """
    table = plain_table("KIND", "OLD", "NEW")
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, sides in counts.items():
        table.add_row(*_texts(plain(kind), str(sides.old), str(sides.new)))
    return table


def rules_table(rules: Iterable[Rule]) -> Table:
    """
    Show rules in their order; the one that decides is marked.
    """
    table = plain_table("", "RULE", "SAYS", "SIDE")
    for rule in rules:
        side = "" if rule.backend is None else rule.backend.value.upper()
        table.add_row(*_texts(">" if rule.decides else " ", rule.name, plain(rule.says), side))
    return table


def _texts(*values: str) -> list[Text]:
    # Text rather than str: rich would read square brackets in a reason as markup.
    return [Text(value) for value in values]
