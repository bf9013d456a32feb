"""
One connection to PostgreSQL for each process, with a deadline of its own for everything that is asked.

Nothing is kept in the server's session, so that a pooler may hand each transaction to another one: no prepared
statement, no setting beyond the transaction.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus

from cutover.engines.postgresql.errors import Interrupted, Late, is_lost, translated
from cutover.engines.postgresql.url import Address
from cutover.errors import Unavailable
from cutover.forks import Gate, PerProcess

__all__ = ["Connection", "Rows", "Session", "Transaction", "connected"]

T = TypeVar("T")
Rows = list[tuple[Any, ...]]
Values = Mapping[str, Any] | None

PATIENCE: Final = 5.0  # seconds without a sign of the server
LONGEST: Final = 30.0  # seconds for one statement in all, for large documents over slow lines
CLOSE_PATIENCE: Final = 0.5
# The server gives up before the client does: then the client knows that nothing was done, and no backend stays behind.
LOCKS: Final = "set_config('lock_timeout', '3s', true)"
ALONE: Final = f"SELECT set_config('statement_timeout', '{LONGEST:.0f}s', true), {LOCKS}; "
QUICKLY: Final = (
    f"SET LOCAL statement_timeout = '{LONGEST:.0f}s'; SET LOCAL lock_timeout = '3s'; "  # the same, sooner done
)
BEGIN: Final = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('statement_timeout', '4s', true), {LOCKS}, "
    "set_config('idle_in_transaction_session_timeout', '5s', true), "
    # durable whatever the database's default; stronger settings are left alone
    "CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', true) END"
)
# A limit would end the wait for a synchronous standby, and the server would acknowledge what that does not have.
COMMIT: Final = "SET LOCAL statement_timeout = 0; COMMIT"
GATE: Final = Gate()  # a fork while the driver resolves names or sets up TLS would pass its locks on


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """
    A connection on which every wait for the server ends.

    Attributes:
        closing: Ends a wait at once when it is set.
    """

    closing: threading.Event

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """
        Drive one exchange with the server, as the driver does.

        libpq itself has no limit for an answer, and a server that is frozen keeps the connection up.
        """
        return super().wait(_limited(gen, self.closing), *args, **kwargs)


class Transaction:
    """
    Statements between BEGIN and COMMIT.

    Attributes:
        is_committing: Whether COMMIT was sent.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.is_committing: bool = False

    def run(self, query: str, values: Values = None) -> Rows:
        """
        Run one statement, and give its rows.
        """
        cursor = self._connection.cursor(binary=True)
        return _rows(cursor.execute(query.encode(), values))

    def run_script(self, script: str) -> None:
        """
        Run several statements without parameters.
        """
        self._connection.execute(script.encode())

    def commit(self) -> None:
        """
        Make it last.
        """
        self.is_committing = True
        self._connection.execute(COMMIT.encode())


