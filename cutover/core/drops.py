"""
Journeys that a definition lowers: a flow that joins a `together` journey brings its own dial, and the lowest one holds.
"""

from collections.abc import Iterator

import attrs

from cutover.core.defined import Journey
from cutover.core.percent import format_percent
from cutover.core.renames import renamed
from cutover.core.snapshot import Snapshot

__all__ = ["Drop", "drops"]


@attrs.frozen(kw_only=True)
class Drop:
    """
    A journey whose flows a definition takes to a lower dial.

    Attributes:
        cohort: The cohort whose members go back; None for everybody without a cohort dial.
        flows: The flows that are lowered.
        before: The highest effective dial that one of them had, in parts.
        after: The effective dial that they have.
        holder: The flow that holds them there.
        joins: It was not held together with them before.
        is_new: It is no flow yet.
    """

    journey: str
    cohort: str | None
    flows: tuple[str, ...]
    before: int
    after: int
    holder: str
    joins: bool
    is_new: bool

    def __str__(self) -> str:
        who = f"journey {self.journey}, cohort {self.cohort}," if self.cohort else f"journey {self.journey}"
        step = f"{format_percent(self.before)} to {format_percent(self.after)}"
        why = f"{self.holder} joins it at" if self.joins else f"{self.holder} is at"
        return f"{who} drops from {step} ({', '.join(self.flows)}), because {why} {format_percent(self.after)}"

    @property
    def remedy(self) -> str:
        """
        The order that keeps the journey where it is.
        """
        cohort = f" --cohort {self.cohort}" if self.cohort else ""
        raised = f"`cutover set {self.holder} {format_percent(self.before).removesuffix('%')}{cohort}`"
        first = f"apply it without {self.holder} in {self.journey}, then " if self.is_new else ""
        return f"safe order: {first}{raised}, then apply this definition"


def drops(before: Snapshot | None, after: Snapshot) -> tuple[Drop, ...]:
    """
    List the `together` journeys that the step from one state to another lowers, because a flow of them holds others.
    """
    if before is None:
        return ()
    before = renamed(before, after.definition)
    journeys = (journey for journey in after.definition.journeys.values() if journey.together)
    return tuple(drop for journey in journeys for drop in _drops_of(journey, before, after))


def _drops_of(journey: Journey, before: Snapshot, after: Snapshot) -> Iterator[Drop]:
    known = [flow for flow in journey.flows if flow in before.definition.flows]
    cohorts = dict.fromkeys(cohort for flow in known for cohort in before.cohorts_of(flow))
    for cohort in (None, *cohorts):
        was = {flow: before.effective_parts(flow, cohort) for flow in known}
        holder = min(journey.flows, key=lambda flow: after.own_parts(flow, cohort))
        now = after.own_parts(holder, cohort)
        lowered = tuple(flow for flow in known if was[flow] > now and flow != holder)
        if lowered:
            yield Drop(
                journey=journey.name,
                cohort=cohort,
                flows=lowered,
                before=max(was[flow] for flow in lowered),
                after=now,
                holder=holder,
                joins=holder not in known or not {*lowered} & {*before.definition.together_with(holder)},
                is_new=holder not in known,
            )
