"""
Threads for work that nobody waits for: few, started when needed, and gone when idle.
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

__all__ = ["ShadowThreads"]

IDLE: Final = 5.0  # seconds after which a thread without work ends

Work = Callable[[], None]


class ShadowThreads:
    """
    Up to so many daemon threads, which do not keep a process from ending; what finds none free is not taken.

    Not `concurrent.futures`, whose threads are joined at exit: one shadow that hangs would hang the process.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._lock = threading.RLock()  # a signal's handler may begin work inside of `begin`
        self._waiting: SimpleQueue[Work] = SimpleQueue()
        self._under_way = 0
        self._alive = 0

    def begin(self, work: Work) -> bool:
        """
        Have work done, unless as much is under way as there may be threads.
        """
        with self._lock:
            if self._under_way >= self._limit:
                return False
            if self._alive <= self._under_way and not self._start():
                return False
            self._under_way += 1
        self._waiting.put(work)
        return True

    def is_full(self) -> bool:
        """
        Tell whether as much is under way as there may be threads.
        """
        return self._under_way >= self._limit

    def _start(self) -> bool:
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter is ending
            return False
        self._alive += 1
        return True

    def _run(self) -> None:
        while True:
            try:
                work = self._waiting.get(timeout=IDLE)
            except Empty:
                with self._lock:
                    if self._waiting.empty() and self._alive > self._under_way:
                        self._alive -= 1
                        return
                continue
            survives = False
            try:
                work()
                survives = True
            finally:
                del work
                with self._lock:
                    self._under_way -= 1
                    self._alive -= not survives
