"""
Running a relay: one process, one event loop, and an end in which nobody is kept waiting.
"""

import resource
import signal
import socket
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

import attrs
import uvicorn
from starlette.applications import Starlette

from cutover.errors import ConfigurationError
from cutover.server.protocol import GuardedProtocol

__all__ = ["Listening", "bound", "serve"]

BACKLOG: Final = 4096  # connections that come at once after a restart
LAST_WORDS: Final = 2.0  # seconds that answers may still take when the process is asked to end
KEEP_ALIVE: Final = 65.0  # seconds; longer than routers and proxies leave a connection idle


@attrs.frozen(kw_only=True)
class Listening:
    """
    Where to listen.

    Attributes:
        certificate: The file of the TLS certificate and its chain; None for plain HTTP.
        key: The file of its key.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None


class RelayServer(uvicorn.Server):
    """
    A server that lets go of its waiting clients when it is asked to end, and ends without an error.
    """

    def __init__(self, config: uvicorn.Config, app: Starlette) -> None:
        super().__init__(config)
        self._hub = app.state.service.relay.hub

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """
        End; at once, where it is asked a second time.
        """
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Answer everybody who waits, then close.
        """
        self._hub.close()
        await super().shutdown(sockets)


def bound(listening: Listening) -> socket.socket:
    """
    Take the port.

    Raises:
        ConfigurationError: If it cannot be had.
    """
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    try:
        return socket.create_server((listening.host, listening.port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigurationError(f"cannot listen on {listening.host}:{listening.port}: {reason}") from error


def serve(app: Starlette, listener: socket.socket, listening: Listening) -> None:
    """
    Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: If the certificate or its key cannot be used.
    """
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(KEEP_ALIVE),
        timeout_graceful_shutdown=int(LAST_WORDS),
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.key,
    )
    _raise_file_limit()
    try:
        config.load()
    except OSError as error:
        raise ConfigurationError(f"the TLS certificate or its key cannot be used: {error}") from error
    RelayServer(config, app).run(sockets=[listener])


def _raise_file_limit() -> None:
    """
    Let the process have as many connections as the system allows: many shells allow 1,024 files unasked.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
