"""
What the check-ins of all processes add up to: states of instances, shares of traffic, the progress that users see.

Pure arithmetic. Whoever reads a store must read its fleet before its head: an instance can then never seem to be ahead
of the store only because it was read a moment later.
"""

from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

import attrs

from cutover.core.checkin import CheckIn, Counted, Fleet, InstanceState, Kind, Totals, add, minute_of
from cutover.core.progress import weighted_progress
from cutover.core.snapshot import Head, Snapshot

__all__ = [
    "WINDOW",
    "Recent",
    "Sides",
    "Window",
    "by_flow",
    "effective_progress",
    "instance_state",
    "recent",
    "states",
]

WINDOW: Final = timedelta(minutes=5)  # shares are those of the last minutes, or since a younger change


class Window(StrEnum):
    """
    Which stretch of traffic a share was measured over.
    """

    SINCE_CHANGE = "since the last change"  # of the instances that run it; while it is younger than `WINDOW`
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


@attrs.frozen(kw_only=True)
class Recent:
    """
    Traffic that shows what the dials do now.

    Attributes:
        since: When the stretch began; aware, UTC.
    """

    totals: Totals
    window: Window
    since: datetime


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


def recent(fleet: Fleet, head: Head, *, changed: datetime, now: datetime) -> Recent:
    """
    Choose the traffic that shows what the dials do now.

    For some minutes after a change that is what the instances that run it counted since; later, the last minutes of all
    instances.

    Args:
        changed: When the last change was made.
    """
    if now - changed < WINDOW:
        running = (report.since_version for report in fleet.instances if report.head == head)
        return Recent(totals=add(running), window=Window.SINCE_CHANGE, since=changed)
    oldest = minute_of(now - WINDOW) + 1  # the minute that the window begins in counts only if all of it lies inside
    totals = add(totals for minute, totals in fleet.minutes.items() if minute >= oldest)
    return Recent(totals=totals, window=Window.RECENT, since=now - WINDOW)


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


def effective_progress(snapshot: Snapshot, totals: Totals) -> Fraction | None:
    """
    Give the overall progress that users see: shares of traffic and work items, by weight.

    A flow without traffic counts as 0 while its dials are at 0.

    Returns:
        The progress, or None where a flow whose dial is up has no traffic to measure.
    """
    requests = by_flow(totals, Kind.REQUESTS)
    shares: dict[str, Fraction] = {}
    for flow in snapshot.definition.flows:
        share = requests.get(flow, Sides()).ratio
        if share is not None:
            shares[flow] = share
        elif any(snapshot.effective_parts(flow, cohort) for cohort in (None, *snapshot.cohorts_of(flow))):
            return None
    return weighted_progress(snapshot.definition, shares, snapshot.work)


def _of_kind(totals: Totals, kind: Kind, details: Container[str] | None) -> Iterable[tuple[Counted, int]]:
    return ((c, n) for c, n in totals.items() if c.kind is kind and (details is None or c.detail in details))
