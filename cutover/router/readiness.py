"""
Waiting until a snapshot holds: in threads, and in event loops without a thread for each one that waits.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

__all__ = ["Readiness"]


class Readiness:
    """
    Is false at first, becomes true once, and stays true.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._wakers: dict[object, Callable[[], object]] = {}

    def is_set(self) -> bool:
        """
        Tell whether it is true.
        """
        return self._event.is_set()

    def set(self) -> None:
        """
        Make it true, and wake every thread and coroutine that waits.
        """
        with self._lock:
            self._event.set()
            wakers, self._wakers = self._wakers, {}
        for wake in wakers.values():
            with suppress(RuntimeError):  # its loop is closed
                wake()

    def wait(self, timeout: float | None) -> bool:
        """
        Wait in a thread, up to *timeout* seconds, and tell whether it is true.
        """
        return self._event.wait(timeout)

    async def wait_async(self, timeout: float | None) -> bool:  # noqa: ASYNC109 - as `wait`
        """
        Wait in a coroutine of any loop of asyncio, up to *timeout* seconds, and tell whether it is true.
        """
        import asyncio  # noqa: PLC0415 - an application without coroutines does not load it

        woken = asyncio.Event()
        with self._lock:
            if self._event.is_set():
                return True
            self._wakers[woken] = partial(asyncio.get_running_loop().call_soon_threadsafe, woken.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await woken.wait()
        finally:
            with self._lock:
                self._wakers.pop(woken, None)
        return self._event.is_set()
