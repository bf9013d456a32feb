"""
The status: targets, measured shares, and what each flow waits for.
"""

import json
from datetime import timedelta

import attrs
import pytest

from cutover.core.backend import Backend
from cutover.core.checkin import LEASE, CheckIn, Counted, InstanceState, Kind, Ran, minute_of
from cutover.core.snapshot import Head
from cutover.core.visit import SKEW
from cutover.errors import Unavailable
from cutover.operations.control import Control
from cutover.operations.status import Status


@pytest.fixture
def check_in(store, control, clock):
    """
    Make a router process check in.
    """

    def make(name="a", *, head=None, counts=(), errors=(), **fields):
        totals = {Counted(Kind.REQUESTS, flow, side, "percent"): n for flow, side, n in counts}
        totals |= {Counted(Kind.CALLS, flow, side, "error"): n for flow, side, n in errors}
        head = control.snapshot().head if head is None else head
        ran = (Ran(*head.order, timedelta(0)),)
        report = CheckIn(
            instance=name * 32,
            sequence=control.snapshot().version,
            at=clock.now,
            host=f"host-{name}",
            pid=7,
            started=clock.now,
            library="1",
            head=head,
            minutes={minute_of(clock.now): totals},
            since_version=totals,
            **{"ran": ran, **fields},
        )
        store.check_in("shop", report, now=clock.now)

    return make


def flow(status: Status, name: str):
    """
    Choose a flow of a status.
    """
    return next(flow for flow in status.flows if flow.name == name)


def waits(control: Control, name: str):
    """
    List what a flow waits for.
    """
    return [waiting.text for waiting in flow(control.status(), name).waiting_for]


def test_dials_and_what_holds(control):
    """
    The status tells the dial that was set from the one that holds, and who holds it.
    """
    control.set("cart", 50, reason="x")
    control.set("pay", 10, reason="x")
    control.set("browse", 5, cohort="staff", reason="x")

    status = control.status()

    cart, browse = flow(status, "cart"), flow(status, "browse")
    assert (cart.dial, cart.effective, cart.held_by) == (50_000, 10_000, "pay")
    assert (browse.effective, browse.cohorts) == (0, {"staff": 5000})
    assert (status.version, status.head) == (4, control.snapshot().head.hash)


def test_shares_requests_and_errors(control, check_in, clock):
    """
    Shares are measured in the window, requests and errors over all time.
    """
    control.set("browse", 25, reason="x")
    check_in(counts=[("browse", "old", 30), ("browse", "new", 10)], errors=[("browse", "new", 2)])

    young = control.status()
    clock.forward(minutes=6)
    later = control.status()

    browse = flow(young, "browse")
    assert (browse.share, browse.traffic.requests) == (0.25, (30, 10))
    assert (browse.old_requests, browse.new_requests) == (30, 10)
    assert (browse.old_errors, browse.new_errors) == (0, 2)
    assert flow(later, "browse").share is None
    assert flow(later, "browse").old_requests == 30
    windows = [flow(status, "browse").traffic.window.value for status in (young, later)]
    assert windows == ["since the last change", "last 5 minutes"]


@pytest.mark.parametrize(
    "change",
    [
        lambda control: control.set("purchase", 50, reason="x"),
        lambda control: control.freeze(reason="x"),
        lambda control: control.work("texts", 50, reason="x"),
    ],
)
def test_a_share_goes_on_where_another_thing_changes(control, check_in, clock, change):
    """
    The share of a flow is measured from its own last change on, whatever else was changed since.
    """
    control.set("browse", 25, reason="x")
    changed = clock.now
    clock.forward(seconds=30)
    check_in(counts=[("browse", "old", 30), ("browse", "new", 10)])
    change(control)

    browse = flow(control.status(), "browse")
    assert (browse.share, browse.traffic.since) == (0.25, changed)
    assert browse.document(clock.now)["window"]["seconds"] == 30
    control.set("browse", 24, reason="x")
    assert flow(control.status(), "browse").share is None


