"""
Comparisons with real clients and frameworks: they keep no connection, run in the caller's context, and copy arguments.
"""

import asyncio
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import flask
import httpx
import pytest
import requests
from answers import Plain
from asgiref.local import Local
from django.utils import translation
from structlog.testing import capture_logs
from switching import NEW, Back, Place, as_async, until_async

from cutover.core.bucketing import PARTS
from cutover.testing.store_helpers import until

QUIET = {"safe": True, "noise": 0}
CALLS = 12
CONNECTIONS = 2


class Answers(BaseHTTPRequestHandler):
    """
    Answers more than a socket holds, so that an answer that nobody reads keeps its connection.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """
        Answer a large body.
        """
        body = b"x" * 3_000_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        """
        Say nothing.
        """


@pytest.fixture
def url():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def settled(place, number):
    """
    Tell whether so many comparisons came to an end.
    """
    return sum(place.verdicts().values()) == number


@pytest.mark.parametrize("compare", [None, lambda old, new: old.status_code == new.status_code])
def test_streamed_responses_keep_no_connection(url, compare):
    """
    Each streamed call of the user finds a connection: the other side is not asked, or its response is closed.
    """
    place = Place(0, PARTS)
    limits = httpx.Limits(max_connections=CONNECTIONS)
    with httpx.Client(limits=limits, timeout=httpx.Timeout(20, pool=10)) as client:

        def fetch(_key):
            return client.send(client.build_request("GET", url), stream=True)

        switch = place.flow.switch(old=fetch, new=fetch, compare=compare, shadow_limit=1, **QUIET)
        for number in range(CALLS):
            response = switch("user-1")
            assert len(response.read()) == 3_000_000
            assert until(lambda number=number: settled(place, number + 1))
            assert until(lambda: not place.flow.switches[0].shadow._threads._under_way)

    verdict = "not_compared" if compare is None else "match"
    assert place.verdicts() == {verdict: CALLS}
    if compare is None:
        assert "httpx.Response is read only once" in place.kept()[0].differences[0][1]


def test_streamed_responses_of_requests(url):
    """
    The same holds for requests.
    """
    place = Place(0, PARTS)
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=1, pool_block=True))

        def fetch(_key):
            return session.get(url, stream=True, timeout=20)

        switch = place.flow.switch(old=fetch, new=fetch, **QUIET)
        for _ in range(CALLS):
            assert len(switch("user-1").content) == 3_000_000

    assert place.verdicts() == {"not_compared": CALLS}


@pytest.mark.parametrize("compare", [None, lambda old, new: old.status_code == new.status_code])
def test_streamed_responses_of_coroutines(url, compare):
    """
    The same holds for coroutines, whose responses are closed in their event loop.
    """
    place = Place(0, PARTS)

    async def calls():
        limits = httpx.Limits(max_connections=CONNECTIONS)
        async with httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(20, pool=10)) as client:

            async def fetch(_key):
                return await client.send(client.build_request("GET", url), stream=True)

            switch = place.flow.switch(old=fetch, new=fetch, compare=compare, shadow_limit=1, **QUIET)
            for number in range(CALLS):
                response = await switch("user-1")
                assert len(await response.aread()) == 3_000_000
                await until_async(lambda number=number: settled(place, number + 1))
                await until_async(lambda: not place.flow.switches[0].shadow._tasks)

    asyncio.run(calls())

    assert place.verdicts() == {"not_compared" if compare is None else "match": CALLS}


def test_a_stream_of_the_other_side_alone(url):
    """
    A stream that only the other side returns is closed, and the answer of the user is left as it is.
    """
    place, answered = Place(0, PARTS), []
    with httpx.Client(limits=httpx.Limits(max_connections=1)) as client:

        def stream(_key):
            answered.append(client.send(client.build_request("GET", url), stream=True))
            return {"rows": [answered[-1]]}

        place.flow.switch(old=Back([1]), new=stream, **QUIET)("user-1")
        assert until(lambda: answered and answered[0].is_closed)

    assert place.verdicts() in ({"mismatch": 1}, {"not_compared": 1})


@contextmanager
def in_flask():
    """
    Run inside of a request of Flask.
    """
    app = flask.Flask("shop")
    with app.test_request_context("/?words=shoes"):
        flask.g.language = "id"
        yield lambda: (flask.request.args["words"], flask.g.language, flask.current_app.name)


@contextmanager
def in_django():
    """
    Run in a language of Django, and beside a local of asgiref.
    """
    local = Local()
    local.tenant = "shop"
    with translation.override("de"):
        yield lambda: (translation.get_language(), local.tenant)


@pytest.mark.parametrize("inside", [in_flask, in_django])
@pytest.mark.parametrize("is_async", [False, True])
def test_the_context_of_the_caller(inside, is_async):
    """
    The other side finds the caller's context, in a thread as in a task.
    """
    place = Place(0, PARTS)
    with inside() as ask:

        def call_side(_key):
            return ask()

        both = as_async(call_side) if is_async else call_side
        switch = place.flow.switch(old=both, new=both, **QUIET)
        if is_async:

            async def call():
                await switch("user-1")
                await until_async(place.verdicts)

            asyncio.run(call())
        else:
            switch("user-1")
            assert until(place.verdicts)

    assert place.verdicts() == {"match": 1}


def test_what_a_failure_was():
    """
    A failure is shown and logged once, with its exception's type and line; its text is shown if `redact` shows it.
    """
    place = Place(0, PARTS)

    def fail(_key):
        raise httpx.ReadTimeout("for user-1")

    with capture_logs() as logs:
        for redact in ({}, {"redact": lambda path, value: value}):
            switch = place.flow.switch(old=Back(1), new=fail, **QUIET, **redact)
            before = sum(place.verdicts().values())
            for number in (1, 2, 3):
                switch("user-1")
                assert until(lambda number=number, before=before: settled(place, before + number))
        place.parts.notices.log()

    silent, open_ = (one.differences for one in place.kept())
    assert silent[0][:2] == ("", "answered")
    assert silent[0][2].startswith("raised httpx.ReadTimeout at ")
    assert "user-1" not in silent[0][2]
    assert open_[0][2].endswith(": for user-1")
    (line,) = [line for line in logs if line["event"] == "cutover.comparison_failed"]
    assert (line["flow"], line["outcome"], line["old"]) == ("browse", "new_error", "answered")
    assert "user-1" not in str(line)


def test_the_first_side_changes_its_arguments():
    """
    Each side gets its own arguments: a change that one makes is not seen by the other.
    """
    place, seen = Place(0, PARTS), []

    def pops(_key, words, *, filters):
        seen.append((words.pop(), filters["tags"].pop()))
        return seen[-1]

    words, filters = ["a", "b"], {"tags": [1, 2]}
    assert place.flow.switch(old=pops, new=pops, **QUIET)("user-1", words, filters=filters) == ("b", 2)
    assert until(place.verdicts)

    assert (place.verdicts(), seen, words) == ({"match": 1}, [("b", 2)] * 2, ["a"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (threading.Lock(), "argument 2, a _thread.lock, cannot be copied: TypeError"),
        (iter("ab"), ""),
        ((number for number in range(3)), "argument 2, a generator, cannot be copied: TypeError"),
        (Plain(rows=list(range(5_000))), "the arguments have more than 2,000 parts"),
    ],
)
def test_arguments_that_are_not_copied(given, said):
    """
    A call whose arguments cannot be copied is not compared, and says why; the other side is not asked.
    """
    place, new = Place(0, PARTS), Back(1)

    place.flow.switch(old=Back(1), new=new, **QUIET)("user-1", given)
    assert until(place.verdicts)

    assert place.verdicts() == ({"not_compared": 1} if said else {"match": 1})
    assert not said or (said in place.kept()[0].differences[0][1] and not new.calls)


def test_a_call_inside_of_a_comparison():
    """
    A switch, a block and a decision inside of a compared call are none of a user's, and are compared with nothing.
    """
    place = Place(0, PARTS)
    inner = place.parts.flow("cart")
    price = inner.switch(old=Back(1), new=Back(1), **QUIET)

    def called(key):
        with inner.request(key):
            return price(key)

    switch = place.flow.switch(old=called, new=called, **QUIET)
    switch("user-1")
    assert until(place.verdicts)

    calls = sum(cell.total for cell in inner.cells.calls.values())
    decisions = sum(cell.total for cell in inner.cells.decisions.values())
    synthetic = sum(cell.total for cell in inner.cells.synthetic.values())
    assert (place.verdicts(), calls, decisions, synthetic) == ({"match": 1}, 2, 2, 2)
    assert not any(cell.total for cell in inner.cells.shadows.values())


def test_loops_that_were_closed():
    """
    Comparisons of a loop that was closed, also before they ended, give their places back.
    """
    place = Place(0, PARTS)

    async def hang(_key):
        await asyncio.Event().wait()

    hanging = place.flow.switch(old=as_async(Back(1)), new=hang, shadow_limit=2, shadow_deadline=3600, **QUIET)
    shadow = place.flow.switches[0].shadow
    for _ in range(3):
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(hanging("user-1")) == 1
        for task in shadow._tasks:
            task._log_destroy_pending = False  # the application closes a loop that has tasks
        loop.close()
        assert len(shadow._tasks) == 1
    asyncio.run(hanging("user-1"))

    assert place.verdicts() == {"dropped": 4}


def test_an_event_loop_does_not_compare():
    """
    What coroutines answered is compared in a thread: also what hangs there holds no event loop up, and is no match.
    """
    place, threads, held = Place(0, PARTS), [], threading.Event()

    def compare(_old, _new):
        threads.append(threading.current_thread())
        return held.wait(20)

    async def call():
        switch = place.flow.switch(old=as_async(Back(1)), new=as_async(Back(2)), compare=compare, **QUIET)
        await switch("user-1")
        await until_async(lambda: threads)
        held.set()
        await until_async(place.verdicts)

    asyncio.run(call())

    assert place.verdicts() == {"match": 1}
    assert threads[0] is not threading.current_thread()


def test_a_method_shares_its_object():
    """
    The object of a method is no argument: both sides get the caller's own, whatever it holds.
    """
    place = Place(0, PARTS)

    class Shop:
        lock = threading.Lock()

        def __init__(self):
            self.mine = threading.Lock()

        find = place.flow.switch(old=lambda self, key: id(self), new=lambda self, key: id(self), **QUIET)

    shop = Shop()
    assert shop.find("user-1") == id(shop)
    assert until(place.verdicts)

    assert place.verdicts() == {"match": 1}
    assert place.flow.peek("user-1").backend is not NEW
