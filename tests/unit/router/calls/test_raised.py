"""
What an exception says about the call that raised it.
"""

import asyncio
import contextlib
import errno
import http.client
import io
import multiprocessing
import smtplib
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from cutover.router.calls.raised import all_are, any_is, broke_off

LEAVES = st.sampled_from([ValueError, KeyError, TimeoutError, ConnectionResetError]).map(lambda kind: kind("no"))
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda some: ExceptionGroup("of", some))
)
KINDS = st.lists(st.sampled_from([ValueError, LookupError, TimeoutError, OSError]), max_size=2).map(tuple)


def leaves(error):
    """
    Give the exceptions that are no groups.
    """
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


@given(error=TREES, kinds=KINDS)
def test_groups(error, kinds):
    """
    A group is of certain classes if all in it is, at any depth; and it holds one if any of it is.
    """
    found = [isinstance(leaf, kinds) for leaf in leaves(error)]

    assert all_are(error, kinds) is all(found)
    assert any_is(error, kinds) is any(found)
    assert broke_off(error) is any(isinstance(leaf, TimeoutError | ConnectionError) for leaf in leaves(error))


def test_deep_groups():
    """
    A group may be nested deeper than Python can call functions.
    """
    error = ExceptionGroup("of", [TimeoutError("late")])
    for _ in range(5000):
        error = ExceptionGroup("of", [error])

    assert all_are(error, (TimeoutError,)) is broke_off(error) is True
    assert all_are(error, (ValueError,)) is False


def test_a_group_that_is_named():
    """
    A class of groups may be named itself.
    """
    error = ExceptionGroup("of", [ValueError("no"), KeyError("no")])

    assert all_are(error, (ExceptionGroup,))
    assert all_are(BaseExceptionGroup("of", [KeyboardInterrupt()]), (ExceptionGroup,)) is False


def caught(function):
    """
    Give what a function raises.
    """
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("it raised nothing")


def late():
    """
    Raise a timeout.
    """
    raise TimeoutError("late")


def from_a_timeout():
    """
    Raise a client's own error because of a timeout.
    """
    try:
        late()
    except TimeoutError as error:
        raise RuntimeError("the client failed") from error


def in_a_handler():
    """
    Raise a client's own error while a timeout is handled.
    """
    try:
        late()
    except TimeoutError:
        raise RuntimeError("the client failed")  # noqa: B904 - on purpose


def from_none():
    """
    Say that a timeout has nothing to do with it.
    """
    try:
        late()
    except TimeoutError:
        raise RuntimeError("refused") from None


