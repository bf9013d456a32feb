"""
The chain of changes: what it keeps, and that nothing is altered in it unseen.
"""

import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    COHORTS,
    KEYS,
    NOON,
    SECRET,
    altered,
    any_texts,
    begun,
    definition_of,
    first_apply,
    histories,
    json_values,
    perform,
    short,
    sides,
    texts,
)

from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.defined import Cohort, Journey
from cutover.core.ledger import Change, Expectation, seal, verify
from cutover.core.merge import merge
from cutover.core.snapshot import NO_HASH, Head, Snapshot, Turned
from cutover.errors import ConfigurationError, Corrupt

SHOP = definition_of(
    "browse",
    "cart",
    "pay",
    title="Toko ä 😀",
    journeys={"purchase": Journey(name="purchase", flows=("cart", "pay"))},
    cohorts={name: Cohort(name=name, title=name) for name in COHORTS},
)
CHANGES, SNAPSHOT = perform(
    SHOP,
    [
        lambda s: changes.set_dial(s, "browse", 25_000),
        lambda s: changes.override(s, "pay", KEYS[0], Backend.NEW, secret=SECRET),
        lambda s: changes.set_dial(s, "pay", 50_000, cohort="staff"),
        lambda s: changes.rollback(s, "pay"),
        lambda s: changes.set_dial(s, "browse", 50_000),
    ],
)
LEDGER = tuple(change.encode() for change in CHANGES)
HEAD = CHANGES[-1].hash
expect_head = Expectation(len(LEDGER), HEAD)


def codes(ledger, snapshot=None, *, expect=None) -> list[tuple[str, int]]:
    """
    Verify a ledger and give the problems as code and version.
    """
    return [(problem.code, problem.version) for problem in verify(ledger, snapshot, expect=expect).problems]


def resealed(document: dict) -> str:
    """
    Write a change with the hash that its document has, as a forger would.
    """
    unsigned = {name: value for name, value in document.items() if name != "hash"}
    text = json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    whole = {**unsigned, "hash": hashlib.sha256(text.encode()).hexdigest()}
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


# changes


@given(histories())
def test_merged_effects_are_the_snapshot(history):
    """
    Merging the effects of all changes gives the snapshot, and each change follows on the one before.
    """
    done, snapshot = history
    state: dict = {}
    for change in done:
        state = merge(state, Change.decode(change.encode()).effects)

    assert state == snapshot.state()
    assert snapshot == Snapshot.from_state(state, head=snapshot.head, at=snapshot.at)
    assert [change.version for change in done] == list(range(1, len(done) + 1))
    assert all(later.previous == earlier.hash for earlier, later in pairwise(done))
    assert (snapshot.version, snapshot.head.hash, snapshot.at) == (done[-1].version, done[-1].hash, done[-1].at)


@given(histories(), st.integers(0, 8))
def test_verify_finds_nothing_wrong(history, kept):
    """
    A history as it was made verifies, beside its snapshot and beside any head that was written down.
    """
    done, snapshot = history
    written_down = done[min(kept, len(done) - 1)]
    result = verify(
        (change.encode() for change in done), snapshot, expect=Expectation(written_down.version, written_down.hash[:12])
    )

    assert result.problems == ()
    assert result.ok
    assert (result.versions, result.head) == (len(done), f"{len(done)}:{done[-1].hash}")


@given(texts, texts, texts, st.datetimes(timezones=st.just(UTC)))
def test_change_round_trip(actor, reason, ticket, at):
    """
    A change is read back equal and written again to the letter, whatever was said with it.
    """
    change, _ = seal(first_apply(SHOP), at=at, actor=actor, reason=reason, ticket=ticket)
    text = change.encode()

    assert change == Change.decode(text) == Change.decode(text.encode())
    assert text == Change.decode(text).encode()


def test_what_is_on_disk():
    """
    A change is one JSON object with the published fields, hashed over its canonical text without the hash.
    """
    document = json.loads(LEDGER[1])

    assert set(document) == {
        *("schema", "migration", "version", "at", "actor", "reason", "ticket"),
        *("verb", "arguments", "effects", "previous", "hash"),
    }
    assert document["effects"] == {"dials": {"browse": 25_000}, "turned": {"browse": [2, document["at"]]}}
    assert document["arguments"] == {"target": "browse", "parts": 25_000, "evict": False, "all_cohorts": False}
    assert document["at"] == "2024-03-04T12:00:01.000000Z"
    assert LEDGER[1] == resealed(document)
    assert json.loads(LEDGER[0])["previous"] == "0" * 64


