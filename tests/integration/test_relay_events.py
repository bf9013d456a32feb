"""
The stream of events, and TLS.
"""

import http.client
import json

import pytest
import trustme

from cutover.engines.registry import open_store
from cutover.errors import Unavailable
from cutover.operations.control import control
from cutover.testing.store_helpers import PATIENCE, in_thread, until


class Stream:
    """
    A dashboard's side of a stream.
    """

    def __init__(self, relay):
        self.connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=PATIENCE)
        self.connection.request("GET", "/v1/events")
        self.response = self.connection.getresponse()
        self.states = []
        self.ended = False
        self.reader = in_thread(self.read)

    def read(self):
        """
        Keep every state until the stream ends.
        """
        for line in self.response:
            if line.startswith(b"data: "):
                self.states.append(json.loads(line[6:]))
        self.ended = True

    @property
    def last(self):
        """
        The latest state.
        """
        return self.states[-1] if self.states else {}


@pytest.fixture
def relay(serving, shop_url):
    """
    A relay in front of a migration.
    """
    return serving(shop_url)


@pytest.fixture
def stream(relay):
    """
    A dashboard that has seen the first state.
    """
    stream = Stream(relay)
    assert until(lambda: bool(stream.states))
    yield stream
    stream.reader.join(PATIENCE)
    stream.connection.close()


def test_stream(relay, stream, shop_url, tmp_path):
    """
    A dashboard is told of every change of version, floor and store, each state once, and is let go at the end.
    """
    with control(relay.url, actor="rina") as opened:
        opened.set("browse", 25, reason="week 1")
        assert until(lambda: stream.last["head"]["version"] == 2)
        opened.store.give_emergency("shop", "pay", actor="rina", reason="timeouts")
        assert until(lambda: stream.last["floor"] == ["cart", "pay"])
        assert until(lambda: stream.last["head"]["version"] == 3)
    (tmp_path / "shop.db").rename(tmp_path / "away.db")
    assert until(lambda: stream.last["store_up"] is False)

    assert all(one != other for one, other in zip(stream.states, stream.states[1:], strict=False))
    assert relay.end() == 0
    assert until(lambda: stream.ended)


def test_content_type(relay, stream):
    """
    A stream is what browsers take for one, and nobody on the way may hold it back.
    """
    headers = stream.response.headers
    assert headers["Content-Type"].startswith("text/event-stream")
    assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-cache", "no")
    relay.end()


def test_tls(serving, shop_url, tmp_path, monkeypatch):
    """
    A relay with a certificate is reached by those who know its authority, and by nobody else.
    """
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for part in certificate.cert_chain_pems:
        part.write_to_path(tmp_path / "cert.pem", append=True)
    relay = serving(
        shop_url, "--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"), scheme="https"
    )

    def reached(url, authorities, patience):
        monkeypatch.setenv("CUTOVER_TLS_CA", authorities)
        store = open_store(url)
        try:
            return until(lambda: answers(store), patience)
        finally:
            store.close()

    known = str(tmp_path / "ca.pem")
    assert reached(relay.url, known, PATIENCE)
    assert not reached(relay.url, "", 0)
    assert not reached(relay.url.replace("127.0.0.1", "localhost"), known, 0)
    assert not reached(relay.url.replace("https", "http"), "", 0)


def answers(store):
    """
    Tell whether a store can be read.
    """
    try:
        return store.read("shop") is not None
    except Unavailable:
        return False
