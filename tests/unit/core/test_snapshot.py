"""
A snapshot is its document, and a document that breaks a rule is none.
"""

import json
from contextlib import nullcontext, suppress

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import COHORTS, SECRET, altered, begun, definition_of, histories, json_values, perform, short, snapshots

from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS, digest_of
from cutover.core.defined import Cohort, Journey, WorkItem
from cutover.core.snapshot import LARGEST_DOCUMENT, Head, Override, Snapshot
from cutover.errors import Corrupt

SHOP = definition_of(
    "browse",
    "cart",
    "pay",
    journeys={"purchase": Journey(name="purchase", flows=("cart", "pay"))},
    work={"branding": WorkItem(name="branding", title="Texts")},
    cohorts={name: Cohort(name=name, title=name) for name in COHORTS},
)
FULL = perform(
    SHOP,
    [
        lambda s: changes.set_dial(s, "purchase", 25_000),
        lambda s: changes.set_dial(s, "pay", 50_000, cohort="staff"),
        lambda s: changes.override(s, "browse", "user-42", Backend.NEW, secret=SECRET),
        lambda s: changes.set_work(s, "branding", 500),
        lambda s: changes.rollback(s, "browse"),
        lambda s: changes.override(s, "browse", "user-42", Backend.OLD, secret=SECRET),
    ],
)[1]
DIGEST = digest_of(SECRET, b"user-42")


def document() -> dict:
    """
    Give a document that has something in every field.
    """
    return json.loads(FULL.encode())


def with_state(**fields: object) -> str:
    """
    Give that document's text with other fields in its state.
    """
    return json.dumps({**document(), "state": {**document()["state"], **fields}})


@given(histories())
def test_round_trip(history):
    """
    After any sequence of verbs, the document is read back as the same snapshot and written again to the letter.
    """
    _, snapshot = history
    text = snapshot.encode()

    assert snapshot == Snapshot.decode(text) == Snapshot.decode(text.encode())
    assert text == Snapshot.decode(text).encode()


@given(histories())
def test_from_state(history):
    """
    The state alone, with its head and time, is the whole snapshot.
    """
    _, snapshot = history

    assert snapshot == Snapshot.from_state(snapshot.state(), head=snapshot.head, at=snapshot.at)


def test_unknown_fields_and_minors():
    """
    What a later minor version adds is ignored.
    """
    state = {**document()["state"], "colour": {"deep": [1]}}
    state["definition"] = {**state["definition"], "colour": "red"}
    state["definition"]["flows"] = [{**flow, "colour": 1} for flow in state["definition"]["flows"]]
    later = {**document(), "schema": "1.7", "colour": "red", "state": state}

    assert Snapshot.decode(json.dumps(later)) == FULL


@pytest.mark.parametrize("schema", ["2.0", "0.9", "1", "1.", "1.x", "1.-1", "", "10.0", " 1.0", 1, 1.0, None, [1, 0]])
def test_unknown_schema(schema):
    """
    A document of an unknown major, or of no schema that can be read, is refused.
    """
    with pytest.raises(Corrupt, match=r"schema|not an integer"):
        Snapshot.decode(json.dumps({**document(), "schema": schema}))


@pytest.mark.parametrize("name", sorted(document()))
def test_missing_field(name):
    """
    A document that lacks a field is refused, whichever it is.
    """
    with pytest.raises(Corrupt):
        Snapshot.decode(json.dumps({key: value for key, value in document().items() if key != name}))


@pytest.mark.parametrize("name", sorted(document()["state"].keys() - {"turned"}))  # of a later minor
@pytest.mark.parametrize("poison", [None, "", [], 7, "missing", [["pay", 0]]], ids=short)
def test_poisoned_state(name, poison):
    """
    A state with a field that is blank, of another type or missing is refused: nothing missing is ever 0%.
    """
    state = {**document()["state"], name: poison}
    if poison == "missing":
        del state[name]
    if (name, poison) == ("epoch", 7):
        state[name] = 0

    with pytest.raises(Corrupt):
        Snapshot.decode(json.dumps({**document(), "state": state}))


