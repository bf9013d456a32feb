"""
Tables of ours in a SQLite file that may hold others: those of homes, or of an outbox.
"""

import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from cutover.engines.sqlite.file import SqliteFile
from cutover.errors import Corrupt, Unavailable

__all__ = ["File", "Tables"]

LAYOUT: Final = 1


class File(Protocol):
    """
    A database with transactions.
    """

    path: str

    def exists(self) -> bool:
        """
        Tell whether there is anything.
        """
        ...

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """
        Read in one transaction.
        """
        ...

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """
        Write in one transaction.
        """
        ...

    def close(self) -> None:
        """
        Let go of it.
        """
        ...


class Tables:
    """
    The tables, whose layout each transaction checks: a later library may have changed them.

    Args:
        queries: `create`, `name_layout`, `is_there` and `layout` among them.
        what: What the tables hold, for errors.
        missing: Gives the error where the tables were never made.
    """

    def __init__(
        self, file: File, queries: Mapping[str, str], *, what: str, missing: Callable[[], Unavailable]
    ) -> None:
        self.file = file
        self._queries = queries
        self._what = what
        self._missing = missing

    def create(self) -> None:
        """
        Make the file, or the tables in a file that is there; nothing where they are.
        """
        if not self.file.exists():
            try:
                with SqliteFile(self.file.path).creating() as connection:
                    self._make(connection)
            except FileExistsError:  # another process was faster, perhaps with a store
                pass
            else:
                return
        with self.file.writing() as connection:
            self._make(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """
        Read in one transaction.

        Raises:
            Unavailable: If the tables were never made (`missing`), or the file cannot be reached.
            Corrupt: If the tables have another layout.
        """
        with self._here(), self.file.reading() as connection:
            self._check(connection)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """
        Write in one transaction; the errors are those of `reading`.
        """
        with self._here(), self.file.writing() as connection:
            self._check(connection)
            yield connection

    def _make(self, connection: sqlite3.Connection) -> None:
        for statement in self._queries["create"].split(";\n"):  # one by one: a script would commit what was begun
            connection.execute(statement)
        connection.execute(self._queries["name_layout"], {"version": LAYOUT, "id": uuid.uuid4().hex})

    def _check(self, connection: sqlite3.Connection) -> None:
        (is_there,) = connection.execute(self._queries["is_there"]).fetchone()
        if not is_there:
            raise self._missing()
        layouts = [version for version, *_ in connection.execute(self._queries["layout"])]
        if layouts != [LAYOUT]:
            shown = ", ".join(map(str, layouts)) or "none"
            raise Corrupt(f"{self.file.path} has {self._what} of the layout {shown}; this version reads {LAYOUT}")

    @contextmanager
    def _here(self) -> Iterator[None]:
        """
        Tell a file that was never made from a file whose disk is not there.
        """
        folder = Path(self.file.path).parent
        try:
            yield
        except Unavailable as error:
            if error.missing and not folder.is_dir():
                raise Unavailable(f"{self.file.path} cannot be reached: there is no folder {folder}") from error
            raise
