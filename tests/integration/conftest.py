"""
A SQLite store with two changes in it.
"""

import pytest

from cutover.stores.sqlite import SqliteStore
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
