"""
Where in a request its visits are: left there by a middleware, found there by handlers.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from cutover.core.backend import UNSET
from cutover.errors import ConfigurationError
from cutover.integrations.carriers import HeadersOf
from cutover.integrations.exchange import Exchange, Exchanges
from cutover.integrations.rules import Rules
from cutover.router.visits import Visit

__all__ = ["begin", "visit_of"]

PLACE: Final = "cutover.visits"
HOLDERS: Final = ("META", "scope", "environ")  # of Django's requests, Starlette's, Flask's


def begin(rules: Rules, place: MutableMapping[str, Any], headers: HeadersOf, subject: Any = None) -> Exchange:
    """
    Begin an exchange, and leave it where `visit_of` finds it.

    Args:
        place: The scope, environ or META of the request.
        headers: Gives the request's headers.
        subject: What the application's functions are called with; None: the scope or environ.
    """
    return Exchange(rules, headers, subject, place.setdefault(PLACE, Exchanges()))


def visit_of(where: Any, journey: str | None = None, *, key: object = UNSET, home: object = UNSET) -> Visit:
    """
    Give the visit that a request is on. The first call enters it, every further one gives the same.

    Args:
        where: A request of Starlette, FastAPI, Flask or Django, a websocket, a scope or an environ.
        journey: Its name; left out where the request has middleware for one journey only.
        key: The user's key, instead of what the middleware would find out; None for a guest. Where the visit was
            entered under another key, it goes on under this one: for handlers that log somebody in or out.
        home: Where the thing already lives that the visit is about, as for `Journey.enter`.

    Raises:
        ConfigurationError: If no middleware carries visits of the journey here.
    """
    place = _place(where)
    if place is None:
        raise ConfigurationError("no middleware carries visits for this; allowed: what a VisitMiddleware stands around")
    exchanges: Exchanges = place[PLACE]
    if journey is None and len(exchanges) == 1:
        (journey,) = exchanges
    if journey is None or journey not in exchanges:
        raise ConfigurationError(f"journey is {journey!r}; allowed: {', '.join(exchanges)}")
    return exchanges[journey].visit(place, key=key, home=home)


def _place(where: Any) -> Mapping[str, Any] | None:
    for name in HOLDERS:
        holder = getattr(where, name, None)
        if isinstance(holder, Mapping) and PLACE in holder:
            return holder
    return where if isinstance(where, Mapping) and PLACE in where else None
