"""
What the ledger says of drains: after which changes visits may go on, on a side that the dials no longer give them.

Of each flow of a journey and each side the last such change is kept. That is a bound: a later change may have turned
the dial back, and then fewer visits go on than are told. No visit that goes on is left out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar

import attrs

from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.core.checkin import LEASE
from cutover.core.instants import parse_instant
from cutover.core.ledger import Change
from cutover.core.renames import former_names, rename_keys, renames
from cutover.core.visit import Order

__all__ = ["Drain", "DrainBook", "Stretch"]

NEW, OLD = Backend.NEW, Backend.OLD
MATTERS: Final = frozenset({"definition", "dials", "cohorts", "overrides", "evictions", "epoch"})

Place = tuple[str, str]  # a journey and a flow, which it may have left since
Level = Mapping[str | None, int]  # effective parts by cohort; under None for keys without a dial of a cohort's own
Override = tuple[int, Backend]  # the position of a key, and where it was put
V = TypeVar("V")


class Stretch(NamedTuple):
    """
    Versions in which a journey had one ttl.

    Attributes:
        ended: The change that they ended with.
        settled: Until when an instance that has closed since, or was declared dead, may have run one of them.
        ttl: How long a visit could live that was entered in them.
    """

    ended: Order
    settled: datetime
    ttl: timedelta


@attrs.frozen(kw_only=True)
class Drain:
    """
    A change after which visits of a flow may go on, on a side which the dials no longer give them.

    Attributes:
        at: When it was made.
        stretches: In which the visits may have been entered; the last ends with the change.
    """

    side: Backend
    version: int
    at: datetime
    stretches: tuple[Stretch, ...]


@attrs.frozen(kw_only=True)
class _Journey:
    flows: tuple[str, ...]
    together: bool
    ttl: timedelta


@attrs.frozen(kw_only=True)
class _Part:
    """
    A flow of a journey, from when visits may first hold its side.

    Attributes:
        level: What holds for it. A cohort that once had a dial of its own is followed for ever.
        drains: The last on each side.
        left: The stretches in which visits could be given its side, if it has left the journey.
    """

    level: Level
    drains: Mapping[Backend, Drain] = attrs.field(factory=dict)
    left: tuple[Stretch, ...] | None = None


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
        self._parts: dict[Place, _Part] = {}

    def extended(self, changes: Iterable[Change]) -> "DrainBook":
        """
        Learn what later changes say; this book stays as it is.
        """
        book = DrainBook()
        book._epoch = self._epoch
        book._dials, book._parts, book._ended = dict(self._dials), dict(self._parts), dict(self._ended)
        book._cohorts = {flow: dict(own) for flow, own in self._cohorts.items()}
        book._overrides = {flow: dict(own) for flow, own in self._overrides.items()}
        book._journeys, book._of, book._former = self._journeys, self._of, self._former  # never changed, only replaced
        for change in changes:
            book._take(change)
        return book

    def drains(self) -> dict[str, tuple[Drain, ...]]:
        """
        Give by flow the changes after which visits may go on; whether they do is for `cutover.core.drain` to say.
        """
        found: dict[str, tuple[Drain, ...]] = {}
        for (_, flow), part in self._parts.items():
            if flow in self._dials and part.drains:
                found[flow] = (*found.get(flow, ()), *part.drains.values())
        return found

    def _take(self, change: Change) -> None:
        if change.verb == "dead":
            self._wait_for_dead(parse_instant(change.arguments["seen"]), change.at)
        effects = change.effects
        if MATTERS.isdisjoint(effects):
            return
        self._rename(effects)
        epoch, journeys, overrides = self._epoch, self._journeys, self._named(effects)
        self._merge(effects)
        ended = self._end_stretches(journeys, change)
        is_adopted = epoch != self._epoch
        for place in self._touched(effects, everywhere=is_adopted or journeys is not self._journeys):
            self._turn(place, ended, overrides.get(place[1], {}), change, is_adopted=is_adopted)

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

    def _level(self, flow: str) -> dict[str | None, int]:
        together = [(self._dials.get(member, 0), self._cohorts.get(member, {})) for member in self._with(flow)]
        level: dict[str | None, int] = {None: min(dial for dial, _ in together)}
        for cohort in {cohort for _, cohorts in together for cohort in cohorts}:
            level[cohort] = min(own.get(cohort, dial) for dial, own in together)
        return level

    def _named(self, effects: Mapping[str, Any]) -> dict[str, dict[str, Override | None]]:
        """
        Give by flow and key the overrides that hold, of those that a change may alter.
        """
        if "epoch" in effects or "journeys" in effects.get("definition", {}):
            digests = {digest for own in self._overrides.values() for digest in own}
        else:
            given = effects.get("overrides", {}).items()
            digests = {digest for flow, own in given for digest in (own or self._overrides.get(flow, {}))}
        return {flow: {d: self._override_of(flow, d) for d in digests} for _, flow in self._parts} if digests else {}

    def _override_of(self, flow: str, digest: str) -> Override | None:
        together = (self._overrides.get(member, {}) for member in self._with(flow))
        found = [own[digest] for own in together if digest in own]
        return min(found, key=lambda override: override[1] is NEW, default=None)  # where they differ, OLD wins

    def _are_all_on(self, side: Backend, flow: str, level: Level) -> bool:
        """
        Tell whether every key gets this side, so that no visit can be on it against the dials.
        """
        overrides = (own for member in self._with(flow) for own in self._overrides.get(member, {}).values())
        parts = PARTS if side is NEW else 0
        return all(one == parts for one in level.values()) and all(put is side for _, put in overrides)

    # -- a change --

    def _touched(self, effects: Mapping[str, Any], *, everywhere: bool) -> Iterable[Place]:
        if everywhere:
            joined = ((name, flow) for name, journey in self._journeys.items() for flow in journey.flows)
            return dict.fromkeys((*self._parts, *joined))
        given = (flow for name in ("dials", "cohorts", "overrides", "evictions") for flow in effects.get(name, {}))
        flows = {member for flow in given for member in self._with(flow)}
        return [place for place in self._parts if place[1] in flows]

    def _end_stretches(self, journeys: Mapping[str, _Journey], change: Change) -> Mapping[str, tuple[Stretch, ...]]:
        """
        Give by journey the stretches in which a visit may have been entered before a change.
        """
        ended = dict(self._ended)
        for name, journey in journeys.items():
            # Of two stretches the later one lasts longer, unless its ttl is shorter.
            longer = (stretch for stretch in self._ended.get(name, ()) if stretch.ttl > journey.ttl)
            ended[name] = (*longer, Stretch((self._epoch, change.version), change.at + LEASE, journey.ttl))
            now = self._journeys.get(name)
            if now is None or now.ttl != journey.ttl:
                self._ended[name] = ended[name]
        return ended

    def _turn(
        self,
        place: Place,
        ended: Mapping[str, tuple[Stretch, ...]],
        overrides: Mapping[str, Override | None],
        change: Change,
        *,
        is_adopted: bool,
    ) -> None:
        (name, flow), part, level = place, self._parts.get(place), self._level(place[1])
        is_in = name in self._journeys and flow in self._journeys[name].flows
        came = part is None or (is_in and part.left is not None)
        if part is None:
            if name not in ended:  # the journey is new, and has no visits
                self._parts[place] = _Part(level=level)
                return
            part = _Part(level=level)
        stretches = ended[name] if part.left is None or came else part.left
        # Visits on their way take a flow along that comes in; its side depends on what they met before.
        sides = {NEW, OLD} if came else set(_left(part.level, level, is_adopted=is_adopted))
        for digest, was in overrides.items():
            sides |= _left_by_name(was, self._override_of(flow, digest), part.level, level, is_adopted=is_adopted)
        made = {side: Drain(side=side, version=change.version, at=change.at, stretches=stretches) for side in sides}
        drains = {**part.drains, **made}
        if flow in change.effects.get("evictions", {}) or self._are_all_on(NEW, flow, level):
            drains.pop(NEW, None)
        if self._are_all_on(OLD, flow, level):
            drains.pop(OLD, None)
        self._parts[place] = _Part(
            level={**dict.fromkeys(part.level, level[None]), **level},
            drains=drains,
            left=None if is_in else stretches,
        )

    def _wait_for_dead(self, seen: datetime, declared: datetime) -> None:
        """
        Count an instance that was last heard of before a change came to it as running the older version until now.
        """

        def later(stretches: tuple[Stretch, ...]) -> tuple[Stretch, ...]:
            return tuple(
                stretch._replace(settled=max(stretch.settled, declared)) if seen < stretch.settled else stretch
                for stretch in stretches
            )

        self._ended = {name: later(ended) for name, ended in self._ended.items()}
        for place, part in self._parts.items():
            drains = {
                side: attrs.evolve(drain, stretches=later(drain.stretches)) for side, drain in part.drains.items()
            }
            left = None if part.left is None else later(part.left)
            self._parts[place] = attrs.evolve(part, drains=drains, left=left)


def _left(before: Level, after: Level, *, is_adopted: bool) -> Iterator[Backend]:
    """
    Give the sides that some key leaves with a dial.

    What routers ran of another history is not in this ledger. Its visits on NEW are evicted; the others may be anywhere
    that the dials now call NEW.
    """
    for cohort in {*before, *after}:
        was = 0 if is_adopted else before.get(cohort, before[None])
        now = after.get(cohort, after[None])
        if was != now:
            yield NEW if now < was else OLD


def _left_by_name(
    was: Override | None, now: Override | None, before: Level, after: Level, *, is_adopted: bool
) -> set[Backend]:
    """
    Give the sides that a key leaves with its override.
    """
    key = was or now
    if key is None or (was == now and not is_adopted):
        return set()  # its dial may have been turned, which is another matter
    sides_before = {OLD} if is_adopted else _possible(was, key, before)
    sides_after = _possible(now, key, after)
    return {side for side, other in ((NEW, OLD), (OLD, NEW)) if side in sides_before and other in sides_after}


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