def test_no_key_in_the_ledger():
    """
    No key of a user stands in a change or in the snapshot's document.
    """
    assert not [text for text in (*LEDGER, SNAPSHOT.encode()) if KEYS[0] in text]


def test_seal_leaves_the_proposal():
    """
    Sealing gives the snapshot that was proposed, at the change's head and time, which the flows that it turns note.
    """
    proposal = changes.set_dial(begun(SHOP), "browse", 1_000)
    change, snapshot = seal(proposal, at=NOON, actor="rina", reason="week 1", ticket="OPS-1")

    turned = {**proposal.after.turned, "browse": Turned(2, NOON)}
    assert snapshot == attrs.evolve(proposal.after, head=Head(1, 2, change.hash), at=NOON, turned=turned)
    assert (change.actor, change.reason, change.ticket, change.verb) == ("rina", "week 1", "OPS-1", "set")
    assert change.previous == proposal.before.head.hash


@given(histories())
def test_what_turned_a_flow(history):
    """
    Each flow notes the last change that sent one of its keys elsewhere; work items, freezes and other flows leave it.
    """
    changes_, last = history
    state, before = {}, None
    for change in changes_:
        state = merge(state, change.effects)
        head = Head(state["epoch"], change.version, change.hash)
        after = Snapshot.from_state(state, head=head, at=change.at)
        for flow in after.definition.flows:
            own = None if before is None or flow not in before.definition.flows else before.turned_by(flow)
            if own is None or _side_changes(flow, before, after):
                assert after.turned[flow] == (change.version, change.at)
            elif change.verb in {"work", "freeze", "unfreeze"} or _is_same(flow, before, after):
                assert after.turned[flow] == own
        before = after
    assert last.turned.keys() == last.definition.flows.keys()


def _side_changes(flow, before, after):
    was, now = sides(before), sides(after)
    return any(was[place] is not now[place] for place in was if place[0] == flow)


def _is_same(flow, before, after):
    facts = [
        ([s.effective_parts(flow, c) for c in (None, *COHORTS)], s.effective_overrides(flow), s.evictions.get(flow))
        for s in (before, after)
    ]
    return facts[0] == facts[1]


def test_what_an_older_library_wrote():
    """
    Where no change is noted the head stands for it; the next change of a newer library notes that once.
    """
    older = attrs.evolve(SNAPSHOT, turned={})
    turned = Turned(older.version, older.at)
    assert older.turned_by("browse") == turned

    change, newer = seal(changes.set_dial(older, "browse", 7), at=NOON, actor="rina", reason="x")

    assert newer.turned == {**dict.fromkeys(older.definition.flows, turned), "browse": Turned(change.version, NOON)}
    assert seal(changes.freeze(newer), at=NOON, actor="rina", reason="x")[0].effects == {"frozen": True}


def test_seal_without_a_zone():
    """
    A change cannot be made at a time without a zone.
    """
    with pytest.raises(ValueError, match="has no time zone"):
        seal(first_apply(SHOP), at=datetime(2024, 3, 4), actor="rina", reason="x")  # noqa: DTZ001 - the rule


def test_adopt_raises_the_epoch():
    """
    An adopt is the next change of the same chain, in a higher epoch.
    """
    change, snapshot = seal(changes.adopt(SNAPSHOT, (3,)), at=NOON, actor="rina", reason="restored")

    assert snapshot.head == Head(4, len(LEDGER) + 1, change.hash)
    assert verify((*LEDGER, change.encode()), snapshot).ok


def test_unknown_fields_are_kept_by_the_chain():
    """
    A field of a later minor version is ignored by readers and covered by the hash.
    """
    later = resealed({**json.loads(LEDGER[-1]), "schema": "1.9", "colour": "red"})

    assert Change.decode(later).effects == CHANGES[-1].effects
    assert verify((*LEDGER[:-1], later)).ok
    assert codes((*LEDGER[:-1], later.replace("red", "rod"))) == [("altered", len(LEDGER))]


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": "2.0"},
        {"migration": 5},
        {"version": "2"},
        {"version": True},
        {"version": 0},
        {"version": 2**60},
        {"at": "yesterday"},
        {"at": 5},
        {"actor": None},
        {"reason": ["because"]},
        {"ticket": 7},
        {"verb": {}},
        {"arguments": []},
        {"arguments": [["target", "pay"]]},
        {"effects": None},
        {"effects": [["dials", {}]]},
        {"previous": 0},
        {"hash": None},
        {"hash": 5},
    ],
    ids=short,
)
def test_poisoned_change(fields):
    """
    A change with a field of another type, or of an unknown major, is refused, and `verify` reports it.
    """
    text = json.dumps({**json.loads(LEDGER[1]), **fields})
    with pytest.raises(Corrupt):
        Change.decode(text)

    assert ("unreadable", 2) in codes((LEDGER[0], text, *LEDGER[2:]))


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Change)])
def test_change_without_a_field(name):
    """
    A change that lacks a field is refused, whichever it is.
    """
    document = json.loads(LEDGER[1])
    del document[name]

    with pytest.raises(Corrupt):
        Change.decode(json.dumps(document))


