"""
What is asked before a change.
"""

import attrs
import pytest

from cutover.core.checkin import CheckIn, Counted, Kind
from cutover.core.defined import Flow
from cutover.core.names import Asked, NameKind
from cutover.errors import Conflict, Refused, Unavailable
from cutover.operations import intents
from cutover.operations.control import Control

RAISES = {
    "dial that another flow holds down": lambda c, **k: c.set("pay", 20, reason="lower it", **k),
    "journey": lambda c, **k: c.set("purchase", 20, reason="lower it", **k),
    "cohort": lambda c, **k: c.set("purchase", 20, cohort="staff", reason="staff", **k),
    "override": lambda c, **k: c.override("cart", "user-7", "new", reason="vip", **k),
}


@pytest.fixture
def other(store, clock):
    """
    Another operator of the same migration.
    """
    return Control(store, actor="budi", now=clock)


@pytest.mark.parametrize("name", RAISES)
@pytest.mark.parametrize("target", ["pay", "purchase", None])
def test_a_raise_after_a_rollback_by_another_is_confirmed(control, other, name, target):
    """
    Within an hour of somebody else's rollback of the flow, of one that goes with it or of everything, a raise is
    refused with who rolled back, when and why, unless it is confirmed.
    """
    control.set("purchase", 80, reason="x")
    control.rollback(target, reason="payments fail")
    before = control.snapshot().version

    with pytest.raises(Refused) as caught:
        RAISES[name](other)

    (line,) = caught.value.details
    what = target or "everything"
    assert line == f"change {before}: rina rolled back {what} 0 s ago, at 19:00:00: payments fail"
    assert control.snapshot().version == before
    assert RAISES[name](other, confirm=True).version == before + 1


def test_one_may_raise_what_one_rolled_back(control):
    """
    The one who rolled back is not asked.
    """
    control.set("purchase", 80, reason="x")
    control.rollback("pay", reason="x")

    assert control.set("purchase", 20, reason="x").version == 4


def test_a_rollback_of_another_flow_is_not_asked_about(control, other):
    """
    A rollback of a flow that goes together with none of the raised ones asks nothing.
    """
    control.set("browse", 80, reason="x")
    control.rollback("browse", reason="x")

    assert other.set("purchase", 20, reason="x").version == 4


def test_an_hour_later_nothing_is_asked(control, other, clock):
    """
    A rollback that is more than an hour old asks nothing; one of an hour ago does.
    """
    control.set("purchase", 80, reason="x")
    control.rollback("pay", reason="x")
    clock.forward(hours=1)
    with pytest.raises(Refused, match="within an hour"):
        other.set("purchase", 20, reason="x")
    clock.forward(seconds=1)

    assert other.set("purchase", 20, reason="x").version == 4


def test_the_rollback_is_found_below_many_later_changes(control, other):
    """
    Changes since the rollback do not hide it, however many there are.
    """
    control.set("purchase", 80, reason="x")
    control.rollback("pay", reason="payments fail")
    for percent in range(1, 100):
        control.set("browse", percent, reason="x")

    with pytest.raises(Refused) as caught:
        other.set("purchase", 20, reason="x")

    assert "change 3: rina rolled back pay" in caught.value.details[0]


def test_whoever_expects_the_rollback_knows_of_it(control, other):
    """
    With the rollback or a later change as the expected one nothing is asked; an earlier one is a conflict.
    """
    control.set("purchase", 80, reason="x")
    control.rollback("pay", reason="x")

    with pytest.raises(Conflict):
        other.set("purchase", 20, reason="x", expect=2)
    assert other.set("purchase", 20, reason="x", expect=3).version == 4
    assert other.set("pay", 30, reason="x", expect=4).version == 5


@pytest.mark.parametrize(
    "act",
    [
        lambda c: c.rollback("pay", reason="x"),
        lambda c: c.set("pay", 10, reason="x"),
        lambda c: c.set("pay", 10, evict=True, reason="x"),
        lambda c: c.override("pay", "user-7", "old", reason="x"),
        lambda c: c.freeze(reason="x"),
    ],
    ids=["rollback", "set", "evict", "override", "freeze"],
)
def test_an_emergency_reads_nothing_to_ask(store, control, other, monkeypatch, act):
    """
    What brings no key to NEW is written also where neither the ledger nor the processes can be read.
    """

    def away(*_, **__):
        raise Unavailable("nobody may ask")

    control.set("purchase", 80, reason="x")
    control.set("browse", 5, reason="x")
    control.rollback("browse", reason="x")
    monkeypatch.setattr(store, "history", away)
    monkeypatch.setattr(store, "fleet", away)

    assert act(other).version == 5


