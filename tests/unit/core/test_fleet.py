"""
States of instances, shares of traffic and the progress that users see.
"""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.core.backend import Backend
from cutover.core.checkin import LEASE, CheckIn, Counted, Fleet, InstanceState, Kind, Ran, minute_of
from cutover.core.fleet import (
    WINDOW,
    Calls,
    Recent,
    Sides,
    Window,
    by_flow,
    effective_progress,
    instance_state,
    last_calls,
    recent,
    states,
)
from cutover.core.migration import Migration
from cutover.core.snapshot import Head, Override, Snapshot, Turned

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


def snapshot(**fields):
    """
    Make a snapshot, with every dial at 0 if none is given.
    """
    return Snapshot(**{"definition": DEFINITION, "head": HEAD, "at": NOW, "dials": {"cart": 0, "pay": 0}, **fields})


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
    changed = NOW - WINDOW + timedelta(seconds=1)

    found = recent(fleet, snapshot(turned={"pay": Turned(7, changed)}), now=NOW)["pay"]

    assert found == Recent(requests=Sides(new=3), window=Window.SINCE_CHANGE, since=changed)


def test_a_change_of_another_flow_does_not_matter():
    """
    An instance that runs an older head counts for a flow that no change has turned since.
    """
    stale = report(head=Head(2, 6, "6" * 64), since_version=requests("pay", "new", 9) | requests("cart", "old", 9))
    turned = {"pay": Turned(6, NOW - timedelta(seconds=9)), "cart": Turned(7, NOW - timedelta(seconds=2))}

    found = recent(Fleet(instances=(stale,)), snapshot(turned=turned), now=NOW)

    assert (found["pay"].requests, found["cart"].requests) == (Sides(new=9), Sides())
    assert [found[flow].since for flow in ("pay", "cart")] == [turned["pay"].at, turned["cart"].at]


def test_what_closed_instances_counted():
    """
    Whole minutes after all instances ran a change count too, so that nothing is lost with an instance that closes.
    """
    changed, this = NOW - timedelta(minutes=4), minute_of(NOW)
    late = Ran(2, 7, timedelta(minutes=2))
    running = report(head=HEAD, since_version=requests("pay", "new", 1), ran=(Ran(2, 6, timedelta(hours=1)), late))
    fleet = Fleet(instances=(running,), minutes={this - n: requests("pay", "new", 10**n) for n in range(5)})

    found = recent(fleet, snapshot(turned={"pay": Turned(7, changed)}), now=NOW)["pay"]

    assert found.requests == Sides(new=11)
    assert found.since == NOW.replace(second=0) - timedelta(minutes=1)


def test_an_old_change_is_measured_over_the_last_minutes():
    """
    Later the last five minutes of all instances count, and nothing older.
    """
    this = minute_of(NOW)
    minutes = {this - n: requests("pay", "new", 10**n) for n in range(7)}

    found = recent(Fleet(minutes=minutes), snapshot(turned={"pay": Turned(7, NOW - WINDOW)}), now=NOW)["pay"]

    assert found == Recent(requests=Sides(new=11111), window=Window.RECENT, since=NOW - WINDOW)


class World:
    """
    Router processes that follow changes and count, and the number of requests that each last change decided.
    """

    def __init__(self):
        self.now = NOW
        self.version = 1
        self.turned = dict.fromkeys(("cart", "pay"), Turned(1, NOW))
        self.decided = dict.fromkeys(("cart", "pay"), 0)
        self.minutes = {}
        self.closed = False
        self.processes = {name: self.begun() for name in "abc"}

    def begun(self):
        """
        Start a process that runs the last change.
        """
        return {"version": self.version, "since": {}, "turned": dict(self.turned), "ran": [(self.version, self.now)]}

    def turn(self, flow):
        """
        Make a change of one flow, or of none.
        """
        self.version += 1
        if flow is not None:
            self.turned[flow] = Turned(self.version, self.now)
            self.decided[flow] = 0

    def follow(self, name):
        """
        Have a process run the last change; the counts of flows that it leaves alone go on.
        """
        process = self.processes[name]
        kept = [flow for flow in self.turned if process["turned"][flow] == self.turned[flow]]
        since = {counted: n for counted, n in process["since"].items() if counted.flow in kept}
        process |= {"version": self.version, "turned": dict(self.turned), "since": since}
        if process["ran"][-1][0] < self.version:
            process["ran"].append((self.version, self.now))

    def ask(self, name, flow):
        """
        Route a request; no process is behind for longer than the lease.
        """
        if self.now - self.turned[flow].at > LEASE:
            self.follow(name)
        process, counted = self.processes[name], Counted(Kind.REQUESTS, flow, "new", "percent")
        for totals in (process["since"], self.minutes.setdefault(minute_of(self.now), {})):
            totals[counted] = totals.get(counted, 0) + 1
        self.decided[flow] += process["turned"][flow] == self.turned[flow]

    def close(self, name):
        """
        End a process, whose counts of a change are then forgotten, and start another.
        """
        self.closed = True
        self.processes[name] = self.begun()

    def wait(self, seconds):
        """
        Let time pass.
        """
        self.now += timedelta(seconds=seconds)

    def fleet(self):
        """
        Give what the store knows.
        """
        reports = [
            report(
                instance=name,
                at=self.now,
                head=Head(2, process["version"], str(process["version"]) * 64),
                since_version=process["since"],
                ran=tuple(Ran(2, version, self.now - began) for version, began in process["ran"]),
            )
            for name, process in self.processes.items()
        ]
        return Fleet(instances=tuple(reports), minutes=self.minutes)

    def snapshot(self):
        """
        Give what the store holds.
        """
        return snapshot(turned=self.turned, head=Head(2, self.version, str(self.version) * 64))


