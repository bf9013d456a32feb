"""
What the check-ins of all processes add up to: states of instances, shares of traffic, the progress that users see.

Pure arithmetic. Whoever reads a store must read its fleet before its head: an instance can then never seem to be ahead
of the store only because it was read a moment later.
"""

from collections.abc import Container, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from functools import cache, partial
from typing import Final, NamedTuple

import attrs

from cutover.core.backend import Backend
from cutover.core.checkin import LEASE, CheckIn, Counted, Fleet, InstanceState, Kind, Totals, add, minute_of
from cutover.core.drain import reach
from cutover.core.migration import Migration
from cutover.core.progress import weighted_progress
from cutover.core.snapshot import Head, Snapshot, Turned

__all__ = [
    "FAILED",
    "WINDOW",
    "Calls",
    "Recent",
    "Sides",
    "Window",
    "by_flow",
    "called_now",
    "effective_progress",
    "instance_state",
    "last_calls",
    "may_be_new",
    "recent",
    "states",
]

WINDOW: Final = timedelta(minutes=5)  # shares are of the last minutes, or since a younger change of the flow

FAILED: Final = ("error", "unknown")  # outcomes of calls that did not do what they should, or may not have


class Window(StrEnum):
    """
    Which stretch of traffic a share was measured over.
    """

    SINCE_CHANGE = "since the last change"  # of the flow, where that is in force; while it is younger than `WINDOW`
    RECENT = "last 5 minutes"  # of all instances


class Sides(NamedTuple):
    """
    A number for each side.
    """

    old: int = 0
    new: int = 0

    @property
    def ratio(self) -> Fraction | None:
        """
        The share of NEW; None where nothing was counted.
        """
        total = self.old + self.new
        return Fraction(self.new, total) if total else None

    def of(self, side: Backend) -> int:
        """
        Give the number of a side.
        """
        return self.new if side is Backend.NEW else self.old


class Calls(NamedTuple):
    """
    Calls to one side.
    """

    failed: int = 0
    total: int = 0

    @property
    def ratio(self) -> Fraction | None:
        """
        The share of calls that failed; None where none was made.
        """
        return Fraction(self.failed, self.total) if self.total else None


@attrs.frozen(kw_only=True)
class Recent:
    """
    Requests of one flow that show what its dials do now.

    Attributes:
        since: When the stretch began; aware, UTC.
    """

    requests: Sides
    window: Window
    since: datetime


def called_now(fleet: Fleet, definition: Migration) -> Fleet:
    """
    Give what was counted for a flow under a name that it had before as counted for the name that it has.
    """
    if not definition.former:
        return fleet

    def named(totals: Totals) -> Totals:
        return add({counted._replace(flow=definition.current(counted.flow)): n} for counted, n in totals.items())

    instances = (
        attrs.evolve(
            report,
            since_version=named(report.since_version),
            mismatches=tuple(attrs.evolve(m, flow=definition.current(m.flow)) for m in report.mismatches),
        )
        for report in fleet.instances
    )
    return Fleet(
        instances=tuple(instances),
        minutes={minute: named(totals) for minute, totals in fleet.minutes.items()},
        hours={hour: named(totals) for hour, totals in fleet.hours.items()},
    )


def instance_state(report: CheckIn, change: Head, chain: Mapping[int, str], *, now: datetime) -> InstanceState:
    """
    Tell whether an instance runs a change, or any later one of the same chain.

    Args:
        change: The change that is asked about.
        chain: Hashes by version of the store's history, from *change* on.
    """
    if report.is_lost(now):
        return InstanceState.LOST
    if report.head is None or report.head.epoch < change.epoch:
        return InstanceState.BEHIND
    if report.regressed:
        return InstanceState.REGRESSED
    if report.head.version < change.version:
        return InstanceState.BEHIND
    on_chain = chain.get(report.head.version) == report.head.hash
    return InstanceState.CURRENT if on_chain else InstanceState.REGRESSED


def states(fleet: Fleet, head: Head, *, now: datetime) -> Mapping[str, InstanceState]:
    """
    Give the state of each instance to the store's head, by instance.
    """
    chain = {head.version: head.hash}
    return {report.instance: instance_state(report, head, chain, now=now) for report in fleet.instances}


