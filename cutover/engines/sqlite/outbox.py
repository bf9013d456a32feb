"""
``sqlite:///PATH``: an outbox in a SQLite file, for the processes of one machine. Durable once acknowledged.

The file may be that of a store, one of its own, or the application's: its journal mode is left as it is.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import attrs

from cutover.clock import utc_now
from cutover.core.backend import Backend
from cutover.core.instants import format_instant, parse_instant
from cutover.engines.queries import load_queries
from cutover.engines.sqlite.file import SqliteFile
from cutover.engines.sqlite.tables import File, Tables
from cutover.engines.sqlite.url import path_in
from cutover.errors import ConfigurationError
from cutover.ports.outbox import Act, Entry, Intent, Rule, Shortfall, State, intent_in, no_tables

__all__ = ["SqliteOutbox", "SqliteStatements", "opened"]

QUERIES: Final = load_queries(__package__, "outbox.sql")


class SqliteOutbox:
    """
    An outbox in one SQLite database.
    """

    def __init__(self, url: str, file: File) -> None:
        self.url = url
        self._tables = Tables(file, QUERIES, what="an outbox", missing=lambda: no_tables(url))

    def create(self) -> None:
        """
        Make the file, or the tables in one that is there; nothing where they are.
        """
        self._tables.create()

    def register(self, migration: str, rule: Rule) -> None:
        """
        Put a write on record.
        """
        with self._tables.writing() as connection:
            connection.execute(QUERIES["register"], {"migration": migration, **attrs.asdict(rule), "seen": _now()})

    def record(self, entry: Entry, holder: str, lease: float) -> Intent:
        """
        Store a new intent.
        """
        with self._tables.writing() as connection:
            return _inserted(connection, entry, State.CALLING, holder=holder, lease=lease)

    def transaction(self) -> "SqliteStatements":
        """
        Give what records intents through the application's connections.
        """
        with self._tables.reading() as connection:
            (_, id_) = connection.execute(QUERIES["layout"]).fetchone()
        return SqliteStatements(self.url, id_)

    def done(self, intent: Intent) -> None:
        """
        Take an intent out.
        """
        with self._tables.writing() as connection:
            connection.execute(QUERIES["done"], {"id": intent.id})

    def put_back(self, intent: Intent, pause: float, holder: str | None = None) -> None:
        """
        Write an intent's state, as `Outbox.put_back` says.
        """
        now = _now()
        values = _left(intent, now + int(pause * 1000), holder)
        with self._tables.writing() as connection:
            found = connection.execute(QUERIES["put_back"], {"id": intent.id, **values}).rowcount
            if not found and holder is None:
                made = {"sequence": intent.sequence, "at": now - int(intent.age * 1000)}
                connection.execute(QUERIES["insert"], {**_fields(intent.entry), **made, **values})

    def take(self, migration: str, writes: Collection[str], holder: str, lease: float, limit: int) -> Sequence[Intent]:
        """
        Give intents whose time has come, and hold them.
        """
        now = _now()
        wanted = {"migration": migration, "now": now, "writes": json.dumps(sorted(writes)), "limit": limit}
        with self._tables.reading() as connection:  # most often there is none, and nobody need be kept from writing
            if not connection.execute(QUERIES["take"], wanted).fetchone():
                return ()
        with self._tables.writing() as connection:
            rows = connection.execute(QUERIES["take"], wanted).fetchall()
            due = now + int(lease * 1000)
            held = [{"id": row[0], "holder": holder, "due": due} for row in rows]
            connection.executemany(QUERIES["hold"], held)
        taken = (self._intent(row, now) for row in rows)
        return [attrs.evolve(one, state=State.UNKNOWN) if one.state is State.CALLING else one for one in taken]

    def renew(self, ids: Collection[int], holder: str, lease: float) -> None:
        """
        Hold intents for longer.
        """
        due = _now() + int(lease * 1000)
        with self._tables.writing() as connection:
            connection.executemany(QUERIES["renew"], [{"id": id_, "holder": holder, "due": due} for id_ in ids])

    def shortfalls(self, migration: str) -> Sequence[Shortfall]:
        """
        Count what is undelivered.
        """
        now = _now()
        with self._tables.reading() as connection:
            rows = connection.execute(QUERIES["shortfalls"], {"migration": migration, "now": now}).fetchall()
        return [_shortfall(row, now) for row in rows]

    def dead(self, migration: str, limit: int) -> Sequence[Intent]:
        """
        List dead letters.
        """
        with self._tables.reading() as connection:
            rows = connection.execute(QUERIES["dead"], {"migration": migration, "limit": limit}).fetchall()
        return [self._intent(row, _now()) for row in rows]

    def revive(self, migration: str, states: Mapping[int, State], act: Act) -> Sequence[int]:
        """
        Give dead letters another state.
        """
        given = [{"migration": migration, "id": id_, "state": state} for id_, state in states.items()]
        return self._acted("revive", given, act)

    def drop(self, migration: str, ids: Collection[int], act: Act) -> Sequence[int]:
        """
        Take dead letters out for good.
        """
        return self._acted("drop", [{"migration": migration, "id": id_} for id_ in ids], act)

    def acts(self, migration: str, limit: int) -> Sequence[Act]:
        """
        List what operators did.
        """
        with self._tables.reading() as connection:
            rows = connection.execute(QUERIES["acts"], {"migration": migration, "limit": limit}).fetchall()
        return [
            Act(at=parse_instant(at), actor=actor, verb=verb, reason=reason, ids=tuple(json.loads(ids)))
            for at, actor, verb, reason, ids in rows
        ]

    def close(self) -> None:
        """
        Let go of the database.
        """
        self._tables.file.close()

    def _acted(self, query: str, given: Sequence[Mapping[str, Any]], act: Act) -> Sequence[int]:
        with self._tables.writing() as connection:
            there = [one["id"] for one in given if connection.execute(QUERIES[query], one).rowcount]
            if there:
                fields = {"actor": act.actor, "verb": act.verb, "reason": act.reason}
                more = {"migration": given[0]["migration"], "at": format_instant(act.at), "ids": json.dumps(there)}
                connection.execute(QUERIES["act"], {**fields, **more})
        return there

    def _intent(self, row: tuple[Any, ...], now: int) -> Intent:
        return intent_in(self.url, row[:-1], age=(now - row[-1]) / 1000)


class SqliteStatements:
    """
    Records intents through connections of the application to one file.

    Args:
        id_: The outbox's own, which tells its database from others.
    """

    def __init__(self, url: str, id_: str) -> None:
        self._url = url
        self._id = id_

    def record(self, connection: sqlite3.Connection, entry: Entry) -> Intent:
        """
        Insert an intent in the open transaction.
        """
        if not isinstance(connection, sqlite3.Connection):
            kind = type(connection).__name__
            raise ConfigurationError(f"outbox is a {kind}; allowed: a connection of sqlite3 to {self._url}")
        cursor = connection.cursor()
        cursor.row_factory = None
        if not connection.in_transaction and not _begins_by_itself(connection):
            raise ConfigurationError("the connection has no transaction open: begin one, or leave outbox= out")
        # Written before anything is read: a transaction that begins by reading cannot wait for its turn to write.
        try:
            intent = _inserted(cursor, entry, State.PENDING)
        except sqlite3.OperationalError as error:
            if cursor.execute(QUERIES["is_there"]).fetchone()[0]:
                raise
            raise no_tables(f"the connection's database, which should be {self._url},") from error
        if cursor.execute(QUERIES["layout"]).fetchone()[1] not in (self._id, self._id.encode()):
            cursor.execute(QUERIES["done"], {"id": intent.id})
            raise ConfigurationError(f"the connection is to another database than the outbox in {self._url}")
        return intent

    def withdraw(self, connection: sqlite3.Connection, intent: Intent) -> None:
        """
        Take it out again, unless the transaction is over.
        """
        if connection.in_transaction:
            connection.execute(QUERIES["done"], {"id": intent.id})

    def put_back(self, connection: sqlite3.Connection, intent: Intent) -> None:
        """
        Write its state and error, unless the transaction is over.
        """
        if connection.in_transaction:
            connection.execute(QUERIES["put_back"], {"id": intent.id, **_left(intent, _now())})


def _left(intent: Intent, due: int, holder: str | None = None) -> dict[str, Any]:
    return {
        "state": intent.state,
        "attempts": intent.attempts,
        "error": intent.error,
        "due": due,
        "holder": holder,
    }


def _inserted(
    connection: "sqlite3.Connection | sqlite3.Cursor",
    entry: Entry,
    state: State,
    *,
    holder: str | None = None,
    lease: float = 0.0,
) -> Intent:
    fields, now = _fields(entry), _now()
    connection.execute(QUERIES["count_up"], fields)
    sequence, is_behind = connection.execute(QUERIES["last"], fields).fetchone()
    made = {"sequence": sequence, "state": state, "attempts": 0, "error": "", "at": now, "holder": holder}
    cursor = connection.execute(QUERIES["insert"], {**fields, **made, "due": now + int(lease * 1000)})
    return Intent(id=int(cursor.lastrowid or 0), entry=entry, sequence=sequence, state=state, is_behind=bool(is_behind))


def _begins_by_itself(connection: sqlite3.Connection) -> bool:
    # From Python 3.12 on `autocommit` may be True; -1 stands for the older ways, where None means no transaction.
    autocommit = getattr(connection, "autocommit", -1)
    return connection.isolation_level is not None if autocommit == -1 else not autocommit


def _fields(entry: Entry) -> dict[str, Any]:
    return attrs.asdict(entry)


def _shortfall(row: tuple[Any, ...], now: int) -> Shortfall:
    flow, name, allowed, confirms, backlog, dead, at, new, old, blocked, seen, under_way = row
    return Shortfall(
        rule=Rule(flow=flow, name=name, allowed_backlog=allowed, confirms=bool(confirms)),
        backlog=backlog,
        dead=dead,
        oldest=0.0 if at is None else max(0, now - at) / 1000,
        lacks={Backend.OLD: new, Backend.NEW: old},
        blocked=blocked,
        under_way=under_way,
        seen=None if seen is None else max(0, now - seen) / 1000,
    )


def _now() -> int:
    return int(utc_now().timestamp() * 1000)


def opened(url: str) -> SqliteOutbox:
    """
    Give what a URL names.
    """
    file = SqliteFile(path_in(url), is_ours=False)
    return SqliteOutbox(f"sqlite:///{file.path}", file)