def test_a_question_is_computed_on_the_state_that_is_written(control, other):
    """
    A rollback that comes in between the answer and the change makes it a conflict: nobody agreed to that.
    """
    control.set("purchase", 80, reason="x")
    control.rollback("purchase", reason="first")

    def agree(asked):
        assert len(asked) == 1
        control.rollback("purchase", reason="second")

    with pytest.raises(Conflict):
        other.carry_out(intents.set_dial("purchase", 20), reason="x", confirm=agree)
    assert control.history()[-1].reason == "second"


def test_a_dry_run_raises_the_question_too(control, other):
    """
    A dry run is refused where the verb would be, with the same details.
    """
    control.set("purchase", 80, reason="x")
    control.rollback("pay", reason="x")

    with pytest.raises(Refused, match="within an hour"):
        other.preview.set("purchase", 20)
    assert other.preview.set("purchase", 20, confirm=True).moves


def test_all_open_questions_are_put_at_once(control, other, definition):
    """
    A definition that moves users to NEW after a rollback is asked about for both reasons.
    """
    control.set("browse", 80, reason="x")
    control.set("browse", 0, cohort="staff", reason="x")
    control.rollback("browse", reason="errors")
    control.set("browse", 50, reason="x")

    with pytest.raises(Refused) as caught:
        other.apply(attrs.evolve(definition, cohorts={}))

    assert len(caught.value.details) == 2


@pytest.fixture
def check_in(store, clock):
    """
    Make a router process check in that asks for these flows and journeys.
    """
    sequences = iter(range(1, 1000))

    def make(*flows, journeys=(), **fields):
        asked = (*(Asked(NameKind.FLOW, f, 3) for f in flows), *(Asked(NameKind.JOURNEY, j, 3) for j in journeys))
        report = CheckIn(
            instance="1" * 32,
            sequence=next(sequences),
            host="web-1",
            pid=17,
            started=clock.now,
            **{"at": clock.now, "library": "1", "asked": asked, **fields},
        )
        store.check_in("shop", report, now=clock.now)

    return make


def without(definition, *flows):
    """
    Give a definition without some flows.
    """
    kept = {name: flow for name, flow in definition.flows.items() if name not in flows}
    journeys = {
        name: attrs.evolve(journey, flows=tuple(flow for flow in journey.flows if flow in kept))
        for name, journey in definition.journeys.items()
    }
    return attrs.evolve(definition, flows=kept, journeys=journeys)


def renamed(definition, old, new, *, was=True):
    """
    Give a definition with another name for a flow.
    """
    names = {old: new}
    flows = {names.get(name, name): flow for name, flow in definition.flows.items()}
    flows = {n: attrs.evolve(f, name=n, was=(old,) if was and n == new else f.was) for n, f in flows.items()}
    journeys = {
        name: attrs.evolve(journey, flows=tuple(names.get(flow, flow) for flow in journey.flows))
        for name, journey in definition.journeys.items()
    }
    return attrs.evolve(definition, flows=flows, journeys=journeys)


@pytest.mark.parametrize("name", RAISES)
def test_a_raise_while_a_process_asks_for_an_unknown_name(control, check_in, name):
    """
    Whatever raises a dial or brings a key to NEW is refused with the name, the process and the closest known name.
    """
    check_in("cart", "payy", journeys=("buy",))

    with pytest.raises(Refused) as caught:
        RAISES[name](control)

    assert list(caught.value.details) == [
        "web-1/17 asks for the flow payy, which the definition lacks; the closest known name is pay",
        "web-1/17 asks for the journey buy, which the definition lacks",
    ]
    assert RAISES[name](control, confirm=True).version == 2


def test_a_dial_that_is_held_is_raised_too(control, check_in):
    """
    To raise a dial that another flow holds down moves nobody yet, and is asked about all the same.
    """
    check_in("payy")

    with pytest.raises(Refused, match="names that the definition lacks"):
        control.set("cart", 50, reason="x")


