"""
Relays: a process of bare ones for the store contract, and `cutover serve` as operators start it.
"""

import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cutover.core.migration import Migration
from cutover.operations.control import control
from cutover.testing.store_helpers import until
from servers.ports import free_port

NUMBERS = itertools.count()
START = 60.0  # seconds, on a machine that does much else
DEFINITION = """
name = "shop"
title = "Old shop to new"
old = "legacy"
new = "modern"
started = 2026-01-01
deadline = 2026-01-31
[flows.browse]
weight = 1
[flows.cart]
weight = 1
[flows.pay]
weight = 2
[journeys.purchase]
flows = ["cart", "pay"]
together = true
[cohorts.staff]
title = "Employees"
"""


class Serving:
    """
    One `cutover serve` on a port of its own, which can be ended, killed and started again.
    """

    def __init__(self, store, folder, *options, scheme="http"):
        self.port = free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.store = store
        self.folder = folder
        self.options = options
        self.process = None

    def start(self):
        """
        Start it, and wait until it answers.
        """
        listen = f"127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "cutover.cli", "serve", "--store", self.store, "--listen", listen]
        with (self.folder.parent / "relay.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--state", str(self.folder), *self.options],
                stderr=log,
                env={name: value for name, value in os.environ.items() if not name.startswith("CUTOVER_")},
            )
        assert until(self.answers, START), (self.folder.parent / "relay.log").read_text()
        return self

    def answers(self):
        """
        Tell whether the port is open.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        with suppress(OSError):
            connection.connect()
            connection.close()
            return True
        return False

    def get(self, path, *, method="GET", body=None, **headers):
        """
        Ask something; gives the status, the headers and the body.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            with suppress(BrokenPipeError):  # a body that is too large is answered before all of it is sent
                connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def version(self):
        """
        Give the version of the shop that is served; None where there is none.
        """
        status, _, body = self.get("/v1/migrations/shop/snapshot")
        return json.loads(body)["head"]["version"] if status == 200 else None

    def end(self, number=signal.SIGTERM, patience=20):
        """
        Send a signal, and give the exit code.
        """
        self.process.send_signal(number)
        return self.process.wait(patience)


@pytest.fixture(scope="module")  # hundreds of relays that nobody asks any more would still ask their stores
def relays(tmp_path_factory):
    """
    The address of a process that serves a fresh relay for each first path segment.
    """
    script = Path(__file__).with_name("relay_worker.py")
    command = [sys.executable, str(script), str(tmp_path_factory.mktemp("relays"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.fixture
def relay_url(relays):
    """
    A relay of this test's own, before an empty SQLite store.
    """
    return f"{relays}/r{next(NUMBERS)}"


@pytest.fixture
def serving(tmp_path):
    """
    Start relays with ``serving(store, *options)``; all are killed at the end.
    """
    started = []

    def start(store, *options, name="state", **more):
        started.append(Serving(store, tmp_path / name, *options, **more))
        return started[-1].start()

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def shop_url(tmp_path):
    """
    A SQLite store that holds the migration `shop` at version 1.
    """
    url = f"sqlite:///{tmp_path}/shop.db"
    with control(url, actor="rina") as opened:
        opened.apply(Migration.parse(DEFINITION))
    return url