def test_what_closed_instances_counted(control, check_in, clock):
    """
    Where no instance runs, it is not said that nothing was counted: closed instances may have counted something.
    """
    control.set("browse", 25, reason="x")
    check_in(counts=[("browse", "new", 1)], closing=True)

    assert waits(control, "browse")[0].startswith("no instance runs, and closed ones counted no whole minute since")
    assert waits(control, "cart")[0] == "nothing counted since the last change"


def test_errors_of_the_last_minutes(control, check_in, clock):
    """
    Errors are told beside the calls of the last five minutes, by side; the totals stay.
    """
    check_in(counts=[("browse", "old", 1)], errors=[("browse", "old", 7)])
    clock.forward(minutes=6)
    check_in("b", counts=[("browse", "new", 1)], errors=[("browse", "new", 2)])

    document = flow(control.status(), "browse").document(clock.now)

    assert document["errors"] == {"old": 7, "new": 2}
    assert document["recent_errors"] == {
        "seconds": 300,
        "old": {"ratio": None, "errors": 0, "calls": 0},
        "new": {"ratio": 1, "errors": 2, "calls": 2},
    }


def test_days_are_counted_in_the_timezone_of_the_migration(control, clock):
    """
    In Jakarta the next day begins at 17:00 UTC.
    """
    assert control.status().progress.days_left == 20
    clock.forward(hours=4, minutes=59)
    assert control.status().progress.days_left == 20
    clock.forward(minutes=1)
    assert control.status().progress.days_left == 19


def test_forecast_goes_by_the_mean_pace(control, clock):
    """
    Half of the way after ten and a half days takes ten and a half more.
    """
    assert control.status().progress.forecast is None
    control.set("browse", 50, reason="x")
    control.set("purchase", 50, reason="x")
    control.work("texts", 50, reason="x")

    progress = control.status().progress

    assert progress.target == 0.5
    assert progress.forecast == clock.now + (clock.now - progress.started)


def test_a_forecast_needs_a_day_of_history(store, clock, definition):
    """
    Before a day has passed no date is named, but when there will be one.
    """
    control = Control(store, actor="rina", migration="young", now=clock)
    control.apply(attrs.evolve(definition, name="young", started=None))
    control.set("browse", 50, reason="x")
    clock.forward(hours=23, minutes=59)

    progress = control.status().progress
    assert (progress.forecast, progress.forecast_from) == (None, clock.now + timedelta(minutes=1))
    clock.forward(minutes=1)
    assert control.status().progress.forecast is not None


def test_what_a_flow_waits_for(control, check_in, clock):
    """
    What stands in the way is named with since when, the most pressing first.
    """
    control.set("purchase", 50, reason="x")
    control.set("pay", 10, reason="x")
    check_in("a", counts=[("cart", "old", 1)])
    check_in("b", head=Head(1, 1, "1" * 64))
    check_in("c", head=Head(1, 99, "9" * 64), break_glass=("pay",))

    assert waits(control, "cart") == [
        "break-glass on 1 of 3 instances",
        "1 of 3 instances regressed",
        "1 of 3 instances behind",
        "visits begun on NEW may go on: 2 instances, such as host-b/7 behind",
        "visits begun on OLD may go on: 2 instances, such as host-b/7 behind",
        "set to 50%, limited to 10% by pay (lowest in purchase)",
    ]
    assert waits(control, "pay")[0] == "break-glass on 1 of 3 instances"
    assert waits(control, "browse")[-1] == "nothing counted since the last change"
    assert flow(control.status(), "cart").waiting_for[1].since == control.snapshot().at
    clock.forward(minutes=5)
    assert waits(control, "browse")[-2:] == ["no traffic yet", "3 of 3 instances lost"]
    assert "nothing counted in the last 5 minutes" in waits(control, "cart")


def drains(control: Control, name: str):
    """
    List what drains in a flow, as the side, the version, the end and who keeps it open.
    """
    many = flow(control.status(), name).draining
    return [(one.side, one.version, one.until, [i.host for i in one.waiting_for]) for one in many]