# verify


@given(st.data())
def test_edited_text(data):
    """
    One character changed, put in or taken out anywhere in a ledger is found.
    """
    line = data.draw(st.integers(0, len(LEDGER) - 1))
    text = LEDGER[line]
    start = data.draw(st.integers(0, len(text) - 1))
    width = data.draw(st.integers(0, 1))
    put_in = data.draw(st.text(st.characters(), max_size=1) | st.sampled_from(' \n0",{}'))
    edited = text[:start] + put_in + text[start + width :]

    assert verify((*LEDGER[:line], edited, *LEDGER[line + 1 :])).ok is (edited == text)


@given(st.data())
def test_edited_bytes(data):
    """
    One bit turned over anywhere in a stored ledger is found.
    """
    line = data.draw(st.integers(0, len(LEDGER) - 1))
    stored = bytearray(LEDGER[line].encode())
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    edited = stored.decode(errors="surrogateescape")

    assert not verify((*LEDGER[:line], edited, *LEDGER[line + 1 :])).ok


@pytest.mark.parametrize(
    "rewritten",
    [
        lambda text: text.replace('","', '", "', 1),
        lambda text: text + "\n",
        lambda text: json.dumps(json.loads(text), ensure_ascii=True, sort_keys=True, separators=(",", ":")),
        lambda text: json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":"), ensure_ascii=False),
        lambda text: text.replace("{", '{"actor":"eve",', 1),
    ],
)
def test_same_meaning_in_other_bytes(rewritten):
    """
    A change in other bytes is altered, although a JSON parser reads the same from them.
    """
    text = rewritten(LEDGER[0])

    assert text != LEDGER[0]
    assert not verify((text, *LEDGER[1:])).ok


@given(st.sets(st.integers(0, len(LEDGER) - 2), min_size=1))
def test_deletion_and_inner_cut(gone):
    """
    Changes taken out anywhere but at the end are missed.
    """
    assert not verify(text for index, text in enumerate(LEDGER) if index not in gone).ok


@given(st.permutations(LEDGER))
def test_swap(ledger):
    """
    Changes in any other order are found.
    """
    assert verify(ledger).ok is (tuple(ledger) == LEDGER)


@given(st.integers(0, len(LEDGER)), st.sampled_from(LEDGER))
def test_doubled(index, text):
    """
    A change that stands in the ledger twice is found.
    """
    assert not verify((*LEDGER[:index], text, *LEDGER[index:])).ok


@given(st.integers(0, len(LEDGER) - 1))
def test_cut_tail(kept):
    """
    A cut tail shows beside a head that was kept elsewhere, and beside the snapshot; alone it cannot show.
    """
    tail = LEDGER[:kept]

    assert verify(tail).ok
    assert ("expected_missing", len(LEDGER)) in codes(tail, expect=expect_head)
    assert ("snapshot_differs", kept) in codes(tail, SNAPSHOT)


def test_full_rewrite():
    """
    A chain made anew, correct in itself, shows beside a head that was kept elsewhere.
    """
    forged, previous = [], NO_HASH
    for text in LEDGER:
        forged.append(resealed({**json.loads(text), "actor": "eve", "previous": previous}))
        previous = json.loads(forged[-1])["hash"]

    assert verify(forged).ok
    assert codes(forged, expect=expect_head) == [("expected_differs", len(LEDGER))]
    assert codes(forged, expect=Expectation(1, CHANGES[0].hash[:12])) == [("expected_differs", 1)]
    assert codes(forged, SNAPSHOT) == [("snapshot_differs", len(LEDGER))]


