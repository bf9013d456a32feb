"""
The application: routes of the table, behind one gate.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cutover.core.defined import NAME
from cutover.core.instants import format_instant
from cutover.operations.mirroring import Mirrors
from cutover.ports.store import Store
from cutover.server.access import OPEN, Access, Token
from cutover.server.answers import HANDLERS, Problem, answer, unavailable
from cutover.server.api import OPERATIONS, Operation
from cutover.server.metrics import RelayMetrics
from cutover.server.openapi import document
from cutover.server.protocol import CONNECTIONS
from cutover.server.relay import Relay
from cutover.server.service import Service

__all__ = ["CONNECTIONS_AT_MOST", "NOW", "create_app"]

NOW: Final = b"cutover-now"  # the header that tells clients the store's clock
CONNECTIONS_AT_MOST: Final = 4096
SPARED: Final = ("/healthz", "/metrics")  # what tells that there are too many


def create_app(
    *,
    store: Store,
    tokens: Iterable[Token] = (),
    folder: Path | None = None,
    mirrors: Mirrors | None = None,
    connections: int = CONNECTIONS_AT_MOST,
    trusting: bool = False,
) -> Starlette:
    """
    Make the application of one relay; it follows the store from its start to its shutdown.

    Args:
        store: Not closed by the application.
        tokens: Who may do what; without any, everybody may do everything.
        folder: Where the last known good and emergency floors are kept; None for nowhere.
        mirrors: What either side lacks of mirrored writes, which changes have to wait for; not closed by the
            application. None where nobody knows.
        connections: How many there may be; who comes then is asked to come again.
        trusting: Take everything as it is given; only for the store contract, whose documents mean nothing.
    """
    relay = Relay(store, folder=folder, trusting=trusting)
    metrics = RelayMetrics(relay)
    service = Service(relay=relay, access=Access(tokens), metrics=metrics, mirrors=mirrors or Mirrors(None))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        relay.start()
        yield
        relay.hub.close()
        relay.stop()

    app = Starlette(routes=list(_routes(service)), exception_handlers=dict(HANDLERS), lifespan=lifespan, middleware=[])
    app.add_middleware(Gate, relay=relay, metrics=metrics, connections=connections)
    app.state.service = service
    return app


class Gate:
    """
    What every request passes: is there room for it, what time is it, how did it end.
    """

    def __init__(self, app: ASGIApp, relay: Relay, metrics: RelayMetrics, connections: int) -> None:
        self._app = app
        self._relay = relay
        self._metrics = metrics
        self._most = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.answered(message["status"])
                now = format_instant(self._relay.now()).encode()
                message = {**message, "headers": [*message["headers"], (NOW, now)]}  # answers are shared
            await send(message)

        self._metrics.connections = there = scope.get(CONNECTIONS, 0)
        app = self._app if there <= self._most or scope["path"] in SPARED else _crowded
        await app(scope, receive, noted)


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    problem = unavailable("too many connections")
    problem.headers["Connection"] = "close"
    await problem.response()(scope, receive, send)


def _routes(service: Service) -> Iterable[Route]:
    described = answer(document(OPERATIONS))

    async def get_openapi(request: Request) -> Response:
        del request
        return described

    yield Route("/openapi.json", get_openapi)
    for operation in OPERATIONS:
        yield Route(operation.path, _endpoint(service, operation), methods=[operation.method])


def _endpoint(service: Service, operation: Operation) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        admitted = OPEN
        if operation.role is not None:
            admitted = service.access.admit(request.headers.get("authorization"), operation.role)
        request.scope["cutover.holder"] = admitted
        if not NAME.fullmatch(request.path_params.get("migration", "any")):
            raise Problem(404, "no_migration", "no migration has such a name")
        return await operation.handle(service, request)

    return endpoint