async def in_a_task_group():
    """
    Raise a timeout in a task, and leave the group of it as it is.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.wait_for(asyncio.Event().wait(), 0))


CAUSES = {
    "from": (from_a_timeout, True),
    "in a handler": (in_a_handler, True),
    "from none": (from_none, False),
    "in a task group": (lambda: asyncio.run(in_a_task_group()), True),
}


@pytest.mark.parametrize("name", CAUSES)
def test_causes(name):
    """
    A timeout is found behind the error that a client made of it.
    """
    function, expected = CAUSES[name]
    error = caught(function)

    assert broke_off(error) is expected
    assert any_is(error, (TimeoutError,)) is expected


def test_what_the_caller_was_handling():
    """
    A timeout that the caller was handling already when it made the call is no cause of what the call raised.
    """

    def refuse():
        raise ValueError("sold out")

    def call():
        try:
            refuse()
        except ValueError as error:
            return error, broke_off(error)

    try:
        late()
    except TimeoutError:
        error, found = call()

    assert isinstance(error.__context__, TimeoutError)
    assert found is False


def test_causes_in_a_circle():
    """
    Causes that lead back to where they began come to an end.
    """
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first

    assert any_is(first, (TimeoutError,)) is False


def answered(status):
    """
    Give an answer of urllib as its error.
    """
    return urllib.error.HTTPError("http://x", status, "", None, io.BytesIO())


class Silent(Exception):
    """
    What has the name of an error of gRPC, and no code.
    """


def grpc_error(code):
    """
    Give an error as gRPC gives it, which is not installed here.
    """
    base = type("RpcError", (Exception,), {"__module__": "grpc"})
    name = None if code is None else type("Code", (), {"name": code})()
    return type("_InactiveRpcError", (base,), {"__module__": "grpc._channel", "code": lambda _: name})()


def named(module, name, **attributes):
    """
    Give an error of a client that is not installed here.
    """
    return type(name, (Exception,), {"__module__": module, **attributes})()


REQUEST = httpx.Request("POST", "http://x")
RESPONSE = requests.Response()
RESPONSE.status_code = 504


class NoNumber(OSError):
    """
    An error whose number cannot be read.
    """

    @property
    def errno(self):
        """
        Raise.
        """
        raise RuntimeError("no number")


ERRORS = {
    True: [
        TimeoutError(),
        ConnectionResetError(),
        EOFError(),
        asyncio.IncompleteReadError(b"", 2),
        OSError(errno.EHOSTUNREACH, "no route"),
        OSError(errno.ENETUNREACH, "no network"),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        ssl.SSLError("The read operation timed out"),
        http.client.IncompleteRead(b""),
        http.client.RemoteDisconnected(),
        http.client.BadStatusLine("x"),
        urllib.error.URLError(TimeoutError("timed out")),
        urllib.error.URLError("timed out"),
        urllib.error.URLError(ssl.SSLEOFError(8, "EOF")),
        urllib.error.ContentTooShortError("", None),
        smtplib.SMTPServerDisconnected(),
        subprocess.TimeoutExpired("charge", 3),
        multiprocessing.TimeoutError(),
        httpx.ReadTimeout("late"),
        httpx.ConnectTimeout("late"),
        httpx.PoolTimeout("late"),
        httpx.ReadError("lost"),
        httpx.RemoteProtocolError("lost"),
        httpx.HTTPStatusError("504", request=REQUEST, response=httpx.Response(504)),
        requests.Timeout(),
        requests.exceptions.ChunkedEncodingError(),
        requests.ConnectionError(),
        requests.HTTPError(response=RESPONSE),
        urllib3.exceptions.ReadTimeoutError(None, None, "late"),
        urllib3.exceptions.MaxRetryError(None, None, urllib3.exceptions.ProtocolError("lost")),
        grpc_error("DEADLINE_EXCEEDED"),
        grpc_error("UNAVAILABLE"),
        named("aiohttp.client_exceptions", "ClientPayloadError"),
        named("aiohttp.client_exceptions", "ClientResponseError", status=502),
    ],
    False: [
        ValueError("sold out"),
        OSError(errno.ENOENT, "no file"),
        socket.gaierror(-2, "no name"),
        NoNumber(),
        ssl.SSLCertVerificationError("wrong host"),
        http.client.CannotSendRequest(),
        http.client.InvalidURL(),
        urllib.error.URLError(socket.gaierror(-2, "no name")),
        urllib.error.URLError(ssl.SSLCertVerificationError("wrong host")),
        httpx.UnsupportedProtocol("no scheme"),
        httpx.HTTPStatusError("500", request=REQUEST, response=httpx.Response(500)),
        httpx.InvalidURL("no URL"),
        requests.exceptions.InvalidURL(),
        requests.HTTPError("no response"),
        grpc_error("INVALID_ARGUMENT"),
        grpc_error(None),
        named("shop", "Timeout"),
        KeyboardInterrupt(),
    ],
}


def name_of(error):
    """
    Name an error in the output of tests.
    """
    return f"{type(error).__name__} {error}"


@pytest.mark.parametrize("error", ERRORS[True], ids=name_of)
def test_what_breaks_off(error):
    """
    A timeout and a lost connection are known by what each client calls them, also in a group and as a cause.
    """
    assert broke_off(error)
    assert broke_off(ExceptionGroup("of", [ValueError(), error]))


@pytest.mark.parametrize("error", ERRORS[False], ids=name_of)
def test_what_does_not_break_off(error):
    """
    What was certainly never sent, or was answered, leaves nothing open.
    """
    assert not broke_off(error)


@pytest.mark.parametrize(("status", "expected"), [(502, True), (504, True), (500, False), (404, False)])
def test_gateways(status, expected):
    """
    A gateway that says that it had no answer leaves open what the server behind it did.
    """
    with contextlib.closing(answered(status)) as error:
        assert broke_off(error) is expected


class Broken(BaseHTTPRequestHandler):
    """
    A server that breaks off, as the path says.
    """

    def do_POST(self):
        """
        Take the request, and answer badly.
        """
        if self.path == "/silent":
            self.server.released.wait(30)
        elif self.path == "/half":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
        elif self.path == "/gateway":
            self.send_response(504)
            self.send_header("Content-Length", "0")
            self.end_headers()
        self.close_connection = True

    def log_message(self, *_):
        """
        Say nothing.
        """


@pytest.fixture(scope="module")
def server():
    """
    Give the URL of such a server.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as one:
        one.released = threading.Event()
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.released.set()
        one.shutdown()
        thread.join()


def with_urllib(url):
    """
    Post with urllib.
    """
    with urllib.request.urlopen(url, data=b"", timeout=0.2) as response:
        return response.read()


def with_http_client(url):
    """
    Post with http.client.
    """
    with contextlib.closing(http.client.HTTPConnection(url.split("/")[2], timeout=0.2)) as connection:
        connection.request("POST", f"/{url.split('/')[3]}")
        response = connection.getresponse()
        response.read()
        if response.status >= 500:
            raise TimeoutError("the client says so itself")


CLIENTS = {
    "urllib": with_urllib,
    "http.client": with_http_client,
    "httpx": lambda url: httpx.post(url, timeout=0.2).raise_for_status(),
    "requests": lambda url: requests.post(url, timeout=0.2).raise_for_status(),
}


@pytest.mark.parametrize("path", ["silent", "half", "nothing", "gateway"])
@pytest.mark.parametrize("client", CLIENTS)
def test_clients(client, path, server):
    """
    Each client's own error after a request that was sent leaves its outcome open.
    """
    error = caught(lambda: CLIENTS[client](f"{server}/{path}"))

    assert broke_off(error), repr(error)
    if isinstance(error, urllib.error.HTTPError):
        error.close()
