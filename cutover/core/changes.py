"""
What operators may do: each verb turns a snapshot into a proposal, the state that would hold after it.

A proposal is sealed into a change by the ledger. Nothing here writes, asks or reads a clock.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs

from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS, digest_of, key_bytes, position_of
from cutover.core.drops import drops
from cutover.core.instants import format_instant
from cutover.core.migration import Migration
from cutover.core.moves import Move, moves
from cutover.core.percent import format_percent
from cutover.core.renames import checked, renamed, renames_of
from cutover.core.snapshot import Eviction, Override, Snapshot
from cutover.errors import ConfigurationError, Refused

__all__ = [
    "FIRST_EPOCH",
    "Proposal",
    "adopt",
    "apply",
    "declare_dead",
    "flows_of",
    "freeze",
    "override",
    "rehome",
    "rollback",
    "set_dial",
    "set_work",
    "unfreeze",
]

FIRST_EPOCH = 1


@attrs.frozen(kw_only=True)
class Proposal:
    """
    A change that was asked for and is allowed, not yet sealed.

    Attributes:
        arguments: What was asked, as the ledger will show it.
        before: The snapshot that it was computed from; None for the first apply.
        after: The state that would hold; its head is still that of `before`, apart from the epoch.
        notes: What the operator should know, such as cohorts that stay behind.
        is_empty: Nothing would change, and nothing need be written.
    """

    verb: str
    arguments: Mapping[str, Any]
    before: Snapshot | None
    after: Snapshot
    notes: tuple[str, ...] = ()
    is_empty: bool = False

    @property
    def moves(self) -> tuple[Move, ...]:
        """
        Whom the change would move.
        """
        return moves(self.before, self.after)

    @property
    def evicted(self) -> frozenset[str]:
        """
        The flows whose visits on NEW it ends.
        """
        known = {} if self.before is None else renamed(self.before, self.after.definition).evictions
        return frozenset(flow for flow, mark in self.after.evictions.items() if known.get(flow) != mark)


def apply(snapshot: Snapshot | None, definition: Migration, first: Snapshot) -> Proposal:
    """
    Store a definition; dials are kept, also those of renamed flows. Those of new flows and work items begin at 0.

    Args:
        snapshot: What holds, or None where the migration is new.
        first: An empty snapshot of the definition, which a new migration begins with.

    Raises:
        Refused: If the name, salt, scheme or the sides' names differ from those of the first apply, or a flow cannot
            have had a name that `was` gives it.
    """
    arguments = {"definition": definition.document()}
    if snapshot is None:
        return Proposal(verb="apply", arguments=arguments, before=None, after=first)
    # The sides' names too: applications store them as the homes of things.
    for field in ("name", "salt", "scheme", "old", "new"):
        was, now = getattr(snapshot.definition, field), getattr(definition, field)
        if was != now:
            raise Refused(f"{field} is {now!r}, and the first apply fixed it as {was!r}: changing it would move users")
    definition = checked(snapshot.definition, definition)
    known = renamed(snapshot, definition)
    after = attrs.evolve(
        snapshot,
        definition=definition,
        dials={flow: known.dials.get(flow, 0) for flow in definition.flows},
        cohort_dials={
            flow: _only(dials, definition.cohorts)
            for flow, dials in known.cohort_dials.items()
            if flow in definition.flows
        },
        overrides=_only(known.overrides, definition.flows),
        shadows=_only(known.shadows, definition.flows),
        evictions=known.evictions,
        work={item: snapshot.work.get(item, 0) for item in definition.work},
    )
    called = renames_of(snapshot.definition, definition)
    gone = (name for name in snapshot.definition.journeys if name not in definition.journeys)
    notes = (
        *(f"{old} is called {new} now, and keeps its dial" for old, new in called.items()),
        *(f"visits of {name} end: the journey is removed" for name in gone),
        *(f"{drop}; {drop.remedy}" for drop in drops(snapshot, after)),
    )
    same = after.state() == snapshot.state()  # here the order of the definition counts
    return _allowed("apply", arguments, snapshot, after, notes=notes, is_empty=same)


def set_dial(
    snapshot: Snapshot,
    target: str,
    parts: int | None,
    *,
    cohort: str | None = None,
    evict: bool = False,
    all_cohorts: bool = False,
    shadow: int | None = None,
) -> Proposal:
    """
    Set the dial of a flow, or of every flow of a journey; for one cohort, if named.

    Args:
        parts: 0 to 100,000; None lets a cohort inherit the flow's dial again; without a cohort, but with *shadow*, it
            leaves the flow's dial as it is.
        evict: End the visits on NEW; only with a lowered dial.
        all_cohorts: Let every cohort inherit, also in flows that go together with these, so that none stays behind.
        shadow: Of so many parts of the keys the other side is asked too, for comparison; None leaves that as it is.

    Raises:
        ConfigurationError: If the target or the cohort is unknown, *parts* out of range, or the arguments contradict
            each other.
        Refused: If the migration is frozen and some key would go to NEW, or *evict* comes with a dial that is not
            lowered.
    """
    flows = flows_of(snapshot.definition, target)
    _check_cohort(snapshot.definition, cohort)
    for given in (parts, shadow):
        if given is not None:
            _check_parts(given)
    if parts is None and cohort is None and shadow is None:
        raise ConfigurationError("inherit is for a cohort: name one")
    if all_cohorts and cohort is not None:
        raise ConfigurationError("all cohorts and one cohort cannot both be meant")
    if shadow is not None and cohort is not None:
        raise ConfigurationError("the shadow share is the flow's, not a cohort's: give one of the two")
    after = _turned(snapshot, flows, parts, cohort)
    if all_cohorts:
        followers = _together(snapshot.definition, flows)  # each of them can hold a cohort back
        after = attrs.evolve(
            after, cohort_dials={f: own for f, own in after.cohort_dials.items() if f not in followers}
        )
    if evict:
        _check_lowered(snapshot, after, flows, cohort)
        after = _evicted(after, flows)
    if shadow is not None:
        after = attrs.evolve(after, shadows={**after.shadows, **dict.fromkeys(flows, shadow)})
    arguments: dict[str, Any] = {
        "target": snapshot.definition.current(target),
        "parts": parts,
        "cohort": cohort,
        "shadow": shadow,
    }
    arguments |= {"evict": evict, "all_cohorts": all_cohorts}
    notes = (*_limits(after, flows), *after.exceptions(_together(after.definition, flows), but=cohort))
    return _allowed("set", arguments, snapshot, after, notes=notes)


def rollback(snapshot: Snapshot, target: str | None) -> Proposal:
    """
    Send a flow back to OLD in one change, with all that must go together with it; None means every flow.

    Its dial, its cohorts' dials and its shadow share go to 0, its NEW overrides are taken off, its visits on NEW are
    ended. Never refused, also while frozen. It changes nothing only where all of that holds already and no flow is in a
    journey: where there are visits, a break-glass file may have put them on NEW.

    Raises:
        ConfigurationError: If the target is unknown.
    """
    definition = snapshot.definition
    asked = tuple(definition.flows) if target is None else flows_of(definition, target)
    flows = dict.fromkeys(_together(definition, asked))
    after = attrs.evolve(
        snapshot,
        dials={**snapshot.dials, **dict.fromkeys(flows, 0)},
        cohort_dials={
            flow: dict.fromkeys(dials, 0) if flow in flows else dials for flow, dials in snapshot.cohort_dials.items()
        },
        overrides={
            flow: {d: o for d, o in own.items() if o.backend is Backend.OLD or flow not in flows}
            for flow, own in snapshot.overrides.items()
        },
        shadows={flow: parts for flow, parts in snapshot.shadows.items() if flow not in flows},
    )
    named = None if target is None else definition.current(target)
    arguments = {"target": named, "flows": list(flows)}
    has_visits = any(definition.journey_of(flow) for flow in flows)
    is_empty = after == snapshot and not has_visits
    after = _evicted(after, flows)
    return Proposal(verb="rollback", arguments=arguments, before=snapshot, after=after, is_empty=is_empty)


def freeze(snapshot: Snapshot) -> Proposal:
    """
    Refuse from now on every change after which some key could be NEW that was not.
    """
    after = attrs.evolve(snapshot, frozen=True)
    return Proposal(verb="freeze", arguments={}, before=snapshot, after=after, is_empty=snapshot.frozen)


def unfreeze(snapshot: Snapshot) -> Proposal:
    """
    Allow changes towards NEW again.
    """
    after = attrs.evolve(snapshot, frozen=False)
    return Proposal(verb="unfreeze", arguments={}, before=snapshot, after=after, is_empty=not snapshot.frozen)


def override(snapshot: Snapshot, target: str, key: object, side: Backend | None, *, secret: bytes) -> Proposal:
    """
    Put one key on one side by name, or take that back; holds for all flows that go together.

    Neither the arguments nor the effects hold the key: its position and a keyed digest stand for it.

    Raises:
        ConfigurationError: If the target is unknown, or the key is one that is never bucketed.
        Refused: If the migration is frozen and the key would go to NEW.
    """
    definition = snapshot.definition
    asked = flows_of(definition, target)
    data = key_bytes(key)
    if data is None:
        raise ConfigurationError(
            "the key names nobody; allowed: a key that the application routes with, such as user-42"
        )
    position, digest = position_of(definition.salt.encode(), data), digest_of(secret, data)
    overrides = {flow: dict(own) for flow, own in snapshot.overrides.items()}
    for flow in _together(definition, asked):
        own = overrides.setdefault(flow, {})
        own.pop(digest, None)
        if side is not None:
            own[digest] = Override(position, side)
    after = attrs.evolve(snapshot, overrides=overrides)
    arguments = {
        "target": definition.current(target),
        "side": None if side is None else side.value,
        "position": position,
        "digest": digest,
    }
    return _allowed("override", arguments, snapshot, after)


def set_work(snapshot: Snapshot, item: str, parts: int) -> Proposal:
    """
    Say how far a work item has come.

    Raises:
        ConfigurationError: If there is no such work item, or *parts* is out of range.
    """
    if item not in snapshot.definition.work:
        known = ", ".join(snapshot.definition.work) or "none is defined"
        raise ConfigurationError(f"there is no work item {item!r}; allowed: {known}")
    _check_parts(parts)
    after = attrs.evolve(snapshot, work={**snapshot.work, item: parts})
    arguments = {"item": item, "parts": parts}
    return Proposal(verb="work", arguments=arguments, before=snapshot, after=after, is_empty=after == snapshot)


def adopt(snapshot: Snapshot, seen: Iterable[int] = ()) -> Proposal:
    """
    Declare this history the surviving one: routers that ran another one follow it.

    Args:
        seen: The epochs that routers were seen to run.
    """
    epoch = max((snapshot.epoch, *seen)) + 1
    head = attrs.evolve(snapshot.head, epoch=epoch)
    after = _evicted(attrs.evolve(snapshot, head=head), snapshot.definition.flows)
    return Proposal(verb="adopt", arguments={"epoch": epoch}, before=snapshot, after=after)


def declare_dead(snapshot: Snapshot, instance: str, seen: datetime, *, who: str = "") -> Proposal:
    """
    Put on record that a router process that is lost will never come back; no dial changes.

    Args:
        seen: When it was last heard of: what it counted since is missing. Aware, UTC.
        who: What operators call it.
    """
    arguments = {"instance": instance, "seen": format_instant(seen), **({"who": who} if who else {})}
    return Proposal(verb="dead", arguments=arguments, before=snapshot, after=snapshot)


def rehome(snapshot: Snapshot, kind: str, counts: Mapping[str, int], digest: str, *, is_done: bool = False) -> Proposal:
    """
    Put on record that things of one kind were copied and live on NEW now; no dial changes.

    The arguments hold no id: their number, by what became of them, and one digest stand for them.

    Args:
        counts: How many were moved, were there already, and are new.
        digest: The SHA-256 of the sorted ids.
        is_done: The homes are written already: a freeze comes too late.

    Raises:
        Refused: If the migration is frozen, and nothing is done yet.
    """
    if snapshot.frozen and not is_done:
        raise Refused("the migration is frozen, and rehome would bring things to NEW; unfreeze first")
    arguments = {"kind": kind, **counts, "sha256": digest}
    return Proposal(verb="rehome", arguments=arguments, before=snapshot, after=snapshot)


def flows_of(definition: Migration, target: str) -> tuple[str, ...]:
    """
    Give the flows that a flow's or a journey's name stands for; a flow also goes by the names that it had before.

    Raises:
        ConfigurationError: If neither has the name.
    """
    if definition.current(target) in definition.flows:
        return (definition.current(target),)
    if target in definition.journeys:
        return definition.journeys[target].flows
    known = ", ".join((*definition.flows, *definition.journeys))
    raise ConfigurationError(f"there is no flow or journey {target!r}; allowed: {known}")


def _allowed(
    verb: str,
    arguments: Mapping[str, Any],
    before: Snapshot,
    after: Snapshot,
    *,
    notes: tuple[str, ...] = (),
    is_empty: bool | None = None,
) -> Proposal:
    if before.frozen:
        towards_new = [str(move) for move in moves(before, after) if move.to_new]
        if towards_new:
            raise Refused(
                f"the migration is frozen, and {verb} would bring users to NEW; unfreeze first",
                details=towards_new,
            )
    arguments = {name: value for name, value in arguments.items() if value is not None}
    is_empty = after == before if is_empty is None else is_empty
    return Proposal(verb=verb, arguments=arguments, before=before, after=after, notes=notes, is_empty=is_empty)


def _check_parts(parts: int) -> None:
    if type(parts) is not int or not 0 <= parts <= PARTS:
        raise ConfigurationError(f"the dial would be at {parts!r} parts; allowed: 0 to {PARTS}")


def _turned(snapshot: Snapshot, flows: Iterable[str], parts: int | None, cohort: str | None) -> Snapshot:
    dials = dict(snapshot.dials)
    cohort_dials = {flow: dict(own) for flow, own in snapshot.cohort_dials.items()}
    for flow in flows:
        own = cohort_dials.setdefault(flow, {})
        if cohort is None and parts is not None:
            dials[flow] = parts
        elif cohort is not None and parts is not None:
            own[cohort] = parts
        elif cohort is not None:
            own.pop(cohort, None)
    return attrs.evolve(snapshot, dials=dials, cohort_dials=cohort_dials)


def _together(definition: Migration, flows: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(member for flow in flows for member in definition.together_with(flow)))


def _check_cohort(definition: Migration, cohort: str | None) -> None:
    if cohort is not None and cohort not in definition.cohorts:
        known = ", ".join(definition.cohorts) or "none is defined"
        raise ConfigurationError(f"there is no cohort {cohort!r}; allowed: {known}")


def _check_lowered(before: Snapshot, after: Snapshot, flows: Iterable[str], cohort: str | None) -> None:
    steps = [(flow, before.own_parts(flow, cohort), after.own_parts(flow, cohort)) for flow in flows]
    if all(now >= was for _, was, now in steps) or any(now > was for _, was, now in steps):
        flow, was, now = max(steps, key=lambda step: step[2] - step[1])
        raise Refused(
            f"evict is for a lowered dial, and {flow} would go from {format_percent(was)} to {format_percent(now)}; "
            "rollback ends visits on NEW wherever the dial is"
        )


def _evicted(after: Snapshot, flows: Iterable[str]) -> Snapshot:
    mark = Eviction(after.epoch, after.version + 1)
    # Under former names too: tokens hold them, and routers of older libraries know no other name.
    marks = dict.fromkeys(after.definition.names_of(_together(after.definition, flows)), mark)
    return attrs.evolve(after, evictions={**after.evictions, **marks})


def _limits(after: Snapshot, flows: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{flow} is {limit}" for flow in flows if (limit := after.limit_of(flow)) is not None)


def _only(items: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in items.items() if name in names}
