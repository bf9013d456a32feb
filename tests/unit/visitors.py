"""
What the tests of middleware share: a shop with two journeys, and clients that keep what they are given.
"""

import asyncio
from datetime import timedelta
from http.cookies import SimpleCookie
from wsgiref.util import setup_testing_defaults

import attrs

from cutover.core.defined import Cohort, Flow, Journey
from cutover.core.migration import Migration
from cutover.integrations import asgi, wsgi
from cutover.testing import router

SHOP = Migration(
    name="shop",
    title="Shop",
    old="tiktok",
    new="tokopedia",
    salt="shop",
    flows={name: Flow(name=name) for name in ("cart", "pay", "return", "refund")},
    journeys={
        "purchase": Journey(name="purchase", flows=("cart", "pay"), idle=timedelta(minutes=30), ttl=timedelta(hours=4)),
        "claim": Journey(name="claim", flows=("return", "refund")),
    },
    cohorts={"staff": Cohort(name="staff", title="Employees")},
)


def shop(parts=50):
    """
    Give a router for the shop, with all of its flows at some percentage.
    """
    return router(SHOP, **dict.fromkeys(SHOP.flows, parts))


def user_on(side, journey):
    """
    Find a user whom the flags put on a side.
    """
    return next(f"user-{n}" for n in range(1000) if journey.enter(f"user-{n}").backend.value == side)


def aged(journey, token, seconds):
    """
    Give a token as it were if all of its visit had happened some seconds earlier.
    """
    claims, _ = journey.tokens.read(token, None)
    earlier = {name: getattr(claims, name) - seconds for name in ("born", "seen", "until")}
    return journey.tokens.write(claims._replace(**earlier))


@attrs.frozen
class Answer:
    """
    A response.
    """

    status: int
    headers: list
    body: bytes = b""

    def of(self, name):
        """
        Give the values of a header.
        """
        return [value for given, value in self.headers if given.lower() == name.lower()]

    @property
    def cookies(self):
        """
        Give the cookies that are set, by name.
        """
        return {name: cookie for line in self.of("set-cookie") for name, cookie in SimpleCookie(line).items()}


class Client:
    """
    A browser: it keeps cookies, and loses those that are taken away.

    Args:
        ask: Makes a request with headers, and gives an `Answer`.
    """

    def __init__(self, ask):
        self.ask = ask
        self.cookies = {}

    def get(self, method="GET", **headers):
        """
        Make a request with all cookies.
        """
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.ask({name.replace("_", "-"): value for name, value in headers.items()}, method)
        for name, cookie in answer.cookies.items():
            self.cookies[name] = cookie.value
            if cookie["max-age"] == "0":
                del self.cookies[name]
        return answer


class Wsgi:
    """
    Handlers behind WSGI middleware. A handler is given the environ, and gives an `Answer`.
    """

    middleware = wsgi.VisitMiddleware

    def app(self, handler):
        """
        Make an application of a handler.
        """

        def application(environ, start_response):
            answer = handler(environ)
            start_response(f"{answer.status} Said So", answer.headers)
            return [answer.body]

        return application

    def asking(self, app):
        """
        Give a function that makes a request.
        """

        def ask(headers, method="GET"):
            environ = {"REQUEST_METHOD": method}
            environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
            setup_testing_defaults(environ)
            started = []
            body = b"".join(app(environ, lambda *given: started.append(given)))
            return Answer(int(started[-1][0][:3]), started[-1][1], body)

        return ask


class Asgi:
    """
    Handlers behind ASGI middleware. A handler is given the scope, and gives an `Answer`.
    """

    middleware = asgi.VisitMiddleware

    def app(self, handler):
        """
        Make an application of a handler.
        """

        async def application(scope, receive, send):
            answer = handler(scope)
            headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})

        return application

    def asking(self, app):
        """
        Give a function that makes a request.
        """

        def ask(headers, method="GET"):
            sent = []

            async def send(message):
                sent.append(message)

            encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
            asyncio.run(app({"type": "http", "method": method, "headers": encoded}, None, send))
            start, body = sent
            given = [(name.decode(), value.decode()) for name, value in start["headers"]]
            return Answer(start["status"], given, body["body"])

        return ask


DRIVERS = {"wsgi": Wsgi(), "asgi": Asgi()}
