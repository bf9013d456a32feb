"""
What is particular to ASGI: connections of several kinds, and messages that pass as they are.
"""

import asyncio

import pytest
from visitors import shop

from cutover.integrations import visit_of
from cutover.integrations.asgi import VisitMiddleware

VISIT = b"cutover-purchase="


def exchanged(app, scope, came=()):
    """
    Let an application serve one connection behind middleware; give what it sent.
    """
    sent, waiting = [], list(came)

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    middleware = VisitMiddleware(app, shop().journey("purchase"), key=lambda scope: "user-42")
    asyncio.run(middleware({"headers": [], **scope}, receive, send))
    return sent


@pytest.mark.parametrize("kind", ["lifespan", "pubsub"])
def test_other_connections(kind):
    """
    Whatever is no request and no websocket gets the very functions of the server, and a scope as it came.
    """
    given = []

    async def app(scope, receive, send):
        given.append((scope, receive, send))

    scope = {"type": kind}
    asyncio.run(VisitMiddleware(app, shop().journey("purchase"), key=None)(scope, "receive", "send"))

    assert given == [({"type": kind}, "receive", "send")]


@pytest.mark.parametrize("headers", [{}, {"headers": []}, {"headers": ((b"x-own", b"1"),)}, {"headers": iter([])}])
def test_websocket(headers):
    """
    The token of a websocket's visit is given when it is accepted, without a word about caches.
    """

    async def app(scope, receive, send):
        visit_of(scope)
        await send({"type": "websocket.accept", "subprotocol": "chat", **headers})
        await send({"type": "websocket.send", "text": "hello"})

    accepted, hello = exchanged(app, {"type": "websocket"})

    assert accepted["subprotocol"] == "chat"
    assert [name for name, value in accepted["headers"] if value.startswith(VISIT)] == [b"set-cookie"]
    assert not [name for name, _ in accepted["headers"] if name == b"cache-control"]
    assert hello == {"type": "websocket.send", "text": "hello"}


def test_websocket_that_is_denied():
    """
    A websocket that is denied with a response of its own is answered like a request.
    """

    async def app(scope, receive, send):
        visit_of(scope)
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})

    (denied,) = exchanged(app, {"type": "websocket"})

    assert [name for name, _ in denied["headers"]] == [b"set-cookie", b"cache-control"]


def test_messages_pass():
    """
    Every message but the one that gets a token is the very object that the application sent.
    """
    start = {"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"no-store")]}
    others = [
        {"type": "http.response.early_hint", "links": []},
        {"type": "http.response.push", "path": "/x", "headers": []},
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.body", "body": b"b"},
        {"type": "http.response.trailers", "headers": []},
    ]

    async def app(scope, receive, send):
        visit_of(scope)
        for message in (*others[:2], start, *others[2:]):
            await send(message)

    sent = exchanged(app, {"type": "http"})

    assert [id(message) for message in sent if message["type"] != start["type"]] == [id(message) for message in others]
    assert start["headers"] == [(b"cache-control", b"no-store")]


def test_not_used():
    """
    Where nobody asks for a visit, every message is the very object that the application sent.
    """
    start = {"type": "http.response.start", "status": 200, "headers": iter([])}

    async def app(scope, receive, send):
        await send(start)

    assert exchanged(app, {"type": "http"})[0] is start


def test_asked_too_late():
    """
    A visit that is first asked for after the response has begun is one all the same; the next request enters anew.
    """

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": visit_of(scope).key.encode()})

    start, body = exchanged(app, {"type": "http"})

    assert start["headers"] == []
    assert body["body"] == b"user-42"


def test_copied_scope():
    """
    A router that copies the scope leaves the visit in it, and the key may come from what was put into the copy.
    """

    async def app(scope, receive, send):
        copy = {**scope, "user": "user-7"}
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-key", visit_of(copy).key.encode())]})

    sent = []

    async def send(message):
        sent.append(message)

    middleware = VisitMiddleware(app, shop().journey("purchase"), key=lambda scope: scope["user"])
    asyncio.run(middleware({"type": "http", "headers": []}, None, send))

    assert sent[0]["headers"][0] == (b"x-key", b"user-7")
    assert len(sent[0]["headers"]) == 3


def test_no_headers():
    """
    A scope without headers is that of a client that brings nothing.
    """

    async def app(scope, receive, send):
        del scope["headers"]
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"x-key", visit_of(scope).key.encode())]}
        )

    assert exchanged(app, {"type": "http"})[0]["headers"][0] == (b"x-key", b"user-42")


def test_error():
    """
    An error of the application passes as it is.
    """

    async def app(scope, receive, send):
        visit_of(scope)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        exchanged(app, {"type": "http"})