def test_what_drains(control, check_in, clock):
    """
    After a dial was lowered visits on NEW go on until ttl and skew after the last instance began to run the change.
    """
    control.set("purchase", 50, reason="up")
    clock.forward(hours=5)
    check_in("a")
    control.set("purchase", 10, reason="down")
    end = clock.now + LEASE + timedelta(hours=4) + SKEW
    assert drains(control, "pay")[0] == (Backend.NEW, 3, None, ["host-a"])

    clock.forward(seconds=30)
    before = Ran(1, 2, timedelta(minutes=5))
    check_in("a", ran=(before, Ran(1, 3, timedelta(seconds=3))))

    assert drains(control, "pay") == [(Backend.NEW, 3, end + timedelta(seconds=12), [])]
    assert drains(control, "cart") == drains(control, "pay")
    assert drains(control, "browse") == []
    waiting = flow(control.status(), "cart").waiting_for
    assert [(one.text, one.until) for one in waiting if one.until] == [
        ("visits begun on NEW may go on", end + timedelta(seconds=12))
    ]
    clock.forward(hours=5)
    assert drains(control, "pay") == []


def test_a_lost_instance_keeps_a_drain_open_until_it_is_declared_dead(control, check_in, clock):
    """
    What an instance entered that never ran the change has no known end; once it is declared dead it has one.
    """
    check_in("a")
    seen = clock.now
    control.set("purchase", 50, reason="up")
    clock.forward(days=1)

    assert drains(control, "pay") == [(Backend.OLD, 2, None, ["host-a"])]
    (one,) = [w for w in flow(control.status(), "pay").waiting_for if "visits" in w.text]
    assert (one.text, one.since) == ("visits begun on OLD may go on: instance host-a/7 lost", seen)
    (told,) = control.status().document()["flows"][1]["draining"]
    assert (told["until"], [who["host"] for who in told["waiting_for"]]) == (None, ["host-a"])

    control.declare_dead("host-a/7", reason="the node burnt")
    assert drains(control, "pay") == [(Backend.OLD, 2, clock.now + timedelta(hours=4) + SKEW, [])]


def test_an_instance_that_does_not_say_what_it_ran(control, check_in):
    """
    One of a library that does not tell what it ran keeps a drain open.
    """
    control.set("purchase", 50, reason="up")
    check_in("a", ran=None)

    texts = [text for text in waits(control, "pay") if "visits" in text]
    assert texts == ["visits begun on OLD may go on: instance host-a/7 does not say what it ran"]


def test_the_last_visits_on_old(control, check_in, clock):
    """
    At 100% there is nothing to wait for but the last visits on OLD.
    """
    control.set("purchase", 100, reason="up")
    check_in(counts=[("pay", "new", 1)])

    assert waits(control, "pay") == ["visits begun on OLD may go on"]


def test_a_lost_instance_is_named(control, check_in, clock):
    """
    An instance that fell silent shows in every flow, since it was last seen.
    """
    check_in("a")
    seen = clock.now
    clock.forward(minutes=1)

    lost = next(w for w in flow(control.status(), "pay").waiting_for if "lost" in w.text)
    assert (lost.text, lost.since) == ("1 of 1 instances lost", seen)


def test_a_frozen_flow_names_who_froze_it(control, clock):
    """
    Who froze the migration comes from the ledger, and is gone after unfreeze.
    """
    control.freeze(reason="holidays")
    control.set("browse", 0, reason="x")
    assert control.status().document()["frozen"]["by"] == "rina"
    assert waits(control, "browse") == ["frozen by rina", "nothing counted since the last change"]

    control.unfreeze(reason="over")
    assert control.status().document()["frozen"] is None


def test_a_cohort_that_stays_behind_is_named(control):
    """
    A flow at 100% whose cohort is not waits for the cohort.
    """
    control.set("browse", 10, cohort="staff", reason="x")
    control.set("browse", 100, reason="x")

    assert waits(control, "browse")[0] == "cohort staff stays at 10%"
    control.set("browse", 100, all_cohorts=True, reason="x")
    assert waits(control, "browse") == ["nothing counted since the last change"]


