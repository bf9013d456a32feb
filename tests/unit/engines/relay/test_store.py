"""
A relay that is none, or is lost in the middle.
"""

import socket
import threading
from contextlib import closing, contextmanager, suppress
from itertools import takewhile

import pytest
from servers.ports import free_port

from cutover.core.snapshot import Head
from cutover.engines.registry import open_store
from cutover.engines.relay import link as http_link
from cutover.errors import Conflict, Corrupt, Refused, Unavailable
from cutover.testing.store_helpers import MIGRATION, PATIENCE, check_in, in_thread, write

HTML = b"<html>Bad gateway</html>"


def whole_request(connection):
    """
    Receive a request with its body: who closes a connection before may take back the answer.
    """
    with connection.makefile("rb") as stream:
        head = list(takewhile(bytes.strip, stream))
        sizes = [int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length:")]
        return b"".join([*head, b"\r\n", stream.read(sum(sizes))])


@contextmanager
def served(*answers):
    """
    Open a store at a server that gives one answer a connection, and then none: None is a connection that is closed.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    requests = []

    def serve():
        with suppress(OSError):  # the test ends, and nobody came any more
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    requests.append(whole_request(connection))
                    if answer is not None:
                        connection.sendall(answer)

    server = in_thread(serve)
    store = open_store(f"http://:t0ken@127.0.0.1:{listener.getsockname()[1]}")
    try:
        yield store, requests
    finally:
        store.close()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        server.join(PATIENCE)


def http(status, body=b"", kind="application/json"):
    """
    Make an answer.
    """
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def in_doubt(answer):
    """
    Give whether a change is in doubt after an answer.
    """
    with served(answer) as (store, _), pytest.raises(Unavailable) as caught:
        write(store)
    return caught.value.in_doubt


@pytest.mark.parametrize(
    ("answer", "doubt"),
    [
        (None, True),
        (http(201, b"{}")[:40], True),
        (http(201, b'{"head": {}}')[:-3], True),
        (http(502, HTML, "text/html"), True),
        (http(504), True),
        (http(503, b'{"error":{"code":"unavailable","message":"away","in_doubt":true}}'), True),
        (http(503, b'{"error":{"code":"unavailable","message":"away","in_doubt":false}}'), False),
        (http(401, b'{"error":{"code":"unauthorized","message":"who?"}}'), False),
        (http(404, HTML, "text/html"), False),
    ],
    ids=["closed", "cut header", "cut body", "gateway", "timeout", "relay's doubt", "relay", "token", "no relay"],
)
def test_lost_answers(answer, doubt):
    """
    A change whose answer was lost may be in force; one that was refused on the way is not.
    """
    assert in_doubt(answer) is doubt


def test_an_answer_that_is_given_up_leaves_nothing_open(monkeypatch):
    """
    Where an answer is too long the connection is closed at once, also while somebody holds the error.
    """
    monkeypatch.setattr(http_link, "LARGEST_ANSWER", 1)
    ended = []

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            connection.recv(65536)
            connection.sendall(http(200, b"{}"))
            with suppress(TimeoutError):
                ended.append(connection.recv(1))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = in_thread(serve)
        with closing(open_store(f"http://127.0.0.1:{listener.getsockname()[1]}")) as store:
            with pytest.raises(Unavailable, match="too long") as caught:
                store.read(MIGRATION)
            server.join(2 * PATIENCE)

    assert (ended, caught.value.in_doubt) == ([b""], False)


def test_nobody_listens():
    """
    Where no connection came about, nothing was done.
    """
    store = open_store(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        write(store)

    assert not caught.value.in_doubt


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http(409, b'{"error":{"code":"conflict","message":"no","expected":"1:a","actual":"2:b"}}'), Conflict),
        (http(422, b'{"error":{"code":"refused","message":"no","details":["why"]}}'), Refused),
        (http(403, b'{"error":{"code":"forbidden","message":"no"}}'), Refused),
        (http(503, b'{"error":{"code":"corrupt","message":"no"}}'), Corrupt),
    ],
)
def test_refusals(answer, error):
    """
    What the relay refuses is raised as what it is.
    """
    with served(answer) as (store, _), pytest.raises(error):
        write(store)


@pytest.mark.parametrize(
    "answer",
    [
        http(200, HTML, "text/html"),
        http(200, b"{}"),
        http(200, b"[]"),
        http(200, b'{"head":{"epoch":"1"},"floor":[],"age_ms":0}'),
        http(200, b"[" * 10_000),
        http(204),
    ],
    ids=["page", "empty", "list", "types", "deep", "nothing"],
)
def test_no_relay(answer):
    """
    An answer that is none of a relay is corrupt, never an empty state.
    """
    with served(answer) as (store, _), pytest.raises(Corrupt):
        store.read(MIGRATION)


@pytest.mark.parametrize("answer", [http(404, HTML, "text/html"), http(404), http(500), None])
def test_missing_is_never_empty(answer):
    """
    Only a relay itself says that there is no such migration: another server's 404 says nothing.
    """
    with served(*[answer] * 2) as (store, _), pytest.raises(Unavailable):
        store.read(MIGRATION)
    with served(http(404, b'{"error":{"code":"no_migration","message":"none"}}')) as (store, _):
        assert store.read(MIGRATION) is None


def test_token_goes_into_the_header():
    """
    The token is sent as a bearer token, and stands neither in the path nor in an error.
    """
    with served(http(500)) as (store, requests), pytest.raises(Unavailable) as caught:
        store.read(MIGRATION, seen=Head(1, 2, "a" * 64))

    (request,) = requests
    assert b"Authorization: Bearer t0ken\r\n" in request
    assert request.count(b"t0ken") == 1
    assert "t0ken" not in f"{caught.value}{store.url}{store!r}"


def test_kept_connection_that_was_closed():
    """
    A relay that closed an idle connection is asked again on a fresh one; reads and check-ins do no harm twice.
    """
    kept = http(204).replace(b"Connection: close\r\n", b"")
    with served(kept, http(204)) as (store, requests):
        check_in(store)
        check_in(store)

        assert len(requests) == 2


def test_close_ends_a_wait():
    """
    Closing ends a wait at a relay that says nothing more.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    store = open_store(f"http://127.0.0.1:{listener.getsockname()[1]}")
    waiter = in_thread(lambda: store.wait(MIGRATION, seen=None, timeout=60))
    connection, _ = listener.accept()
    arrived = threading.Event()
    if connection.recv(65536):
        arrived.set()
    store.close()
    waiter.join(PATIENCE)

    assert arrived.is_set()
    assert not waiter.is_alive()
    connection.close()
    listener.close()
