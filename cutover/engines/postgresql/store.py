"""
``postgresql://``: the store for many machines. Durable once acknowledged; seen by others as soon as it is committed.

All runs at READ COMMITTED. A reader gets all it needs from one statement, which sees one moment. A writer compares and
swaps in one statement too: of two at once, the second waits for the row, sees it as the first left it, and finds that
its condition no longer holds. No statement relies on what an earlier one of its transaction saw.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from cutover.core.checkin import CheckIn, Fleet
from cutover.core.snapshot import Head
from cutover.engines.postgresql.errors import NoTables
from cutover.engines.postgresql.fleet import fleet, fold, is_due, report_values
from cutover.engines.postgresql.hint import hint_of
from cutover.engines.postgresql.schema import checked, own_version, place_at, set_up
from cutover.engines.postgresql.session import Rows, Session, Transaction
from cutover.engines.postgresql.url import parse
from cutover.engines.watch import Watch
from cutover.engines.writing import check_append, check_expected
from cutover.errors import Corrupt, StoreError, Unavailable
from cutover.forks import PerProcess
from cutover.ports.store import Durability, Reading

__all__ = ["PostgresqlStore", "opened"]


class PostgresqlStore:
    """
    A store in one schema of a PostgreSQL database.

    Opening connects to nothing; the schema appears with the first change in it.
    """

    durability = Durability.DURABLE

    def __init__(self, url: str) -> None:
        self._address = parse(url)
        self._place = place_at(self._address)
        self._queries = self._place.queries
        self._session = Session(self._address)
        self._watch = PerProcess(lambda: Watch(hint_of(self._address, self._announce)))

    @property
    def url(self) -> str:
        """
        Name the source, without credentials.
        """
        return self._address.shown

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that the source holds, sorted.
        """
        return tuple(name for (name,) in self._rows("migrations", {}) if name is not None)

    def read(self, migration: str, *, seen: Head | None = None) -> Reading | None:
        """
        Read one migration, as `Source.read` says.
        """
        watch = self._watch.get()
        mark = watch.mark(migration)
        values = {"migration": migration, **_parts(seen)}
        ((*head, secret, document, ancestor),) = self._rows("read", values)
        if head[0] is None:
            return None
        reading = Reading(
            head=Head(*head),
            document=None if document is None else self._text(document),
            secret=secret,
            ancestor=ancestor,
        )
        watch.found(migration, reading.head, mark)
        return reading

    def wait(self, migration: str, *, seen: Head | None, timeout: float) -> None:
        """
        Return when the store may hold something else than *seen*, or after *timeout* seconds, or when closed.

        What is heard only shortens the pauses; a change that was not heard of is found after a second.
        """
        watch = self._watch.get()
        if not self._session.closed:
            watch.wait(migration, seen, timeout, lambda: self._glimpse(migration))

    def close(self) -> None:
        """
        Let go of the connections and wake every `wait`; may be called twice, and from any thread.
        """
        self._session.close()
        self._watch.get().close()

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

        The first change creates the schema and its tables, and the first one of a later library brings them up to
        date; in the same transaction.
        """
        check_append(expect, head, secret)
        values = {
            "migration": migration,
            **attrs.asdict(head),
            **{f"expect_{name}": value for name, value in _parts(expect).items()},
            "change": change.encode(),
            "snapshot": snapshot.encode(),
            "secret": secret,
            "schema": own_version(),
            "channel": self._address.schema,
        }
        try:
            with self._session.transaction() as transaction:
                if self._swapped(transaction, expect, values):
                    return
        except NoTables as missing:
            error = self._place.explained(self._session, missing)
            if isinstance(error, Corrupt) or expect is not None:
                raise error from missing
        with self._session.transaction() as transaction:
            set_up(transaction, self._place)
            if not self._swapped(transaction, expect, values):
                raise Unavailable(f"{self.url} was changed by another library while its tables were set up")

    def history(self, migration: str, *, after: int = 0) -> Sequence[str]:
        """
        Give the texts of all changes above a version, oldest first; none where there is no such migration.
        """
        rows = self._rows("history", {"migration": migration, "after": after})
        return tuple(self._text(text) for (text,) in rows if text is not None)

    def now(self) -> datetime:
        """
        Read the server's clock.
        """
        ((now,),) = self._session.run(self._queries["now"])
        instant: datetime = now
        return instant.astimezone(UTC)

    def check_in(self, migration: str, report: CheckIn, *, now: datetime) -> None:
        """
        Take a report of a router process, as `Store.check_in` says.
        """
        values = report_values(migration, report, now)
        ((before,),) = self._rows("check_in", values, writes=True)
        if is_due(values, before=before):
            with self._session.transaction() as transaction:
                fold(transaction, self._queries, self._address.schema, values)

    def fleet(self, migration: str) -> Fleet:
        """
        Give what is known of the processes; empty where none ever checked in.
        """
        return fleet(self._rows("fleet", {"migration": migration}))

    def _rows(self, query: str, values: Mapping[str, Any], *, writes: bool = False) -> Rows:
        """
        Run a query that gives the version of the tables first.
        """
        try:
            return checked(self._address, self._session.run(self._queries[query], values, writes=writes))
        except NoTables as missing:
            raise self._place.explained(self._session, missing) from missing

    def _swapped(self, transaction: Transaction, expect: Head | None, values: Mapping[str, Any]) -> bool:
        """
        Compare and swap; False where the tables are not there yet in the form that this library writes.

        Raises:
            Conflict: If the store is at another head.
        """
        query = "first_change" if expect is None else "next_change"
        if transaction.run(self._queries[query], values):
            return True
        of = {"migration": values["migration"]}
        version = transaction.run(self._queries["schema"])
        ((*head,),) = checked(self._address, transaction.run(self._queries["head"], of))
        if version != [(own_version(),)]:
            return False
        check_expected(values["migration"], expect, None if head[0] is None else Head(*head))
        raise Unavailable(f"{self.url} was changed and changed back meanwhile; try again")

    def _glimpse(self, migration: str) -> Head | str | None:
        """
        Give the head alone, or the name of the error that a read would raise.
        """
        try:
            ((*head,),) = self._rows("head", {"migration": migration})
        except StoreError as error:
            return type(error).__name__
        return None if head[0] is None else Head(*head)

    def _announce(self, channel: str) -> None:
        self._session.run("SELECT pg_notify(%(channel)s, '')", {"channel": channel})

    def _text(self, value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise Corrupt(f"{self.url} is damaged: it holds text that is not UTF-8") from error


def _parts(head: Head | None) -> dict[str, Any]:
    return {"epoch": None, "version": None, "hash": None} if head is None else attrs.asdict(head)


opened = PostgresqlStore
