"""
SQLite files that are missing, foreign, damaged or replaced: never an empty state, never an error of the driver.
"""

import os
import shutil
import sqlite3
import threading
from contextlib import closing

import pytest
from sqlite_uses import refused, uses

from cutover.engines.sqlite.store import SqliteStore
from cutover.errors import Corrupt, StoreError, Unavailable
from cutover.testing.store_helpers import MIGRATION, PATIENCE, check_in, head_of, in_thread, write

PAGE = 4096


def test_opening_creates_nothing(empty_store, tmp_path):
    """
    A file that is missing is Unavailable, not empty, and no use but the first change creates it.
    """
    refused(empty_store, Unavailable, "does not exist")
    empty_store.wait(MIGRATION, seen=None, timeout=0.01)

    assert list(tmp_path.iterdir()) == []


def test_first_change_creates_one_private_file(empty_store, path, tmp_path):
    """
    The file that the first change creates can be read by its owner alone, and nothing is left beside it.
    """
    write(empty_store)

    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600


def test_missing_folder(tmp_path):
    """
    Where the folder is missing, the first change says so and creates nothing.
    """
    store = SqliteStore(tmp_path / "missing" / "cutover.db")

    with pytest.raises(Unavailable, match=r"no folder .*missing"):
        write(store)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file(empty_store, path):
    """
    A folder at the path is Unavailable.
    """
    path.mkdir()

    refused(empty_store, Unavailable, "not a file")


def test_relative_path(tmp_path, monkeypatch):
    """
    A relative path is taken from where the store was opened, wherever the process goes later.
    """
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("cutover.db")
    monkeypatch.chdir("/")
    write(store)
    store.close()

    assert (tmp_path / "cutover.db").exists()


def test_strange_name(tmp_path):
    """
    A path is taken to the letter, also where it would mean something in a URL.
    """
    store = SqliteStore(tmp_path / "a b%20?mode=memory#é.db")
    write(store)
    store.close()

    assert [p.name for p in tmp_path.iterdir()] == ["a b%20?mode=memory#é.db"]


@pytest.mark.parametrize("content", [b"", b"no database\n" * 1000, b"SQLite format 3\0", bytes(3 * PAGE)])
def test_file_of_something_else(empty_store, path, content):
    """
    An empty file and one that is no database are Corrupt, for the first change too, and are left as they are.
    """
    path.write_bytes(content)

    refused(empty_store, Corrupt, str(path))
    with pytest.raises(Corrupt):
        write(empty_store)

    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE orders (id)", "PRAGMA application_id = 7", "CREATE TABLE migrations (name, epoch, version, hash)"],
)
def test_foreign_database(empty_store, path, statement):
    """
    A database of another program is Corrupt, for the first change too, and is left as it is.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    content = path.read_bytes()

    refused(empty_store, Corrupt, "another program")
    with pytest.raises(Corrupt, match="another program"):
        write(empty_store)

    assert path.read_bytes() == content


def test_newer_schema(store, path):
    """
    A file of a later library is Corrupt, and the error names both schemas.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")

    refused(store, Corrupt, "schema 2; this version reads 1")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE migrations",
        "UPDATE migrations SET version = 'two'",
        "UPDATE migrations SET hash = x'00'",
        "UPDATE migrations SET secret = 'text'",
        "UPDATE migrations SET hash = CAST(x'ff' AS TEXT)",
        "DELETE FROM snapshots",
        "UPDATE snapshots SET document = x'00'",
        "UPDATE snapshots SET document = CAST(x'ffff' AS TEXT)",
    ],
)
def test_edited_rows(store, path, statement):
    """
    Rows that this library cannot have written are Corrupt.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)

    with pytest.raises(Corrupt):
        store.read(MIGRATION)


def test_deleted(store, path):
    """
    A file that is deleted under an open store is Unavailable, is not created anew, and is found when it is back.
    """
    backup = path.read_bytes()
    path.unlink()
    refused(store, Unavailable, "does not exist")
    assert not path.exists()

    path.write_bytes(backup)
    assert store.read(MIGRATION).head == head_of(2)


@pytest.mark.parametrize("size", [0, 1, 100, PAGE, 2 * PAGE + 17])
def test_truncated(store, path, size):
    """
    A file that is truncated or emptied under an open store is Corrupt.
    """
    store.read(MIGRATION)
    os.truncate(path, size)

    with pytest.raises(Corrupt):
        store.read(MIGRATION)
    with pytest.raises(Corrupt):
        write(store)


def test_zeroed_header(store, path):
    """
    A file whose header was overwritten is Corrupt.
    """
    store.read(MIGRATION)
    with path.open("r+b") as file:
        file.write(bytes(100))

    refused(store, Corrupt, "not an SQLite database")


@pytest.mark.parametrize("filling", [b"\x00", b"\xff", b"\x05"])
def test_overwritten_pages(store, path, filling):
    """
    Whatever page is overwritten, nothing but a StoreError leaves the store.
    """
    write(store, head_of(2), snapshot="x" * 20_000)
    check_in(store)
    content = path.read_bytes()
    raised = 0
    for start in range(0, len(content), PAGE):
        path.write_bytes(content[:start] + filling * PAGE + content[start + PAGE :])
        damaged = SqliteStore(path)
        for use in (*uses(damaged), lambda damaged=damaged: write(damaged, head_of(3))):
            try:
                use()
            except StoreError:
                raised += 1
            except Exception as error:
                if type(error).__name__ != "Conflict":
                    raise
        damaged.close()

    assert raised


def test_replaced(store, path, other):
    """
    A file that is replaced under an open store is read, not the deleted one that is still open.
    """
    store.read(MIGRATION)
    other.replace(path)

    reading = store.read(MIGRATION, seen=head_of(2))
    assert (reading.head, reading.document, reading.ancestor) == (head_of(1, branch="other"), "other snapshot", None)
    write(store, reading.head)


@pytest.mark.parametrize("how", ["replaced", "copied over", "online backup"])
def test_restored_backup(store, path, tmp_path, how):
    """
    A backup that is restored under an open store is read as the older state it is, and wakes those that wait.
    """
    backup = tmp_path / "backup.db"
    shutil.copyfile(path, backup)
    head = write(store, head_of(2))
    waiter = in_thread(lambda: store.wait(MIGRATION, seen=head, timeout=10 * PATIENCE))

    if how == "replaced":
        backup.replace(path)
    elif how == "copied over":
        shutil.copyfile(backup, path)
    else:
        with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)

    waiter.join(PATIENCE)
    assert not waiter.is_alive()
    reading = store.read(MIGRATION, seen=head)
    assert (reading.head, reading.ancestor) == (head_of(2), None)


def test_wait_sees_a_file_disappear_and_come_back(store, path, monkeypatch):
    """
    Who waits is told when the store breaks, and again when it works.
    """
    is_waiting = threading.Event()
    pause = store._file.pause
    monkeypatch.setattr(store._file, "pause", lambda seconds: is_waiting.set() or pause(seconds))
    content = path.read_bytes()

    for change in (path.unlink, lambda: path.write_bytes(content)):
        is_waiting.clear()
        waiter = in_thread(lambda: store.wait(MIGRATION, seen=head_of(2), timeout=10 * PATIENCE))
        assert is_waiting.wait(PATIENCE)
        change()
        waiter.join(PATIENCE)
        assert not waiter.is_alive()
