"""
Waking those who wait, on the event loop: a thousand clients wait without a thread.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from starlette.types import Receive

__all__ = ["EVERYTHING", "Hub", "disconnected"]

EVERYTHING: Final = "*"  # no migration has this name


class Hub:
    """
    Who waits for what.

    Attributes:
        closing: The server ends; nobody waits any more.
    """

    def __init__(self) -> None:
        self.closing: bool = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, set[asyncio.Future[bool]]] = {}

    @property
    def waiting(self) -> int:
        """
        Count those who wait.
        """
        return sum(map(len, self._waiting.values()))

    def open(self) -> None:
        """
        Begin, on the running loop.
        """
        self._loop = asyncio.get_running_loop()

    def changed(self, migration: str) -> None:
        """
        Wake those who wait for one migration; from any thread.
        """
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                self._loop.call_soon_threadsafe(self._wake, migration)

    def close(self) -> None:
        """
        Wake everybody, and let nobody wait from now on; on the loop.
        """
        self.closing = True
        for migration in tuple(self._waiting):
            self._wake(migration)

    async def wait(self, migration: str, seconds: float, gone: "asyncio.Future[None] | None" = None) -> bool:
        """
        Wait for something new, at most so many seconds, and no longer than the client does.

        Args:
            gone: Done when the client is gone.

        Returns:
            Whether there may be something new.
        """
        if self.closing or seconds <= 0:
            return True
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[bool] = loop.create_future()
        self._waiting.setdefault(migration, set()).add(woken)

        def end(_: object = None) -> None:
            if not woken.done():
                woken.set_result(False)

        timer = loop.call_later(seconds, end)
        if gone is not None:
            gone.add_done_callback(end)
        try:
            return await woken
        finally:
            timer.cancel()
            if gone is not None:
                gone.remove_done_callback(end)
            self._forget(migration, woken)

    def _wake(self, migration: str) -> None:
        for name in {migration, EVERYTHING}:
            for woken in self._waiting.get(name, ()):
                if not woken.done():
                    woken.set_result(True)

    def _forget(self, migration: str, woken: "asyncio.Future[bool]") -> None:
        waiting = self._waiting[migration]
        waiting.discard(woken)
        if not waiting:
            del self._waiting[migration]


async def disconnected(receive: Receive) -> None:
    """
    Return when the client is gone.
    """
    message: Any = {}
    while message.get("type") != "http.disconnect":
        message = await receive()
