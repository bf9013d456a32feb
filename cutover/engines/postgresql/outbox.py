"""
``postgresql://``: an outbox for many machines. Durable once acknowledged.

It lies in a schema beside that of a store, ``cutover_mirror``: an application that writes need not be allowed to turn
dials.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import attrs
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from cutover.core.backend import Backend
from cutover.engines.postgresql.tables import Tables
from cutover.engines.queries import load_queries
from cutover.errors import ConfigurationError, Unavailable
from cutover.ports.outbox import Act, Entry, Intent, Rule, Shortfall, State, intent_in, no_tables

__all__ = ["PostgresqlOutbox", "PostgresqlStatements", "opened"]

SUFFIX: Final = "_mirror"
QUERIES: Final = load_queries(__package__, "outbox.sql")


class PostgresqlOutbox:
    """
    An outbox in one schema of a PostgreSQL database.
    """

    def __init__(self, url: str) -> None:
        self._tables = Tables(url, QUERIES, SUFFIX, what="an outbox", missing=self._missing)

    @property
    def url(self) -> str:
        """
        Name the place, without credentials.
        """
        return self._tables.url

    def create(self) -> None:
        """
        Make the schema and its tables; nothing where they are.

        Raises:
            Corrupt: If the schema holds the tables of another program.
        """
        self._tables.create()

    def register(self, migration: str, rule: Rule) -> None:
        """
        Put a write on record.
        """
        self._tables.write("register", {"migration": migration, **attrs.asdict(rule)})

    def record(self, entry: Entry, holder: str, lease: float) -> Intent:
        """
        Store a new intent, never twice: where the answer is lost, it is not sent again.
        """
        values = _new(entry, State.CALLING, holder=holder, lease=lease)
        with self._tables.transaction() as transaction:
            ((id_, sequence),) = transaction.run(self._tables.queries["record"], values)
            ((is_behind,),) = transaction.run(self._tables.queries["behind"], {**values, "sequence": sequence})
        return Intent(id=id_, entry=entry, sequence=sequence, state=State.CALLING, is_behind=is_behind)

    def transaction(self) -> "PostgresqlStatements":
        """
        Give what records intents through the application's connections.
        """
        ((_, id_),) = self._tables.read("layout", {})
        return PostgresqlStatements(self.url, id_, self._tables.queries)

    def done(self, intent: Intent) -> None:
        """
        Take an intent out.
        """
        self._tables.write("done", {"id": intent.id})

    def put_back(self, intent: Intent, pause: float, holder: str | None = None) -> None:
        """
        Write an intent's state, as `Outbox.put_back` says.
        """
        values = _left(intent, pause, holder)
        if not self._tables.write("put_back", values) and holder is None:
            anew = {**attrs.asdict(intent.entry), **values, "sequence": intent.sequence, "age": intent.age}
            self._tables.write("anew", anew)

    def take(self, migration: str, writes: Collection[str], holder: str, lease: float, limit: int) -> Sequence[Intent]:
        """
        Give intents whose time has come, and hold them.
        """
        wanted = {"writes": sorted(writes), "holder": holder, "lease": lease, "limit": limit}
        rows = self._tables.write("take", {"migration": migration, **wanted})
        return [self._intent(row) for row in rows]

    def renew(self, ids: Collection[int], holder: str, lease: float) -> None:
        """
        Hold intents for longer.
        """
        self._tables.write("renew", {"ids": list(ids), "holder": holder, "lease": lease})

    def shortfalls(self, migration: str) -> Sequence[Shortfall]:
        """
        Count what is undelivered.
        """
        return [_shortfall(row) for row in self._tables.read("shortfalls", {"migration": migration})]

    def dead(self, migration: str, limit: int) -> Sequence[Intent]:
        """
        List dead letters.
        """
        return [self._intent(row) for row in self._tables.read("dead", {"migration": migration, "limit": limit})]

    def revive(self, migration: str, states: Mapping[int, State], act: Act) -> Sequence[int]:
        """
        Give dead letters another state.
        """
        given = {"ids": list(states), "states": [state.value for state in states.values()]}
        return self._acted("revive", {"migration": migration, **given}, act)

    def drop(self, migration: str, ids: Collection[int], act: Act) -> Sequence[int]:
        """
        Take dead letters out for good.
        """
        return self._acted("drop", {"migration": migration, "ids": list(ids)}, act)

    def acts(self, migration: str, limit: int) -> Sequence[Act]:
        """
        List what operators did.
        """
        rows = self._tables.read("acts", {"migration": migration, "limit": limit})
        return [Act(at=at, actor=actor, verb=verb, reason=why, ids=tuple(ids)) for at, actor, verb, why, ids in rows]

    def close(self) -> None:
        """
        Let go of the connections; may be called twice, and from any thread.
        """
        self._tables.close()

    def _acted(self, query: str, values: Mapping[str, Any], act: Act) -> Sequence[int]:
        with self._tables.transaction() as transaction:
            there = sorted(id_ for (id_,) in transaction.run(self._tables.queries[query], values))
            if there:
                of = {"migration": values["migration"], **attrs.asdict(act), "ids": there}
                transaction.run(self._tables.queries["act"], of)
        return there

    def _missing(self, schema: str) -> Unavailable:
        return no_tables(f"{self.url}, schema {schema},")

    def _intent(self, row: tuple[Any, ...]) -> Intent:
        return intent_in(self.url, row[:-1], age=row[-1])


class PostgresqlStatements:
    """
    Records intents through connections of the application to one database, `psycopg.Connection`; or, with the methods
    named with a leading ``a``, `psycopg.AsyncConnection`.

    Args:
        id_: The outbox's own, which tells its database from others.
    """

    def __init__(self, url: str, id_: str, queries: Mapping[str, str]) -> None:
        self._url = url
        self._id = id_
        self._queries = queries

    def record(self, connection: "psycopg.Connection[Any]", entry: Entry) -> Intent:
        """
        Insert an intent in the open transaction.
        """
        self._check_open(connection, psycopg.Connection)
        with self._explained(), connection.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute(self._queries["record"].encode(), self._values(entry)).fetchall()
        return self._intent(entry, rows)

    def withdraw(self, connection: "psycopg.Connection[Any]", intent: Intent) -> None:
        """
        Take it out again, unless the transaction has failed or is over.
        """
        if connection.info.transaction_status is TransactionStatus.INTRANS:
            connection.execute(self._queries["done"].encode(), {"id": intent.id})

    def put_back(self, connection: "psycopg.Connection[Any]", intent: Intent) -> None:
        """
        Write its state and error, unless the transaction has failed or is over.
        """
        if connection.info.transaction_status is TransactionStatus.INTRANS:
            connection.execute(self._queries["put_back"].encode(), _left(intent))

    async def arecord(self, connection: "psycopg.AsyncConnection[Any]", entry: Entry) -> Intent:
        """
        Insert an intent in the open transaction.
        """
        self._check_open(connection, psycopg.AsyncConnection)
        with self._explained():
            async with connection.cursor(row_factory=tuple_row) as cursor:
                await cursor.execute(self._queries["record"].encode(), self._values(entry))
                rows = await cursor.fetchall()
        return self._intent(entry, rows)

    async def awithdraw(self, connection: "psycopg.AsyncConnection[Any]", intent: Intent) -> None:
        """
        Take it out again, unless the transaction has failed or is over.
        """
        if connection.info.transaction_status is TransactionStatus.INTRANS:
            with suppress(psycopg.OperationalError):  # lost meanwhile, and with it the transaction
                await connection.execute(self._queries["done"].encode(), {"id": intent.id})

    async def aput_back(self, connection: "psycopg.AsyncConnection[Any]", intent: Intent) -> None:
        """
        Write its state and error, unless the transaction has failed or is over.
        """
        if connection.info.transaction_status is TransactionStatus.INTRANS:
            with suppress(psycopg.OperationalError):  # lost meanwhile, and with it the transaction
                await connection.execute(self._queries["put_back"].encode(), _left(intent))

    def _check_open(self, connection: Any, allowed: type[Any]) -> None:
        if not isinstance(connection, allowed):
            kind, wanted = type(connection).__name__, f"{allowed.__name__} of psycopg to {self._url}"
            raise ConfigurationError(f"outbox is a {kind}; allowed: a connection, {wanted}")
        if connection.autocommit and connection.info.transaction_status is TransactionStatus.IDLE:
            raise ConfigurationError("the connection has no transaction open: begin one, or leave outbox= out")

    def _values(self, entry: Entry) -> dict[str, Any]:
        return {**_new(entry, State.PENDING), "outbox": self._id}

    def _intent(self, entry: Entry, rows: Sequence[tuple[Any, ...]]) -> Intent:
        if not rows:
            raise ConfigurationError(
                f"the connection is to another database than the outbox in {self._url}, or a later library changed it"
            )
        ((id_, sequence),) = rows
        return Intent(id=id_, entry=entry, sequence=sequence, state=State.PENDING)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            raise no_tables(f"the connection's database, which should be {self._url},") from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise Unavailable(f"the connection's user may not write the outbox in {self._url}: {error}") from error


def _left(intent: Intent, pause: float = 0.0, holder: str | None = None) -> dict[str, Any]:
    return {
        "id": intent.id,
        "state": intent.state,
        "attempts": intent.attempts,
        "error": intent.error.replace("\0", ""),
        "pause": pause,
        "holder": holder,
    }


def _new(entry: Entry, state: State, *, holder: str | None = None, lease: float = 0.0) -> dict[str, Any]:
    return {**attrs.asdict(entry), "state": state, "holder": holder, "lease": lease, "outbox": None}


def _shortfall(row: tuple[Any, ...]) -> Shortfall:
    flow, name, allowed, confirms, backlog, dead, oldest, new, old, blocked, seen, under_way = row
    return Shortfall(
        rule=Rule(flow=flow, name=name, allowed_backlog=allowed, confirms=confirms),
        backlog=backlog,
        dead=dead,
        oldest=max(0.0, oldest),
        lacks={Backend.OLD: new, Backend.NEW: old},
        blocked=blocked,
        under_way=under_way,
        seen=None if seen is None else max(0.0, seen),
    )


opened = PostgresqlOutbox
