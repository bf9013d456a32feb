"""
Waiting until every router process runs a change.
"""

import threading

import pytest

from cutover.core.checkin import CheckIn
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
    assert found.document() == {"complete": True, "current": ["h/1"], "behind": [], "regressed": [], "lost": []}


def test_without_instances_there_is_nobody_to_wait_for(control):
    """
    A migration that no process runs yet is complete at once.
    """
    assert control.wait(control.history()[-1], timeout=60).is_complete
