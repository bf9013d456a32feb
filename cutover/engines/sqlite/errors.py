"""
What SQLite's errors mean: try again later (`Unavailable`), or not what this library wrote (`Corrupt`).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cutover.errors import Corrupt, StoreError, Unavailable

__all__ = ["is_busy", "lost_at_commit", "translated"]

PRIMARY: Final = 0xFF  # extended result codes hold the primary one in their low byte

CORRUPT: Final = {
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database",
    sqlite3.SQLITE_FORMAT: "is damaged",
    sqlite3.SQLITE_ERROR: "does not have the tables of a cutover store",
    sqlite3.SQLITE_CONSTRAINT: "breaks a rule of its own tables",
    sqlite3.SQLITE_MISMATCH: "holds a value of the wrong type",
}
AFTER_THE_JOURNAL: Final = frozenset(
    {sqlite3.SQLITE_IOERR_DELETE, sqlite3.SQLITE_IOERR_DELETE_NOENT, sqlite3.SQLITE_IOERR_DIR_FSYNC}
)
UNAVAILABLE: Final = {
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another connection",
    sqlite3.SQLITE_READONLY: "cannot be written: it is read-only",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_PERM: "cannot be opened: no permission",
    sqlite3.SQLITE_FULL: "cannot be written: the disk is full",
    sqlite3.SQLITE_IOERR: "cannot be read or written: input/output error",
}


def is_busy(error: BaseException) -> bool:
    """
    Tell whether another process holds the lock, and waiting may help.
    """
    return isinstance(error, sqlite3.Error) and _primary(error) == sqlite3.SQLITE_BUSY


def lost_at_commit(path: str, error: sqlite3.Error) -> Unavailable | None:
    """
    Tell an error after which a commit may be in force all the same: the disk failed where its journal was taken away.
    """
    if error.sqlite_errorcode not in AFTER_THE_JOURNAL:
        return None
    return Unavailable(f"{path} {UNAVAILABLE[sqlite3.SQLITE_IOERR]} ({error.sqlite_errorname})", in_doubt=True)


@contextmanager
def translated(path: str) -> Iterator[None]:
    """
    Turn the errors of SQLite and of the file system into those of the library.

    Raises:
        Unavailable: If it may work later.
        Corrupt: If the file is not what this library wrote.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(path, error) from error
    except FileExistsError:
        raise  # the answer to whoever wanted to be the first
    except OSError as error:
        raise Unavailable(f"{path} cannot be used: {error.strerror or error}") from error


def _primary(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & PRIMARY


def _meaning(path: str, error: sqlite3.Error) -> StoreError:
    code = _primary(error)
    if code is None:  # raised by the module itself: text that is no UTF-8, whose message would show what it read
        return Corrupt(f"{path} holds text that is not UTF-8")
    name = error.sqlite_errorname
    if code in CORRUPT:
        return Corrupt(f"{path} {CORRUPT[code]} ({name}: {error})")
    reason = UNAVAILABLE.get(code, "cannot be used")
    return Unavailable(f"{path} {reason} ({name}: {error})")