@pytest.mark.parametrize("way", ["lower", "work", "lost", "closed", "known", "cohort", "apply"])
def test_what_is_not_asked_about(control, check_in, clock, definition, way):
    """
    Nothing is asked where no dial goes up, no live process asks, or all it asks for is known to the store.
    """
    control.set("purchase", 10, reason="x")
    if way == "known":  # also to a process that has read nothing yet, or runs an older definition
        check_in("cart", "pay", "browse", journeys=("purchase",), head=None)
    elif way == "cohort":
        check_in("cart", asked=(Asked(NameKind.COHORT, "vip", 5),))
    else:
        check_in("payy", closing=way == "closed")
    if way == "lost":
        clock.forward(minutes=1)

    if way == "work":
        control.work("texts", 5, reason="x")
    elif way == "apply":
        control.apply(attrs.evolve(definition, title="Another"))
    else:
        control.set("purchase", 5 if way == "lower" else 20, reason="x")
    assert control.snapshot().version == 3


@pytest.mark.parametrize("percent", [0, 100])
@pytest.mark.parametrize("flow", ["pay", "browse"])
def test_a_flow_that_is_removed_while_a_process_asks_for_it(control, check_in, definition, flow, percent):
    """
    To remove a flow, or to rename it without `was`, is asked about at whatever percentage; with `was` it is not.
    """
    control.set("browse", percent, reason="x")
    control.set("purchase", percent, reason="x")
    check_in(flow)
    for other in (without(definition, flow), renamed(definition, flow, "another", was=False)):
        with pytest.raises(Refused) as caught:
            control.apply(other)
        assert any(line.startswith(f"web-1/17 asks for the flow {flow}, which") for line in caught.value.details)

    assert control.apply(renamed(definition, flow, "another")).verb == "apply"
    assert control.snapshot().dials["another"] == percent * 1000
    assert control.verify().ok


def test_a_flow_that_nobody_asks_for_is_removed(control, check_in, definition):
    """
    At 0%, a flow is removed without a question where no live process asks for it.
    """
    check_in("cart", "pay")

    assert control.apply(without(definition, "browse")).version == 2


def test_a_former_name_that_is_taken_away(control, check_in, definition):
    """
    To take a former name out of the file is asked about while a process asks for it, and so is to give it to another.
    """
    control.apply(renamed(definition, "pay", "settle"))
    check_in("pay")
    plain = renamed(definition, "pay", "settle", was=False)
    again = attrs.evolve(plain, flows={**plain.flows, "pay": Flow(name="pay")})

    for other, detail in (
        (plain, "web-1/17 asks for the flow pay, which is no longer a former name of settle"),
        (again, "web-1/17 asks for the flow pay, which was settle and would be pay"),
    ):
        with pytest.raises(Refused) as caught:
            control.apply(other)
        assert caught.value.details == (detail,)


def test_an_older_library_does_not_know_former_names(control, check_in, definition):
    """
    A rename is asked about while a process of an older library asks for the name: it would route it to OLD.
    """
    check_in(asked=None, since_version={Counted(Kind.REQUESTS, "pay", "old", "percent"): 1})

    with pytest.raises(Refused) as caught:
        control.apply(renamed(definition, "pay", "settle"))
    assert caught.value.details == (
        "web-1/17 asks for the flow pay; this older library does not know the former name of settle",
    )


def test_a_journey_that_is_removed(control, check_in, definition):
    """
    To remove or rename a journey that a live process enters is asked about.
    """
    check_in(journeys=("purchase",))

    with pytest.raises(Refused) as caught:
        control.apply(attrs.evolve(definition, journeys={}))
    assert caught.value.details == ("web-1/17 asks for the journey purchase, which the definition lacks",)


def test_a_flow_that_takes_a_running_journey_down(control, definition):
    """
    A flow that joins a journey below its dial is asked about, with what drops, why, and the order that is safe.
    """
    control.set("purchase", 100, reason="x")
    journey = definition.journeys["purchase"]
    flows = {**definition.flows, "refund": Flow(name="refund")}
    joined = attrs.evolve(
        definition, flows=flows, journeys={"purchase": attrs.evolve(journey, flows=(*journey.flows, "refund"))}
    )
    with pytest.raises(Refused) as caught:
        control.apply(joined)

    assert "Journey purchase drops from 100% to 0% (cart, pay), because refund joins it at 0%" in str(caught.value)
    assert caught.value.details[0] == (
        "safe order: apply it without refund in purchase, then `cutover set refund 100`, then apply this definition"
    )
    notes = control.preview.apply(joined, confirm=True).notes
    assert any(note.startswith("journey purchase drops from 100% to 0%") for note in notes)

    control.apply(attrs.evolve(definition, flows=flows))
    control.set("refund", 100, reason="safe order")
    control.apply(joined)
    assert control.snapshot().effective_parts("cart") == 100_000