def recent(fleet: Fleet, snapshot: Snapshot, *, now: datetime) -> dict[str, Recent]:
    """
    Choose for each flow the requests that show what its dials do now.

    For some minutes after the last change that turned a flow, only requests that were decided after that change count.
    Later, the last minutes of all instances count. A change that leaves a flow alone does not matter to it.
    """
    last = by_flow(add(_minutes(fleet, now - WINDOW)), Kind.REQUESTS)
    counted = cache(partial(_since, fleet, snapshot))
    found = {}
    for flow in snapshot.definition.flows:
        turned = snapshot.turned_by(flow)
        if now - turned.at >= WINDOW:
            found[flow] = Recent(requests=last.get(flow, Sides()), window=Window.RECENT, since=now - WINDOW)
            continue
        # Both are a part of what was decided after the change: the larger part says more.
        parts = (
            Recent(requests=requests.get(flow, Sides()), window=Window.SINCE_CHANGE, since=since)
            for requests, since in counted(turned)
        )
        found[flow] = max(parts, key=lambda part: sum(part.requests))
    return found


def _since(fleet: Fleet, snapshot: Snapshot, turned: Turned) -> tuple[tuple[dict[str, Sides], datetime], ...]:
    """
    Give what was counted after a change in two ways, each with its beginning.

    Each instance counts since it began to run the change; its counts go with it when it closes. The minutes keep the
    counts of closed instances. A minute counts here if all instances ran the change before it began: a closed
    instance is taken to run an older version for no longer than the lease.
    """
    head, order = snapshot.head, (snapshot.epoch, turned.version)
    running = {report.instance: report for report in fleet.instances if _runs(report, head, order)}
    own = by_flow(add(report.since_version for report in running.values()), Kind.REQUESTS)
    astray = {report.instance for report in fleet.instances} - running.keys()
    reached = reach(order, fleet.instances, astray)
    settled = max(turned.at + LEASE, reached.last or turned.at)
    begun = datetime.fromtimestamp((minute_of(settled) + 1) * 60, UTC)
    whole = {} if reached.missing else by_flow(add(_minutes(fleet, settled)), Kind.REQUESTS)
    return (own, turned.at), (whole, begun)


def _minutes(fleet: Fleet, since: datetime) -> Iterable[Totals]:
    # The minute that a stretch begins in counts only if all of it lies inside.
    return (totals for minute, totals in fleet.minutes.items() if minute > minute_of(since))


def _runs(report: CheckIn, head: Head, order: tuple[int, int]) -> bool:
    if report.head is None or report.regressed:
        return False
    return report.head == head or order <= report.head.order < head.order


def last_calls(fleet: Fleet, *, now: datetime) -> dict[str, dict[Backend, Calls]]:
    """
    Give the calls of the last minutes by flow and side; a flow without any is left out.
    """
    totals = add(_minutes(fleet, now - WINDOW))
    made, failed = by_flow(totals, Kind.CALLS), by_flow(totals, Kind.CALLS, details=FAILED)
    return {
        flow: {side: Calls(failed.get(flow, Sides()).of(side), sides.of(side)) for side in Backend}
        for flow, sides in made.items()
    }


def by_flow(totals: Totals, kind: Kind, *, details: Container[str] | None = None) -> dict[str, Sides]:
    """
    Add up what was counted of one kind, by flow and side.

    Args:
        details: Count only these reasons or outcomes.
    """
    sums: dict[str, dict[str, int]] = {}
    for counted, number in _of_kind(totals, kind, details):
        side = sums.setdefault(counted.flow, {"old": 0, "new": 0})
        if counted.backend in side:
            side[counted.backend] += number
    return {flow: Sides(**side) for flow, side in sums.items()}


def effective_progress(snapshot: Snapshot, traffic: Mapping[str, Recent]) -> Fraction | None:
    """
    Give the overall progress that users see: shares of traffic and work items, by weight.

    A flow without traffic counts as 0 where nobody can be on NEW, and the last change of it is not a young one.

    Args:
        traffic: By flow, as `recent` gives it.

    Returns:
        The progress, or None where another flow has no traffic to measure.
    """
    shares: dict[str, Fraction] = {}
    for flow, measured in traffic.items():
        if (share := measured.requests.ratio) is not None:
            shares[flow] = share
        elif measured.window is Window.SINCE_CHANGE or may_be_new(snapshot, flow):
            return None
    return weighted_progress(snapshot.definition, shares, snapshot.work)


def may_be_new(snapshot: Snapshot, flow: str) -> bool:
    """
    Tell whether some key of a flow may be on NEW, by a dial or an override.
    """
    dials = (snapshot.effective_parts(flow, cohort) for cohort in (None, *snapshot.cohorts_of(flow)))
    return any(dials) or any(o.backend is Backend.NEW for o in snapshot.effective_overrides(flow).values())


def _of_kind(totals: Totals, kind: Kind, details: Container[str] | None) -> Iterable[tuple[Counted, int]]:
    return ((c, n) for c, n in totals.items() if c.kind is kind and (details is None or c.detail in details))
