"""
The application: routes of the table, behind one gate.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cutover.core.instants import format_instant
from cutover.server.access import OPEN, Access, Token
from cutover.server.answers import HANDLERS
from cutover.server.api import OPERATIONS, Operation
from cutover.server.relay import Relay
from cutover.server.service import Service
from cutover.stores.base import Store

__all__ = ["NOW", "create_app"]

NOW = "Cutover-Now"  # the header that tells clients the store's clock


def create_app(
    *, store: Store, tokens: Iterable[Token] = (), folder: Path | None = None, trusting: bool = False
) -> Starlette:
    """
    Make the application of one relay; it follows the store from its start to its shutdown.

    Args:
        store: Not closed by the application.
        tokens: Who may do what; without any, everybody may do everything.
        folder: Where the last known good and emergency floors are kept; None for nowhere.
        trusting: Take everything as it is given; only for the store contract, whose documents mean nothing.
    """
    relay = Relay(store, folder=folder, trusting=trusting)
    service = Service(relay=relay, access=Access(tokens))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        relay.start()
        yield
        relay.hub.close()
        relay.stop()

    app = Starlette(routes=list(_routes(service)), exception_handlers=dict(HANDLERS), lifespan=lifespan, middleware=[])
    app.add_middleware(Dated, relay=relay)
    app.state.service = service
    return app


class Dated:
    """
    Writes the store's time into every answer: clients date by it what they send.
    """

    def __init__(self, app: ASGIApp, relay: Relay) -> None:
        self._app = app
        self._relay = relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[NOW] = format_instant(self._relay.now())
            await send(message)

        await self._app(scope, receive, dated)


def _routes(service: Service) -> Iterable[Route]:
    for operation in OPERATIONS:
        yield Route(operation.path, _endpoint(service, operation), methods=[operation.method])


def _endpoint(service: Service, operation: Operation) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        admitted = OPEN
        if operation.role is not None:
            admitted = service.access.admit(request.headers.get("authorization"), operation.role)
        request.scope["cutover.holder"] = admitted
        return await operation.handle(service, request)

    return endpoint
