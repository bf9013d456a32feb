"""
One SQLite file that several processes share: opening, transactions, forks, and files that are replaced underneath.

Outside the gate, nothing opens the file but SQLite: closing any other descriptor drops the locks of the process.
"""

import os
import sqlite3
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cutover.engines.queries import load_queries
from cutover.engines.sqlite.errors import is_busy, lost_at_commit, translated
from cutover.engines.sqlite.journal import check_journal, left_behind
from cutover.errors import Corrupt, StoreError, Unavailable
from cutover.forks import Gate, PerProcess

__all__ = ["QUERIES", "SqliteFile"]

APPLICATION_ID: Final = 0x43555456  # "CUTV": whose file this is
SCHEMA_VERSION: Final = 1
READ_PATIENCE: Final = 1.0  # seconds to wait for another process's lock
WRITE_PATIENCE: Final = 10.0
CLOSE_PATIENCE: Final = 0.5
RETRY: Final = 0.005

QUERIES: Final = load_queries(__package__, "store.sql")
GATE: Final = Gate()  # one for all files: SQLite's locks are the process's, and a transaction takes a millisecond
SETTINGS: Final = (
    "PRAGMA journal_mode = DELETE",  # the first, which another program's file goes without
    "PRAGMA synchronous = EXTRA",  # the folder is synced too: a commit survives power loss
    "PRAGMA fullfsync = ON",  # macOS: through the disk's cache
    "PRAGMA mmap_size = 0",  # a file that is truncated underneath must be an error, not a signal
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
)


class SqliteFile:
    """
    The file of one store. Safe to use from any thread and after a fork.

    Args:
        is_ours: Whether only this library writes it; the file of another program keeps its journal mode, and is not
            checked for whose it is.
    """

    def __init__(self, path: str | os.PathLike[str], *, is_ours: bool = True) -> None:
        self.path: str = str(Path(path).absolute())  # a later chdir must not lead to another file
        self._closed = False
        self._handles = PerProcess(lambda: _Handle(self.path, is_ours=is_ours))

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """
        Read in one consistent transaction.
        """
        return self._transaction("BEGIN", READ_PATIENCE)

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """
        Write in one transaction: committed at the end of the block, rolled back where it raises.
        """
        return self._transaction("BEGIN IMMEDIATE", WRITE_PATIENCE)

    @contextmanager
    def creating(self) -> Iterator[sqlite3.Connection]:
        """
        Make the file with the tables and what the block writes.

        It is made under another name and linked into place, so that nobody ever finds it empty or half made.

        Raises:
            FileExistsError: If another process was faster; nothing was written.
        """
        self._check_open()
        folder = Path(self.path).parent
        if not folder.is_dir():
            raise Unavailable(f"{self.path} cannot be created: there is no folder {folder}")
        if leftovers := left_behind(self.path):
            raise Unavailable(f"{self.path} cannot be created beside what an earlier one left; delete {leftovers[0]}")
        with translated(self.path), GATE.held(), _new_file(folder) as new:
            connection = _connect(new)
            try:
                _create_tables(connection)
                yield connection
                connection.execute("COMMIT")
            finally:
                connection.close()
            os.link(new, self.path)
            _sync_folder(folder)

    def exists(self) -> bool:
        """
        Tell whether there is anything at the path.
        """
        return os.path.lexists(self.path)

    def token(self) -> object:
        """
        Give something that changes whenever the file may have changed: cheap, as it is asked for many times a second.
        """
        return ("closed",) if self._closed else self._handles.get().token()

    def wrote(self) -> None:
        """
        Change the token of this process, to which its own commits do not show.
        """
        self._handles.get().commits += 1

    def pause(self, seconds: float) -> bool:
        """
        Wait, and tell whether the file was closed.
        """
        return self._closed or self._handles.get().closed.wait(seconds)

    def close(self) -> None:
        """
        Let go of the file and wake all that wait; may be called twice, and from any thread.
        """
        self._closed = True
        self._handles.get().close()

    def _transaction(self, begin: str, patience: float) -> AbstractContextManager[sqlite3.Connection]:
        self._check_open()
        return _transaction(self._handles.get(), begin, time.monotonic() + patience)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"the store in {self.path} was closed")


