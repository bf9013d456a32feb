"""
All that a router needs at one version: the definition, the dials, overrides and evictions.

A snapshot is the merge of the effects of all changes. Its document is what stores keep, what `export snapshot` writes
and what is cached on disk.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

import attrs

from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.core.canonical import decode, encode
from cutover.core.defined import frozen_mapping
from cutover.core.fields import counter, field, typed
from cutover.core.instants import format_instant, parse_instant
from cutover.core.migration import Migration
from cutover.core.percent import format_percent
from cutover.core.schema import SCHEMA, check_schema
from cutover.errors import Corrupt

__all__ = ["LARGEST_DOCUMENT", "NO_HASH", "Eviction", "Head", "Override", "Snapshot", "Turned"]

NO_HASH: Final = "0" * 64  # what the first change has before it
HASH: Final = re.compile(r"[0-9a-f]{64}")
MEMBERS: Final = frozenset(
    {"epoch", "definition", "dials", "cohorts", "overrides", "work", "frozen", "evictions", "shadows", "turned"}
)
SHORT_HASH: Final = 12
LARGEST_DOCUMENT: Final = 32 * 1024 * 1024  # characters; some 600,000 overrides. Reading more would hold up requests


@attrs.frozen(order=False)
class Head:
    """
    Where a history stands: states are ordered by (epoch, version), and told apart by the hash of the last change.
    """

    epoch: int
    version: int
    hash: str

    @property
    def order(self) -> tuple[int, int]:
        """
        What histories are ordered by.
        """
        return (self.epoch, self.version)

    def __str__(self) -> str:
        return f"{self.version}:{self.hash[:SHORT_HASH]}"


class Eviction(NamedTuple):
    """
    The last moment at which visits on NEW were ended, as an (epoch, version).
    """

    epoch: int
    version: int


class Turned(NamedTuple):
    """
    The last change that sent a key of a flow to another side.
    """

    version: int
    at: datetime  # aware, UTC


class Override(NamedTuple):
    """
    One key put on one side. A tuple, because there may be 100,000 of them.
    """

    position: int
    backend: Backend


Dials = Mapping[str, int]


def _frozen_twice(items: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    # An empty inner mapping says nothing: without it, equal states are equal values. One that is frozen already is
    # shared, as there may be 100,000 overrides in it.
    kept = {name: inner for name, inner in items.items() if inner}
    return frozen_mapping({n: i if isinstance(i, MappingProxyType) else frozen_mapping(i) for n, i in kept.items()})


def _above_zero(items: Mapping[str, Any]) -> Mapping[str, Any]:
    return frozen_mapping({name: parts for name, parts in items.items() if parts != 0})


@attrs.frozen(kw_only=True)
class Snapshot:
    """
    The state of one migration at one version.

    Attributes:
        head: The epoch, the version and the hash of the last change.
        at: When that change was made; aware, UTC.
        dials: Parts of 100,000 by flow, as they were set. `effective_parts` says what holds.
        cohort_dials: Parts by flow and cohort; a cohort that is not here inherits.
        overrides: By flow and digest of the key.
        work: Parts of 100,000 by work item.
        frozen: No change may bring a key to NEW.
        shadows: Parts of 100,000 by flow: of so many keys the other side is asked too, for comparison.
        evictions: By flow, when its visits on NEW were last ended; kept for a removed flow, which may come back.
        turned: By flow, the last change that sent a key of it to another side; `turned_by` answers for every flow.
        unknown: What a later minor wrote into the state, and this version hands on as it is: the definition with fields
            that it does not know, and members of the state.
    """

    definition: Migration
    head: Head
    at: datetime
    dials: Dials = attrs.field(converter=frozen_mapping)
    cohort_dials: Mapping[str, Dials] = attrs.field(factory=dict, converter=_frozen_twice)
    overrides: Mapping[str, Mapping[str, Override]] = attrs.field(factory=dict, converter=_frozen_twice)
    work: Dials = attrs.field(factory=dict, converter=frozen_mapping)
    frozen: bool = False
    shadows: Dials = attrs.field(factory=dict, converter=_above_zero)
    evictions: Mapping[str, Eviction] = attrs.field(factory=dict, converter=frozen_mapping)
    turned: Mapping[str, Turned] = attrs.field(factory=dict, converter=frozen_mapping)
    unknown: Mapping[str, Any] = attrs.field(factory=dict, converter=frozen_mapping, eq=False)

    @property
    def migration(self) -> str:
        """
        The name of the migration.
        """
        return self.definition.name

    @property
    def epoch(self) -> int:
        """
        The epoch of the head.
        """
        return self.head.epoch

    @property
    def version(self) -> int:
        """
        The version of the head.
        """
        return self.head.version

    def turned_by(self, flow: str) -> Turned:
        """
        Give the last change that sent a key of the flow to another side.

        An older library notes no such change. For its flows this is the head: no later change can have done it.
        """
        return self.turned.get(flow, Turned(self.head.version, self.at))

    def left_alone(self, since: "Snapshot") -> frozenset[str]:
        """
        Name the flows that no change has turned since another snapshot of the same history, with their former names.
        """
        names = ((self.definition.names_of((flow,)), turned) for flow, turned in self.turned.items())
        return frozenset(name for same, turned in names if turned in map(since.turned.get, same) for name in same)

    def own_parts(self, flow: str, cohort: str | None = None) -> int:
        """
        Give the dial of one flow alone: the cohort's where it has one, else the flow's.
        """
        if cohort is not None:
            parts = self.cohort_dials.get(flow, {}).get(cohort)
            if parts is not None:
                return parts
        return self.dials[flow]

    def has_cohort_dial(self, flow: str, cohort: str | None) -> bool:
        """
        Tell whether a cohort has a dial of its own, in the flow or in one that must go together with it.
        """
        together = self.definition.together_with(flow)
        return any(cohort in self.cohort_dials.get(member, {}) for member in together)

    def effective_parts(self, flow: str, cohort: str | None = None) -> int:
        """
        Give the dial that holds: the smallest of those flows that must go together, for this cohort.
        """
        together = self.definition.together_with(flow)
        return min(self.own_parts(member, cohort) for member in together)

    def held_by(self, flow: str) -> str | None:
        """
        Name the flow that holds this one below its own dial.
        """
        lowest = min(self.definition.together_with(flow), key=lambda member: self.dials[member])
        return lowest if self.dials[lowest] < self.dials[flow] else None

    def limit_of(self, flow: str) -> str | None:
        """
        Say what limits a flow below its own dial; None where nothing does.
        """
        holder, journey = self.held_by(flow), self.definition.journey_of(flow)
        if holder is None or journey is None:
            return None
        set_to, holds = format_percent(self.dials[flow]), format_percent(self.effective_parts(flow))
        return f"set to {set_to}, limited to {holds} by {holder} (lowest in {journey.name})"

    def exceptions(self, flows: Iterable[str], *, but: str | None = None) -> tuple[str, ...]:
        """
        Say who in these flows is not where the dial puts them: cohorts with another dial, and keys put on a side by
        name.

        Args:
            but: A cohort that is not to be named.
        """
        found: dict[str, list[str]] = {}
        for flow in flows:
            parts = self.effective_parts(flow)
            for cohort in self.cohorts_of(flow):
                if cohort != but and (own := self.effective_parts(flow, cohort)) != parts:
                    found.setdefault(f"cohort {cohort} stays at {format_percent(own)}", []).append(flow)
            sides = Counter(override.backend for override in self.effective_overrides(flow).values())
            for side, everybody in ((Backend.NEW, PARTS), (Backend.OLD, 0)):
                if (count := sides[side]) and parts != everybody:
                    name = f"{count} override{'s' if count > 1 else ''} on {side.name}"
                    found.setdefault(name, []).append(flow)
        return tuple(f"{text} in {', '.join(names)}" for text, names in found.items())

    def cohorts_of(self, flow: str) -> tuple[str, ...]:
        """
        Name the cohorts that have a dial of their own in the flow or in one that goes together with it.
        """
        return tuple(c for c in self.definition.cohorts if self.has_cohort_dial(flow, c))

    def effective_overrides(self, flow: str) -> Mapping[str, Override]:
        """
        Give the overrides that hold for a flow: those of all that go together with it; where they differ, OLD wins.
        """
        together = self.definition.together_with(flow)
        maps = [self.overrides[member] for member in together if self.overrides.get(member)]
        if not maps:
            return {}
        if all(one is maps[0] or one == maps[0] for one in maps):
            return maps[0]
        merged = dict(maps[0])
        for one in maps[1:]:
            for digest, override in one.items():
                if digest not in merged or override.backend is Backend.OLD:
                    merged[digest] = override
        return merged

    def is_complete(self, flow: str) -> bool:
        """
        Tell whether every key of the flow goes to NEW: its dial and those of all cohorts are at 100%.
        """
        return all(self.effective_parts(flow, cohort) == PARTS for cohort in (None, *self.cohorts_of(flow)))

    def state(self) -> dict[str, Any]:
        """
        Give the document that the effects of changes are merged into.
        """
        return {
            **self.unknown,
            "epoch": self.head.epoch,
            "definition": self._definition_document(),
            "dials": dict(self.dials),
            "cohorts": {flow: dict(dials) for flow, dials in self.cohort_dials.items()},
            "overrides": {
                flow: {digest: [o.position, o.backend.value] for digest, o in overrides.items()}
                for flow, overrides in self.overrides.items()
            },
            "work": dict(self.work),
            "frozen": self.frozen,
            "evictions": {flow: list(eviction) for flow, eviction in self.evictions.items()},
            # Members of a later minor: a state that was written without them must stay the same state.
            **({"shadows": dict(self.shadows)} if self.shadows else {}),
            **(
                {"turned": {flow: [t.version, format_instant(t.at)] for flow, t in self.turned.items()}}
                if self.turned
                else {}
            ),
        }

    def _definition_document(self) -> dict[str, Any]:
        later = self.unknown.get("definition")
        if later is not None and Migration.from_document(later) == self.definition:
            return dict(later)
        return self.definition.document()

    def encode(self, schema: str = SCHEMA) -> str:
        """
        Write the snapshot as its canonical document.
        """
        return encode(
            {
                "schema": schema,
                "migration": self.migration,
                "version": self.head.version,
                "head": self.head.hash,
                "at": format_instant(self.at),
                "state": self.state(),
            }
        )

    @classmethod
    def decode(cls, text: str | bytes) -> Self:
        """
        Read a snapshot's document and check every rule that a snapshot keeps.

        Raises:
            Corrupt: If it is no such document, too large, of an unknown major, or breaks a rule.
        """
        if len(text) > LARGEST_DOCUMENT:
            raise Corrupt(f"the snapshot has {len(text):,} characters; allowed: {LARGEST_DOCUMENT:,}")
        document = decode(text, "the snapshot")
        check_schema(document, "the snapshot")
        try:
            state = field(document, "state", dict)
            head = Head(state["epoch"], document["version"], document["head"])
            snapshot = cls.from_state(state, head=head, at=parse_instant(document["at"]))
        except (KeyError, TypeError, ValueError) as error:
            raise Corrupt(f"the snapshot is not valid: {error!r:.300}") from error
        if snapshot.migration != document.get("migration"):
            raise Corrupt(f"the snapshot names {document.get('migration')!r} and {snapshot.migration!r}")
        return snapshot

    @classmethod
    def given(cls, document: str | None, *, migration: str, head: Head, by: str) -> Self:
        """
        Read the snapshot that a source gave with a head.

        Args:
            by: Names the source.

        Raises:
            Corrupt: If there is none, or it is damaged, or that of another head or migration.
        """
        if document is None:
            raise Corrupt(f"{by} is at {head} and gave no snapshot")
        snapshot = cls.decode(document)
        if (snapshot.migration, snapshot.head) != (migration, head):
            raise Corrupt(f"{by} is at {head} of {migration}, its snapshot at {snapshot.head} of {snapshot.migration}")
        return snapshot

    @classmethod
    def from_state(cls, state: Mapping[str, Any], *, head: Head, at: datetime) -> Self:
        """
        Build a snapshot from merged effects.

        Raises:
            Corrupt: If the state breaks a rule that every snapshot keeps.
        """
        try:
            definition = Migration.from_document(field(state, "definition", dict))
            snapshot = cls(
                definition=definition,
                unknown=_unknown(state, definition),
                head=head,
                at=at,
                dials=field(state, "dials", dict),
                cohort_dials={flow: typed(dials, dict) for flow, dials in field(state, "cohorts", dict).items()},
                overrides={flow: _overrides(entries) for flow, entries in field(state, "overrides", dict).items()},
                work=field(state, "work", dict),
                frozen=field(state, "frozen", bool),
                shadows=field({"shadows": {}, **state}, "shadows", dict),
                evictions={flow: Eviction(*pair) for flow, pair in field(state, "evictions", dict).items()},
                turned={flow: _turned(*pair) for flow, pair in field({"turned": {}, **state}, "turned", dict).items()},
            )
            _check(snapshot)
        except (KeyError, TypeError, ValueError) as error:
            raise Corrupt(f"the snapshot is not valid: {error!r:.300}") from error
        return snapshot


def _unknown(state: Mapping[str, Any], definition: Migration) -> dict[str, Any]:
    unknown = {name: value for name, value in state.items() if name not in MEMBERS}
    if state["definition"] != definition.document():
        unknown["definition"] = state["definition"]
    return unknown


def _overrides(entries: Mapping[str, list[Any]]) -> dict[str, Override]:
    sides = {side.value: side for side in Backend}
    return {digest: Override(position, sides[side]) for digest, (position, side) in typed(entries, dict).items()}


def _turned(version: int, at: str) -> Turned:
    return Turned(counter(version, "turned", least=1), parse_instant(at))


def _check(snapshot: Snapshot) -> None:
    definition = snapshot.definition
    _check_head(snapshot.head)
    _check_parts("dials", snapshot.dials, definition.flows, complete=True)
    _check_parts("work", snapshot.work, definition.work, complete=True)
    _check_parts("shadows", snapshot.shadows, definition.flows, complete=False)
    _check_known("cohorts", snapshot.cohort_dials, definition.flows)
    for flow, dials in snapshot.cohort_dials.items():
        _check_parts(f"cohorts.{flow}", dials, definition.cohorts, complete=False)
    _check_known("overrides", snapshot.overrides, definition.flows)
    for flow, overrides in snapshot.overrides.items():
        for override in overrides.values():
            if type(override.position) is not int or not 0 <= override.position < PARTS:
                raise ValueError(f"overrides.{flow} holds the position {override.position!r}")
    for flow, eviction in snapshot.evictions.items():
        counter(eviction.epoch, f"evictions.{flow}", least=1)
        counter(eviction.version, f"evictions.{flow}", least=1)
        if eviction > snapshot.head.order:
            raise ValueError(f"evictions.{flow} is {eviction}, after the head")


def _check_head(head: Head) -> None:
    counter(head.epoch, "epoch", least=1)
    counter(head.version, "version", least=1)
    if not HASH.fullmatch(typed(head.hash, str, "head")):
        raise ValueError(f"head is {head.hash!r}")


def _check_known(what: str, given: Mapping[str, object], known: Mapping[str, object]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(f"{what} names {name!r}, which the definition does not have")


def _check_parts(what: str, dials: Dials, known: Mapping[str, object], *, complete: bool) -> None:
    _check_known(what, dials, known)
    for name in known if complete else dials:
        parts = dials.get(name)
        if type(parts) is not int or not 0 <= parts <= PARTS:
            raise ValueError(f"{what}.{name} is {parts!r}; allowed: 0 to {PARTS} parts")
