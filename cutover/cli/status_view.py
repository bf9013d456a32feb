"""
The picture of a status: one line a flow, the overall progress, instances and the last changes.
"""

from datetime import timedelta
from fractions import Fraction
from typing import Final

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cutover.cli.listing import STATE_STYLES, plain_table
from cutover.cli.words import age, count, describe, moment, percent, plain, short, span
from cutover.core.bucketing import PARTS
from cutover.core.checkin import InstanceState
from cutover.core.percent import format_percent
from cutover.operations.status import FlowStatus, Status, Waiting

__all__ = ["bar", "status_view"]

WIDE: Final = 110
LAST_CHANGES: Final = 3
SOON: Final = 14  # days


@attrs.frozen
class Glyphs:
    """
    What bars and arrows are drawn with.
    """

    reached: str
    asked: str
    rest: str
    arrow: str


FINE: Final = Glyphs("█", "▒", "░", "→")
COARSE: Final = Glyphs("#", "=", ".", "->")


def status_view(status: Status, *, width: int, encoding: str = "utf-8") -> RenderableType:
    """
    Draw a status.

    Args:
        width: Columns of the terminal; from 80 up.
        encoding: Of the terminal; one that is no UTF gets bars of ASCII.
    """
    glyphs = FINE if encoding.lower().startswith("utf") else COARSE
    parts: list[RenderableType] = [_header(status, width, glyphs), Text(), _progress(status, width, glyphs), Text()]
    if status.problem:
        parts += [_problem(status), Text()]
    parts += [_flows(status, width, glyphs), Text()]
    if any(flow.is_mirrored for flow in status.flows):
        parts += [_stages(status), Text()]
    if any(flow.shadow for flow in status.flows):
        parts += [_compared(status), Text()]
    if status.work:
        parts += [_work(status, width, glyphs), Text()]
    parts.append(_instances(status))
    if status.last:
        parts += [Text(), _last(status)]
    return Group(*parts)


def _problem(status: Status) -> Text:
    text = f"The store is away: these dials were confirmed {age(status.age)} ago; traffic and instances are not known. "
    return Text(text, style="bold red").append(plain(status.problem), style="dim")


def bar(actual: Fraction | None, target: Fraction, width: int, glyphs: Glyphs = FINE) -> Text:
    """
    Draw how much is reached, and how much more is asked for.
    """
    goal = _cells(target, width)
    done = min(_cells(actual, width), width) if actual is not None else 0
    text = Text(no_wrap=True)
    text.append(glyphs.reached * done, style="green")
    text.append(glyphs.asked * max(goal - done, 0), style="yellow")
    text.append(glyphs.rest * (width - max(goal, done)), style="dim")
    return text


def _cells(ratio: Fraction, width: int) -> int:
    if ratio <= 0:
        return 0
    # Something is never drawn as nothing, and all only where it is all.
    return width if ratio >= 1 else min(max(round(ratio * width), 1), width - 1)


def _header(status: Status, width: int, glyphs: Glyphs) -> Table:
    head = Text(short(status.version, status.head), style="bold")
    changed = Text(f"changed {age(status.at - status.changed_at)} ago", style="dim")
    if status.durability:
        changed.append(f", {status.durability}")
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.width = width
    grid.add_row(Text(plain(status.title), style="bold"), head)
    sides = Text(f"{status.old} {glyphs.arrow} {status.new}", style="dim")
    grid.add_row(sides, changed)
    if status.is_frozen:
        grid.add_row(_frozen(status), Text())
    return grid


def _frozen(status: Status) -> Text:
    if status.frozen is None:
        return Text("FROZEN", style="bold cyan")
    since = moment(status.frozen.at, now=status.at, zone=status.zone)
    who, why = plain(status.frozen.actor), plain(status.frozen.reason)
    return Text(f"FROZEN since {since} by {who}: {why}", style="bold cyan")


def _progress(status: Status, width: int, glyphs: Glyphs) -> Table:
    progress = status.progress
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    drawn = bar(progress.effective, progress.target, 40 if width >= WIDE else 28, glyphs)
    figures = Text(f"  {percent(progress.target)}", style="bold")
    figures.append(f"  actual {percent(progress.effective, 'unknown')}", style="dim not bold")
    grid.add_row(Text("Progress"), drawn + figures)
    if progress.deadline is not None:
        grid.add_row(Text("Deadline"), _deadline(status))
    elif progress.forecast is not None:
        grid.add_row(Text("Forecast"), Text(f"{progress.forecast.astimezone(status.zone):%Y-%m-%d}"))
    return grid


