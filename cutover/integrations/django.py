"""
Visits for Django, sync and async.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction

from cutover.integrations.carriers import Carrier
from cutover.integrations.exchange import Exchange
from cutover.integrations.places import begin
from cutover.integrations.rules import LIKE_THE_VISIT, Asking, GuestCarrier, Rules
from cutover.integrations.wsgi import headers_in
from cutover.router.journey import Journey

__all__ = ["VisitMiddleware"]

View = Callable[[Any], Any]


class VisitMiddleware:
    """
    Carries the visits of one journey. Make it in a module of your own, and name it in ``MIDDLEWARE``, below those of
    sessions and of authentication.

        purchase_visits = VisitMiddleware(
            router.journey("purchase"), key=lambda request: request.user.pk if request.user.is_authenticated else None
        )

    The other arguments are those of `Rules`; functions are called with the request. An async view that may not wait for
    the database passes the key itself: ``visit_of(request, key=(await request.auser()).pk)``.
    """

    sync_capable = True
    async_capable = True

    def __init__(
        self,
        journey: Journey,
        *,
        key: Asking | None,
        carrier: Carrier | None = None,
        guest: GuestCarrier = LIKE_THE_VISIT,
        cohort: Asking | None = None,
        was: Asking | None = None,
        synthetic: Asking | None = None,
    ) -> None:
        self._rules = Rules(journey, key=key, carrier=carrier, guest=guest, cohort=cohort, was=was, synthetic=synthetic)

    def __call__(self, get_response: View) -> View:
        """
        Stand around the rest of the chain; Django calls this once.
        """
        if iscoroutinefunction(get_response):

            async def asynchronous(request: Any) -> Any:
                exchange = self._begin(request)
                return _answered(exchange, await get_response(request))

            return asynchronous

        def synchronous(request: Any) -> Any:
            exchange = self._begin(request)
            return _answered(exchange, get_response(request))

        return synchronous

    def _begin(self, request: Any) -> Exchange:
        return begin(self._rules, request.META, headers_in(request.META), request)


def _answered(exchange: Exchange, response: Any) -> Any:
    if exchange.owes:
        own = [*response.items(), *(("Set-Cookie", cookie.OutputString()) for cookie in response.cookies.values())]
        for name, value in exchange.answer(response.status_code, own):
            if name == "Set-Cookie":
                response.cookies.load(value)  # Django keeps cookies apart from the headers
            elif name == "Cache-Control" and name in response.headers:
                response.headers[name] = f"{response.headers[name]}, {value}"  # and each header once
            else:
                response.headers[name] = value
    return response
