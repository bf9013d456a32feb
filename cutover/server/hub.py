"""
Waking those who wait, on the event loop: a thousand clients wait without a thread.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from starlette.types import Receive

__all__ = ["EVERYTHING", "Hub"]

EVERYTHING: Final = "*"  # no migration has this name


class Hub:
    """
    Who waits for what.

    Attributes:
        closing: The server ends; nobody waits any more.
    """

    def __init__(self) -> None:
        self.closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

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

    async def wait(self, migration: str, seconds: float, receive: Receive) -> bool:
        """
        Wait for something new, at most so many seconds, and no longer than the client does.

        Returns:
            Whether the client is still there.
        """
        if self.closing or seconds <= 0:
            return True
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        gone = loop.create_task(_disconnected(receive))
        self._waiting.setdefault(migration, set()).add(woken)
        try:
            await asyncio.wait((woken, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return not gone.done()
        finally:
            gone.cancel()
            self._forget(migration, woken)

    def _wake(self, migration: str) -> None:
        for name in {migration, EVERYTHING}:
            for woken in self._waiting.get(name, ()):
                if not woken.done():
                    woken.set_result(None)

    def _forget(self, migration: str, woken: "asyncio.Future[None]") -> None:
        waiting = self._waiting[migration]
        waiting.discard(woken)
        if not waiting:
            del self._waiting[migration]


async def _disconnected(receive: Receive) -> None:
    message: Any = {}
    while message.get("type") != "http.disconnect":
        message = await receive()
