"""
What every store is held to when a process forks.
"""

import os
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Final

from cutover.core.snapshot import Head
from cutover.errors import Conflict
from cutover.ports.store import Store
from cutover.testing.store_helpers import MIGRATION, PATIENCE, Place, in_thread, until, write

__all__ = ["ForkContract"]

FORKS: Final = 20


class ForkContract:
    """
    Forks: at rest, and while other threads are in the middle of something.
    """

    def test_after_a_fork(self, opened: Place) -> None:
        """
        A child reads and writes through a store that was opened and used before the fork, and so does the parent.
        """
        store = opened()
        head = write(store)

        assert in_child(lambda: write_after(store, head))

        shared = not store.url.startswith("memory:")  # what is in memory is the child's own
        head = write(store, last(store))
        assert (3 if shared else 2) == head.version

    def test_closed_in_the_child(self, opened: Place) -> None:
        """
        A child that closes an inherited store leaves the parent's alone.
        """
        store = opened()
        head = write(store)

        assert in_child(store.close)

        write(store, head)

    def test_a_closed_store_stays_closed(self, opened: Place) -> None:
        """
        A store that was closed before the fork is closed in the child.
        """
        store = opened()
        write(store)
        store.close()

        assert in_child(lambda: store.wait(MIGRATION, seen=None, timeout=10 * PATIENCE))

    def test_fork_in_the_middle(self, opened: Place) -> None:
        """
        A child can read, write and wait whatever the other threads of the parent were doing at the fork.
        """
        store = opened()
        write(store)
        done = threading.Event()
        busy = [
            in_thread(lambda: repeat(done, lambda: store.read(MIGRATION))),
            in_thread(lambda: repeat(done, lambda: write(store, last(store)))),
            in_thread(lambda: repeat(done, lambda: store.wait(MIGRATION, seen=last(store), timeout=1))),
        ]

        outcomes = [in_child(lambda: use(store)) for _ in range(FORKS)]

        done.set()
        for thread in busy:
            thread.join(PATIENCE)
        assert outcomes == [True] * FORKS


def last(store: Store) -> Head:
    """
    Give the head.
    """
    reading = store.read(MIGRATION)
    assert reading is not None
    return reading.head


def write_after(store: Store, head: Head) -> None:
    """
    Read, write and read again.
    """
    assert last(store) == head
    head = write(store, head, branch="child")
    assert last(store) == head


def use(store: Store) -> None:
    """
    Write one change after whatever is there, and wait for it.
    """

    def once() -> bool:
        head = last(store)
        return last(store) != head or write(store, head, branch=str(os.getpid())) is not None

    before = last(store)
    assert until(lambda: attempted(once))
    store.wait(MIGRATION, seen=before, timeout=PATIENCE)
    assert last(store).version > before.version


def attempted(once: Callable[[], bool]) -> bool:
    """
    Try, where another writer may be faster.
    """
    try:
        return once()
    except Conflict:
        return False


def repeat(done: threading.Event, work: Callable[[], object]) -> None:
    """
    Do something over and over.
    """
    while not done.is_set():
        attempted(lambda: work() is None)


def in_child(work: Callable[[], object]) -> bool:
    """
    Do something in a forked child, and tell whether it went well.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of what is tested here
        pid = os.fork()
    if pid:
        return reaped(pid)
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - nothing may leave the child
        traceback.print_exc()
    finally:
        os._exit(code)


def reaped(pid: int) -> bool:
    """
    Wait for a child's end, and tell whether it was a good one.
    """
    ended: list[int] = []

    def look() -> bool:
        found, status = os.waitpid(pid, os.WNOHANG)
        ended.extend([status] if found else [])
        return bool(found)

    if not until(look, 3 * PATIENCE):
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return ended == [0]
