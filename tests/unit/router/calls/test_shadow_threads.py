"""
Threads for work that nobody waits for.
"""

import threading

import pytest

from cutover.router.calls import shadow_threads
from cutover.router.calls.shadow_threads import ShadowThreads
from cutover.testing.store_helpers import until


def _alive(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def test_work_is_done_by_another_thread():
    """
    Work is done by a daemon thread of that name, and a second piece by the same one.
    """
    threads, seen = ShadowThreads(4, "shadow-a"), []

    for number in (1, 2):
        assert threads.begin(lambda: seen.append(threading.current_thread()))
        assert until(lambda number=number: len(seen) == number and not threads._under_way)

    assert seen[0] is seen[1]
    assert (seen[0].name, seen[0].daemon) == ("shadow-a", True)


def test_no_more_than_the_limit():
    """
    What finds as much under way as there may be threads is not taken; when a place is free, the next is.
    """
    threads, held, done = ShadowThreads(2, "shadow-b"), threading.Event(), []

    assert [threads.begin(held.wait) for _ in range(4)] == [True, True, False, False]
    assert _alive("shadow-b") == 2
    held.set()
    assert until(lambda: threads.begin(lambda: done.append(1)))
    assert until(lambda: done)

    assert _alive("shadow-b") <= 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_work_that_raises_costs_no_place(error):
    """
    A thread that its work ended is replaced: afterwards as much work is taken as before.
    """
    threads, done = ShadowThreads(1, "shadow-c"), []

    def fail():
        raise error

    for _ in range(3):
        assert until(lambda: threads.begin(fail))
    assert until(lambda: threads.begin(lambda: done.append(1)))

    assert until(lambda: done)


def test_idle_threads_end(monkeypatch):
    """
    A thread that has had nothing to do for a while ends, and the next work gets a new one.
    """
    monkeypatch.setattr(shadow_threads, "IDLE", 0.01)
    threads, done = ShadowThreads(3, "shadow-d"), []

    for number in (1, 2, 3):
        assert threads.begin(lambda: done.append(1))
        assert until(lambda number=number: len(done) == number and not _alive("shadow-d"))

    assert threads._alive == 0


def test_no_work_is_lost_when_threads_end(monkeypatch):
    """
    Work that comes while threads end for want of it is done all the same.
    """
    monkeypatch.setattr(shadow_threads, "IDLE", 0.0001)
    threads, done = ShadowThreads(2, "shadow-e"), []

    for number in range(1, 500):
        assert until(lambda: threads.begin(lambda: done.append(1)))
        if not number % 7:
            assert until(lambda number=number: len(done) == number)

    assert until(lambda: len(done) == 499)


def test_without_threads_work_is_not_taken(monkeypatch):
    """
    Where the machine gives no more threads, work is not taken, and the caller is spared.
    """
    threads = ShadowThreads(2, "shadow-f")

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert threads.begin(lambda: None) is False
    done = []
    assert threads.begin(lambda: done.append(1))
    assert until(lambda: done)