class _Handle:
    """
    The connection to one file in one process. Whoever uses the connection is inside the gate.

    Attributes:
        closed: Set by `close`.
        commits: How many changes were written through it, which `data_version` does not show.
    """

    def __init__(self, path: str, *, is_ours: bool = True) -> None:
        self.path = path
        self.is_ours = is_ours
        self.closed = threading.Event()
        self.commits = 0
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._opened = 0

    def connection(self) -> sqlite3.Connection:
        """
        Give a connection to the file that is at the path now: a replaced one is opened anew.
        """
        status = _status(self.path)
        identity = (status.st_dev, status.st_ino)
        if self._connection is not None and identity != self._identity:
            self.drop()
        if self._connection is None:
            if self.is_ours:
                check_journal(self.path)
            self._connection = _connect(self.path, SETTINGS if self.is_ours else SETTINGS[1:])
            self._identity = identity
            self._opened += 1
        return self._connection

    def token(self) -> object:
        """
        Look at the file and at SQLite's counter; an error is a token too.
        """
        try:
            with translated(self.path), GATE.held():
                if self.closed.is_set():
                    return ("closed",)
                (version,) = self.connection().execute("PRAGMA data_version").fetchone()
                status = _status(self.path)
        except StoreError as error:
            return (str(error),)
        return (self._opened, version, self.commits, status.st_ino, status.st_size, status.st_mtime_ns)

    def leave(self) -> None:
        """
        End what was begun and not committed; drop a connection that cannot do that, or that was to be closed meanwhile.
        """
        try:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.drop()
        if self.closed.is_set():
            self.drop()

    def drop(self) -> None:
        """
        Close the connection, if there is one.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def close(self) -> None:
        """
        Wake all that wait, and close the connection unless a hanging disk holds it.
        """
        self.closed.set()
        if GATE.acquire(CLOSE_PATIENCE):
            try:
                self.drop()
            finally:
                GATE.release()


@contextmanager
def _transaction(handle: _Handle, begin: str, deadline: float) -> Iterator[sqlite3.Connection]:
    with translated(handle.path):
        connection = _enter(handle, begin, deadline)
        try:
            yield connection
            _commit(connection, handle, deadline)
        finally:
            handle.leave()
            GATE.release()


def _enter(handle: _Handle, begin: str, deadline: float) -> sqlite3.Connection:
    """
    Pass the gate and begin a transaction. While another process is waited for, the gate is open to others.
    """
    while True:
        GATE.acquire()
        try:
            return _begin(handle, begin)
        except BaseException as error:
            handle.leave()
            GATE.release()
            if not is_busy(error) or not _may_retry(handle, deadline):
                raise


def _begin(handle: _Handle, begin: str) -> sqlite3.Connection:
    if handle.closed.is_set():
        raise Unavailable(f"the store in {handle.path} was closed")
    connection = handle.connection()
    connection.execute(begin)
    if handle.is_ours:
        _check_ours(connection, handle.path)
    else:  # take the lock here, where it is waited for
        connection.execute("PRAGMA schema_version").fetchone()
    return connection


def _commit(connection: sqlite3.Connection, handle: _Handle, deadline: float) -> None:
    while True:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if lost := lost_at_commit(handle.path, error):
                raise lost from error
            if not is_busy(error) or not _may_retry(handle, deadline):
                raise
        else:
            return


def _may_retry(handle: _Handle, deadline: float) -> bool:
    return time.monotonic() < deadline and not handle.closed.wait(RETRY)


def _check_ours(connection: sqlite3.Connection, path: str) -> None:
    """
    Check in each transaction whose file this is: it may have been emptied or overwritten since the last.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID and schema == SCHEMA_VERSION:
        return
    if application == APPLICATION_ID:
        raise Corrupt(f"{path} has the store schema {schema}; this version reads {SCHEMA_VERSION}")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if pages == 0:
        raise Corrupt(f"{path} is empty: no cutover store; restore it, or delete it if it never was one")
    raise Corrupt(f"{path} is a database of another program: no cutover store")


def _status(path: str) -> os.stat_result:
    try:
        status = Path(path).stat()
    except FileNotFoundError as error:
        raise Unavailable(f"{path} does not exist", missing=True) from error
    if not stat.S_ISREG(status.st_mode):
        raise Unavailable(f"{path} is not a file")
    return status


def _connect(path: str, settings: tuple[str, ...] = SETTINGS) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=rw",  # never creates
        uri=True,
        timeout=0,  # waiting is done outside the gate
        isolation_level=None,
        check_same_thread=False,  # the gate lets one thread in at a time
    )
    try:
        for setting in settings:
            connection.execute(setting).close()
    except BaseException:
        connection.close()
        raise
    return connection


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.executescript("BEGIN IMMEDIATE;" + QUERIES["create"])
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute(QUERIES["name_store"], {"id": uuid.uuid4().hex})


@contextmanager
def _new_file(folder: Path) -> Iterator[str]:
    descriptor, path = tempfile.mkstemp(prefix=".cutover-", suffix=".new", dir=folder)  # at mode 0600
    os.close(descriptor)
    try:
        yield path
    finally:
        Path(path).unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
