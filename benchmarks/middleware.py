"""
What the middleware for visits costs a request: unused, with a valid token, with a new visit.

    python benchmarks/middleware.py

Prints a line for each figure, beside the same page without middleware: one that knows nothing of visits, and one that
finds the cookie and enters by hand. Exits 1 where a target is missed. Requests are made in the process: under a real
server all ratios are smaller.
"""

import asyncio
import gc
import sys
import time
from wsgiref.util import setup_testing_defaults

import flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from cutover.core.defined import Flow, Journey
from cutover.core.migration import Migration
from cutover.integrations import visit_of
from cutover.integrations.asgi import VisitMiddleware as AsgiMiddleware
from cutover.integrations.wsgi import VisitMiddleware as WsgiMiddleware
from cutover.testing import router

SHOP = Migration(
    name="shop",
    title="Benchmark",
    old="tiktok",
    new="tokopedia",
    salt="shop",
    flows={name: Flow(name=name) for name in ("cart", "checkout", "pay")},
    journeys={"purchase": Journey(name="purchase", flows=("cart", "checkout", "pay"))},
)
KEY = "user-42"
COOKIE = "cutover-purchase"
COOKIES = "theme=dark; session=0123456789abcdef0123456789abcdef; "
MOST_UNUSED = 1.6  # times the bare page; Starlette without a server is little more than a function call
MOST_USED = 1.5  # times the page that enters by hand
ROUNDS, REQUESTS = 15, 1000

shop = router(SHOP, cart=50, checkout=50, pay=50)
purchase = shop.journey("purchase")
token = purchase.enter(KEY).token
missed = []


def starlette_pages():
    """
    Give functions that make many requests each, by what they measure.
    """

    async def page(_request):
        return PlainTextResponse("page")

    async def cart(request):
        return PlainTextResponse(visit_of(request).backend.value)

    async def by_hand(request):
        return PlainTextResponse(purchase.enter(KEY, token=request.cookies.get(COOKIE)).backend.value)

    app = Starlette(routes=[Route("/page", page), Route("/cart", cart), Route("/by-hand", by_hand)])
    carrying = AsgiMiddleware(app, purchase, key=lambda _scope: KEY)

    async def nothing(_message=None):
        pass

    def requests(app, path, cookie=COOKIES):
        headers = [(b"host", b"127.0.0.1"), (b"cookie", cookie.encode())]

        async def many():
            for _ in range(REQUESTS):
                scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "query_string": b""}
                await app({**scope, "headers": headers}, nothing, nothing)

        return lambda: asyncio.run(many())

    return _cases(requests, app, carrying)


def flask_pages():
    """
    Give functions that make many requests each, by what they measure.
    """
    app = flask.Flask(__name__)
    app.add_url_rule("/page", "page", lambda: "page")
    app.add_url_rule("/cart", "cart", lambda: visit_of(flask.request).backend.value)
    app.add_url_rule(
        "/by-hand", "by_hand", lambda: purchase.enter(KEY, token=flask.request.cookies.get(COOKIE)).backend.value
    )
    carrying = WsgiMiddleware(app, purchase, key=lambda _environ: KEY)

    def requests(app, path, cookie=COOKIES):
        environ = {"PATH_INFO": path, "HTTP_COOKIE": cookie}
        setup_testing_defaults(environ)

        def many():
            for _ in range(REQUESTS):
                b"".join(app(environ.copy(), lambda *_given: None))

        return many

    return _cases(requests, app, carrying)


def _cases(requests, app, carrying):
    with_token = f"{COOKIES}{COOKIE}={token}"
    return {
        "bare": requests(app, "/page"),
        "by hand": requests(app, "/by-hand", with_token),
        "unused": requests(carrying, "/page"),
        "used": requests(carrying, "/cart", with_token),
        "entered": requests(carrying, "/cart"),
    }


def measure(framework, cases):
    """
    Print what one request takes in each case, of processor time: the least of several rounds, which take turns.
    """
    least = dict.fromkeys(cases, float("inf"))
    for _ in range(ROUNDS):
        for case, many in cases.items():
            gc.collect()
            began = time.process_time_ns()
            many()
            least[case] = min(least[case], (time.process_time_ns() - began) / 1e3 / REQUESTS)
    for case, beside, most in (
        ("unused", "bare", MOST_UNUSED),
        ("used", "by hand", MOST_USED),
        ("entered", "bare", None),
    ):
        report(f"{framework:<10} {case:<8} {least[case]:7.1f} us", least[case] / least[beside], beside, most)


def report(line, times, of, most=None):
    """
    Print a figure with its ratio, and with its target if it has one.
    """
    reached = most is None or times <= most
    if not reached:
        missed.append(line)
    target = "" if most is None else f"  (target {most}{'' if reached else ', MISSED'})"
    print(f"{line}  {times:5.2f}x {of}{target}")


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}")
    measure("Starlette", starlette_pages())
    measure("Flask", flask_pages())
    sys.exit(bool(missed))
