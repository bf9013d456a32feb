"""
A few connections to one PostgreSQL database, shared by the threads of a process: of homes, or of an outbox.
"""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cutover.engines.postgresql.session import Session
from cutover.engines.postgresql.url import Address
from cutover.errors import Unavailable
from cutover.forks import PerProcess

__all__ = ["Pool"]

CONNECTIONS: Final = 8
PATIENCE: Final = 5.0  # seconds until one is free


class Pool:
    """
    Sessions that one thread at a time uses. They connect when they are needed, and the last one used is taken first.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._closed = False
        self._sessions = PerProcess(lambda: _Sessions(address))

    @contextmanager
    def taken(self) -> Iterator[Session]:
        """
        Use one of them for a block.

        Raises:
            Unavailable: If all are busy for long, or the pool was closed.
        """
        if self._closed:
            raise Unavailable(f"{self.address.shown} was closed")
        free = self._sessions.get().free
        try:
            session = free.get(timeout=PATIENCE)
        except queue.Empty:
            raise Unavailable(f"{self.address.shown} is busy with what other threads asked for") from None
        try:
            yield session
        finally:
            free.put(session)

    def close(self) -> None:
        """
        Let go of all connections, and end what waits for them; may be called twice, and from any thread.
        """
        self._closed = True
        for session in self._sessions.get().all:
            session.close()


class _Sessions:
    """
    Those of one process.
    """

    def __init__(self, address: Address) -> None:
        self.all = [Session(address) for _ in range(CONNECTIONS)]
        self.free: queue.LifoQueue[Session] = queue.LifoQueue()
        for session in self.all:
            self.free.put(session)
