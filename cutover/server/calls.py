"""
Calls that block, on threads that hold up nothing: neither the event loop nor the end of the process.

An executor's threads are waited for when Python ends, also where a store hangs.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from cutover.errors import Unavailable

__all__ = ["Calls"]

T = TypeVar("T")

QUEUE: Final = 256  # calls that may wait for a thread


class Calls:
    """
    A few daemon threads, made when they are needed.
    """

    def __init__(self, name: str, *, threads: int) -> None:
        self._name = name
        self._most = threads
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]]] = queue.SimpleQueue()
        self._threads = 0
        self._open = 0

    async def call(self, work: Callable[[], T], *, patience: float) -> T:
        """
        Do something on a thread; used on the loop alone.

        Raises:
            TimeoutError: If it takes longer; it then goes on, and nobody hears of it.
            Unavailable: If too many wait already.
        """
        if self._open >= QUEUE + self._most:
            raise Unavailable("too many calls are waiting")
        if self._open >= self._threads < self._most:
            self._threads += 1
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._open += 1
        answer.add_done_callback(self._done)
        self._work.put((work, answer))
        # shielded: a call that is late still takes its thread, and counts until it ends
        return await asyncio.wait_for(asyncio.shield(answer), patience)

    def _done(self, answer: "asyncio.Future[Any]") -> None:
        self._open -= 1
        if not answer.cancelled():
            answer.exception()  # heard of, also where nobody waits any more

    def _run(self) -> None:
        while True:
            work, answer = self._work.get()
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - it is raised where the call was made
                _tell(answer, answer.set_exception, error)
            else:
                _tell(answer, answer.set_result, result)


def _tell(answer: "asyncio.Future[Any]", tell: Callable[[Any], None], outcome: Any) -> None:
    with suppress(RuntimeError):  # the loop has ended, and nobody waits
        answer.get_loop().call_soon_threadsafe(tell, outcome)
