"""
Who listens for changes: a connection of its own on a thread of its own, and what it hears is a hint only.

A connection that is lost, frozen or behind a transaction pooler costs nothing but the hint: whoever waits polls too.
"""

import secrets
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

import psycopg

from cutover.chance import CHANCE
from cutover.engines.postgresql.errors import Interrupted, Late
from cutover.engines.postgresql.session import Connection, connected
from cutover.engines.postgresql.url import Address
from cutover.errors import StoreError

__all__ = ["Hint", "Mark"]

Mark = tuple[int, int]

ECHO_PATIENCE: Final = 2.0  # seconds until an echo counts as never coming
FIRST_PAUSE: Final = 0.1  # seconds until the next attempt to listen at the latest, doubled each time
LONGEST_PAUSE: Final = 10.0
DEAF_PAUSE: Final = 300.0  # where a pooler or a replica is in the way, which does not change often
IDLE: Final = 60.0  # seconds without anyone waiting, after which nobody listens
CLOSE_PATIENCE: Final = 0.5
ENDINGS: Final = (psycopg.Error, OSError, Late, Interrupted, StoreError)


class _Deaf(Exception):
    """
    An echo did not come: notifications do not reach this connection.
    """


class Hint:
    """
    What one process heard about changes. The thread begins with the first wait and ends when nobody waits any more.

    Attributes:
        is_live: Whether somebody listens.
        is_deaf: Whether it was found out that there is nothing to be heard.
    """

    def __init__(self, address: Address, announce: Callable[[str], object]) -> None:
        self.is_live: bool = False
        self.is_deaf: bool = False
        self._address = address
        self._announce = announce
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._heard: Counter[str] = Counter()
        self._subscribed = 0  # every subscription may have missed something before it
        self._wanted = 0.0
        self._thread: threading.Thread | None = None
        self._bell: socket.socket | None = None

    @property
    def is_closed(self) -> bool:
        """
        Tell whether it was closed.
        """
        return self._closing.is_set()

    def mark(self, migration: str) -> Mark:
        """
        Give a mark of all that was heard so far.
        """
        with self._changed:
            return self._mark(migration)

    def wait(self, migration: str, mark: Mark, seconds: float) -> bool:
        """
        Wait until something was heard since a mark; False where nothing was, or the hint was closed.
        """
        with self._changed:
            self._wanted = time.monotonic()
            if self._thread is None and self._address.notify and not self._closing.is_set():
                self._begin()
            self._changed.wait_for(lambda: self._closing.is_set() or mark != self._mark(migration), seconds)
            return mark != self._mark(migration) and not self._closing.is_set()

    def renew(self) -> None:
        """
        Listen anew: a change was found that was not heard of.
        """
        with self._changed:
            if self.is_live:
                self._ring()

    def close(self) -> None:
        """
        Wake all that wait, and let the thread end.
        """
        with self._changed:
            self._closing.set()
            self._ring()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(CLOSE_PATIENCE)

    def _mark(self, migration: str) -> Mark:
        return self._subscribed, self._heard[migration]

    def _begin(self) -> None:
        ear, self._bell = socket.socketpair()
        self._thread = threading.Thread(target=self._listen, args=(ear,), name="cutover-listen", daemon=True)
        self._thread.start()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.send(b"!")

    def _listen(self, ear: socket.socket) -> None:
        attempt = 0
        while not self._is_over():
            began = time.monotonic()
            try:
                self._subscription(ear)
            except (_Deaf, psycopg.errors.ReadOnlySqlTransaction):  # a replica notifies nobody
                self.is_deaf = True
                self._closing.wait(DEAF_PAUSE)
            except ENDINGS:
                attempt = 0 if time.monotonic() - began > LONGEST_PAUSE else attempt + 1
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 10))
                self._closing.wait(CHANCE.uniform(0, pause))  # not all at once
            finally:
                self._tell(is_live=False)
        ear.close()

    def _is_over(self) -> bool:
        """
        Tell whether nobody waits any more; then the next one that does begins a new thread.
        """
        with self._changed:
            if not self._closing.is_set() and time.monotonic() - self._wanted < IDLE:
                return False
            bell, self._bell, self._thread = self._bell, None, None
            if bell is not None:
                bell.close()
            return True

    def _subscription(self, ear: socket.socket) -> None:
        """
        Listen until the connection is lost, the bell rings or nobody waits any more.
        """
        with closing(connected(self._address, self._closing)) as connection, selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            self._check_hearing(connection, selector)
            connection.execute(f'LISTEN "{self._address.schema}"'.encode())
            selector.register(ear, selectors.EVENT_READ)
            self._tell(is_live=True)
            while time.monotonic() - self._wanted < IDLE:
                if any(key.fileobj is ear for key, _ in selector.select(IDLE)):
                    ear.recv(64)
                    return
                for _, payload in _notifications(connection):
                    self._take(payload)

    def _check_hearing(self, connection: Connection, selector: selectors.BaseSelector) -> None:
        """
        Find out whether notifications reach this connection, unless it leads straight to the server.

        The echo is asked for on another connection: a transaction pooler does pass on what a transaction tells itself.
        """
        ((pid,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
        if pid == connection.pgconn.backend_pid:
            return
        channel = f"cutover_echo_{secrets.token_hex(8)}"
        connection.execute(f"LISTEN {channel}".encode())
        self._announce(channel)
        deadline = time.monotonic() + ECHO_PATIENCE
        while (left := deadline - time.monotonic()) > 0 and not self._closing.is_set():
            selector.select(left)
            if any(name == channel for name, _ in _notifications(connection)):
                return
        raise _Deaf

    def _tell(self, *, is_live: bool) -> None:
        with self._changed:
            self._subscribed += is_live or self.is_live  # what was missed meanwhile is not known
            self.is_live = is_live
            self.is_deaf = self.is_deaf and not is_live
            self._changed.notify_all()

    def _take(self, payload: str) -> None:
        migration, _, _ = payload.partition(" ")
        with self._changed:
            self._heard[migration] += 1
            self._changed.notify_all()


def _notifications(connection: Connection) -> Iterator[tuple[str, str]]:
    connection.pgconn.consume_input()
    while (notify := connection.pgconn.notifies()) is not None:
        yield notify.relname.decode(), notify.extra.decode()
