"""
The ledger: changes that hold what was asked, what came of it, and the hash of the change before.

A change's `hash` is the hex SHA-256 of its canonical JSON without `hash`; the first has 64 zeros before it. A chain
shows any edit, deletion, swap or inner cut; a cut tail or a full rewrite shows only beside a head that was kept
elsewhere, which is what `expect` is for.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Self

import attrs

from cutover.core.canonical import decode, encode
from cutover.core.changes import Proposal
from cutover.core.defined import frozen_mapping
from cutover.core.fields import counter, field
from cutover.core.instants import format_instant, parse_instant
from cutover.core.merge import difference, merge
from cutover.core.moves import turned_flows
from cutover.core.renames import renamed
from cutover.core.schema import SCHEMA, check_schema
from cutover.core.snapshot import NO_HASH, Head, Snapshot, Turned
from cutover.errors import ConfigurationError, Corrupt

__all__ = ["Change", "Expectation", "Problem", "Verification", "seal", "verify"]

SAID: Final = {
    "unreadable": "change {} cannot be read",
    "foreign": "change {} is of another migration",
    "gap": "change {} is not the next one",
    "altered": "change {} was edited",
    "broken_link": "change {} does not follow the change before it",
    "snapshot_differs": "the snapshot is not what change {} led to",
    "index_differs": "routers are told another change {}",
    "expected_missing": "change {} is missing",
    "expected_differs": "change {} is not the expected one",
}
EXPECTATION: Final = re.compile(r"(?P<version>[0-9]{1,16})(?::(?P<start>[0-9a-fA-F]{4,64})(?:\.\.\.|…)?)?")


@attrs.frozen(kw_only=True)
class Change:
    """
    One edit by an operator or controller.

    Attributes:
        version: 1, 2, 3 ... in one migration.
        at: When it was made; aware, UTC.
        ticket: Where it was asked for; empty if nowhere.
        verb: What was done.
        arguments: What was asked.
        effects: The absolute new values, as a JSON Merge Patch of the state.
        previous: The hash of the change before.
        hash: The hash of this one.
    """

    migration: str
    version: int
    at: datetime
    actor: str
    reason: str
    ticket: str
    verb: str
    arguments: Mapping[str, Any] = attrs.field(converter=frozen_mapping)
    effects: Mapping[str, Any] = attrs.field(converter=frozen_mapping)
    previous: str
    hash: str
    schema: str = SCHEMA

    def document(self) -> dict[str, Any]:
        """
        Give the change as one JSON object.
        """
        return {
            **attrs.asdict(self, recurse=False),
            "at": format_instant(self.at),
            "arguments": dict(self.arguments),
            "effects": dict(self.effects),
        }

    def encode(self) -> str:
        """
        Write the change as canonical JSON: the bytes that are stored, exported and hashed.
        """
        return encode(self.document())

    @classmethod
    def decode(cls, text: str | bytes) -> Self:
        """
        Read a change back; fields that this version does not know are ignored.

        Raises:
            Corrupt: If it is no change, or of an unknown major.
        """
        document = decode(text, "the change")
        check_schema(document, "the change")
        try:
            return cls(
                schema=field(document, "schema", str),
                migration=field(document, "migration", str),
                version=counter(document["version"], "version", least=1),
                at=parse_instant(document["at"]),
                actor=field(document, "actor", str),
                reason=field(document, "reason", str),
                ticket=field(document, "ticket", str),
                verb=field(document, "verb", str),
                arguments=field(document, "arguments", dict),
                effects=field(document, "effects", dict),
                previous=field(document, "previous", str),
                hash=field(document, "hash", str),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Corrupt(f"the change is not valid: {error!r:.300}") from error


def seal(
    proposal: Proposal, *, at: datetime, actor: str, reason: str, ticket: str = "", schema: str = SCHEMA
) -> tuple[Change, Snapshot]:
    """
    Make the next change of the chain from a proposal, and the snapshot that holds after it.
    """
    before, version = proposal.before, 1 if proposal.before is None else proposal.before.version + 1
    after = attrs.evolve(proposal.after, turned=_turned(before, proposal.after, Turned(version, at)))
    effects = difference({} if before is None else before.state(), after.state())
    change = Change(
        migration=after.migration,
        version=version,
        at=at,
        actor=actor,
        reason=reason,
        ticket=ticket,
        verb=proposal.verb,
        arguments=proposal.arguments,
        effects=effects,
        previous=NO_HASH if before is None else before.head.hash,
        hash="",
        schema=schema,
    )
    change = attrs.evolve(change, hash=_hash(change.document()))
    head = Head(after.epoch, change.version, change.hash)
    return change, attrs.evolve(after, head=head, at=at)


@attrs.frozen
class Expectation:
    """
    A head that was written down elsewhere: ``41:9f3c...``, or a version alone.
    """

    version: int
    hash: str = ""

    @classmethod
    def parse(cls, value: "str | int | Expectation") -> Self:
        """
        Read ``VERSION`` or ``VERSION:HEAD``; a head may be cut to its first characters, no fewer than 4.

        Raises:
            ConfigurationError: If it has another form.
        """
        if isinstance(value, cls):
            return value
        match = EXPECTATION.fullmatch(str(value))
        if match is None:
            raise ConfigurationError(
                f"expect is {value!r}; allowed: VERSION or VERSION:HEAD, with 4 to 64 hex digits of the head"
            )
        return cls(int(match["version"]), (match["start"] or "").lower())

    def holds_for(self, version: int, hash_: str) -> bool:
        """
        Tell whether a change is the expected one.
        """
        return version == self.version and hash_.startswith(self.hash)

    def __str__(self) -> str:
        return f"{self.version}:{self.hash}" if self.hash else str(self.version)


@attrs.frozen(kw_only=True)
class Problem:
    """
    One thing that is wrong with a ledger.

    Attributes:
        code: altered, gap, broken_link, unreadable, foreign, snapshot_differs, index_differs, expected_missing or
            expected_differs.
        version: Where, counted from 1.
    """

    code: str
    version: int
    text: str

    def __str__(self) -> str:
        return f"{SAID[self.code].format(self.version)}: {self.text}"


@attrs.frozen(kw_only=True)
class Verification:
    """
    What `verify` found.

    Attributes:
        ok: Nothing is wrong.
        versions: How many changes were read.
        head: The last change as ``version:hash``; what to write down elsewhere.
        problems: What is wrong, in the order of the versions.
    """

    ok: bool
    versions: int
    head: str
    problems: tuple[Problem, ...]


def verify(
    changes: Iterable[str],
    snapshot: Snapshot | None = None,
    *,
    expect: Expectation | None = None,
    migration: str | None = None,
) -> Verification:
    """
    Check a whole ledger: every hash, every link, and that all effects merge to the snapshot.

    Args:
        changes: The changes as they were stored, oldest first.
        snapshot: What the store says holds, if that is to be compared.
        expect: A change that must be on the chain.
        migration: Whose ledger it must be; else that of the first change.
    """
    problems: list[Problem] = []
    state: dict[str, Any] = {}
    previous, version, found = NO_HASH, 0, None
    last: Change | None = None
    for version, text in enumerate(changes, start=1):
        try:
            document = decode(text, "the change")
            change = Change.decode(text)
        except Corrupt as error:
            problems.append(Problem(code="unreadable", version=version, text=str(error)))
            continue
        migration = migration or change.migration
        problems += _problems_of(change, document, text, version, previous, migration)
        state = merge(state, change.effects)
        previous, last = change.hash, change
        if expect is not None and change.version == expect.version:
            found = change.hash
    problems += _expectation_problems(expect, found, version)
    if snapshot is not None:
        problems += _snapshot_problems(snapshot, state, version, previous, last)
    problems.sort(key=lambda problem: problem.version)
    return Verification(ok=not problems, versions=version, head=f"{version}:{previous}", problems=tuple(problems))


def _turned(before: Snapshot | None, after: Snapshot, turned: Turned) -> dict[str, Turned]:
    flows = after.definition.flows
    if before is None:
        return dict.fromkeys(flows, turned)
    now, before = turned_flows(before, after), renamed(before, after.definition)
    return {flow: turned if flow in now else before.turned_by(flow) for flow in flows}


def _hash(document: Mapping[str, Any]) -> str:
    unsigned = {name: value for name, value in document.items() if name != "hash"}
    return hashlib.sha256(encode(unsigned).encode()).hexdigest()


def _problems_of(
    change: Change,
    document: Mapping[str, Any],
    text: str,
    version: int,
    previous: str,
    migration: str,
) -> Iterable[Problem]:
    if change.migration != migration:
        yield Problem(code="foreign", version=version, text=f"it belongs to {change.migration!r}")
    if change.version != version:
        yield Problem(code="gap", version=version, text=f"it says that it is version {change.version}")
    if encode(document) != text or _hash(document) != change.hash:
        yield Problem(code="altered", version=version, text="its hash is not the one that it names")
    if change.previous != previous:
        yield Problem(
            code="broken_link",
            version=version,
            text=f"it follows {change.previous[:12]}, and {previous[:12]} stands before it",
        )


def _expectation_problems(expect: Expectation | None, found: str | None, versions: int) -> Iterable[Problem]:
    if expect is None:
        return
    if found is None:
        yield Problem(
            code="expected_missing",
            version=expect.version,
            text=f"{expect} is not in the ledger, which has {versions} versions: the tail was cut",
        )
    elif not expect.holds_for(expect.version, found):
        yield Problem(
            code="expected_differs",
            version=expect.version,
            text=f"{expect} was expected, the ledger has {found}: it was rewritten",
        )


def _snapshot_problems(
    snapshot: Snapshot, state: Mapping[str, Any], version: int, previous: str, last: Change | None
) -> Iterable[Problem]:
    if (snapshot.version, snapshot.head.hash) != (version, previous):
        yield Problem(
            code="snapshot_differs",
            version=version,
            text=f"the snapshot is at {snapshot.head}, the last change is {version}:{previous[:12]}",
        )
    if last is not None and snapshot.at != last.at:
        yield Problem(
            code="snapshot_differs",
            version=version,
            text=f"the snapshot is of {format_instant(snapshot.at)}, the last change of {format_instant(last.at)}",
        )
    if snapshot.state() != state:
        yield Problem(
            code="snapshot_differs",
            version=version,
            text="the effects of all changes do not merge to the snapshot",
        )
