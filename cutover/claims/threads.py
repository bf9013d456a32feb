"""
A few threads for async code: what they wait for holds up no event loop, and never takes the threads of others.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from cutover.errors import Unavailable
from cutover.forks import PerProcess

__all__ = ["Threads"]

T = TypeVar("T")

WORKERS: Final = 8
PATIENCE: Final = 5.0  # seconds until a call's turn comes


class Threads:
    """
    Runs calls in threads of each process's own, which start when they are needed.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._pool = PerProcess(lambda: ThreadPoolExecutor(WORKERS, thread_name_prefix="cutover-homes"))
        self._closed = False

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """
        Await a call. Cancelled before its turn it is not made; afterwards it goes on to its end, unheard.

        Raises:
            Unavailable: If its turn did not come in time, or all was closed; the call was not made.
        """
        self._check_open()
        deadline = time.monotonic() + PATIENCE

        def in_time() -> T:
            if time.monotonic() > deadline:
                raise Unavailable(f"{self._shown} is busy with what other tasks asked for")
            return work(*args)

        loop = asyncio.get_running_loop()
        try:
            called = loop.run_in_executor(self._pool.get(), in_time)
        except RuntimeError:  # shut down meanwhile, by another thread
            self._check_open()
            raise
        return await called

    def close(self) -> None:
        """
        Let the threads end when they have done what they were given.
        """
        self._closed = True
        self._pool.get().shutdown(wait=False)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"the homes in {self._shown} were closed")