@pytest.mark.parametrize(
    "fields",
    [
        {"dials": {"browse": 0, "cart": 25_000}},
        {"dials": {"browse": 0, "cart": 25_000, "pay": PARTS + 1}},
        {"dials": {"browse": 0, "cart": 25_000, "pay": -1}},
        {"dials": {"browse": 0, "cart": 25_000, "pay": True}},
        {"dials": {"browse": 0, "cart": 25_000, "pay": "25%"}},
        {"dials": {"browse": 0, "cart": 25_000, "pay": 0.5}},
        {"dials": {"browse": 0, "cart": 25_000, "pay": float("nan")}},
        {"dials": {"browse": 0, "cart": 25_000, "pay": 2**70}},
        {"dials": {"browse": 0, "cart": 25_000, "pay": 0, "fly": 0}},
        {"dials": {}},
        {"work": {}},
        {"work": {"branding": 101_000}},
        {"work": {"branding": 0, "other": 0}},
        {"cohorts": {"pay": {"staff": PARTS + 1}}},
        {"cohorts": {"pay": {"strangers": 0}}},
        {"cohorts": {"fly": {"staff": 0}}},
        {"cohorts": {"pay": [["staff", 0]]}},
        {"cohorts": {"pay": None}},
        {"overrides": {"fly": {DIGEST: [0, "new"]}}},
        {"overrides": {"pay": {DIGEST: [PARTS, "new"]}}},
        {"overrides": {"pay": {DIGEST: [-1, "new"]}}},
        {"overrides": {"pay": {DIGEST: [True, "new"]}}},
        {"overrides": {"pay": {DIGEST: [0, "NEW"]}}},
        {"overrides": {"pay": {DIGEST: [0, None]}}},
        {"overrides": {"pay": {DIGEST: [0, []]}}},
        {"overrides": {"pay": {DIGEST: [0, "new", 1]}}},
        {"overrides": {"pay": {DIGEST: 5}}},
        {"overrides": {"pay": [[DIGEST, [0, "new"]]]}},
        {"frozen": 1},
        {"frozen": "false"},
        {"evictions": {"pay": [1]}},
        {"evictions": {"pay": [1, "2"]}},
        {"evictions": {"pay": "12"}},
        {"evictions": {"pay": [0, 1]}},
        {"evictions": {"pay": [1, 99]}},
        {"evictions": {"pay": [2, 1]}},
        {"epoch": 0},
        {"epoch": True},
        {"epoch": "1"},
    ],
    ids=short,
)
def test_poison(fields):
    """
    A document that breaks one rule of a snapshot is refused whole.
    """
    with pytest.raises(Corrupt):
        Snapshot.decode(with_state(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"migration": "other"},
        {"version": 0},
        {"version": "6"},
        {"version": True},
        {"version": 2**53},
        {"head": "0" * 63},
        {"head": "G" * 64},
        {"head": 7},
        {"at": "2024-03-04"},
        {"at": 1709553600},
        {"state": []},
        {"state": "text"},
        {"state": {}},
    ],
    ids=short,
)
def test_poisoned_head(fields):
    """
    A document that does not say which history it belongs to, and where, is refused.
    """
    with pytest.raises(Corrupt):
        Snapshot.decode(json.dumps({**document(), **fields}))


def test_error_is_short():
    """
    A document with a name of megabytes does not fill the log.
    """
    flows = [{"name": "f" * 1_000_000, "weight": "1"}]

    with pytest.raises(Corrupt) as caught:
        Snapshot.decode(with_state(definition={**document()["state"]["definition"], "flows": flows}))
    assert len(str(caught.value)) < 1000


@given(st.data())
def test_altered_document(data):
    """
    A document changed anywhere is `Corrupt`, or a snapshot that keeps every rule and can be written.
    """
    text = json.dumps(data.draw(altered(document())))

    with suppress(Corrupt):
        snapshot = Snapshot.decode(text)
        assert snapshot == Snapshot.decode(snapshot.encode())
        assert all(0 <= snapshot.effective_parts(flow) <= PARTS for flow in snapshot.definition.flows)
        assert snapshot.definition.deadline is None or snapshot.definition.deadline_instant().tzinfo is not None


@given(json_values)
def test_any_json(value):
    """
    JSON that is no snapshot is `Corrupt`, never another error.
    """
    with pytest.raises(Corrupt):
        Snapshot.decode(json.dumps(value))


@given(st.integers(0, len(FULL.encode()) - 1))
def test_truncated(length):
    """
    A document that was cut anywhere is refused.
    """
    with pytest.raises(Corrupt):
        Snapshot.decode(FULL.encode()[:length])


def test_frozen_through_and_through():
    """
    Nobody who holds a snapshot can change it, nor can whoever built it.
    """
    given_dials = {"pay": {"staff": 0}}
    snapshot = attrs.evolve(begun(SHOP), cohort_dials=given_dials)
    given_dials["pay"]["staff"] = PARTS

    assert snapshot.own_parts("pay", "staff") == 0
    for mapping in (snapshot.dials, snapshot.cohort_dials, snapshot.cohort_dials["pay"], FULL.overrides["browse"]):
        with pytest.raises(TypeError, match="does not support item assignment"):
            mapping["pay"] = PARTS


