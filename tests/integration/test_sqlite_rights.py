"""
SQLite files that whoever uses them has no rights to.
"""

import os
import tempfile
from pathlib import Path

import pytest
from sqlite_uses import refused

from cutover.engines.sqlite.store import SqliteStore
from cutover.errors import Unavailable
from cutover.testing.fork_contract import in_child
from cutover.testing.store_helpers import MIGRATION, check_in, head_of, write

NOBODY = 65534  # the user and the group that own nothing


def without_rights(work):
    """
    Do something in a child that is not root, and tell whether it went well.
    """

    def as_nobody():
        if os.getuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        work()

    return in_child(as_nobody)


@pytest.fixture
def path():
    """
    A place that others may come to: pytest closes the folders above its own to them, at any time.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "cutover.db"
        Path(folder).chmod(0o755)


def test_read_only(store, path):
    """
    A file that may only be read is read; a change says that it is read-only, and changes nothing.
    """
    path.chmod(0o444)
    path.parent.chmod(0o555)

    def use():
        opened = SqliteStore(path)
        assert opened.read(MIGRATION).head == head_of(2)
        for write_something in (lambda: write(opened, head_of(2)), lambda: check_in(opened)):
            with pytest.raises(Unavailable, match="read-only"):
                write_something()

    assert without_rights(use)
    assert store.read(MIGRATION).head == head_of(2)


def test_no_permission(store, path):
    """
    A file that may not be read, and a folder that may not be written to, are Unavailable.
    """
    path.chmod(0)
    path.parent.chmod(0o555)

    def use():
        refused(SqliteStore(path), Unavailable, "cannot be")
        with pytest.raises(Unavailable, match="Permission denied"):
            write(SqliteStore(path.parent / "new.db"))

    assert without_rights(use)
