"""
States of instances, shares of traffic and the progress that users see.
"""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.core.checkin import LEASE, CheckIn, Counted, Fleet, InstanceState, Kind, minute_of
from cutover.core.fleet import (
    WINDOW,
    Sides,
    Window,
    by_flow,
    effective_progress,
    instance_state,
    recent,
    states,
)
from cutover.core.migration import Migration
from cutover.core.snapshot import Head, Snapshot

NOW = datetime(2026, 1, 11, 12, 0, 30, tzinfo=UTC)
HEAD = Head(2, 7, "7" * 64)
CHAIN = {7: "7" * 64, 8: "8" * 64}
DEFINITION = Migration.parse(
    'name = "m"\nold = "a"\nnew = "b"\n[flows.cart]\n[flows.pay]\nweight = 3\n[cohorts.staff]\n'
)


def report(**fields):
    """
    Make a check-in of a moment ago.
    """
    given_ = {"instance": "a" * 32, "sequence": 1, "at": NOW, "host": "h", "pid": 1, "started": NOW, "library": "1"}
    return CheckIn(**{**given_, **fields})


def requests(flow, backend, number, detail="percent"):
    """
    Count requests of one flow and side.
    """
    return {Counted(Kind.REQUESTS, flow, backend, detail): number}


def snapshot(**dials):
    """
    Make a snapshot with these dials.
    """
    return Snapshot(definition=DEFINITION, head=HEAD, at=NOW, dials={"cart": 0, "pay": 0, **dials})


@pytest.mark.parametrize(
    ("head", "state"),
    [
        (None, InstanceState.BEHIND),
        (Head(2, 6, "6" * 64), InstanceState.BEHIND),
        (Head(1, 99, "9" * 64), InstanceState.BEHIND),
        (Head(2, 7, "7" * 64), InstanceState.CURRENT),
        (Head(2, 8, "8" * 64), InstanceState.CURRENT),
        (Head(2, 7, "f" * 64), InstanceState.REGRESSED),
        (Head(2, 9, "9" * 64), InstanceState.REGRESSED),
    ],
)
def test_an_instance_is_current_iff_the_change_is_on_its_chain(head, state):
    """
    Only an instance at the change or above it, on the same chain, is current.
    """
    assert instance_state(report(head=head), HEAD, CHAIN, now=NOW) is state


def test_a_silent_instance_is_lost():
    """
    After the lease a silent instance is lost, whatever it ran; up to the lease it is not.
    """
    current = report(head=HEAD)

    assert instance_state(current, HEAD, CHAIN, now=NOW + LEASE) is InstanceState.CURRENT
    assert instance_state(current, HEAD, CHAIN, now=NOW + LEASE + timedelta(microseconds=1)) is InstanceState.LOST


def test_a_regressed_instance_says_so_until_a_higher_epoch():
    """
    What an instance says of itself holds in its epoch; a store in a higher one is about to be followed.
    """
    behind = report(head=Head(2, 3, "f" * 64), regressed=True)

    assert instance_state(behind, HEAD, CHAIN, now=NOW) is InstanceState.REGRESSED
    assert instance_state(behind, attrs.evolve(HEAD, epoch=3), CHAIN, now=NOW) is InstanceState.BEHIND


def test_states_are_by_instance():
    """
    Every instance has one state.
    """
    fleet = Fleet(instances=(report(head=HEAD), report(instance="b" * 32)))

    assert states(fleet, HEAD, now=NOW) == {"a" * 32: InstanceState.CURRENT, "b" * 32: InstanceState.BEHIND}


def test_a_young_change_is_measured_where_it_is_in_force():
    """
    Shortly after a change only what instances that run it counted since then shows what it does.
    """
    running = report(head=HEAD, since_version=requests("pay", "new", 3))
    stale = report(instance="b" * 32, head=Head(2, 6, "6" * 64), since_version=requests("pay", "old", 90))
    fleet = Fleet(instances=(running, stale), minutes={minute_of(NOW): requests("pay", "old", 500)})

    found = recent(fleet, HEAD, changed=NOW - WINDOW + timedelta(seconds=1), now=NOW)

    assert (found.totals, found.window) == (requests("pay", "new", 3), Window.SINCE_CHANGE)
    assert found.since == NOW - WINDOW + timedelta(seconds=1)


def test_an_old_change_is_measured_over_the_last_minutes():
    """
    Later the last five minutes of all instances count, and nothing older.
    """
    this = minute_of(NOW)
    minutes = {this - n: requests("pay", "new", 10**n) for n in range(7)}

    found = recent(Fleet(minutes=minutes), HEAD, changed=NOW - WINDOW, now=NOW)

    assert found.window is Window.RECENT
    assert by_flow(found.totals, Kind.REQUESTS) == {"pay": Sides(new=11111)}


@given(
    st.dictionaries(st.tuples(st.sampled_from(["cart", "pay"]), st.sampled_from(["old", "new"])), st.integers(0, 99))
)
def test_sides_add_up_to_what_was_counted(numbers):
    """
    Nothing that was counted is lost or counted twice, whatever its reason.
    """
    totals = {}
    for (flow, backend), number in numbers.items():
        totals |= requests(flow, backend, number) | requests(flow, backend, 2 * number, "cohort")

    sides = by_flow(totals, Kind.REQUESTS)

    for flow in ("cart", "pay"):
        expected = Sides(*(3 * numbers.get((flow, side), 0) for side in ("old", "new")))
        assert sides.get(flow, Sides()) == expected


def test_kinds_and_details_are_told_apart():
    """
    Errors are the calls with that outcome alone; synthetic requests are no requests.
    """
    totals = {
        Counted(Kind.CALLS, "pay", "new", "error"): 2,
        Counted(Kind.CALLS, "pay", "new", "ok"): 40,
        Counted(Kind.SYNTHETIC, "pay", "new", ""): 9,
    }

    assert by_flow(totals, Kind.CALLS, details=("error",)) == {"pay": Sides(new=2)}
    assert by_flow(totals, Kind.REQUESTS) == {}


def test_a_share_without_traffic_is_unknown():
    """
    Nothing measured is not a share of 0.
    """
    assert Sides().ratio is None
    assert Sides(3, 1).ratio == Fraction(1, 4)


def test_effective_progress_is_weighted():
    """
    Shares of traffic count by the weight of their flows.
    """
    totals = requests("cart", "new", 1) | requests("pay", "old", 1) | requests("pay", "new", 1)

    assert effective_progress(snapshot(cart=100_000, pay=50_000), totals) == Fraction(5, 8)


def test_effective_progress_is_unknown_without_traffic():
    """
    A flow without traffic counts as 0 only while every dial of it is at 0.
    """
    totals = requests("cart", "new", 1)

    assert effective_progress(snapshot(cart=100_000), totals) == Fraction(1, 4)
    assert effective_progress(snapshot(cart=100_000, pay=1), totals) is None
    by_cohort = attrs.evolve(snapshot(cart=100_000), cohort_dials={"pay": {"staff": 1}})
    assert effective_progress(by_cohort, totals) is None
