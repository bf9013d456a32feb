"""
Waiting until every router process runs a change.
"""

import threading

import pytest

from cutover.core.checkin import CheckIn
from cutover.core.names import Asked, NameKind
from cutover.core.snapshot import Head


@pytest.fixture
def check_in(store, clock):
    """
    Make a router process check in that runs a head.
    """
    sequences = iter(range(1, 1000))

    def make(pid, head, **fields):
        report = CheckIn(
            instance=f"{pid:032d}",
            sequence=next(sequences),
            at=clock.now,
            host="h",
            pid=pid,
            started=clock.now,
            library="1",
            head=head,
            **fields,
        )
        store.check_in("shop", report, now=clock.now)

    return make


def test_it_names_who_runs_the_change(control, check_in, clock):
    """
    Instances are current, behind, regressed or lost; a later version of the chain is current too.
    """
    check_in(4, control.snapshot().head)
    clock.forward(minutes=1)
    first = control.snapshot().head
    change = control.set("pay", 5, reason="x")
    check_in(1, control.snapshot().head, name="web")
    control.set("pay", 6, reason="x")
    check_in(2, control.snapshot().head)
    check_in(3, first)
    check_in(5, Head(1, 9, "9" * 64))

    found = control.wait(change, timeout=0)

    assert found.current == ("h/2", "web h/1")
    assert (found.behind, found.regressed, found.lost) == (("h/3",), ("h/5",), ("h/4",))
    assert not found.is_settled


def test_lost_instances_do_not_block_but_count(control, check_in, clock):
    """
    Nobody waits for a lost instance, and the change is not confirmed by all.
    """
    check_in(1, control.snapshot().head)
    clock.forward(minutes=1)
    change = control.set("pay", 5, reason="x")

    found = control.wait(change, timeout=60)

    assert found.is_settled
    assert not found.is_complete


def test_it_returns_as_soon_as_all_run_it(control, check_in):
    """
    The wait ends when the last instance has checked in with the change.
    """
    check_in(1, control.snapshot().head)
    change = control.set("pay", 5, reason="x")
    head = control.snapshot().head
    thread = threading.Timer(0.05, lambda: check_in(1, head))
    thread.start()

    found = control.wait(change, timeout=60)

    thread.join()
    assert found.is_complete
    lists = {"current": ["h/1"], "behind": [], "regressed": [], "lost": [], "unknown": []}
    assert found.document() == {"complete": True, **lists}


def test_an_unknown_name_that_shows_up_while_waiting(control, check_in):
    """
    A raise is not complete where a process asks for a name that the definition lacks, unless that was agreed to.
    """
    check_in(1, control.snapshot().head)
    change = control.set("purchase", 5, reason="x")
    head = control.snapshot().head
    late = (Asked(NameKind.FLOW, "pya", 0), Asked(NameKind.FLOW, "cart", 3), Asked(NameKind.COHORT, "vip", 1))
    thread = threading.Timer(0.05, lambda: check_in(1, head, asked=late))
    thread.start()

    found = control.wait(change, timeout=60)

    thread.join()
    assert found.is_settled
    assert not found.is_complete
    assert [(one.name, one.closest) for one in found.splitting] == [("pya", "pay")]
    assert [one["name"] for one in found.document()["unknown"]] == ["pya", "vip"]
    assert control.wait(change, confirmed=True).is_complete


@pytest.mark.parametrize("verb", ["set", "rollback", "freeze", "work"])
def test_an_unknown_name_does_not_matter_to_what_raises_nothing(control, check_in, verb):
    """
    What takes users back to OLD, or moves nobody, is complete whatever names a process asks for.
    """
    control.set("purchase", 5, reason="x")
    change = {
        "set": lambda: control.set("purchase", 0, reason="x"),
        "rollback": lambda: control.rollback("pay", reason="x"),
        "freeze": lambda: control.freeze(reason="x"),
        "work": lambda: control.work("texts", 5, reason="x"),
    }[verb]()
    check_in(1, control.snapshot().head, asked=(Asked(NameKind.FLOW, "pya", 9),))

    found = control.wait(change, timeout=0)
    assert found.is_complete
    assert [one.name for one in found.unknown] == ["pya"]


def test_without_instances_there_is_nobody_to_wait_for(control):
    """
    A migration that no process runs yet is complete at once.
    """
    assert control.wait(control.history()[-1], timeout=60).is_complete