names = st.sampled_from("abc")
flows = st.sampled_from(("cart", "pay"))
events = st.one_of(
    st.tuples(st.just("turn"), st.none() | flows),
    st.tuples(st.just("follow"), names),
    st.tuples(st.just("ask"), names, flows),
    st.tuples(st.just("ask"), names, flows),
    st.tuples(st.just("close"), names),
    st.tuples(st.just("wait"), st.integers(1, 90)),
)


@given(st.lists(events, max_size=40))
def test_only_what_the_last_change_of_a_flow_decided(steps):
    """
    While the last change of a flow is young, no request that another change decided is counted, whatever happened to
    other flows; all of them are counted as long as no process has closed.
    """
    world = World()
    for verb, *arguments in steps:
        getattr(world, verb)(*arguments)

    found = recent(world.fleet(), world.snapshot(), now=world.now)

    for flow, decided in world.decided.items():
        if found[flow].window is Window.SINCE_CHANGE:
            assert found[flow].requests.new <= decided
            assert found[flow].requests.new == decided or world.closed


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


def measured(window=Window.RECENT, **sides):
    """
    Give the requests of both flows, none where nothing is given.
    """
    return {
        flow: Recent(requests=Sides(*sides.get(flow, ())), window=window, since=NOW - WINDOW)
        for flow in ("cart", "pay")
    }


def test_effective_progress_is_weighted():
    """
    Shares of traffic count by the weight of their flows.
    """
    traffic = measured(cart=(0, 1), pay=(1, 1))

    assert effective_progress(snapshot(dials={"cart": 100_000, "pay": 50_000}), traffic) == Fraction(5, 8)


def test_effective_progress_is_unknown_without_traffic():
    """
    A flow without traffic counts as 0 only while nobody can be on NEW, and not just after a change of it.
    """
    traffic, up = measured(cart=(0, 1)), snapshot(dials={"cart": 100_000, "pay": 0})

    assert effective_progress(up, traffic) == Fraction(1, 4)
    assert effective_progress(attrs.evolve(up, dials={"cart": 100_000, "pay": 1}), traffic) is None
    assert effective_progress(attrs.evolve(up, cohort_dials={"pay": {"staff": 1}}), traffic) is None
    by_name = {"pay": {"0" * 32: Override(7, Backend.NEW)}}
    assert effective_progress(attrs.evolve(up, overrides=by_name), traffic) is None
    assert effective_progress(up, measured(Window.SINCE_CHANGE, cart=(0, 1))) is None


def test_calls_of_the_last_minutes():
    """
    Failed calls and those of unknown outcome count against all calls of the last five minutes, by side.
    """
    outcomes = {"ok": 90, "error": 2, "unknown": 3, "cancelled": 5}
    calls = {Counted(Kind.CALLS, "pay", "new", outcome): number for outcome, number in outcomes.items()}
    this = minute_of(NOW)

    found = last_calls(Fleet(minutes={this: calls, this - 5: calls, this - 1: calls}), now=NOW)

    assert found == {"pay": {Backend.OLD: Calls(), Backend.NEW: Calls(10, 200)}}
    assert (Calls().ratio, Calls(10, 200).ratio) == (None, Fraction(1, 20))
