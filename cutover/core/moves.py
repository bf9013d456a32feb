"""
Whom a change moves: the effective dials and overrides of two states, compared.
"""

from collections.abc import Iterator, Mapping

import attrs

from cutover.core.backend import Backend
from cutover.core.percent import format_percent
from cutover.core.renames import renamed
from cutover.core.snapshot import Override, Snapshot

__all__ = ["Move", "moves", "turned_flows"]


@attrs.frozen(kw_only=True)
class Move:
    """
    Keys of one flow that a change sends to another side.

    Attributes:
        cohort: The cohort whose members move; None for everybody without a cohort dial.
        before: Effective parts before; None for a flow that was not there, whose keys were on OLD.
        after: Effective parts after; None for a flow that is removed.
        overrides: How many keys put on a side by name change sides; with these, before and after are the same.
        to_new: Some key may be on NEW that was not.
    """

    flow: str
    cohort: str | None = None
    before: int | None = None
    after: int | None = None
    overrides: int = 0
    to_new: bool = False

    def __str__(self) -> str:
        way = "from OLD to NEW" if self.to_new else "from NEW to OLD"
        if self.overrides:
            users = "1 user moves" if self.overrides == 1 else f"{self.overrides} users move"
            return f"{users} {way} in {self.flow}, by override"
        before, after = self.before or 0, self.after or 0
        who = f"{self.flow}'s users in cohort {self.cohort}" if self.cohort else f"{self.flow}'s users"
        rest = ": the flow is removed" if self.after is None else ""
        if before and after:
            rest = f"; NEW then has {format_percent(after)}"
        return f"{format_percent(abs(after - before))} of {who} move {way}{rest}"


def moves(before: Snapshot | None, after: Snapshot) -> tuple[Move, ...]:
    """
    List whom the step from one state to the other moves, flow by flow and cohort by cohort.
    """
    if before is None:
        return ()
    before = renamed(before, after.definition)
    flows = dict.fromkeys((*before.definition.flows, *after.definition.flows))
    return tuple(move for flow in flows for move in _moves_of(flow, before, after))


def turned_flows(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """
    Name the flows of which the step may send a key to another side, be it by ending visits on NEW.
    """
    before = renamed(before, after.definition)
    return tuple(flow for flow in after.definition.flows if _is_turned(flow, before, after))


def _is_turned(flow: str, before: Snapshot, after: Snapshot) -> bool:
    if flow not in before.definition.flows or before.evictions.get(flow) != after.evictions.get(flow):
        return True
    return any(_moves_of(flow, before, after))


def _moves_of(flow: str, before: Snapshot, after: Snapshot) -> Iterator[Move]:
    cohorts = dict.fromkeys((*_cohorts(before, flow), *_cohorts(after, flow)))
    for cohort in (None, *cohorts):
        was, now = _parts(before, flow, cohort), _parts(after, flow, cohort)
        if (was or 0) != (now or 0):
            to_new = (now or 0) > (was or 0)
            yield Move(flow=flow, cohort=cohort, before=was, after=now, to_new=to_new)
    yield from _override_moves(flow, before, after)


def _cohorts(snapshot: Snapshot, flow: str) -> tuple[str, ...]:
    return snapshot.cohorts_of(flow) if flow in snapshot.definition.flows else ()


def _parts(snapshot: Snapshot, flow: str, cohort: str | None) -> int | None:
    if flow not in snapshot.definition.flows:
        return None
    return snapshot.effective_parts(flow, cohort)


def _override_moves(flow: str, before: Snapshot, after: Snapshot) -> Iterator[Move]:
    was, now = _overrides(before, flow), _overrides(after, flow)
    if was is now or was == now:
        return
    changed = [d for d in dict.fromkeys((*was, *now)) if was.get(d) != now.get(d)]
    to_new = to_old = 0
    for digest in changed:
        position = (was.get(digest) or now[digest]).position
        sides_before = _possible(was.get(digest), before, flow, position)
        sides_after = _possible(now.get(digest), after, flow, position)
        # Which cohort a key is in is not known here, so a key without an override may be on more than one side.
        to_new += Backend.NEW in sides_after and Backend.OLD in sides_before
        to_old += Backend.OLD in sides_after and Backend.NEW in sides_before
    if to_new:
        yield Move(flow=flow, overrides=to_new, to_new=True)
    if to_old:
        yield Move(flow=flow, overrides=to_old, to_new=False)


def _overrides(snapshot: Snapshot, flow: str) -> Mapping[str, Override]:
    return snapshot.effective_overrides(flow) if flow in snapshot.definition.flows else {}


def _possible(override: Override | None, snapshot: Snapshot, flow: str, position: int) -> set[Backend]:
    if override is not None:
        return {override.backend}
    if flow not in snapshot.definition.flows:
        return {Backend.OLD}
    dials = (snapshot.effective_parts(flow, c) for c in (None, *snapshot.cohorts_of(flow)))
    return {Backend.NEW if position < parts else Backend.OLD for parts in dials}
