"""
Visits for WSGI applications.
"""

from collections.abc import Callable, Iterable
from typing import Any

from cutover.integrations.carriers import Carrier, HeadersOf, Pair
from cutover.integrations.places import begin
from cutover.integrations.rules import LIKE_THE_VISIT, Asking, GuestCarrier, Rules
from cutover.router.journey import Journey

__all__ = ["VisitMiddleware", "headers_in"]

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


def headers_in(environ: dict[str, Any]) -> HeadersOf:
    """
    Give the headers of a request by their names; a server has joined those that came more than once.
    """

    def headers(name: str) -> tuple[str, ...]:
        variable = "REQUEST_METHOD" if name == ":method" else f"HTTP_{name.upper().replace('-', '_')}"
        value = environ.get(variable)
        return () if value is None else (value,)

    return headers


class VisitMiddleware:
    """
    Carries the visits of one journey; several middlewares may stand around each other for several.

        application = VisitMiddleware(application, router.journey("purchase"), key=lambda environ: ...)

    The other arguments are those of `Rules`; functions are called with the environ. What the application returns is
    passed on as it is; a visit that is first asked for after `start_response` cannot be given to the client any more.
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

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """
        Serve one request.
        """
        exchange = begin(self._rules, environ, headers_in(environ))

        def start(status: str, headers: list[Pair], *error: Any) -> Any:
            if exchange.owes:
                headers = headers + exchange.answer(int(status[:3]), headers)
            return start_response(status, headers, *error)

        return self.app(environ, start)
