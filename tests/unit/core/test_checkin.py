"""
Check-ins: what a process says about itself is read back whole, and nothing else passes for it.
"""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOWS, NOON, altered, instants, json_values, short, texts

from cutover.core.checkin import LEASE, CheckIn, Counted, Fleet, Kind, Ran, add, minute_of, read_totals, totals_document
from cutover.core.names import LONGEST_ASKED, Asked, NameKind
from cutover.core.snapshot import Head
from cutover.errors import Corrupt

counted = st.builds(
    Counted,
    st.sampled_from(Kind),
    st.sampled_from(FLOWS),
    st.sampled_from(("old", "new")),
    st.sampled_from(("percent", "ok", "")),
)
totals = st.dictionaries(counted, st.integers(0, 2**40), max_size=6)
heads = st.builds(Head, st.integers(1, 9), st.integers(1, 99), st.text("0123456789abcdef", min_size=64, max_size=64))
milliseconds = st.integers(0, 10**9).map(lambda number: timedelta(milliseconds=number))


@st.composite
def runs(draw):
    """
    Versions that an instance ran, oldest first.
    """
    orders = sorted(draw(st.sets(st.tuples(st.integers(1, 9), st.integers(1, 99)), max_size=5)))
    ages = sorted(draw(st.lists(milliseconds, min_size=len(orders), max_size=len(orders))), reverse=True)
    return tuple(Ran(*order, age) for order, age in zip(orders, ages, strict=True))


check_ins = st.builds(
    CheckIn,
    instance=st.uuids().map(lambda number: number.hex),
    sequence=st.integers(1, 2**40),
    at=instants,
    host=texts,
    pid=st.integers(1, 2**22),
    started=instants,
    library=st.just("0.1.0"),
    majors=st.sampled_from(((1,), (1, 2))),
    head=st.none() | heads,
    regressed=st.booleans(),
    break_glass=st.sampled_from(((), ("*",), ("cart", "pay"))),
    closing=st.booleans(),
    minutes=st.dictionaries(st.integers(0, 2**31), totals, max_size=3),
    since_version=totals,
    ran=st.none() | runs(),
    asked=st.none()
    | st.lists(
        st.builds(Asked, st.sampled_from(NameKind), st.text(max_size=LONGEST_ASKED), st.integers(0, 2**53 - 1)),
        max_size=4,
    ).map(tuple),
)
PAY = Counted(Kind.REQUESTS, "pay", "new", "percent")
REPORT = CheckIn(
    instance="0123456789abcdef" * 2,
    sequence=7,
    at=NOON,
    host="pod-1",
    pid=42,
    started=NOON - timedelta(hours=1),
    library="0.1.0",
    head=Head(1, 41, "9f3c" * 16),
    break_glass=("pay",),
    minutes={28_492_560: {PAY: 3, Counted(Kind.SYNTHETIC, "pay", "old", ""): 1}},
    since_version={PAY: 3},
)


@given(check_ins)
def test_round_trip(report):
    """
    A check-in is read back equal, and written again to the letter.
    """
    text = report.encode()

    assert report == CheckIn.decode(text) == CheckIn.decode(text.encode())
    assert text == CheckIn.decode(text).encode()


def test_an_age_is_never_told_as_longer():
    """
    Of an age what is less than a millisecond is left off: the version was then begun with no earlier than is told.
    """
    report = attrs.evolve(REPORT, ran=(Ran(1, 41, timedelta(microseconds=1999)),))

    assert CheckIn.decode(report.encode()).ran == (Ran(1, 41, timedelta(milliseconds=1)),)


@pytest.mark.parametrize(
    "ran",
    [
        None,
        {},
        [[1, 1]],
        [[1, 1, 0, 0]],
        [[0, 1, 0]],
        [[1, 0, 0]],
        [[1, 1, -1]],
        [[1, 1, True]],
        [[1, 1, 2**53 - 1]],
        [[1, 2, 9], [1, 1, 5]],
        [[1, 2, 9], [1, 2, 5]],
        [[2, 1, 9], [1, 2, 5]],
        [[1, 1, 5], [1, 2, 9]],
    ],
    ids=short,
)
def test_versions_that_cannot_have_been_run(ran):
    """
    Versions that are none, or do not go from the oldest to the newest, are refused: whoever reads them relies on that.
    """
    document = {**json.loads(REPORT.encode()), "ran": ran}

    with pytest.raises(Corrupt):
        CheckIn.decode(json.dumps(document))


@given(totals)
def test_totals_round_trip(many):
    """
    Totals nest by kind, flow, backend and detail without losing one.
    """
    assert many == read_totals(totals_document(many))


@pytest.mark.parametrize("flow", ["zahlung-ü", "Pay", "", "a b", "\ud800", "x" * 65], ids=short)
def test_name_that_no_flow_can_have(flow):
    """
    An application that routes by a name that no flow can have does not keep its process from checking in.
    """
    report = attrs.evolve(REPORT, since_version={PAY: 3, Counted(Kind.REQUESTS, flow, "old", "default"): 1})

    assert CheckIn.decode(report.encode()) == REPORT


