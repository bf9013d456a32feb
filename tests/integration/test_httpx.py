"""
The transports for httpx, before two real HTTP servers.
"""

import asyncio
import json
import threading
import warnings
from contextlib import contextmanager
from contextvars import copy_context
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import perf_counter

import httpx
import pytest
from prometheus_client import CollectorRegistry

import cutover.testing
from cutover import ConfigurationError
from cutover.integrations.httpx import AsyncSwitchTransport, SwitchTransport


class Shop(BaseHTTPRequestHandler):
    """
    Answers with what it was asked, after waiting where the path says so.
    """

    def log_message(self, *arguments):
        """
        Say nothing.
        """

    def answer(self):
        """
        Answer a request of any method.
        """
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length).decode()
        if "silent" in self.path:
            self.server.leaving.wait(30)
            return
        if "moved" in self.path:
            self.send_response(302)
            self.send_header("location", f"{self.server.base}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        said = {"side": self.server.side, "path": self.path, "host": self.headers["host"], "body": body}
        content = json.dumps(said).encode()
        self.send_response(503 if "broken" in self.path else 200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer  # noqa: N815 - the names that http.server looks for


@contextmanager
def serving(side):
    """
    Run a server of one side.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.side, server.leaving = side, threading.Event()
    server.base = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.base
    finally:
        server.leaving.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(name="bases")
def _bases():
    with serving("old") as old, serving("new") as new:
        yield f"{old}/api", f"{new}/v2/"


@pytest.fixture(name="router")
def _router():
    return cutover.testing.router(pay=50)


def key_on(router, side):
    """
    Give a key that a flow sends to a side.
    """
    return next(f"user-{n}" for n in range(100) if router.flow("pay").peek(f"user-{n}").backend == side)


def calls(registry: CollectorRegistry):
    """
    Give the calls that were counted, by side and outcome.
    """
    return {
        (sample.labels["backend"], sample.labels["outcome"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "cutover_calls_total" and sample.value
    }


def seconds(registry: CollectorRegistry, side: str):
    """
    Give how long calls took.
    """
    labels = {"migration": "test", "flow": "pay", "backend": side}
    return registry.get_sample_value("cutover_call_duration_seconds_sum", labels)


@pytest.mark.parametrize("side", ["old", "new"])
def test_goes_where_the_key_is_routed(router, bases, side):
    """
    A request reaches the side of its key with method, path, query and body as they were, and that side's host.
    """
    old, new = bases
    began = perf_counter()
    with httpx.Client(base_url=old, transport=SwitchTransport(router.flow("pay"), old=old, new=new)) as client:
        answer = client.post("/charges?a=1&b=%2F", content=b"42", extensions={"cutover.key": key_on(router, side)})

    base = httpx.URL(old if side == "old" else new)
    assert answer.json() == {
        "side": side,
        "path": f"{base.path.rstrip('/')}/charges?a=1&b=%2F",
        "host": base.netloc.decode(),
        "body": "42",
    }
    assert calls(router.registry) == {(side, "ok"): 1}
    assert 0 < seconds(router.registry, side) <= perf_counter() - began


def test_key_and_home_by_function(router, bases):
    """
    Where no extension says so, functions of the request give key and home; a home goes before the dial.
    """
    old, new = bases
    key = key_on(router, "old")
    transport = SwitchTransport(
        router.flow("pay"), old=old, new=new, key=lambda request: request.headers["user"], home=lambda request: "new"
    )
    with httpx.Client(base_url=old, transport=transport) as client:
        at_home = client.get("/", headers={"user": key}).json()["side"]
        elsewhere = client.get("/", headers={"user": key}, extensions={"cutover.home": "old"}).json()["side"]

    assert (at_home, elsewhere) == ("new", "old")


@pytest.mark.parametrize("synthetic", [False, True])
def test_a_visit_stands_for_a_key(bases, synthetic):
    """
    A visit as the key keeps its requests on its side after the dial has passed; those of a load test are no calls.
    """
    old, new = bases
    journeys = {"purchase": cutover.core.migration.Journey(name="purchase", flows=("pay",))}
    flows = {"pay": cutover.core.migration.Flow(name="pay")}
    definition = cutover.Migration(
        name="shop", title="Shop", old="a", new="b", salt="shop", flows=flows, journeys=journeys
    )
    router = cutover.testing.router(definition, pay="new")
    visit = router.journey("purchase").enter("user-1", synthetic=synthetic)
    router.set(pay="old")
    with httpx.Client(base_url=old, transport=SwitchTransport(router.flow("pay"), old=old, new=new)) as client:
        answer = client.get("/", extensions={"cutover.key": visit})
        assert client.get("/broken", extensions={"cutover.key": visit}).is_error

    assert answer.json()["side"] == "new"
    assert calls(router.registry) == ({} if synthetic else {("new", "ok"): 1, ("new", "error"): 1})


def test_a_redirect_of_a_back_end_is_routed_and_one_elsewhere_is_not(router, bases):
    """
    A redirect within a base stays with the key's side; one to another place passes as it is.
    """
    old, new = bases
    with serving("cdn") as cdn:
        transport = SwitchTransport(router.flow("pay"), old=old, new=new)
        with httpx.Client(base_url=old, transport=transport, follow_redirects=True) as client:
            answer = client.get("/moved", extensions={"cutover.key": key_on(router, "new")})
            direct = client.get(f"{cdn}/picture")

    assert answer.json()["path"] == "/elsewhere"
    assert direct.json()["side"] == "cdn"
    assert calls(router.registry) == {("new", "ok"): 1}


@pytest.mark.parametrize("side", ["old", "new"])
@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("{prefix}/orders/17?a=%2F", "{prefix}/orders/17?a=%2F"),
        ("17", "{prefix}/orders/17"),
        ("/login", "/login"),
        ("//login.example/start", "https://login.example/start"),
    ],
)
def test_a_redirect_without_a_host(router, side, location, path):
    """
    A redirect without a host leads to the path that its back end means, whose base has another path than the client's.
    """
    base = httpx.URL({"old": "https://old.example/api", "new": "https://new.example/v2"}[side])
    asked = []

    def back_end(request):
        asked.append(str(request.url))
        if len(asked) > 1:
            return httpx.Response(200)
        return httpx.Response(302, headers={"location": location.format(prefix=base.path)})

    transport = SwitchTransport(
        router.flow("pay"),
        old="https://old.example/api",
        new="https://new.example/v2",
        transport=httpx.MockTransport(back_end),
    )
    with httpx.Client(base_url="https://old.example/api", transport=transport, follow_redirects=True) as client:
        client.get("/orders/", extensions={"cutover.key": key_on(router, side)})

    assert asked == [f"{base}/orders/", str(base.join(path.format(prefix=base.path)))]


def test_a_redirect_to_a_part_of_a_page(router):
    """
    The fragment of a redirect without a host is kept: it is for whoever shows the page.
    """

    def back_end(request):
        headers = {"location": "17#total"} if request.url.path.endswith("/") else {}
        return httpx.Response(302 if headers else 200, headers=headers)

    transport = SwitchTransport(
        router.flow("pay"),
        old="https://old.example/api",
        new="https://new.example/v2",
        transport=httpx.MockTransport(back_end),
    )
    with httpx.Client(base_url="https://old.example/api", transport=transport, follow_redirects=True) as client:
        answer = client.get("/orders/", extensions={"cutover.key": key_on(router, "new")})

    assert str(answer.url) == "https://old.example/api/orders/17#total"


@pytest.mark.parametrize("url", ["http://shop.example/a", "https://shop.example:8443/a", "https://www.shop.example/a"])
def test_another_origin_is_elsewhere(router, url):
    """
    Another scheme, port or host than those of the base URLs is another place: the request passes as it is.
    """
    asked = []

    def back_end(request):
        asked.append(str(request.url))
        return httpx.Response(200)

    transport = SwitchTransport(
        router.flow("pay"),
        old="https://shop.example",
        new="https://new.example",
        transport=httpx.MockTransport(back_end),
    )
    with httpx.Client(transport=transport) as client:
        client.get(url, extensions={"cutover.key": key_on(router, "new")})
        client.get("https://shop.example:443/a", extensions={"cutover.key": key_on(router, "new")})

    assert asked == [url, "https://new.example/a"]
    assert calls(router.registry) == {("new", "ok"): 1}


def test_the_key_that_a_request_names(router, bases):
    """
    The extension of a request goes before the function of the transport; a request without either has no key.
    """
    old, new = bases
    other = key_on(router, "old")
    asking = SwitchTransport(router.flow("pay"), old=old, new=new, key=lambda request: other)
    plain = SwitchTransport(router.flow("pay"), old=old, new=new)
    with httpx.Client(base_url=old, transport=asking) as client:
        named = client.get("/", extensions={"cutover.key": key_on(router, "new")}).json()["side"]
    with httpx.Client(base_url=old, transport=plain) as client:
        nameless = client.get("/").json()["side"]

    labels = {"migration": "test", "flow": "pay", "backend": "old", "reason": "no_key"}
    assert (named, nameless) == ("new", "old")
    assert router.registry.get_sample_value("cutover_requests_total", labels) == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_what_sends_is_opened_and_closed(router, is_async):
    """
    A transport that is given is the one that sends; it is opened and closed with the client.
    """
    events = []

    class Sending(httpx.MockTransport):
        def __enter__(self):
            events.append("opened")
            return self

        def __exit__(self, *_):
            events.append("closed")

        async def __aenter__(self):
            return self.__enter__()

        async def __aexit__(self, *_):
            self.__exit__()

    def back_end(request):
        events.append(request.url.host)
        return httpx.Response(200)

    bases = {"old": "https://old.example", "new": "https://new.example", "transport": Sending(back_end)}
    extensions = {"cutover.key": key_on(router, "new")}

    async def send():
        async with httpx.AsyncClient(transport=AsyncSwitchTransport(router.flow("pay"), **bases)) as client:
            await client.get("https://old.example/", extensions=extensions)

    if is_async:
        asyncio.run(send())
    else:
        with httpx.Client(transport=SwitchTransport(router.flow("pay"), **bases)) as client:
            client.get("https://old.example/", extensions=extensions)

    assert events == ["opened", "new.example", "closed"]


@pytest.mark.parametrize(
    ("method", "path", "outcome"),
    [
        ("GET", "/broken", "error"),
        ("POST", "/broken", "error"),
        ("GET", "/silent", "error"),
        ("POST", "/silent", "unknown"),
    ],
)
def test_outcomes(router, bases, method, path, outcome):
    """
    A server's error is an error; a request that broke off is unknown where it may have changed something.
    """
    old, new = bases
    transport = SwitchTransport(router.flow("pay"), old=old, new=new)
    with httpx.Client(base_url=old, transport=transport, timeout=0.2) as client:
        try:
            status = client.request(method, path, extensions={"cutover.key": key_on(router, "new")}).status_code
        except httpx.ReadTimeout:
            status = None

    assert status == (503 if path == "/broken" else None)
    assert calls(router.registry) == {("new", outcome): 1}


def test_what_was_never_sent_is_an_error(router, bases):
    """
    A back end that cannot be reached has changed nothing, whatever the method; the request goes to no other side.
    """
    old, _ = bases
    with serving("gone") as gone:
        pass
    transport = SwitchTransport(router.flow("pay"), old=old, new=gone)
    with httpx.Client(base_url=old, transport=transport) as client, pytest.raises(httpx.ConnectError):
        client.post("/charges", extensions={"cutover.key": key_on(router, "new")})

    assert calls(router.registry) == {("new", "error"): 1}


def test_async(router, bases):
    """
    The asynchronous transport does the same, and counts a cancelled request as cancelled.
    """
    old, new = bases
    extensions = {"cutover.key": key_on(router, "new")}

    async def both():
        transport = AsyncSwitchTransport(router.flow("pay"), old=old, new=new)
        async with httpx.AsyncClient(base_url=old, transport=transport) as client:
            answer = await client.get("/items", extensions=extensions)
            task = asyncio.ensure_future(client.get("/silent", extensions=extensions))
            await asyncio.wait([task], timeout=0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return answer.json()

    answer = asyncio.run(both())

    assert (answer["side"], answer["path"]) == ("new", "/v2/items")
    assert calls(router.registry) == {("new", "ok"): 1, ("new", "cancelled"): 1}


@pytest.mark.parametrize(
    "base", ["shop.example", "ftp://shop.example", "https://shop.example/?a=1", "https://shop.example/#a", "", None, 7]
)
def test_a_wrong_base(router, base):
    """
    What is no base URL is one error that names it and says what is allowed.
    """
    with pytest.raises(ConfigurationError, match=r"new is .*; allowed: a base URL such as https://shop.example"):
        SwitchTransport(router.flow("pay"), old="https://old.example", new=base)


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ("https://shop:geheim@new.example", r"new holds a user or a password; allowed: "),
        ("https://shop:geheim@new.example:port", "new is no URL that can be read; allowed: "),
        ("https://shop:geheim/2@new.example", "new is no URL that can be read; allowed: "),
    ],
)
def test_a_base_with_a_password(router, base, told):
    """
    Credentials of one side would go to the other: they are refused, and stand in no message.
    """
    with pytest.raises(ConfigurationError, match=told) as caught:
        SwitchTransport(router.flow("pay"), old="https://old.example", new=base)

    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        (SwitchTransport, {"flow": "pay"}, r'flow is a str; allowed: what router\.flow\("NAME"\) gives'),
        (SwitchTransport, {"transport": "http"}, r"transport is a str; allowed: an httpx\.BaseTransport"),
        (
            AsyncSwitchTransport,
            {"transport": httpx.WSGITransport(app=None)},
            r"transport is a WSGITransport; allowed: an httpx\.AsyncBaseTransport",
        ),
    ],
)
def test_what_cannot_send(router, kind, given, told):
    """
    What is no flow, or no transport of the client's kind, is an error where the transport is made.
    """
    given = {"flow": router.flow("pay"), "old": "https://old.example", "new": "https://new.example", **given}
    with pytest.raises(ConfigurationError, match=told):
        kind(**given)


def test_a_request_that_is_thrown_away(router):
    """
    A request whose coroutine is closed in another context than it began in is cancelled, and raises nothing.
    """

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            await asyncio.sleep(0)

    transport = AsyncSwitchTransport(
        router.flow("pay"), old="https://old.example", new="https://new.example", transport=Silent()
    )
    extensions = {"cutover.key": key_on(router, "new")}
    request = transport.handle_async_request(httpx.Request("POST", "https://old.example/", extensions=extensions))
    copy_context().run(request.send, None)
    request.close()

    assert calls(router.registry) == {("new", "cancelled"): 1}


async def asked(request):
    """
    Answer later.
    """
    return request.headers["x-user"]


def hidden(request):
    """
    Answer later, and hide that.
    """
    return asked(request)


@pytest.mark.parametrize("name", ["key", "home"])
def test_functions_that_cannot_be(router, name):
    """
    What cannot be called is refused, and so is a coroutine function where nothing awaits it.
    """
    bases = {"old": "https://old.example", "new": "https://new.example"}
    for transport, wrong in ((SwitchTransport, asked), (SwitchTransport, "x-user"), (AsyncSwitchTransport, "x-user")):
        with pytest.raises(ConfigurationError, match=rf"{name} is .*; allowed: a function"):
            transport(router.flow("pay"), **bases, **{name: wrong})


@pytest.mark.parametrize("name", ["key", "home"])
@pytest.mark.parametrize("form", [hidden, asked])
def test_functions_that_answer_later(router, bases, name, form):
    """
    A function of the asynchronous transport may give what is to be awaited, also where it hides that.
    """
    side = "new" if name == "home" else router.flow("pay").peek("new").backend.value

    async def send():
        transport = AsyncSwitchTransport(router.flow("pay"), old=bases[0], new=bases[1], **{name: form})
        async with httpx.AsyncClient(base_url=bases[0], transport=transport) as client:
            return await client.get("/orders", headers={"x-user": "new"})

    assert asyncio.run(send()).status_code == 200
    assert calls(router.registry) == {(side, "ok"): 1}


@pytest.mark.parametrize("name", ["key", "home"])
def test_functions_that_hide_a_coroutine(router, name):
    """
    In the synchronous transport a coroutine is no key and no home: the request is not sent, and counts nowhere.
    """
    bases = {"old": "https://old.example", "new": "https://new.example"}
    transport = SwitchTransport(router.flow("pay"), **bases, **{name: hidden})
    with (
        httpx.Client(base_url=bases["old"], transport=transport) as client,
        pytest.raises(ConfigurationError, match=f"^{name} gave a coroutine, which has not run yet"),
    ):
        client.get("/orders")

    assert calls(router.registry) == {}


def test_two_functions_that_hide_coroutines(router):
    """
    Where key and home are both coroutines, the request is refused without a coroutine that was never awaited.
    """
    bases = {"old": "https://old.example", "new": "https://new.example"}
    transport = SwitchTransport(router.flow("pay"), **bases, key=hidden, home=hidden)
    with (
        httpx.Client(base_url=bases["old"], transport=transport) as client,
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("always")
        with pytest.raises(ConfigurationError, match=r"^home gave a coroutine, which has not run yet"):
            client.get("/orders")

    assert [str(one.message) for one in told] == []
