"""
When the last visit must be over that is on a side which the dials would no longer give it.

A visit keeps its side. After a dial was lowered, visits on NEW go on, and after it was raised, visits on OLD: they
drain. A router may enter such visits until it begins to run the change, and each lives at most its journey's ttl, by a
clock that may differ by `SKEW`. So the last of them is over at the last moment at which an instance began to run the
change, plus ttl and skew; while an instance does not run it, or does not say, there is no such moment.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cache

import attrs

from cutover.core.backend import Backend
from cutover.core.checkin import MOST_RAN, CheckIn, InstanceState
from cutover.core.drain_book import Drain
from cutover.core.visit import SKEW, Order

__all__ = ["Draining", "Reach", "draining", "reach"]


@attrs.frozen(kw_only=True)
class Draining:
    """
    Visits of one flow that go on, on a side which the dials would no longer give them.

    Attributes:
        version: The change whose visits last longest, and when it was made.
        until: When they must be over; None while that is open.
        waiting_for: The instances that keep it open, by name.
    """

    side: Backend
    version: int
    since: datetime
    until: datetime | None
    waiting_for: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Reach:
    """
    How far a change has come among the instances.

    Attributes:
        last: When the last instance that had run an older version began to run it; None if there is none such.
        missing: The instances that may still run an older version, by name.
    """

    last: datetime | None
    missing: tuple[str, ...]


def reach(order: Order, reports: Iterable[CheckIn], astray: Collection[str] = ()) -> Reach:
    """
    Find out when all instances ran a change.

    Args:
        order: Its (epoch, version).
        reports: The last check-in of each instance that has not closed.
        astray: The instances whose version is not on the store's chain, whatever its number.
    """
    moments, missing = [], []
    for report in reports:
        if report.instance in astray or not _has_run(report, order):
            missing.append(report.instance)
        elif (began := _began(report, order)) is not None:
            moments.append(began)
    return Reach(last=max(moments, default=None), missing=tuple(missing))


def _has_run(report: CheckIn, order: Order) -> bool:
    if report.ran is None or report.regressed:
        return False
    # One that has run nothing yet has entered no visit.
    return not report.ran or report.ran[-1][:2] >= order


def _began(report: CheckIn, order: Order) -> datetime | None:
    """
    Tell when an instance that has run a change began to; None if it never ran an older version.
    """
    ran = report.ran or ()
    index = bisect_left(ran, order)  # a pair is less than a triple that begins with it
    if index == len(ran) or (index == 0 and len(ran) < MOST_RAN):
        return None
    return report.at - ran[index].age


def draining(
    drains: Mapping[str, Iterable[Drain]],
    reports: Collection[CheckIn],
    states: Mapping[str, InstanceState],
    *,
    now: datetime,
) -> dict[str, tuple[Draining, ...]]:
    """
    Give what still drains, by flow; NEW comes first.

    Args:
        drains: By flow, the changes after which visits may go on.
        reports: The last check-in of each instance that has not closed.
        states: By instance, how it stands to the store.
    """
    astray = {name for name, state in states.items() if state is InstanceState.REGRESSED}
    reached = cache(lambda order: reach(order, reports, astray))
    found = {}
    for flow, many in drains.items():
        of_flow = [_ending(drain, [reached(stretch.ended) for stretch in drain.stretches]) for drain in many]
        alive = [one for one in of_flow if one.until is None or one.until > now]
        if alive:
            found[flow] = tuple(_longest(alive))
    return found


def _ending(drain: Drain, reaches: Iterable[Reach]) -> Draining:
    missing: dict[str, None] = {}
    ends = []
    for stretch, one in zip(drain.stretches, reaches, strict=True):
        missing |= dict.fromkeys(one.missing)
        last = stretch.settled if one.last is None else max(stretch.settled, one.last)
        ends.append(last + stretch.ttl + SKEW)
    return Draining(
        side=drain.side,
        version=drain.version,
        since=drain.at,
        until=None if missing else max(ends),
        waiting_for=tuple(missing),
    )


def _longest(many: Iterable[Draining]) -> Iterable[Draining]:
    """
    Choose for each side the drain that ends last, an open one before all.
    """
    for side in (Backend.NEW, Backend.OLD):
        of_side = [one for one in many if one.side is side]
        if of_side:
            yield max(of_side, key=_lateness)


def _lateness(one: Draining) -> tuple[bool, int, float, int]:
    until = 0.0 if one.until is None else one.until.timestamp()
    return (one.until is None, len(one.waiting_for), until, one.version)
