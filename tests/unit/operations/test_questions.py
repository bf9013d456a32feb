"""
What is asked before a change.
"""

import attrs
import pytest

from cutover.errors import Conflict, Refused, Unavailable
from cutover.operations import intents
from cutover.operations.control import Control

RAISES = {
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