def _deadline(status: Status) -> Text:
    progress = status.progress
    if progress.deadline is None or progress.days_left is None:
        return Text("-")
    days = progress.days_left
    last_day = (progress.deadline - timedelta(microseconds=1)).astimezone(status.zone)
    is_over = days < 0 and progress.target < 1
    left = f"{-days} days over" if days < 0 else "today" if days == 0 else f"{days} days left"
    text = Text(f"{last_day:%Y-%m-%d}, ")
    text.append(left, style="bold red" if is_over else "yellow" if days < SOON else "")
    if progress.target >= 1:
        text.append("; complete", style="green")
    elif progress.forecast is not None:
        late = progress.forecast > progress.deadline
        text.append("; at this pace done ")
        text.append(f"{progress.forecast.astimezone(status.zone):%Y-%m-%d}", style="red" if late else "green")
    return text


def _flows(status: Status, width: int, glyphs: Glyphs) -> Table:
    wide = width >= WIDE
    table = plain_table(
        "FLOW", "TARGET", "", "ACTUAL", "OLD/NEW" if not wide else "REQUESTS OLD/NEW", "ERRORS", "WAITING FOR"
    )
    for index in (2, 3, 4, 5):
        table.columns[index].justify = "right"
    for column in table.columns[:6]:
        column.no_wrap = True
    for flow in status.flows:
        target = Fraction(flow.effective, PARTS)
        table.add_row(
            Text(flow.name),
            bar(flow.share, target, 20 if wide else 8, glyphs),
            Text(format_percent(flow.effective)),
            Text(percent(flow.share)),
            Text(f"{count(flow.old_requests)}/{count(flow.new_requests)}"),
            _errors(flow),
            _waiting(flow, status, wide=wide),
        )
    return table


def _stages(status: Status) -> Text:
    moved = (f"{flow.name} {flow.stage.value}" for flow in status.flows if flow.is_mirrored and flow.stage is not None)
    return Text("Data: ").append(", ".join(moved), style="bold")


def _compared(status: Status) -> Text:
    shares = (f"{flow.name} {format_percent(flow.shadow)}" for flow in status.flows if flow.shadow)
    return Text("Compared: ").append(", ".join(shares), style="bold").append(" of keys", style="dim")


def _errors(flow: FlowStatus) -> Text:
    text = Text(f"{count(flow.old_errors)}/")
    text.append(count(flow.new_errors), style="red" if flow.new_errors else "")
    return text


def _waiting(flow: FlowStatus, status: Status, *, wide: bool) -> Text:
    if not flow.waiting_for:
        return Text("done", style="green") if flow.effective == PARTS else Text("-", style="dim")
    first, *more = flow.waiting_for
    text = Text(_waiting_text(first, status, wide=wide))
    if more:
        text.append(f" +{len(more)}", style="dim")
    return text


def _waiting_text(waiting: Waiting, status: Status, *, wide: bool) -> str:
    text = plain(waiting.text)
    if waiting.until is not None:
        left = span(waiting.until - status.at)
        when = moment(waiting.until, now=status.at, zone=status.zone)
        return f"{text} until {when} ({left})" if wide else f"{text}, {left} left"
    if waiting.since is None:
        return text
    if wide:
        return f"{text}, since {moment(waiting.since, now=status.at, zone=status.zone)}"
    return f"{text}, {age(status.at - waiting.since)}"


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


def _instances(status: Status) -> Text:
    text = Text("Instances  ")
    if not status.instances:
        return text.append("none has checked in", style="dim")
    shown = [state for state in InstanceState if status.count(state)]
    for index, state in enumerate(shown):
        text.append(", " if index else "")
        text.append(f"{status.count(state)} {state.value}", style=STATE_STYLES[state])
    if lost := status.lost():
        since = moment(min(instance.seen for instance in lost), now=status.at, zone=status.zone)
        text.append(f"; what they counted since {since} is missing", style="dim")
    return text


def _last(status: Status) -> Table:
    grid = Table.grid(padding=(0, 2))
    for _ in range(4):
        grid.add_column(no_wrap=True, overflow="ellipsis")
    for change in status.last[-LAST_CHANGES:]:
        when = moment(change.at, now=status.at, zone=status.zone)
        why = f"{plain(change.actor)}: {plain(change.reason)}"
        grid.add_row(*(Text(t, style="dim") for t in (str(change.version), when, describe(change), why)))
    return grid
