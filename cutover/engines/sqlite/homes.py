"""
``sqlite:///PATH``: homes in a SQLite file, for the processes of one machine. Durable once acknowledged.

The file may be that of a store, or one of its own. Its settings, locks and forks are those of the store:
docs/decisions/0001-sqlite-journal-mode.md.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cutover.clock import utc_now
from cutover.core.backend import Backend
from cutover.engines.queries import load_queries
from cutover.engines.sqlite.file import SqliteFile
from cutover.engines.sqlite.tables import Tables
from cutover.engines.sqlite.url import path_in
from cutover.errors import Unavailable
from cutover.ports.homes import PIECE, Rehomed, Sides, side_in

__all__ = ["SqliteEngine", "opened"]

FORGOTTEN_AT_ONCE: Final = 20  # homes whose time is over, which a claim of such a kind takes away
QUERIES: Final = load_queries(__package__, "homes.sql")


class SqliteEngine:
    """
    Homes in one SQLite file.
    """

    def __init__(self, path: str) -> None:
        self._tables = Tables(SqliteFile(path), QUERIES, what="homes", missing=self._missing)

    @property
    def url(self) -> str:
        """
        Name the place.
        """
        return f"sqlite:///{self._tables.file.path}"

    def create(self) -> None:
        """
        Make the file, or the tables in one that is there; nothing where they are.
        """
        self._tables.create()

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that there are homes of.
        """
        with self._tables.reading() as connection:
            return tuple(name for (name,) in connection.execute(QUERIES["migrations"]))

    def claim(
        self, migration: str, kind: str, wanted: Mapping[bytes, Backend], keep: timedelta | None
    ) -> Mapping[bytes, Backend]:
        """
        Claim, as `Engine.claim` says, in one transaction.
        """
        of = {"migration": migration, "kind": kind, **_times(keep)}
        with self._tables.writing() as connection:
            held = self._held(connection, of, wanted)
            missing = [{**of, "id": id_, "side": side.value} for id_, side in wanted.items() if id_ not in held]
            connection.executemany(QUERIES["put"], missing)
            if keep is not None and missing:
                connection.execute(QUERIES["forget"], {"now": of["now"], "limit": FORGOTTEN_AT_ONCE})
        return {**wanted, **held}

    def find(self, migration: str, kind: str, ids: Sequence[bytes]) -> Mapping[bytes, Backend]:
        """
        Give the sides of those ids that have a home.
        """
        with self._tables.reading() as connection:
            return self._held(connection, {"migration": migration, "kind": kind, **_times(None)}, ids)

    def rehome(self, migration: str, kind: str, ids: Sequence[bytes], keep: timedelta | None) -> Rehomed:
        """
        Put each id on NEW, as `Engine.rehome` says, in one transaction.
        """
        of = {"migration": migration, "kind": kind, "side": Backend.NEW.value, **_times(keep)}
        with self._tables.writing() as connection:
            held = self._held(connection, of, ids)
            moved = [{**of, "id": id_} for id_, side in held.items() if side is Backend.OLD]
            connection.executemany(QUERIES["move"], moved)
            connection.executemany(QUERIES["put"], [{**of, "id": id_} for id_ in ids if id_ not in held])
        return Rehomed.of(held, ids)

    def counts(self, migration: str) -> Mapping[str, Sides]:
        """
        Count the homes of each kind; a transaction for each piece, because writers wait for readers.
        """
        counted: dict[str, Sides] = {}
        of = {"migration": migration, "kind": "", "id": b"", "limit": PIECE}
        while True:
            with self._tables.reading() as connection:
                rows = connection.execute(QUERIES["count"], of).fetchall()
            now = _milliseconds(utc_now())
            for kind, _, side, until in rows:
                if until is None or until > now:
                    one = Sides(**{side_in(self.url, side).value: 1})
                    counted[kind] = counted.get(kind, Sides()) + one
            if len(rows) < PIECE:
                return counted
            of |= {"kind": rows[-1][0], "id": rows[-1][1]}

    def close(self) -> None:
        """
        Let go of the file; may be called twice, and from any thread.
        """
        self._tables.file.close()

    def _held(
        self, connection: sqlite3.Connection, of: Mapping[str, Any], ids: Sequence[bytes] | Mapping[bytes, Backend]
    ) -> dict[bytes, Backend]:
        held = {}
        for id_ in ids:
            row = connection.execute(QUERIES["find"], {**of, "id": id_}).fetchone()
            if row is not None:
                held[id_] = side_in(self.url, row[0])
        return held

    def _missing(self) -> Unavailable:
        return Unavailable(f"{self._tables.file.path} holds no homes yet", missing=True)


def _times(keep: timedelta | None) -> dict[str, int | None]:
    now = utc_now()
    return {"now": _milliseconds(now), "until": None if keep is None else _milliseconds(now) + _length(keep)}


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


def _length(time: timedelta) -> int:
    return time // timedelta(milliseconds=1)


def opened(url: str) -> SqliteEngine:
    """
    Give what a URL names.
    """
    return SqliteEngine(path_in(url))