@given(snapshots(), st.sampled_from((None, "stranger", *COHORTS)))
def test_effective_parts(snapshot, cohort):
    """
    Flows that go together have the smallest of their dials, cohort by cohort; every other flow has its own.
    """
    for flow in snapshot.definition.flows:
        own = [
            snapshot.cohort_dials.get(member, {}).get(cohort, snapshot.dials[member])
            for member in snapshot.definition.together_with(flow)
        ]

        assert min(own) == snapshot.effective_parts(flow, cohort)


@given(snapshots())
def test_held_by(snapshot):
    """
    A flow is held by another exactly where its dial does not hold.
    """
    for flow in snapshot.definition.flows:
        holder = snapshot.held_by(flow)
        held = snapshot.effective_parts(flow) < snapshot.dials[flow]

        assert held is (holder is not None)
        assert holder is None or snapshot.dials[holder] == snapshot.effective_parts(flow)


@given(snapshots())
def test_complete(snapshot):
    """
    A flow is complete when neither the flow nor any cohort is below 100%.
    """
    for flow in snapshot.definition.flows:
        everybody = {snapshot.effective_parts(flow, cohort) for cohort in (None, *COHORTS)}

        assert snapshot.is_complete(flow) is (everybody == {PARTS})


@given(snapshots())
def test_effective_overrides(snapshot):
    """
    An override holds for all that goes together, and where two differ, OLD wins.
    """
    for flow in snapshot.definition.flows:
        found: dict[str, set[Override]] = {}
        for member in snapshot.definition.together_with(flow):
            for digest, override in snapshot.overrides.get(member, {}).items():
                found.setdefault(digest, set()).add(override)
        expected = {d: max(many, key=lambda o: o.backend is Backend.OLD) for d, many in found.items()}

        assert expected == snapshot.effective_overrides(flow)


def test_head_shows_itself():
    """
    A head reads as its version and the beginning of its hash: what an operator writes down.
    """
    assert str(Head(2, 41, "9f3c" * 16)) == "41:9f3c9f3c9f3c"
    assert Head(2, 1, "a" * 64).order > Head(1, 99, "a" * 64).order


def test_empty_says_nothing():
    """
    A flow without cohort dials or overrides is the same as one that does not stand there: equal states are equal.
    """
    assert attrs.evolve(FULL, cohort_dials={"pay": {}}, overrides={"pay": {}}) == attrs.evolve(
        FULL, cohort_dials={}, overrides={}
    )


def test_large_document():
    """
    A snapshot with 100,000 overrides is read back whole.
    """
    overrides = {f"{number:032x}": Override(number, Backend.NEW) for number in range(PARTS)}
    snapshot = attrs.evolve(FULL, overrides={"pay": overrides})

    assert Snapshot.decode(snapshot.encode()).overrides == {"pay": overrides}


def test_too_large():
    """
    A document that would take long to read is refused before it is read.
    """
    with pytest.raises(Corrupt, match="allowed: 33,554,432"):
        Snapshot.decode(" " * (LARGEST_DOCUMENT + 1))


def test_what_a_later_minor_wrote_is_handed_on():
    """
    Fields that this version does not know stand in the state again, so that effects still merge to it; a definition
    that is replaced takes its own along.
    """
    state = {**document()["state"], "colour": {"deep": [1]}}
    state["definition"] = {**state["definition"], "colour": "red"}
    later = Snapshot.decode(json.dumps({**document(), "schema": "1.7", "state": state}))

    assert later.state() == state
    assert attrs.evolve(later, frozen=not later.frozen).state()["colour"] == {"deep": [1]}
    replaced = attrs.evolve(later, definition=attrs.evolve(later.definition, title="Another"))
    assert "colour" not in replaced.state()["definition"]


@given(snapshot=snapshots(), other=snapshots(), migration=st.sampled_from(["shop", "other"]), same=st.booleans())
def test_given_with_a_head(snapshot, other, migration, same):
    """
    A snapshot that a source gives is taken where it is that of the head and the migration, and else is Corrupt.
    """
    head = snapshot.head if same else other.head
    belongs = (snapshot.migration, snapshot.head) == (migration, head)

    with nullcontext() if belongs else pytest.raises(Corrupt, match="its snapshot at"):
        taken = Snapshot.given(snapshot.encode(), migration=migration, head=head, by="the store")
        assert taken == snapshot


def test_nothing_given():
    """
    A source that gives a head and no snapshot is Corrupt, and is named.
    """
    with pytest.raises(Corrupt, match=r"memory:unit is at .* and gave no snapshot"):
        Snapshot.given(None, migration="shop", head=FULL.head, by="memory:unit")
