"""
Listening for PostgreSQL's notifications, on a connection of its own.
"""

import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

import psycopg

from cutover.engines.hint import Deaf, Hint
from cutover.engines.postgresql.errors import Interrupted, Late
from cutover.engines.postgresql.session import Connection, connected
from cutover.engines.postgresql.url import Address
from cutover.errors import StoreError

__all__ = ["hint_of"]

ECHO_PATIENCE: Final = 2.0  # seconds until an echo counts as never coming
ENDINGS: Final = (psycopg.Error, OSError, Late, Interrupted, StoreError)


def hint_of(address: Address, announce: Callable[[str], object]) -> Hint:
    """
    Give what hears of the changes of a store; nothing is heard where its URL says ``notify=off``.

    Args:
        announce: Notifies a channel, on another connection.
    """

    def subscribe(hint: Hint, ear: socket.socket) -> None:
        with closing(connected(address, hint.closing)) as connection:
            try:
                _check_hearing(connection, hint.closing, announce)
            except psycopg.errors.ReadOnlySqlTransaction as error:  # a replica notifies nobody
                raise Deaf from error
            connection.execute(f'LISTEN "{address.schema}"'.encode())
            hint.listen(connection.fileno(), ear, lambda: [said.partition(" ")[0] for _, said in _heard(connection)])

    return Hint(subscribe if address.notify else None, ENDINGS)


def _check_hearing(connection: Connection, closing: threading.Event, announce: Callable[[str], object]) -> None:
    """
    Find out whether notifications reach this connection, unless it leads straight to the server.

    The echo is asked for on another connection: a transaction pooler does pass on what a transaction tells itself.
    """
    ((pid,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
    if pid == connection.pgconn.backend_pid:
        return
    channel = f"cutover_echo_{secrets.token_hex(8)}"
    connection.execute(f"LISTEN {channel}".encode())
    announce(channel)
    deadline = time.monotonic() + ECHO_PATIENCE
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and not closing.is_set():
            selector.select(left)
            if any(name == channel for name, _ in _heard(connection)):
                return
    raise Deaf


def _heard(connection: Connection) -> Iterator[tuple[str, str]]:
    connection.pgconn.consume_input()
    while (notify := connection.pgconn.notifies()) is not None:
        yield notify.relname.decode(), notify.extra.decode()
