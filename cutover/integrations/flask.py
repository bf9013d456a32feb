"""
Visits for Flask, `flask.session` as a carrier included.
"""

from collections.abc import Iterable
from typing import Any

import flask

from cutover.integrations.carriers import Carrier
from cutover.integrations.exchange import Exchange
from cutover.integrations.places import PLACE, begin
from cutover.integrations.rules import LIKE_THE_VISIT, Asking, GuestCarrier, Rules
from cutover.integrations.wsgi import headers_in
from cutover.router.journey import Journey

__all__ = ["carry_visits"]


def carry_visits(
    app: flask.Flask,
    journey: Journey,
    *,
    key: Asking | None,
    carrier: Carrier | None = None,
    guest: GuestCarrier = LIKE_THE_VISIT,
    cohort: Asking | None = None,
    was: Asking | None = None,
    synthetic: Asking | None = None,
) -> None:
    """
    Let an application carry the visits of one journey; once for each journey, before other `after_request` functions.

        carry_visits(app, router.journey("purchase"), key=lambda request: flask.session.get("user"))

    The other arguments are those of `Rules`; functions are called with the request, in its context. The token is
    written by an `after_request` function, since Flask saves the session before a WSGI middleware sees the response.
    """
    rules = Rules(journey, key=key, carrier=carrier, guest=guest, cohort=cohort, was=was, synthetic=synthetic)
    inner = app.wsgi_app

    def begun(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        begin(rules, environ, headers_in(environ), flask.request)
        return inner(environ, start_response)

    def answered(response: flask.Response) -> flask.Response:
        exchange: Exchange | None = flask.request.environ.get(PLACE, {}).get(journey.name)
        if exchange is not None and exchange.owes:  # None where a test has made the context without a request
            for name, value in exchange.answer(response.status_code, response.headers.items()):
                response.headers.add(name, value)
        return response

    app.wsgi_app = begun  # type: ignore[method-assign]  # as Flask's documentation says
    app.after_request(answered)
