"""
What came of asking the other side too: how often the two differ, beside how often OLD differs from itself.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import attrs

from cutover.core.bucketing import PARTS
from cutover.core.checkin import Fleet, Kind, Totals, add, minute_of
from cutover.core.intervals import Share, difference
from cutover.core.schema import SCHEMA
from cutover.core.snapshot import Snapshot
from cutover.core.verdict import Mismatch, Verdict
from cutover.errors import ConfigurationError

__all__ = ["Comparisons", "FlowComparisons", "compared"]

SAME: Final = (Verdict.MATCH, Verdict.IGNORED, Verdict.BOTH_ERROR)
DIFFERENT: Final = (Verdict.MISMATCH, Verdict.OLD_ERROR, Verdict.NEW_ERROR)
MOST_SHOWN: Final = 20  # kept mismatches of a flow, over all instances
DECIMALS: Final = 5  # of a ratio


@attrs.frozen(kw_only=True)
class FlowComparisons:
    """
    The comparisons of one flow.

    Attributes:
        shadow: Parts of 100,000: of so many keys the other side is asked too.
        verdicts: How often each verdict was given; all of them, in their order.
        mismatches: The first that the live instances keep, newest last.
    """

    flow: str
    shadow: int
    verdicts: Mapping[Verdict, int]
    mismatches: tuple[Mismatch, ...] = ()

    @property
    def differing(self) -> Share:
        """
        How often OLD and NEW differed: in what they answered, or because only one of them failed.
        """
        found = self._sum(*DIFFERENT)
        return Share(found, found + self._sum(*SAME))

    @property
    def noise(self) -> Share:
        """
        How often OLD differed from itself.
        """
        found = self.verdicts[Verdict.NOISE_MISMATCH]
        return Share(found, found + self.verdicts[Verdict.NOISE_MATCH])

    @property
    def stands_out(self) -> bool | None:
        """
        Whether NEW differs from OLD more often than OLD from itself, with 95% confidence; None while one of the two was
        never measured.
        """
        if not self.differing.cases or not self.noise.cases:
            return None
        return difference(self.differing, self.noise)[0] > 0

    def document(self) -> dict[str, Any]:
        """
        Give the flow as it stands in `mismatches --json`.
        """
        return {
            "flow": self.flow,
            "shadow_ratio": self.shadow / PARTS,
            "verdicts": {verdict.value: number for verdict, number in self.verdicts.items()},
            "differing": _share_document(self.differing),
            "noise": _share_document(self.noise),
            "stands_out": self.stands_out,
            "mismatches": [mismatch.document() for mismatch in self.mismatches],
        }

    def _sum(self, *verdicts: Verdict) -> int:
        return sum(self.verdicts[verdict] for verdict in verdicts)


@attrs.frozen(kw_only=True)
class Comparisons:
    """
    The comparisons of a migration.

    Attributes:
        hours: What was counted in so many hours; None for all that ever was.
        flows: Those that compare or have compared, in the order of the definition.
    """

    hours: int | None
    flows: tuple[FlowComparisons, ...]

    def document(self) -> dict[str, Any]:
        """
        Give the comparisons as `mismatches --json` prints them.
        """
        return {"schema": SCHEMA, "hours": self.hours, "flows": [flow.document() for flow in self.flows]}


def compared(
    fleet: Fleet, snapshot: Snapshot, *, flow: str | None = None, hours: int | None = None, now: datetime
) -> Comparisons:
    """
    Put together what the router processes count and keep.

    Args:
        fleet: Read before the snapshot.
        flow: This one alone, also where it never compared.
        hours: Count only so many hours, the one that runs included.

    Raises:
        ConfigurationError: If there is no such flow, or *hours* is below 1.
    """
    flows = snapshot.definition.flows
    if flow is not None and flow not in flows:
        raise ConfigurationError(f"flow is {flow!r:.100}; allowed: {', '.join(flows)}")
    if hours is not None and hours < 1:
        raise ConfigurationError(f"hours is {hours}; allowed: an integer from 1")
    totals = add(_counted(fleet, hours, now))
    described = (_described(name, fleet, snapshot, totals, now) for name in flows if flow in (None, name))
    found = (one for one in described if flow or one.shadow or any(one.verdicts.values()))
    return Comparisons(hours=hours, flows=tuple(found))


def _described(name: str, fleet: Fleet, snapshot: Snapshot, totals: Totals, now: datetime) -> FlowComparisons:
    verdicts = dict.fromkeys(Verdict, 0)
    for counted, number in totals.items():
        # A newer library may count verdicts that this one does not know.
        if counted.kind is Kind.SHADOWS and counted.flow == name and counted.detail in verdicts:
            verdicts[Verdict(counted.detail)] += number
    live = (report for report in fleet.instances if not report.is_lost(now))
    kept = sorted((m for report in live for m in report.mismatches if m.flow == name), key=lambda m: m.at)
    shadow = snapshot.shadows.get(name, 0)
    return FlowComparisons(flow=name, shadow=shadow, verdicts=verdicts, mismatches=tuple(kept[:MOST_SHOWN]))


def _counted(fleet: Fleet, hours: int | None, now: datetime) -> Iterator[Totals]:
    first = 0 if hours is None else minute_of(now) // 60 - hours + 1
    yield from (totals for hour, totals in fleet.hours.items() if hour >= first)
    yield from (totals for minute, totals in fleet.minutes.items() if minute // 60 >= first)


def _share_document(share: Share) -> dict[str, Any]:
    low, high = share.interval
    ratio = None if share.ratio is None else round(float(share.ratio), DECIMALS)
    interval = None if ratio is None else [round(low, DECIMALS), round(high, DECIMALS)]
    return {"found": share.found, "cases": share.cases, "ratio": ratio, "interval": interval}
