"""
``memory:NAME``: an outbox in this process, gone with it; for tests. All that open the same name meet in it.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cutover.engines.memory.url import name_in
from cutover.engines.sqlite.outbox import SqliteOutbox
from cutover.errors import Unavailable
from cutover.forks import PerProcess

__all__ = ["opened"]


class _Place:
    """
    One database in memory; each process has its own.
    """

    def __init__(self) -> None:
        self.lock = PerProcess(threading.RLock)
        self.connection = PerProcess(
            lambda: sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False
            )  # one at a time: the lock
        )


_PLACES: Final[dict[str, _Place]] = {}


class _Database:
    """
    The way of one outbox to it.
    """

    def __init__(self, url: str) -> None:
        self.path = url
        self._place = _PLACES.setdefault(url, _Place())
        self._closed = False

    def exists(self) -> bool:
        """
        Always: there is nothing to make but tables.
        """
        return True

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """
        Write in one transaction.
        """
        if self._closed:
            raise Unavailable(f"{self.path} was closed")
        with self._place.lock.get():
            connection = self._place.connection.get()
            connection.execute("BEGIN")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    reading = writing

    def close(self) -> None:
        """
        Let go of it; what is in it stays.
        """
        self._closed = True


def opened(url: str) -> SqliteOutbox:
    """
    Give the outbox of a name.
    """
    return SqliteOutbox(url, _Database(f"memory:{name_in(url)}"))
