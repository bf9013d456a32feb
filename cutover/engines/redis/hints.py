"""
Being told of a change by publish and subscribe. A hint only: it shortens a wait, and the store is looked at all the
same.
"""

import selectors
import socket
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

import attrs

from cutover.chance import CHANCE
from cutover.core.snapshot import Head
from cutover.engines.redis.client import DRIVER_ERRORS, Client
from cutover.engines.redis.url import Link
from cutover.forks import PerProcess

__all__ = ["Glimpse", "Listener", "Listeners", "head_text", "listen_for_change"]

LOOK_EVERY: Final = 1.0  # seconds; a subscription may be dead and not show it
LOOK_EVERY_UNTOLD: Final = 0.5  # while there is no subscription
SUBSCRIBE_WITHIN: Final = 1.0
FIRST_RETRY: Final = 0.1  # seconds; doubled with each failure, full jitter
LAST_RETRY: Final = 5.0
KIND, PAYLOAD = 0, 2  # places in what a subscription brings

Glimpse = str  # a head as text, "" for no migration, or "!" and the name of the error that a read would raise


def head_text(head: Head | None) -> Glimpse:
    """
    Write a head as it is published.
    """
    return "" if head is None else f"{head.epoch} {head.version} {head.hash}"


class Listener:
    """
    One subscription, used by one waiting thread at a time.

    Attributes:
        known: The head when the store was last looked at or the last hint came, whichever was later. Good for as long
            as the subscription lasts.
    """

    def __init__(self, client: Client, channel: str) -> None:
        self.known: Glimpse = ""
        self._client = client
        self._channel = channel
        self._connection: Link | None = None
        self._woken = threading.Event()
        self._failures = 0
        self._retry_at = 0.0

    @property
    def is_listening(self) -> bool:
        """
        Tell whether there is a subscription, as far as it shows.
        """
        return self._connection is not None

    def listen(self) -> bool:
        """
        Subscribe where that is due; True if it was done anew, so that something may have been missed.
        """
        if self._connection is not None or monotonic() < self._retry_at:
            return False
        connection = None
        try:
            connection = self._client.connect(reply_within=SUBSCRIBE_WITHIN)
            connection.send_packed_command(connection.pack_commands([("SUBSCRIBE", self._channel)]))
            connection.read_response(disable_decoding=True)
        except DRIVER_ERRORS:
            if connection is not None:
                connection.disconnect()
            self._put_off()
            return False
        self._connection = connection
        self._failures = 0
        return True

    def heard(self, seconds: float) -> list[Glimpse]:
        """
        Give the heads that were published, after at most so many seconds; none where there is no subscription.
        """
        if self._connection is None:
            self._woken.wait(seconds)
            return []
        try:
            return _published(self._connection, seconds)
        except DRIVER_ERRORS:
            self.drop()
            self._put_off()
            return []

    def wake(self) -> None:
        """
        End `heard` in another thread.
        """
        self._woken.set()
        sock = _socket_of(self._connection)
        if sock is not None:
            _shut(sock)

    def drop(self) -> None:
        """
        Let go of the connection.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _put_off(self) -> None:
        ceiling = min(LAST_RETRY, FIRST_RETRY * 2 ** min(self._failures, 10))
        self._retry_at = monotonic() + CHANCE.uniform(0, ceiling)
        self._failures += 1


class Listeners:
    """
    The subscriptions of a process, each lent to one waiting thread at a time.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._own = PerProcess(_Own)

    def take(self, channel: str) -> Listener:
        """
        Lend a listener; a new one where all are in use.
        """
        own = self._own.get()
        with own.lock:
            idle = own.idle.get(channel)
            listener = idle.pop() if idle else Listener(self._client, channel)
            own.busy.append(listener)
        return listener

    def give_back(self, channel: str, listener: Listener) -> None:
        """
        Keep a listener for the next wait; let go of it where the store was closed.
        """
        own = self._own.get()
        with own.lock:
            own.busy.remove(listener)
            own.idle.setdefault(channel, []).append(listener)
        if self._client.closed:
            self.close()

    def close(self) -> None:
        """
        Let go of those that nobody uses and wake the others. The client was closed before.
        """
        own = self._own.peek()
        if own is None:
            return
        with own.lock:
            idle = [listener for listeners in own.idle.values() for listener in listeners]
            own.idle.clear()
            busy = list(own.busy)
        for listener in idle:
            listener.drop()
        for listener in busy:
            listener.wake()


@attrs.define(eq=False)
class _Own:
    lock: threading.Lock = attrs.field(factory=threading.Lock)
    idle: dict[str, list[Listener]] = attrs.field(factory=dict)
    busy: list[Listener] = attrs.field(factory=list)


def listen_for_change(
    listener: Listener, *, seen: Glimpse, timeout: float, glimpse: Callable[[], Glimpse], closed: Callable[[], bool]
) -> None:
    """
    Return when the store may hold something else than *seen*, or after *timeout* seconds, or when closed.

    Where a subscription lasts and has brought nothing, the store is not asked at the beginning: a router that reads
    each second costs one question each second, not two.
    """
    deadline = monotonic() + timeout
    told = listener.heard(0) if listener.is_listening else []
    listener.known = told[-1] if told else listener.known
    if listener.listen() or not listener.is_listening or listener.known != seen:
        listener.known = glimpse()
    first = listener.known
    if not first.startswith("!") and first != seen:
        return
    look_at = monotonic() + LOOK_EVERY
    while not closed() and (left := deadline - monotonic()) > 0:
        every = LOOK_EVERY if listener.is_listening else LOOK_EVERY_UNTOLD
        look_at = min(look_at, monotonic() + every)
        told = listener.heard(max(0.0, min(left, look_at - monotonic())))
        if told and told[-1] != seen:
            listener.known = told[-1]
            return
        if closed() or not (listener.listen() or monotonic() >= look_at):
            continue
        listener.known = glimpse()
        if listener.known != first:
            return
        look_at = monotonic() + every


def _published(connection: Link, seconds: float) -> list[Glimpse]:
    sock = _socket_of(connection)
    is_held = connection.can_read(timeout=0)  # it was read together with the message before
    if not is_held and (sock is None or not _readable(sock, seconds)):
        return []
    heads = []
    while connection.can_read(timeout=0):
        message = connection.read_response(disable_decoding=True)
        if isinstance(message, list) and message[KIND] == b"message":
            heads.append(message[PAYLOAD].decode(errors="replace"))
    return heads


def _readable(sock: socket.socket, seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(seconds))


def _socket_of(connection: Link | None) -> socket.socket | None:
    # the driver waits for a socket only so that close() could not end it
    return None if connection is None else connection._sock  # noqa: SLF001 - there is no public way


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except (OSError, ValueError):  # the other side, or its own thread, was faster
        return
