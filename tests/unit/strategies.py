"""
Hypothesis strategies that the unit tests share: migrations, snapshots, sequences of verbs, hostile keys.

Dials come from a few boundaries, and `KEYS` has one key between any two neighbours. What a change does to every key in
the world can then be found by asking for these few.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count, product

from hypothesis import strategies as st

from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS, position_of
from cutover.core.changes import FIRST_EPOCH, Proposal
from cutover.core.decide import decide
from cutover.core.defined import Cohort, Flow, Journey, WorkItem
from cutover.core.ledger import Change, seal
from cutover.core.migration import Migration
from cutover.core.snapshot import NO_HASH, Head, Snapshot
from cutover.core.visit import UNVERSIONED, Claims, Order
from cutover.errors import ConfigurationError, Refused

NAME = "shop"
SECRET = b"a secret of the tests"
FLOWS = ("browse", "cart", "checkout", "pay")
JOURNEYS = ("purchase", "look")
COHORTS = ("staff", "jakarta")
WORK = ("branding", "data")
BOUNDARIES = (0, 1, 1_000, 25_000, 50_000, 99_999, PARTS)
NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)

Verb = Callable[[Snapshot], Proposal]


def _one_key_between_boundaries() -> tuple[str, ...]:
    found: dict[int, str] = {}
    for number in count():
        position = position_of(NAME.encode(), f"user-{number}".encode())
        found.setdefault(sum(position >= boundary for boundary in BOUNDARIES), f"user-{number}")
        if len(found) == len(BOUNDARIES) - 1:
            return tuple(found[place] for place in sorted(found))
    raise AssertionError


KEYS = _one_key_between_boundaries()  # by position


def short(value: object) -> str:
    """
    Name a parameter of a test that is too long, or no text to print.
    """
    return re.sub(r"( object)? at 0x[0-9a-f]+", "", ascii(value))[:40]  # an address is another in each run


def definition_of(*flows: str, **fields: object) -> Migration:
    """
    Give a definition with these flows, and `fields` as they are.
    """
    base = {"name": NAME, "title": "Shop", "old": "tiktok", "new": "tokopedia", "salt": NAME}
    return Migration(**{**base, "flows": {flow: Flow(name=flow) for flow in flows}, **fields})


def empty(definition: Migration) -> Snapshot:
    """
    Give the snapshot that a first apply begins with: every dial at 0.
    """
    return Snapshot(
        definition=definition,
        head=Head(FIRST_EPOCH, 0, NO_HASH),
        at=NOON,
        dials=dict.fromkeys(definition.flows, 0),
        work=dict.fromkeys(definition.work, 0),
    )


def first_apply(definition: Migration) -> Proposal:
    """
    Propose the first change of a migration.
    """
    return changes.apply(None, definition, empty(definition))


def begun(definition: Migration) -> Snapshot:
    """
    Give the snapshot after the first apply.
    """
    return seal(first_apply(definition), at=NOON, actor="rina", reason="begin")[1]


def perform(definition: Migration, verbs: Sequence[Verb]) -> tuple[list[Change], Snapshot]:
    """
    Carry out a first apply and then those of the verbs that are allowed, a second apart.
    """
    change, snapshot = seal(first_apply(definition), at=NOON, actor="rina", reason="begin")
    done = [change]
    for verb in verbs:
        with suppress(ConfigurationError, Refused):
            change, snapshot = _sealed(verb(snapshot))
            done.append(change)
    return done, snapshot


def performed(definition: Migration, *verbs: Verb) -> Snapshot:
    """
    Give the snapshot after a first apply and verbs, each of which must be allowed.
    """
    done, snapshot = perform(definition, verbs)
    assert len(done) == 1 + len(verbs)
    return snapshot


def at(target: str, parts: int | None, cohort: str | None = None) -> Verb:
    """
    Give the verb that sets a dial.
    """
    return lambda s: changes.set_dial(s, target, parts, cohort=cohort)


def put(target: str, side: Backend | None, key: object = KEYS[1]) -> Verb:
    """
    Give the verb that overrides a key.
    """
    return lambda s: changes.override(s, target, key, side, secret=SECRET)


def allowed(snapshot: Snapshot, verbs: Sequence[Verb]) -> Iterator[Proposal]:
    """
    Give the proposals of those verbs that are allowed, each computed from the state after the one before.
    """
    for verb in verbs:
        with suppress(ConfigurationError, Refused):
            proposal = verb(snapshot)
            _, snapshot = _sealed(proposal)
            yield proposal


def _sealed(proposal: Proposal) -> tuple[Change, Snapshot]:
    at = NOON + timedelta(seconds=proposal.after.version)
    return seal(proposal, at=at, actor="rina", reason="go on")


def sides(snapshot: Snapshot) -> dict[tuple[str, str, str | None], Backend]:
    """
    Ask where every key goes: all flows that there may be, `KEYS`, every cohort, none and one that is not defined.
    """
    asked = product(FLOWS, KEYS, (None, "stranger", *COHORTS))
    return {(f, k, c): decide(snapshot, f, k, cohort=c, secret=SECRET).backend for f, k, c in asked}


parts = st.sampled_from(BOUNDARIES)
any_parts = st.integers(0, PARTS)
weights = st.integers(1, 10**9).map(lambda n: Decimal(n) / 1000)
# What may stand in a ledger: no lone surrogates.
texts = st.text(st.characters(codec="utf-8"), max_size=20)
titles = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
dates = st.dates(date(1970, 1, 1), date(9998, 12, 31))
instants = st.datetimes(timezones=st.just(UTC))


@st.composite
def journeys(draw: st.DrawFn, flows: Sequence[str]) -> dict[str, Journey]:
    """
    Journeys over some of the flows, each flow in at most one.
    """
    members: dict[str, list[str]] = {}
    for flow in flows:
        name = draw(st.sampled_from((*JOURNEYS, None)))
        if name is not None:
            members.setdefault(name, []).append(flow)
    return {
        name: Journey(
            name=name,
            flows=tuple(draw(st.permutations(own))),
            together=draw(st.booleans()),
            idle=timedelta(minutes=draw(st.integers(1, 60))),
            ttl=timedelta(hours=draw(st.integers(1, 48))),
        )
        for name, own in members.items()
    }


@st.composite
def migrations(draw: st.DrawFn) -> Migration:
    """
    Definitions of one migration: any flows, journeys, work items and cohorts of those above.
    """
    flows = draw(st.lists(st.sampled_from(FLOWS), min_size=1, unique=True))
    work = draw(st.lists(st.sampled_from(WORK), unique=True))
    cohorts = draw(st.lists(st.sampled_from(COHORTS), unique=True))
    first, last = sorted((draw(dates), draw(dates)))
    return definition_of(
        title=draw(titles),
        started=draw(st.sampled_from((None, first))),
        deadline=draw(st.sampled_from((None, last))),
        timezone=draw(st.sampled_from(("UTC", "Asia/Jakarta", "America/St_Johns"))),
        flows={name: Flow(name=name, weight=draw(weights)) for name in flows},
        journeys=draw(journeys(flows)),
        work={name: WorkItem(name=name, title=draw(titles), weight=draw(weights)) for name in work},
        cohorts={name: Cohort(name=name, title=draw(titles)) for name in cohorts},
    )


targets = st.sampled_from((*FLOWS, *JOURNEYS))


def _set(target: str, parts: int | None, cohort: str | None, evict: bool, all_cohorts: bool) -> Verb:
    return lambda s: changes.set_dial(s, target, parts, cohort=cohort, evict=evict, all_cohorts=all_cohorts)


def _apply(definition: Migration) -> Verb:
    return lambda s: changes.apply(s, definition, empty(definition))


def _override(target: str, key: str, side: Backend | None) -> Verb:
    return lambda s: changes.override(s, target, key, side, secret=SECRET)


applies = st.builds(_apply, migrations())
sets = st.builds(
    _set,
    targets,
    st.none() | parts,
    st.none() | st.sampled_from(COHORTS),
    st.booleans(),
    st.booleans(),
)
rollbacks = st.builds(lambda target: lambda s: changes.rollback(s, target), st.none() | targets)
overrides = st.builds(_override, targets, st.sampled_from(KEYS), st.none() | st.sampled_from(Backend))
works = st.builds(lambda item, parts: lambda s: changes.set_work(s, item, parts), st.sampled_from(WORK), any_parts)
adopts = st.builds(lambda seen: lambda s: changes.adopt(s, seen), st.lists(st.integers(1, 99), max_size=3))
freezes = st.just(changes.freeze)
unfreezes = st.just(changes.unfreeze)

verbs = st.one_of(sets, overrides, applies, rollbacks, works, adopts, freezes, unfreezes)
verbs_but_unfreeze = st.one_of(sets, overrides, applies, rollbacks, works, adopts, freezes)
verbs_but_freeze = st.one_of(sets, sets, overrides, overrides, applies, rollbacks)


@st.composite
def histories(draw: st.DrawFn, max_size: int = 8) -> tuple[list[Change], Snapshot]:
    """
    Changes that were made one after the other, and the snapshot after them.
    """
    return perform(draw(migrations()), draw(st.lists(verbs, max_size=max_size)))


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """
    States that operators can reach, not frozen.
    """
    return perform(draw(migrations()), draw(st.lists(verbs_but_freeze, max_size=8)))[1]


seconds = st.integers(0, 2**40)
orders: st.SearchStrategy[Order] = st.just(UNVERSIONED) | st.tuples(st.integers(1, 3), st.integers(1, 9))
sides_of_flows = st.dictionaries(st.sampled_from(FLOWS), st.sampled_from(Backend))
claims = st.builds(
    Claims,
    audience=st.sampled_from([f"{NAME}/{journey}" for journey in JOURNEYS]),
    bearer=st.text(st.characters(max_codepoint=127), max_size=22),
    sides=sides_of_flows,
    order=orders,
    cohort=st.none() | st.sampled_from(COHORTS) | texts,
    born=seconds,
    seen=seconds,
    until=seconds,
    idle=st.integers(0, 10_000),
)


class Rude:
    """
    An object that raises whatever is asked of it.
    """

    def __str__(self) -> str:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __hash__(self) -> int:
        raise RuntimeError("no")


class Unmasked:
    """
    A lazy proxy that fails when it is asked what it stands for, as those of web frameworks do without a database.
    """

    @property
    def __class__(self) -> type:
        raise RuntimeError("no database")

    def __str__(self) -> str:
        raise RuntimeError("no database")


class Liar(str):
    """
    Text whose methods do not tell what it holds.
    """

    __slots__ = ()

    def encode(self, *_: object) -> bytes:  # noqa: D102 - the lie is the point
        return 5  # type: ignore[return-value]

    def __str__(self) -> str:
        return self


class Mixed(str):
    """
    Text that compares and hashes as it likes.
    """

    __slots__ = ()

    def __hash__(self) -> int:
        return hash("staff")

    def __eq__(self, other: object) -> bool:
        return True


class Nameless(type):
    """
    The type of types whose name cannot be read.
    """

    @property
    def __name__(cls) -> str:
        raise RuntimeError("no")


class Stranger(metaclass=Nameless):
    """
    An object of a type whose name cannot be read.
    """


any_texts = st.text(st.characters(), max_size=20)  # lone surrogates and NUL included
hostile_keys = st.one_of(
    any_texts,
    st.binary(max_size=20),
    st.integers(),
    st.floats(),
    st.uuids(),
    st.none(),
    st.booleans(),
    st.lists(any_texts, max_size=3),
    st.builds(Liar, any_texts),
    st.builds(Rude),
    st.builds(Unmasked),
    st.sampled_from((object, Rude, b"", "", "\ud83d\ude00", "\udc00\ud800", "\0")),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | any_texts | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_texts, inner, max_size=3),
    max_leaves=8,
)
canonical_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def altered(draw: st.DrawFn, document: object) -> object:
    """
    A document with one member, somewhere in it, taken away, replaced, or joined by another.
    """
    if isinstance(document, dict) and document and draw(st.integers(0, 5)):
        name = draw(st.sampled_from(sorted(document)))
        if not draw(st.integers(0, 5)):
            return {other: value for other, value in document.items() if other != name}
        return {**document, name: draw(altered(document[name]))}
    if isinstance(document, list) and document and draw(st.integers(0, 5)):
        index = draw(st.integers(0, len(document) - 1))
        return [draw(altered(value)) if i == index else value for i, value in enumerate(document)]
    return draw(json_values)
