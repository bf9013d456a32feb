"""
Visits for ASGI applications, such as those of Starlette and FastAPI.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Final

from cutover.integrations.carriers import Carrier
from cutover.integrations.exchange import SWITCHING, Exchange
from cutover.integrations.places import begin
from cutover.integrations.rules import LIKE_THE_VISIT, Asking, GuestCarrier, Rules
from cutover.router.journey import Journey

__all__ = ["VisitMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CONNECTIONS: Final = ("http", "websocket")
STARTS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class VisitMiddleware:
    """
    Carries the visits of one journey; several middlewares may stand around each other for several.

        app = VisitMiddleware(app, router.journey("purchase"), key=lambda scope: scope["session"].get("user"))

    The other arguments are those of `Rules`; functions are called with the scope. The visit of a websocket is entered
    with the cookies of the handshake, and its token is given back when the websocket is accepted.
    """

    def __init__(
        self,
        app: App,
        journey: Journey,
        *,
        key: Asking | None,
        carrier: Carrier | None = None,
        guest: GuestCarrier = LIKE_THE_VISIT,
        cohort: Asking | None = None,
        was: Asking | None = None,
        synthetic: Asking | None = None,
    ) -> None:
        self.app = app
        self._rules = Rules(journey, key=key, carrier=carrier, guest=guest, cohort=cohort, was=was, synthetic=synthetic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Serve one connection.
        """
        if scope["type"] not in CONNECTIONS:
            await self.app(scope, receive, send)
            return

        exchange = begin(self._rules, scope, partial(_headers, scope))

        async def answer(message: Message) -> None:
            if message["type"] in STARTS and exchange.owes:
                message = _stamped(exchange, message)
            await send(message)

        await self.app(scope, receive, answer)


def _headers(scope: Scope, name: str) -> list[str]:
    if name == ":method":
        return [scope.get("method", "GET")]  # a handshake has none
    wanted = name.encode("latin-1")
    return [value.decode("latin-1") for given, value in scope.get("headers", ()) if given == wanted]


def _stamped(exchange: Exchange, message: Message) -> Message:
    own = list(message.get("headers", ()))
    text = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in own]
    added = exchange.answer(message.get("status", SWITCHING), text)
    stamps = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in added]
    return {**message, "headers": own + stamps}
