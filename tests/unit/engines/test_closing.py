"""
Things that another thread closes while they are used for the first time.
"""

import asyncio

import pytest
from servers.ports import free_port

from cutover.claims.threads import Threads
from cutover.engines.postgresql.pool import Pool
from cutover.engines.postgresql.url import parse
from cutover.engines.sqlite.file import SqliteFile
from cutover.errors import Unavailable
from cutover.forks import PerProcess


def use_file(file):
    """
    Read one file.
    """
    with file.reading():
        pass


def use_pool(pool):
    """
    Run one statement.
    """
    with pool.taken() as session:
        session.run("SELECT 1")


def use_threads(threads):
    """
    Make one call in a thread.
    """
    asyncio.run(threads.run(dict))


@pytest.fixture(params=["file", "pool", "threads"])
def opened(request, tmp_path):
    """
    Each of the things that are opened at their first use, and a use of it.
    """
    if request.param == "file":
        file = SqliteFile(tmp_path / "cutover.db")
        with file.creating():
            pass
        return file, use_file
    if request.param == "pool":
        return Pool(parse(f"postgresql://127.0.0.1:{free_port()}/shop")), use_pool
    return Threads("memory:shop"), use_threads


def test_closed_at_the_first_use(opened, monkeypatch):
    """
    A use that began before the end opens nothing after it.
    """
    thing, use = opened
    get = PerProcess.get

    def get_late(things):
        monkeypatch.setattr(PerProcess, "get", get)
        thing.close()
        return get(things)

    monkeypatch.setattr(PerProcess, "get", get_late)
    with pytest.raises(Unavailable, match="closed"):
        use(thing)
