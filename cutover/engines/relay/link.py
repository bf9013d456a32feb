"""
One process's connections to a relay: kept alive, used by one thread at a time, each call with a deadline.
"""

import http.client
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from typing import Final

import attrs

from cutover.engines.relay.url import RelayAddress
from cutover.errors import ConfigurationError, Unavailable
from cutover.version import VERSION

__all__ = ["Answer", "Link", "tls_context"]

CONNECT_PATIENCE: Final = 2.0  # seconds
REPLY_PATIENCE: Final = 10.0  # seconds; a relay gives its own store 8
LARGEST_ANSWER: Final = 64 * 1024 * 1024  # bytes
PART: Final = 64 * 1024  # bytes
SPARE: Final = 4  # idle connections that are kept
LOST: Final = (OSError, http.client.HTTPException)


@attrs.frozen(kw_only=True)
class Answer:
    """
    A whole answer.

    Attributes:
        now: What the relay says the time is; empty if it does not.
    """

    status: int
    body: bytes = attrs.field(repr=False)
    now: str


class _Stale(Exception):
    """
    The relay had closed a kept connection before it saw the request.
    """


class Link:
    """
    The connections of one process.
    """

    def __init__(self, address: RelayAddress, tls: ssl.SSLContext | None) -> None:
        self._address = address
        self._tls = tls
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self._closed = False

    def call(self, method: str, path: str, *, body: bytes | None, wait: float, writes: bool) -> Answer:
        """
        Make one request and read the whole answer.

        Args:
            wait: Seconds that the relay may take on purpose.
            writes: It may be done once at most: a fresh connection is used, which cannot be closed already.

        Raises:
            Unavailable: If no answer came; in doubt if it is a write that was sent.
        """
        connection = None if writes else self._kept()
        if connection is not None:
            try:
                with suppress(_Stale):  # relays close what was idle for long; then once more, on a fresh one
                    return self._exchange(connection, method, path, body, wait)
            except LOST as error:
                raise self._lost(error, in_doubt=False) from error
        connection = self._connected()
        try:
            return self._exchange(connection, method, path, body, wait)
        except (_Stale, *LOST) as error:
            raise self._lost(error, in_doubt=writes) from error

    def close(self) -> None:
        """
        End every call that is under way.
        """
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for connection in self._busy:
                _shut(connection)
        for connection in idle:
            connection.close()

    def _connected(self) -> http.client.HTTPConnection:
        address = self._address
        connection = (
            http.client.HTTPConnection(address.host, address.port, timeout=CONNECT_PATIENCE)
            if self._tls is None
            else http.client.HTTPSConnection(address.host, address.port, timeout=CONNECT_PATIENCE, context=self._tls)
        )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise self._lost(error, in_doubt=False) from error
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _kept(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, wait: float
    ) -> Answer:
        """
        Use a connection that nobody else has; keep it afterwards if it is still good.
        """
        with self._lock:
            if self._closed:
                _shut(connection)
            self._busy.add(connection)
        is_good = False
        try:
            answer, is_good = self._answered(connection, method, path, body, wait)
        finally:
            with self._lock:
                self._busy.discard(connection)
                is_kept = is_good and not self._closed and len(self._idle) < SPARE
                if is_kept:
                    self._idle.append(connection)
            if not is_kept:
                connection.close()
        return answer

    def _answered(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, wait: float
    ) -> tuple[Answer, bool]:
        deadline = time.monotonic() + wait + REPLY_PATIENCE
        connection.sock.settimeout(wait + REPLY_PATIENCE)
        try:
            connection.request(method, self._address.prefix + path, body=body, headers=self._headers(body))
            response = connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            raise _Stale(str(error)) from error
        with closing(response):  # else it keeps the socket, or the connection takes no other request
            content = bytearray()
            while part := response.read1(PART):
                content += part
                left = deadline - time.monotonic()
                if left <= 0 or len(content) > LARGEST_ANSWER:
                    raise TimeoutError("the answer is too long or too slow")
                if connection.sock is not None:
                    connection.sock.settimeout(left)
            if response.length:
                raise http.client.IncompleteRead(bytes(content), response.length)
        answer = Answer(status=response.status, body=bytes(content), now=response.headers.get("Cutover-Now", ""))
        return answer, not response.will_close

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {"User-Agent": f"cutover/{VERSION}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._address.token:
            headers["Authorization"] = f"Bearer {self._address.token}"
        return headers

    def _lost(self, error: BaseException, *, in_doubt: bool) -> Unavailable:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or repr(error)
        return Unavailable(f"{self._address.url} cannot be reached: {reason}", in_doubt=in_doubt)


def _shut(connection: http.client.HTTPConnection) -> None:
    """
    End a connection under the thread that reads from it, which then finds it ended.
    """
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def tls_context(address: RelayAddress) -> ssl.SSLContext | None:
    """
    Make what verifies the relay's certificate; None for plain HTTP.

    Raises:
        ConfigurationError: If the file of certificates cannot be used.
    """
    if not address.is_secure:
        return None
    try:
        return ssl.create_default_context(cafile=address.authorities or None)
    except OSError as error:
        raise ConfigurationError(
            f"CUTOVER_TLS_CA names {address.authorities}, which cannot be used: {error}"
        ) from error
