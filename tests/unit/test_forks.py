"""
What stores need to survive a fork.
"""

import threading

from cutover.forks import Gate, PerProcess
from cutover.testing.fork_contract import in_child
from cutover.testing.store_helpers import PATIENCE, in_thread


def test_per_process():
    """
    A thing is made once in a process, and anew in a child.
    """
    things = PerProcess(object)
    made = things.get()

    def use():
        assert things.get() is not made
        assert things.get() is things.get()

    assert in_child(use)
    assert things.get() is made


def test_one_at_a_time():
    """
    The gate lets one thread in, and the next one after it has left.
    """
    gate = Gate()
    entered = []

    def enter(timeout):
        entered.append(gate.acquire(timeout))
        if entered[-1]:
            gate.release()

    with gate.held():
        in_thread(lambda: enter(0.01)).join(PATIENCE)
    in_thread(lambda: enter(PATIENCE)).join(PATIENCE)

    assert entered == [False, True]


def test_a_fork_waits(monkeypatch):
    """
    A fork happens when nobody is inside, and leaves the gate open on both sides.
    """
    monkeypatch.setattr("cutover.forks.FORK_PATIENCE", PATIENCE)
    gate = Gate()
    entered, inside = threading.Event(), []

    def work():
        with gate.held():
            inside.append(True)
            entered.set()
            threading.Event().wait(0.1)
            inside.clear()

    thread = in_thread(work)
    assert entered.wait(PATIENCE)

    def use():
        assert inside == []
        with gate.held():
            pass

    assert in_child(use)
    thread.join(PATIENCE)
    assert gate.acquire(0)
    gate.release()


def test_a_hung_gate_does_not_hang_the_fork(monkeypatch):
    """
    Where nobody leaves, the fork goes on after a while, and the child has a gate of its own.
    """
    monkeypatch.setattr("cutover.forks.FORK_PATIENCE", 0.01)
    gate = Gate()

    def use():
        with gate.held():
            pass

    with gate.held():
        assert in_child(use)