def test_resealed_in_the_middle():
    """
    A change with a new hash of its own breaks the link of the one after it.
    """
    forged = resealed({**json.loads(LEDGER[2]), "reason": "another"})

    assert codes((*LEDGER[:2], forged, *LEDGER[3:])) == [("broken_link", 4)]


def test_every_kind_of_problem():
    """
    Each problem has its code, and all of them are reported, in the order of the versions.
    """
    foreign = resealed({**json.loads(LEDGER[1]), "migration": "other"})
    gap = resealed({**json.loads(LEDGER[2]), "version": 7})
    ledger = (LEDGER[0], foreign, gap, "no JSON", *LEDGER[4:])

    assert codes(ledger) == [
        ("foreign", 2),
        ("gap", 3),
        ("broken_link", 3),
        ("unreadable", 4),
        ("broken_link", 5),
    ]
    assert str(verify(ledger).problems[1]) == "change 3 is not the next one: it says that it is version 7"


def test_snapshot_that_no_change_made():
    """
    A snapshot edited in the store shows, although its head is right.
    """
    edited = attrs.evolve(SNAPSHOT, dials={**SNAPSHOT.dials, "pay": 1})

    assert codes(LEDGER, edited) == [("snapshot_differs", len(LEDGER))]
    assert codes(LEDGER, SNAPSHOT) == []


def test_empty_ledger():
    """
    No change at all is a chain without a problem, unless something was expected.
    """
    assert verify(()) == verify(())
    assert verify(()).head == f"0:{NO_HASH}"
    assert codes((), SNAPSHOT) == [("snapshot_differs", 0), ("snapshot_differs", 0)]
    assert codes((), expect=Expectation(1)) == [("expected_missing", 1)]


@given(st.lists(any_texts | json_values.map(json.dumps), max_size=3), st.data())
def test_verify_raises_nothing(lines, data):
    """
    Whatever a store gives back for changes, `verify` reports and does not raise.
    """
    hostile = json.dumps(data.draw(altered(json.loads(LEDGER[1]))), ensure_ascii=False)
    result = verify((LEDGER[0], hostile, *lines), SNAPSHOT, expect=expect_head)

    assert not result.ok


@given(st.data())
def test_altered_change(data):
    """
    A change altered anywhere is `Corrupt`, or can be written.
    """
    with suppress(Corrupt):
        change = Change.decode(json.dumps(data.draw(altered(json.loads(LEDGER[2])))))
        assert change == Change.decode(change.encode())


# expectations


@pytest.mark.parametrize(
    ("value", "version", "start"),
    [
        (41, 41, ""),
        ("41", 41, ""),
        ("41:9f3c", 41, "9f3c"),
        ("41:9F3C...", 41, "9f3c"),
        ("41:9f3c…", 41, "9f3c"),
        ("41:" + "a" * 64, 41, "a" * 64),
        (Expectation(41, "9f3c"), 41, "9f3c"),
    ],
)
def test_expectation(value, version, start):
    """
    What `status` prints and an operator writes down is read back.
    """
    assert Expectation.parse(value) == Expectation(version, start)


@given(histories(max_size=3))
def test_expectation_of_a_head(history):
    """
    A head as it is shown expects itself and no other.
    """
    done, snapshot = history
    expectation = Expectation.parse(str(snapshot.head))

    assert expectation.holds_for(snapshot.version, snapshot.head.hash)
    assert not expectation.holds_for(snapshot.version + 1, snapshot.head.hash)
    assert not expectation.holds_for(snapshot.version, done[-1].previous)
    assert Expectation.parse(str(expectation)) == expectation


@pytest.mark.parametrize(
    "value",
    [
        "",
        ":",
        "x",
        "-1",
        -1,
        "41:",
        "41:...",
        "41:9f3",
        "41:xyzw",
        "41:" + "a" * 65,
        "4 1",
        True,
        "٤١",
        "9" * 5000,
        None,
    ],
    ids=short,
)
def test_expectation_of_another_form(value):
    """
    Anything else is refused: an expectation that was mistyped must not hold by chance.
    """
    with pytest.raises(ConfigurationError, match="allowed: VERSION or VERSION:HEAD"):
        Expectation.parse(value)


def test_time_is_no_order():
    """
    A clock that goes back does not break a chain: versions order it, times are only told.
    """
    change, snapshot = seal(
        changes.set_dial(SNAPSHOT, "browse", 0), at=NOON - timedelta(days=1), actor="rina", reason="clock"
    )

    assert verify((*LEDGER, change.encode()), snapshot).ok
