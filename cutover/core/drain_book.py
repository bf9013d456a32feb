"""
What the ledger says of drains: after which changes visits may go on, on a side that the dials no longer give them.

Read change by change, and kept small: of a ledger of years only those changes stay whose visits no later change
accounts for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, TypeVar

import attrs

from cutover.core.backend import Backend
from cutover.core.checkin import LEASE
from cutover.core.drain_part import UNKNOWN, Drain, Level, Part, Step, Stretch, common
from cutover.core.instants import parse_instant
from cutover.core.ledger import Change
from cutover.core.renames import former_names, rename_keys, renames

__all__ = ["DrainBook"]

NEW, OLD = Backend.NEW, Backend.OLD
MATTERS: Final = frozenset({"definition", "dials", "cohorts", "overrides", "evictions", "epoch"})
TURNS: Final = frozenset({"dials", "cohorts", "evictions", "work", "frozen", "turned"})

Place = tuple[str, str]  # a journey and a flow, which it may have left since
Override = tuple[int, Backend]  # the position of a key, and where it was put
V = TypeVar("V")


@attrs.frozen(kw_only=True)
class _Journey:
    flows: tuple[str, ...]
    together: bool
    ttl: timedelta


@attrs.frozen(kw_only=True)
class _Before:
    """
    What a change may alter, as it was.
    """

    epoch: int
    journeys: Mapping[str, _Journey]
    parts: Mapping[Place, Part]
    digests: frozenset[str]
    named: Mapping[tuple[str, str], Override]  # by flow and digest


class DrainBook:
    """
    What is learnt of drains from the changes of a ledger, oldest first.
    """

    def __init__(self) -> None:
        self._epoch = 0
        self._dials: dict[str, int] = {}
        self._cohorts: dict[str, dict[str, int]] = {}
        self._overrides: dict[str, dict[str, Override]] = {}
        self._journeys: dict[str, _Journey] = {}
        self._of: dict[str, _Journey] = {}  # by flow
        self._former: dict[str, str] = {}  # by a name that a flow had before, the name that it has
        self._ended: dict[str, tuple[Stretch, ...]] = {}  # by journey, those before its last ttl
        self._parts: dict[Place, Part] = {}

    def extended(self, changes: Iterable[Change]) -> "DrainBook":
        """
        Learn what later changes say; this book stays as it is.
        """
        book = DrainBook()
        book._epoch = self._epoch
        book._dials, book._parts, book._ended = dict(self._dials), dict(self._parts), dict(self._ended)
        book._cohorts = {flow: dict(own) for flow, own in self._cohorts.items()}
        book._overrides = {flow: dict(own) for flow, own in self._overrides.items()}
        book._journeys, book._of = self._journeys, self._of  # never changed, only replaced
        book._former = self._former
        for only_turns, run in groupby(changes, _only_turns):
            if only_turns:
                book._take_turns(run)
            else:
                for change in run:
                    book._take(change)
        return book

    def drains(self) -> dict[str, tuple[Drain, ...]]:
        """
        Give by flow the changes after which visits may go on; whether they do is for `cutover.core.drain` to say.
        """
        found: dict[str, tuple[Drain, ...]] = {}
        for (_, flow), part in self._parts.items():
            if flow in self._dials and (drains := tuple(part.all())):
                found[flow] = (*found.get(flow, ()), *drains)
        return found

    def _take_turns(self, run: Iterable[Change]) -> None:
        """
        Learn what changes say that turn dials and do nothing else, at once: most of a ledger is such.
        """
        together = {flow: self._with(flow) for _, flow in self._parts}
        steps: dict[tuple[str, ...], list[Step]] = {members: [] for members in together.values()}
        for change in run:
            effects = change.effects
            dials, cohorts, evictions = (
                effects.get("dials", {}),
                effects.get("cohorts", {}),
                effects.get("evictions", {}),
            )
            _merge(self._dials, dials, int)
            if cohorts:
                _merge_twice(self._cohorts, cohorts, int)
            for members in {together[flow] for flow in (*dials, *cohorts, *evictions) if flow in together}:
                steps[members].append(Step(change, self._level(members), evictions))
        for place in self._parts:
            if taken := steps[together[place[1]]]:
                self._parts[place] = self._turned(place, taken)

    def _turned(self, place: Place, steps: Sequence[Step]) -> Part:
        (name, flow), part = place, self._parts[place]

        def stretches(change: Change) -> tuple[Stretch, ...]:
            return self._stretches(name, self._journeys[name], change) if part.left is None else part.left

        return part.turned(flow, steps, stretches)

    def _take(self, change: Change) -> None:
        if change.verb == "dead":
            self._wait_for_dead(parse_instant(change.arguments["seen"]), change.at)
        effects = change.effects
        if MATTERS.isdisjoint(effects):
            return
        self._rename(effects)
        before = self._remembered(effects)
        self._merge(effects)
        ended = self._end_stretches(before, change)
        for place in self._touched(effects, before):
            self._turn(place, before, ended, change)

    # -- the state --

    def _merge(self, effects: Mapping[str, Any]) -> None:
        self._epoch = effects.get("epoch", self._epoch)
        _merge(self._dials, effects.get("dials", {}), int)
        _merge_twice(self._cohorts, effects.get("cohorts", {}), int)
        _merge_twice(self._overrides, effects.get("overrides", {}), _override)
        journeys = effects.get("definition", {}).get("journeys")
        if journeys is not None:
            self._journeys = {journey["name"]: _journey(journey) for journey in journeys}
            self._of = {flow: journey for journey in self._journeys.values() for flow in journey.flows}

    def _rename(self, effects: Mapping[str, Any]) -> None:
        """
        Go on with what is known of a flow under the name that a change gives it.
        """
        flows = effects.get("definition", {}).get("flows", ())
        names = renames(self._dials, self._former, former_names(flows))
        if flows:
            self._former = {old: flow for flow, was in former_names(flows).items() for old in was}
        if not names:
            return
        self._dials = rename_keys(self._dials, names)
        self._cohorts = rename_keys(self._cohorts, names)
        self._overrides = rename_keys(self._overrides, names)
        self._parts = {(name, names.get(flow, flow)): part for (name, flow), part in self._parts.items()}
        self._journeys = {
            name: attrs.evolve(journey, flows=tuple(names.get(flow, flow) for flow in journey.flows))
            for name, journey in self._journeys.items()
        }
        self._of = {flow: journey for journey in self._journeys.values() for flow in journey.flows}

    def _with(self, flow: str) -> tuple[str, ...]:
        journey = self._of.get(flow)
        return journey.flows if journey is not None and journey.together else (flow,)

    def _level(self, members: Iterable[str]) -> dict[str | None, int]:
        together = [(self._dials.get(member, 0), self._cohorts.get(member, {})) for member in members]
        level: dict[str | None, int] = {None: min([dial for dial, _ in together])}
        for _, cohorts in together:
            for cohort in cohorts:
                level[cohort] = min([own.get(cohort, dial) for dial, own in together])
        return level

    def _named(self, flow: str, digest: str) -> Override | None:
        together = self._with(flow)
        found = [own[digest] for member in together if digest in (own := self._overrides.get(member, {}))]
        return min(found, key=lambda override: override[1] is NEW, default=None)  # where they differ, OLD wins

    # -- a change --

    def _remembered(self, effects: Mapping[str, Any]) -> _Before:
        if "epoch" in effects or "journeys" in effects.get("definition", {}):
            digests = frozenset(digest for own in self._overrides.values() for digest in own)
        else:
            given = effects.get("overrides", {}).items()
            digests = frozenset(d for flow, own in given for d in (own or self._overrides.get(flow, {})))
        flows = {flow for _, flow in self._parts} if digests else ()
        named = {(f, d): override for f in flows for d in digests if (override := self._named(f, d)) is not None}
        parts = dict(self._parts)
        return _Before(epoch=self._epoch, journeys=self._journeys, parts=parts, digests=digests, named=named)

    def _touched(self, effects: Mapping[str, Any], before: _Before) -> Iterable[Place]:
        places = dict.fromkeys((*before.parts, *((name, f) for name, j in self._journeys.items() for f in j.flows)))
        if before.epoch != self._epoch or before.journeys is not self._journeys:
            return places
        given = (flow for name in ("dials", "cohorts", "overrides", "evictions") for flow in effects.get(name, {}))
        flows = {member for flow in given for member in self._with(flow)}
        return [place for place in places if place[1] in flows]

    def _end_stretches(self, before: _Before, change: Change) -> Mapping[str, tuple[Stretch, ...]]:
        """
        Give by journey the stretches in which a visit may have been entered before a change.
        """
        ended = dict(self._ended)
        for name, journey in before.journeys.items():
            ended[name] = self._stretches(name, journey, change)
            now = self._journeys.get(name)
            if now is None or now.ttl != journey.ttl:
                self._ended[name] = ended[name]
        return ended

    def _stretches(self, name: str, journey: _Journey, change: Change) -> tuple[Stretch, ...]:
        # Of two stretches the later one lasts longer, unless its ttl is shorter.
        longer = (stretch for stretch in self._ended.get(name, ()) if stretch.ttl > journey.ttl)
        return (*longer, Stretch((self._epoch, change.version), change.at + LEASE, journey.ttl))

    def _turn(self, place: Place, before: _Before, ended: Mapping[str, tuple[Stretch, ...]], change: Change) -> None:
        name, flow = place
        part, level = before.parts.get(place), self._level(self._with(flow))
        if part is None:
            part = self._newcomer(name, before)
        if part is None:
            self._parts[place] = Part(level=level)
            return
        stretches = ended[name] if part.left is None else part.left
        is_in = flow in self._flows(name)
        if is_in and part.left is not None:
            part, stretches = attrs.evolve(part, left=None), ended[name]
            # What its visits hold by now depends on what they met while it was away.
            for side in (NEW, OLD):
                part = part.named(Drain.after(change, side, UNKNOWN, stretches))
        part = self._renamed(part, place, level, before, stretches, change)
        if self._is_adopted(before):
            part = attrs.evolve(part, level=dict.fromkeys(part.level, 0))
        step = Step(change, level, change.effects.get("evictions", {}))
        part = part.turned(flow, [step], lambda _: stretches)
        if not is_in and part.left is None:
            part = attrs.evolve(part, left=stretches)
        self._parts[place] = part

    def _flows(self, journey: str) -> tuple[str, ...]:
        return self._journeys[journey].flows if journey in self._journeys else ()

    def _is_adopted(self, before: _Before) -> bool:
        # What routers ran of another history is not in this ledger. Visits on NEW are evicted; the others may be
        # anywhere that the dials now call NEW.
        return before.epoch != self._epoch

    def _newcomer(self, journey: str, before: _Before) -> Part | None:
        """
        Give the part that a flow which comes into a journey begins with: visits on their way take it along.
        """
        others = self._others(journey, before)
        if not others or not self._journeys[journey].together:
            return None
        return common([before.parts[journey, flow] for flow in others])

    def _others(self, journey: str, before: _Before) -> tuple[str, ...]:
        return tuple(flow for flow in self._flows(journey) if (journey, flow) in before.parts)

    def _renamed(
        self,
        part: Part,
        place: Place,
        level: Level,
        before: _Before,
        stretches: tuple[Stretch, ...],
        change: Change,
    ) -> Part:
        """
        Add the drains of those keys that overrides send elsewhere.
        """
        name, flow = place
        is_adopted = self._is_adopted(before)
        known = (flow,) if place in before.parts else self._others(name, before)
        for digest in before.digests:
            were, now = {before.named.get((one, digest)) for one in known}, self._named(flow, digest)
            if were == {now} and not is_adopted:
                continue  # its dial may have been turned, which is another drain
            key = next((override for override in (*were, now) if override is not None), None)
            if key is None:
                continue
            sides_after = _possible(now, key, level)
            sides_before = {OLD} if is_adopted else set().union(*(_possible(was, key, part.level) for was in were))
            for side, other in ((NEW, OLD), (OLD, NEW)):
                if other in sides_after and side in sides_before:
                    part = part.named(Drain.after(change, side, UNKNOWN, stretches))
                elif other in sides_after:
                    part = part.remembered(side)
        return part

    def _wait_for_dead(self, seen: datetime, declared: datetime) -> None:
        """
        Count an instance that was last heard of before a change came to it as running the older version until now.
        """

        def later(stretch: Stretch) -> Stretch:
            return stretch._replace(settled=max(stretch.settled, declared)) if seen < stretch.settled else stretch

        self._ended = {name: tuple(map(later, ended)) for name, ended in self._ended.items()}
        self._parts = {place: part.extended(later) for place, part in self._parts.items()}


def _only_turns(change: Change) -> bool:
    return change.verb != "dead" and TURNS.issuperset(change.effects)


def _possible(override: Override | None, key: Override, level: Level) -> set[Backend]:
    """
    Give the sides that a key may be on, by its override or by the dial; which cohort it is in is not known.
    """
    if override is not None:
        return {override[1]}
    return {NEW if key[0] < parts else OLD for parts in level.values()}


def _merge(mine: dict[str, V], effects: Mapping[str, Any], read: Callable[[Any], V]) -> None:
    for name, value in effects.items():
        if value is None:
            mine.pop(name, None)
        else:
            mine[name] = read(value)


def _merge_twice(mine: dict[str, dict[str, V]], effects: Mapping[str, Any], read: Callable[[Any], V]) -> None:
    for name, inner in effects.items():
        if inner is None:
            mine.pop(name, None)
        else:
            _merge(mine.setdefault(name, {}), inner, read)


def _override(entry: tuple[int, str]) -> Override:
    return (entry[0], Backend(entry[1]))


def _journey(document: Mapping[str, Any]) -> _Journey:
    return _Journey(
        flows=tuple(document["flows"]),
        together=document["together"],
        ttl=timedelta(seconds=document["ttl_seconds"]),
    )
