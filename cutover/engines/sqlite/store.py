"""
``sqlite:///PATH``: the embedded default. One file, one machine, durable once acknowledged.

The journal is SQLite's rollback journal, deleted and synced at each commit: docs/decisions/0001-sqlite-journal-mode.md.
"""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from cutover.clock import utc_now
from cutover.core.canonical import decode, encode
from cutover.core.checkin import TOO_LATE, CheckIn, Fleet, totals_document
from cutover.core.snapshot import Head
from cutover.engines.sqlite.file import QUERIES, SqliteFile
from cutover.engines.sqlite.url import path_in
from cutover.engines.waiting import wait_for_change
from cutover.engines.writing import (
    add_documents,
    check_append,
    check_expected,
    hour_of,
    oldest_open,
    oldest_taken,
    sums,
)
from cutover.errors import Corrupt, StoreError
from cutover.ports.store import Durability, Reading

__all__ = ["SqliteStore", "opened"]


class SqliteStore:
    """
    A store in one SQLite file.

    Opening creates nothing: the file appears, at mode 0600, with the first change in it.
    """

    durability = Durability.DURABLE

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = SqliteFile(path)

    @property
    def url(self) -> str:
        """
        Name the source, without credentials.
        """
        return f"sqlite:///{self._file.path}"

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that the source holds, sorted.
        """
        with self._file.reading() as connection:
            return tuple(name for (name,) in connection.execute(QUERIES["migrations"]))

    def read(self, migration: str, *, seen: Head | None = None) -> Reading | None:
        """
        Read one migration, as `Source.read` says.
        """
        with self._file.reading() as connection:
            row = self._head_row(connection, migration)
            if row is None:
                return None
            head, secret = row
            document = None if head == seen else self._document(connection, migration)
            ancestor = None if seen is None else _hash_at(connection, migration, seen.version)
        return Reading(head=head, document=document, secret=secret, ancestor=ancestor)

    def wait(self, migration: str, *, seen: Head | None, timeout: float) -> None:
        """
        Return when the store may hold something else than *seen*, or after *timeout* seconds, or when closed.

        No lock is held meanwhile. Check-ins wake it, and it goes on waiting.
        """
        wait_for_change(
            seen=seen,
            timeout=timeout,
            token=self._file.token,
            glimpse=lambda: self._glimpse(migration),
            pause=self._file.pause,
        )

    def close(self) -> None:
        """
        Let go of the file and wake every `wait`; may be called twice, and from any thread.
        """
        self._file.close()

    def append(
        self,
        migration: str,
        *,
        expect: Head | None,
        head: Head,
        change: str,
        snapshot: str,
        secret: bytes | None = None,
    ) -> None:
        """
        Write one change and the snapshot after it, as `Store.append` says.

        An error leaves it open whether the disk had already taken the change; `history` tells.
        """
        check_append(expect, head, secret)
        values = {
            "migration": migration,
            **attrs.asdict(head),
            "change": change,
            "snapshot": snapshot,
            "secret": b"" if secret is None else secret,
        }
        if expect is None and not self._file.exists() and self._create(values):
            return
        with self._file.writing() as connection:
            row = self._head_row(connection, migration)
            check_expected(migration, expect, None if row is None else row[0])
            _write_change(connection, values)
        self._file.wrote()

    def history(self, migration: str, *, after: int = 0) -> Sequence[str]:
        """
        Give the texts of all changes above a version, oldest first; none where there is no such migration.
        """
        with self._file.reading() as connection:
            rows = connection.execute(QUERIES["history"], {"migration": migration, "after": after})
            return tuple(text for (text,) in rows)

    def now(self) -> datetime:
        """
        Read the store's own clock, which is this machine's.
        """
        return utc_now()

    def check_in(self, migration: str, report: CheckIn, *, now: datetime) -> None:
        """
        Take a report of a router process, as `Store.check_in` says.
        """
        with self._file.writing() as connection:
            _take_report(connection, migration, report, now)
            _fold(connection, migration, oldest_open(now))
            before = int((now - TOO_LATE).timestamp())
            connection.execute(QUERIES["forget_closed"], {"migration": migration, "before": before})

    def fleet(self, migration: str) -> Fleet:
        """
        Give what is known of the processes; empty where none ever checked in.
        """
        of = {"migration": migration}
        with self._file.reading() as connection:
            reports = connection.execute(QUERIES["instances"], of).fetchall()
            minutes = connection.execute(QUERIES["minutes"], of).fetchall()
            hours = connection.execute(QUERIES["hours"], of).fetchall()
        return Fleet(
            instances=tuple(CheckIn.decode(report) for (report,) in reports),
            minutes=sums(minutes),
            hours=sums(hours),
        )

    def _create(self, values: Mapping[str, Any]) -> bool:
        """
        Make the file with the first change in it; False where another process was faster.
        """
        try:
            with self._file.creating() as connection:
                _write_change(connection, values)
        except FileExistsError:
            return False
        return True

    def _glimpse(self, migration: str) -> Head | str | None:
        """
        Give the head alone, or the name of the error that a read would raise.
        """
        try:
            with self._file.reading() as connection:
                row = self._head_row(connection, migration)
        except StoreError as error:
            return type(error).__name__
        return None if row is None else row[0]

    def _head_row(self, connection: sqlite3.Connection, migration: str) -> tuple[Head, bytes] | None:
        row = connection.execute(QUERIES["head"], {"migration": migration}).fetchone()
        if row is None:
            return None
        if [type(value) for value in row] != [int, int, str, bytes]:
            raise Corrupt(f"{self._file.path} is damaged: the head of {migration} is not valid")
        epoch, version, hash_, secret = row
        return Head(epoch, version, hash_), secret

    def _document(self, connection: sqlite3.Connection, migration: str) -> str:
        row = connection.execute(QUERIES["document"], {"migration": migration}).fetchone()
        if row is None or not isinstance(row[0], str):
            raise Corrupt(f"{self._file.path} is damaged: the snapshot of {migration} is missing")
        return row[0]


def _hash_at(connection: sqlite3.Connection, migration: str, version: int) -> str | None:
    row = connection.execute(QUERIES["hash_at"], {"migration": migration, "version": version}).fetchone()
    return None if row is None else str(row[0])


def _write_change(connection: sqlite3.Connection, values: Mapping[str, Any]) -> None:
    for query in ("add_change", "put_snapshot", "put_head"):
        connection.execute(QUERIES[query], values)


def _take_report(connection: sqlite3.Connection, migration: str, report: CheckIn, now: datetime) -> None:
    of = {"migration": migration, "instance": report.instance, "sequence": report.sequence}
    row = {"report": attrs.evolve(report, at=now, minutes={}).encode(), "closing": report.closing}
    connection.execute(QUERIES["put_instance"], {**of, **row, "received": int(now.timestamp())})
    (folded,) = connection.execute(QUERIES["folded"], of).fetchone()
    oldest = max(oldest_taken(now), folded + 1)
    connection.executemany(
        QUERIES["put_minute"],
        [
            {**of, "minute": minute, "totals": encode(totals_document(totals))}
            for minute, totals in report.minutes.items()
            if minute >= oldest
        ],
    )


def _fold(connection: sqlite3.Connection, migration: str, oldest: int) -> None:
    of = {"migration": migration, "oldest": oldest}
    for instance, minute, totals in connection.execute(QUERIES["minutes_before"], of).fetchall():
        hour = {"migration": migration, "hour": hour_of(minute)}
        row = connection.execute(QUERIES["hour"], hour).fetchone()
        before = {} if row is None else decode(row[0], "the hour's totals")
        after = add_documents(before, decode(totals, "the minute's totals"))
        connection.execute(QUERIES["put_hour"], {**hour, "totals": encode(after)})
        mark = {"migration": migration, "instance": instance, "minute": minute}
        connection.execute(QUERIES["mark_folded"], mark)
    connection.execute(QUERIES["drop_minutes_before"], of)


def opened(url: str) -> SqliteStore:
    """
    Give what a URL names.
    """
    return SqliteStore(path_in(url))