@given(st.lists(totals, max_size=4))
def test_add(many):
    """
    Totals add up number by number, in whatever order.
    """
    names = {name for one in many for name in one}

    assert add(many) == {name: sum(one.get(name, 0) for one in many) for name in names}
    assert add(many) == add(reversed(many))


def test_unknown_fields():
    """
    What a later minor version reports beside is ignored, in the head and in kinds of counts too.
    """
    document = json.loads(REPORT.encode())
    document |= {"schema": "1.3", "mood": "good", "head": {**document["head"], "colour": "red"}}
    document["since_version"]["dreams"] = {"pay": {"new": {"entered": "many"}}}

    assert CheckIn.decode(json.dumps(document)) == REPORT


@pytest.mark.parametrize("name", sorted(json.loads(REPORT.encode())))
def test_missing_field(name):
    """
    A check-in that lacks a field is refused, whichever it is.
    """
    document = json.loads(REPORT.encode())
    del document[name]

    with pytest.raises(Corrupt):
        CheckIn.decode(json.dumps(document))


@pytest.mark.parametrize("name", sorted(json.loads(REPORT.encode())))
@pytest.mark.parametrize("poison", [[[]], -1, {"requests": 1}], ids=short)
def test_other_type(name, poison):
    """
    A check-in with a field of another type is refused, whichever it is.
    """
    document = {**json.loads(REPORT.encode()), name: "" if name == "pid" else poison}

    with pytest.raises(Corrupt):
        CheckIn.decode(json.dumps(document))


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": "2.0"},
        {"sequence": "7"},
        {"sequence": 0},
        {"sequence": True},
        {"majors": ["1"]},
        {"majors": "1"},
        {"regressed": "false"},
        {"break_glass": "pay"},
        {"break_glass": [1]},
        {"head": {"epoch": 1, "version": 1}},
        {"head": {"epoch": "1", "version": 1, "hash": "x"}},
        {"head": {"epoch": 1, "version": 0, "hash": "x"}},
        {"minutes": {"now": {}}},
        {"minutes": {"-1": {}}},
        {"minutes": {"05": {}}},
        {"minutes": {"1_0": {}}},
        {"minutes": {"9" * 30: {}}},
        {"minutes": {"9" * 5000: {}}},
        {"minutes": {"5": []}},
        {"minutes": {"5": {"requests": {"pay": {"new": {"percent": -1}}}}}},
        {"minutes": {"5": {"requests": {"pay": {"new": {"percent": "1"}}}}}},
        {"minutes": {"5": {"requests": {"pay": {"new": {"percent": True}}}}}},
        {"minutes": {"5": {"requests": {"pay": 5}}}},
        {"since_version": {"requests": ["pay"]}},
        {"name": 7},
        {"name": "x" * 65},
    ],
    ids=short,
)
def test_poisoned_value(fields):
    """
    A value that no process can have meant is refused rather than converted.
    """
    with pytest.raises(Corrupt):
        CheckIn.decode(json.dumps({**json.loads(REPORT.encode()), **fields}))


@given(st.data())
def test_altered(data):
    """
    A check-in altered anywhere is `Corrupt`, or one that can be written.
    """
    with suppress(Corrupt):
        report = CheckIn.decode(json.dumps(data.draw(altered(json.loads(REPORT.encode())))))
        assert report == CheckIn.decode(report.encode())


@given(json_values)
def test_any_json(value):
    """
    JSON that is no check-in is `Corrupt`, never another error.
    """
    with pytest.raises(Corrupt):
        CheckIn.decode(json.dumps(value))


def test_fleet_totals():
    """
    All that was ever counted is what was folded into hours and what was not yet.
    """
    fleet = Fleet(minutes={1: {PAY: 1}, 2: {PAY: 2}}, hours={0: {PAY: 40}})

    assert fleet.totals() == {PAY: 43}
    assert Fleet().totals() == {}


@pytest.mark.parametrize(
    ("instant", "minute"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 0, 59, 999_999, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 1, tzinfo=UTC), 1),
        (datetime(2024, 3, 4, 12, tzinfo=UTC), 28_492_560),
    ],
)
def test_minute_of(instant, minute):
    """
    Minutes are counted from the epoch, and one begins on its first microsecond.
    """
    assert minute_of(instant) == minute


@given(silent=st.timedeltas(-LEASE, 2 * LEASE))
def test_lost_after_the_lease(silent):
    """
    An instance is lost as soon as it was silent for longer than the lease, and not before.
    """
    report = CheckIn(instance="a", sequence=1, at=NOON, host="web-1", pid=17, started=NOON, library="1.2.3")

    assert report.is_lost(NOON + silent) is (silent > LEASE)