def test_when_a_dial_last_changed(control, clock):
    """
    A dial's age counts from the last change of it, or of one that goes together with it, whatever happened since.
    """
    clock.forward(minutes=1)
    control.set("pay", 5, reason="x")
    changed = clock.now
    clock.forward(minutes=1)
    control.work("texts", 5, reason="x")

    status = control.status()

    assert flow(status, "pay").changed_at == flow(status, "cart").changed_at == changed
    assert flow(status, "browse").changed_at < changed


def test_a_rename_is_no_change_of_a_dial(control, clock):
    """
    A flow that gets another name keeps the time of its dial's last change, and so do the flows beside it.
    """
    control.set("pay", 5, reason="x")
    before = control.status()
    clock.forward(minutes=1)
    definition = control.snapshot().definition
    flows = {name: one for name, one in definition.flows.items() if name != "pay"}
    journeys = {
        name: attrs.evolve(one, flows=tuple("settle" if flow == "pay" else flow for flow in one.flows))
        for name, one in definition.journeys.items()
    }
    flows["settle"] = attrs.evolve(definition.flows["pay"], name="settle", was=("pay",))
    control.apply(attrs.evolve(definition, flows=flows, journeys=journeys))

    after = control.status()
    assert flow(after, "settle").changed_at == flow(before, "pay").changed_at
    assert flow(after, "cart").changed_at == flow(before, "cart").changed_at


def test_nothing_drains_that_nobody_can_be_asked_about(control, monkeypatch):
    """
    While the fleet cannot be read no end is told, as an instance may keep it open.
    """
    control.set("purchase", 50, reason="up")
    assert drains(control, "pay")
    monkeypatch.setattr(control, "fleet", broken)

    assert (control.status().problem, drains(control, "pay")) == ("gone", [])


def broken():
    """
    Fail like a store that is away.
    """
    raise Unavailable("gone")


def test_the_trail_follows_a_replaced_history(control, store, clock, definition):
    """
    A control that looked at one history and then meets another learns all of the other.
    """
    control.freeze(reason="here")
    assert control.status().frozen.reason == "here"
    other = Control(store, actor="budi", migration="other", now=clock)
    control._resolved = "other"  # as if the store had been replaced under the same name
    other.apply(attrs.evolve(definition, name="other"))
    other.set("pay", 5, reason="x")
    other.freeze(reason="there")

    assert control.status().frozen.reason == "there"
    assert [change.version for change in control.status().last] == [1, 2, 3]


def test_instances_are_listed_with_their_state(control, check_in, clock):
    """
    Each instance says where it runs, what and since when it was heard of.
    """
    check_in("b", head=Head(1, 9, "9" * 64))
    check_in("a")
    clock.forward(seconds=5)

    first, second = control.instances()

    assert (first.host, first.state, first.age.total_seconds()) == ("host-a", InstanceState.CURRENT, 5)
    assert second.state is InstanceState.REGRESSED
    assert control.status().count(InstanceState.CURRENT) == 1


def test_the_document_is_json_with_numbers(control, check_in):
    """
    The document holds ratios as numbers, unknown ones as null, and times as text.
    """
    control.set("browse", "33.333", reason="x")
    check_in(counts=[("browse", "old", 2), ("browse", "new", 1)])

    document = json.loads(json.dumps(control.status().document()))

    browse, cart, _ = document["flows"]
    assert (browse["dial_ratio"], browse["actual_ratio"], browse["requests"]) == (
        0.33333,
        0.33333,
        {"old": 2, "new": 1},
    )
    assert cart["actual_ratio"] is None
    assert document["instances"] == {"current": 1, "behind": 0, "regressed": 0, "lost": 0}
    assert document["progress"]["deadline"] == "2026-01-31T17:00:00.000000Z"
    assert document["durability"] == "accepted"
