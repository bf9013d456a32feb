"""
Being told of a change by publish and subscribe, on a connection of its own.
"""

import socket
from contextlib import closing
from typing import Any

from cutover.engines.hint import Hint
from cutover.engines.redis.client import DRIVER_ERRORS, Client
from cutover.engines.redis.url import Link

__all__ = ["hint_of"]


def hint_of(client: Client, channel: str, migration: str) -> Hint:
    """
    Give what hears of the changes of a migration, which are published on a channel.
    """

    def subscribe(hint: Hint, ear: socket.socket) -> None:
        with closing(_Subscriber(client, channel)) as subscriber:
            hint.listen(subscriber.socket, ear, lambda: [migration] * subscriber.take())

    return Hint(subscribe, DRIVER_ERRORS)


class _Subscriber:
    """
    A connection that is told of what is published on a channel.
    """

    def __init__(self, client: Client, channel: str) -> None:
        self._connection: Link = client.connect()
        try:
            self._connection.send_packed_command(self._connection.pack_commands([("SUBSCRIBE", channel)]))
            self._connection.read_response(disable_decoding=True)
        except BaseException:
            self._connection.disconnect()
            raise

    @property
    def socket(self) -> Any:
        """
        What there is to be read from.
        """
        return self._connection._sock  # noqa: SLF001 - the driver has no public way to wait for two sockets

    def take(self) -> int:
        """
        Read the messages that came, and count them.
        """
        taken = 0
        while self._connection.can_read(timeout=0):
            self._connection.read_response(disable_decoding=True)
            taken += 1
        return taken

    def close(self) -> None:
        """
        Let go of the connection.
        """
        self._connection.disconnect()
