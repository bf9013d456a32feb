"""
A SQLite store with two changes in it, and other processes that use it.
"""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import router_processes

from cutover.engines.sqlite.store import SqliteStore
from cutover.testing.store_helpers import write, write_many


@pytest.fixture
def path(tmp_path):
    """
    Where the store is; nothing is there yet.
    """
    return tmp_path / "cutover.db"


@pytest.fixture
def empty_store(path):
    """
    A store whose file is not there.
    """
    store = SqliteStore(path)
    yield store
    store.close()


@pytest.fixture
def store(empty_store):
    """
    A store at version 2, that was read from.
    """
    write_many(empty_store, 2)
    return empty_store


@pytest.fixture
def other(store, tmp_path):
    """
    The path of another store's file, at version 1 of another history.
    """
    path = tmp_path / "other.db"
    another = SqliteStore(path)
    write(another, branch="other", snapshot="other snapshot")
    another.close()
    return path


class Worker(subprocess.Popen):
    """
    Another process, which speaks in lines.
    """

    def said(self) -> str:
        """
        Wait for the next line.
        """
        return self.stdout.readline().strip()


@contextmanager
def started(*arguments: object):
    """
    Run a worker for a block; it is killed at its end, if it still runs.
    """
    script = Path(__file__).with_name("store_worker.py")
    command = [sys.executable, str(script), *map(str, arguments)]
    with Worker(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def worker():
    """
    Start other processes: ``with worker(verb, ...) as process``.
    """
    return started


@pytest.fixture
def url(tmp_path):
    """
    The URL of a store for processes that route.
    """
    return f"sqlite:///{tmp_path}/shop.db"


@pytest.fixture
def control(url, tmp_path):
    """
    The operator's side of that store, which holds the flow pay at 50%.
    """
    with router_processes.begin(url, tmp_path) as control:
        yield control


@pytest.fixture
def routing():
    """
    Start processes that route: ``with routing(verb, ...) as process``.
    """
    return router_processes.worker
