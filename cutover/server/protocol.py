"""
One connection to the relay: limits on what a client may send, and how slowly.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["CONNECTIONS", "GONE", "HEADER_PATIENCE", "LARGEST_HEADER", "GuardedProtocol"]

LARGEST_HEADER: Final = 16 * 1024  # bytes of the request line and all header fields
HEADER_PATIENCE: Final = 10.0  # seconds from the first byte of a request, or from the connection, to its last header


READ_PATIENCE: Final = 30.0  # seconds that a client may leave an answer in the socket
CONNECTIONS: Final = "cutover.connections"  # how many there are, in each request's scope
GONE: Final = "cutover.gone"  # done when the client is gone, in each request's scope


class TooLarge(Exception):
    """
    The header is larger than it may be; the parser answers 400.
    """


class GuardedProtocol(HttpToolsProtocol):
    """
    Uvicorn's protocol, which has none of these limits.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header = 0
        self._gone: asyncio.Future[None] = self.loop.create_future()
        self._impatience: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """
        Begin to be impatient: who connects has something to ask.
        """
        super().connection_made(transport)
        self._be_impatient()

    def connection_lost(self, exc: Exception | None) -> None:
        """
        End it.
        """
        self._be_patient()
        self._was_read()
        if not self._gone.done():
            self._gone.set_result(None)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """
        Begin to be impatient with a client that does not read.
        """
        super().pause_writing()
        self._was_read()
        self._unread = self.loop.call_later(READ_PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        """
        End it.
        """
        self._was_read()
        super().resume_writing()

    def on_message_begin(self) -> None:
        """
        Count the header of one more request.
        """
        self._header = 0
        self._be_impatient()
        super().on_message_begin()
        self.scope[CONNECTIONS] = len(self.connections)  # type: ignore[typeddict-unknown-key]
        self.scope[GONE] = self._gone  # type: ignore[typeddict-unknown-key]

    def on_url(self, url: bytes) -> None:
        """
        Take a part of the request line.
        """
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        Take a header field.
        """
        self._count(name)
        self._count(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """
        Be patient again: from here on the application has its own limits.
        """
        self._be_patient()
        super().on_headers_complete()

    def _count(self, part: bytes) -> None:
        self._header += len(part)
        if self._header > LARGEST_HEADER:
            raise TooLarge

    def _be_impatient(self) -> None:
        self._be_patient()
        self._impatience = self.loop.call_later(HEADER_PATIENCE, self.transport.abort)

    def _be_patient(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def _was_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
