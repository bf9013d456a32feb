"""
How far the migration has come: flows and work items by weight, and when it would be over at this pace.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from cutover.core.bucketing import PARTS
from cutover.core.migration import Migration
from cutover.core.snapshot import Snapshot

__all__ = ["HISTORY", "forecast", "target_progress", "target_ratio", "weighted_progress"]

HISTORY: Final = timedelta(days=1)  # a pace of less time says nothing
ALMOST = Fraction(PARTS - 1, PARTS)


def target_ratio(snapshot: Snapshot, flow: str) -> Fraction:
    """
    Give the share of a flow that its dial sends to NEW.

    A flow whose dial is at 100% while some cohort's is not counts as 99.999%: never as done.
    """
    ratio = Fraction(snapshot.effective_parts(flow), PARTS)
    return ratio if ratio < 1 or snapshot.is_complete(flow) else ALMOST


def target_progress(snapshot: Snapshot) -> Fraction:
    """
    Give the overall progress that the dials and work items say.
    """
    flows = {flow: target_ratio(snapshot, flow) for flow in snapshot.definition.flows}
    return weighted_progress(snapshot.definition, flows, snapshot.work)


def weighted_progress(definition: Migration, flows: Mapping[str, Fraction], work: Mapping[str, int]) -> Fraction:
    """
    Give the mean of flows and work items by weight.

    Args:
        flows: The share on NEW by flow; a flow that is missing counts as 0.
        work: Parts by work item.
    """
    total = done = Fraction(0)
    for flow in definition.flows.values():
        weight = Fraction(flow.weight)
        total += weight
        done += weight * flows.get(flow.name, Fraction(0))
    for item in definition.work.values():
        weight = Fraction(item.weight)
        total += weight
        done += weight * Fraction(work.get(item.name, 0), PARTS)
    return done / total


def forecast(progress: Fraction, *, since: datetime, now: datetime) -> datetime | None:
    """
    Give the instant at which the migration would be complete at its mean pace so far.

    Args:
        progress: 0 to 1, reached at *now*.
        since: When progress was 0.

    Returns:
        The instant, *now* where it is complete, or None while there is no pace to go by: no progress, or less than a
        day of history.
    """
    if progress >= 1:
        return now
    elapsed = now - since
    if progress <= 0 or elapsed < HISTORY:
        return None
    try:
        return now + elapsed * float((1 - progress) / progress)
    except OverflowError:
        return None
