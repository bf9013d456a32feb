"""
What stores and routers need to survive a fork: things that each process makes for itself, and a gate that holds it up.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

__all__ = ["LOADING", "Gate", "PerProcess"]

T = TypeVar("T")

FORK_PATIENCE: Final = 2.0  # seconds that a fork waits; a disk that hangs must not hang the fork too


class PerProcess(Generic[T]):
    """
    Something that each process makes for itself on first use. Closing counts as a use: a thread that is about to use it
    for the first time then finds it closed.

    What was made before a fork is never touched in the child, and stays referenced there so that it is not finalised
    either. The process id is compared, because some servers fork without calling Python's hooks.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}

    def get(self) -> T:
        """
        Give this process's own; made where there is none yet.
        """
        pid = os.getpid()
        made = self._made.get(pid)
        return self._made.setdefault(pid, self._make()) if made is None else made


class Gate:
    """
    A lock of the process that a fork waits for; the thread that holds it may enter again.

    A library that keeps its locks per process (SQLite keeps them per inode) would pass them on to a child that does not
    hold them: it would then read without a lock and never be able to write. A library with an ordinary lock, held by a
    thread that the child does not have, would leave it locked there for ever.
    """

    def __init__(self) -> None:
        self._locks = PerProcess(threading.RLock)
        self._held_for_fork = False
        os.register_at_fork(before=self._before_fork, after_in_parent=self._after_fork)

    def acquire(self, timeout: float = -1) -> bool:
        """
        Enter; False where that took longer than *timeout* seconds.
        """
        return self._locks.get().acquire(timeout=timeout)

    def release(self) -> None:
        """
        Leave.
        """
        self._locks.get().release()

    @contextmanager
    def held(self) -> Iterator[None]:
        """
        Stay inside for a block.
        """
        lock = self._locks.get()
        with lock:
            yield

    def _before_fork(self) -> None:
        self._held_for_fork = self.acquire(FORK_PATIENCE)

    def _after_fork(self) -> None:
        if self._held_for_fork:
            self.release()


# The lock of a module that is being loaded would stay locked in a child: for whatever a thread of ours does that may
# load one, as reading a definition loads time zones.
LOADING: Final = Gate()