class Session:
    """
    The way to one database. Safe to use from any thread and after a fork; one statement runs at a time.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._closed = False
        self._links = PerProcess(lambda: _Link(address))

    @property
    def closed(self) -> bool:
        """
        Tell whether it was closed, here or before a fork.
        """
        return self._closed

    def run(self, query: str, values: Values = None, *, writes: bool = False) -> Rows:
        """
        Run one statement in a transaction and a round trip of its own. It may be sent twice, so it must bear that.

        Args:
            writes: Whether it is in doubt what was done where no answer comes.
        """

        def work(connection: Connection) -> Rows:
            cursor = psycopg.ClientCursor(connection)
            cursor.execute((ALONE + query).encode(), values)
            while cursor.nextset():
                pass
            return _rows(cursor)

        return self._run_once(work, writes=writes)

    def run_text(self, query: str, *, writes: bool = False) -> list[bytes | None]:
        """
        Run one statement without parameters that gives one column, as `run` does, and give the column as the server
        wrote it. It goes past the driver's cursors, which cost as much as a short statement does.
        """
        return self._run_once(lambda connection: _column(connection, (QUICKLY + query).encode()), writes=writes)

    @contextmanager
    def transaction(self, *, first: str = "") -> Iterator[Transaction]:
        """
        Run statements in one transaction: committed at the end of the block, rolled back where it raises.

        An error is in doubt only if COMMIT had been sent.

        Args:
            first: A statement without parameters that goes with BEGIN, in its round trip.
        """
        with self._entered() as link:
            begun: Transaction | None = None
            with translated(self.address.shown, in_doubt=lambda: begun is not None and begun.is_committing):
                try:
                    begun = link.attempted(partial(_begun, first))
                    yield begun
                    begun.commit()
                except BaseException:
                    link.roll_back()
                    raise

    def close(self) -> None:
        """
        Let go of the connection, and end what waits for it.
        """
        self._closed = True
        self._links.get().close()

    def _run_once(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        is_sent = False

        def once(connection: Connection) -> T:
            nonlocal is_sent
            is_sent = True
            return work(connection)

        with self._entered() as link, translated(self.address.shown, in_doubt=lambda: writes and is_sent):
            return link.attempted(once)

    @contextmanager
    def _entered(self) -> Iterator["_Link"]:
        self._check_open()
        link = self._links.get()
        if not link.lock.acquire(timeout=PATIENCE):
            raise Unavailable(f"{self.address.shown} is busy with what other threads asked for")
        try:
            self._check_open()
            yield link
        finally:
            if self._closed:
                link.drop()
            link.lock.release()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"{self.address.shown} was closed")


class _Link:
    """
    The connection of one process. Whoever uses it holds the lock.
    """

    def __init__(self, address: Address) -> None:
        self.lock = threading.Lock()
        self._address = address
        self._closing = threading.Event()
        self._connection: Connection | None = None

    def attempted(self, work: Callable[[Connection], T]) -> T:
        """
        Do something; once more on a fresh connection where that of an earlier call turns out to be gone.
        """
        if self._connection is not None and not self._connection.closed:
            try:
                return self._dropping(work, self._connection)
            except psycopg.OperationalError as error:
                if not is_lost(error) or self._closing.is_set():
                    raise
        self.drop()
        self._connection = connected(self._address, self._closing)
        return self._dropping(work, self._connection)

    def roll_back(self) -> None:
        """
        End a transaction; a connection that cannot do that at once is let go of.
        """
        if self._connection is None:
            return
        try:
            self._connection.execute("ROLLBACK")
        except (psycopg.Error, Late, Interrupted):
            self.drop()

    def drop(self) -> None:
        """
        Close the connection, if there is one.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def close(self) -> None:
        """
        Interrupt what is under way, and close the connection.
        """
        self._closing.set()
        if self.lock.acquire(timeout=CLOSE_PATIENCE):
            try:
                self.drop()
            finally:
                self.lock.release()

    def _dropping(self, work: Callable[[Connection], T], connection: Connection) -> T:
        try:
            return work(connection)
        except BaseException as error:
            if not isinstance(error, psycopg.Error) or connection.closed:
                self.drop()
            raise


def connected(address: Address, closing: threading.Event) -> Connection:
    """
    Connect, within the time that the URL allows for each address of the host.
    """
    if not GATE.acquire(PATIENCE):
        raise Late
    try:
        connection = Connection.connect("", autocommit=True, prepare_threshold=None, **address.parameters)
    finally:
        GATE.release()
    connection.closing = closing
    return connection


def _begun(first: str, connection: Connection) -> Transaction:
    connection.execute(f"{BEGIN}; {first}".encode())
    return Transaction(connection)


def _rows(cursor: "psycopg.Cursor[tuple[Any, ...]]") -> Rows:
    return [] if cursor.description is None else cursor.fetchall()


def _column(connection: Connection, query: bytes) -> list[bytes | None]:
    connection.pgconn.send_query(query)
    *_, result = connection.wait(generators.execute(connection.pgconn))
    if result.status != ExecStatus.TUPLES_OK:
        raise psycopg.errors.error_from_result(result)
    return [result.get_value(row, 0) for row in range(result.ntuples)]


def _limited(gen: Generator[Any, Any, T], closing: threading.Event) -> Generator[Any, Any, T]:
    """
    Pass an exchange on step by step; the driver makes a step several times a second, also where nothing comes.
    """
    began = last = time.monotonic()
    try:
        step = next(gen)
        while True:
            ready = yield step
            now = time.monotonic()
            last = now if ready else last
            if closing.is_set():
                raise Interrupted
            if now - last > PATIENCE or now - began > LONGEST:
                raise Late
            step = gen.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result
