"""
Mirrored writes in the application's own transaction, on real databases.
"""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import psycopg
import pytest
from psycopg.rows import dict_row

from cutover.core.backend import Backend
from cutover.engines.registry import open_outbox
from cutover.errors import ConfigurationError, Unavailable
from cutover.testing import router as router_for_tests
from cutover.testing.store_helpers import until


def make_outbox(url):
    """
    Make the tables, as `cutover mirror init` does.
    """
    with closing(open_outbox(url)) as outbox:
        outbox.create()


class Application:
    """
    An application with a database of its own, in which its carts and the outbox are.
    """

    def __init__(self, url, connect, mark):
        self.url = url
        self.connect = connect
        self.mark = mark
        self.connection = None
        self.delivered = []
        self.router = router_for_tests(cart=0)
        connection = connect()
        connection.execute("CREATE TABLE carts (key text, sequence integer, item text)")
        connection.commit()
        connection.close()

    def old(self, key, item, *, sequence):
        """
        Write through the connection whose transaction is open.
        """
        if item == "impossible":
            raise ValueError("sold out")
        query = f"INSERT INTO carts VALUES ({self.mark}, {self.mark}, {self.mark})"
        self.connection.execute(query, (key, sequence, item))
        return sequence

    def new(self, key, item, *, sequence):
        """
        Write to the other back end.
        """
        self.delivered.append((key, sequence, item))

    def carts(self):
        """
        Give what is committed.
        """
        connection = self.connect()
        rows = connection.execute("SELECT key, sequence, item FROM carts ORDER BY key, sequence").fetchall()
        connection.close()
        return [tuple(row.values()) if isinstance(row, dict) else tuple(row) for row in rows]

    def write(self, **options):
        """
        Build the write.
        """
        return self.router.flow("cart").write(
            name="cart.add", old=self.old, new=self.new, outbox=self.url, longest_pause=0.01, **options
        )

    def settled(self):
        """
        Wait until nothing is undelivered.
        """
        with closing(open_outbox(self.url)) as outbox:
            return until(lambda: not any(one.backlog for one in outbox.shortfalls("test")))


@pytest.fixture
def database(postgresql):
    """
    A PostgreSQL database of the test's own.
    """
    return postgresql.url(postgresql.create_database())


@pytest.fixture(params=["sqlite", "sqlite_wal", "postgresql"])
def application(request, tmp_path):
    """
    An application on each database that can take part, with rows of a shape of its own.
    """
    if request.param == "postgresql":
        url = request.getfixturevalue("database")
        one = Application(url, lambda: psycopg.connect(url, row_factory=dict_row), "%s")
    else:
        path = tmp_path / "shop.db"

        def connect():
            connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            return connection

        if request.param == "sqlite_wal":
            connection = sqlite3.connect(path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.close()
        one = Application(f"sqlite:///{path}", connect, "?")
    make_outbox(one.url)
    one.connection = one.connect()
    yield one
    one.router.close()
    one.connection.close()


def test_committed(application):
    """
    What was written in a transaction reaches the other side after its commit, and not before.
    """
    add = application.write()
    assert add("user-1", "apple", outbox=application.connection) == 1
    assert add("user-1", "pear", outbox=application.connection) == 2
    assert application.delivered == []
    application.connection.commit()

    assert application.settled()
    assert application.delivered == [("user-1", 1, "apple"), ("user-1", 2, "pear")]
    assert application.carts() == application.delivered


def test_rolled_back(application):
    """
    What was rolled back never happened, on neither side.
    """
    add = application.write()
    add("user-1", "apple", outbox=application.connection)
    application.connection.rollback()
    add("user-1", "pear", outbox=application.connection)
    application.connection.commit()

    assert application.settled()
    assert application.delivered == [("user-1", 1, "pear")]
    assert application.carts() == application.delivered


def test_failed(application):
    """
    What the authoritative side refused is not delivered, also where the application commits the rest.
    """
    add = application.write(refused=ValueError)
    add("user-1", "apple", outbox=application.connection)
    with pytest.raises(ValueError, match="sold out"):
        add("user-1", "impossible", outbox=application.connection)
    application.connection.commit()

    assert application.settled()
    assert application.delivered == application.carts() == [("user-1", 1, "apple")]


@pytest.mark.parametrize("happened", [True, False])
def test_failed_and_committed_all_the_same(application, happened):
    """
    Any other exception proves nothing: where the application commits what it left, the authoritative side is asked.
    """

    def confirm(key, item, *, sequence, side):
        return (key, sequence, item) in application.carts()

    add = application.write(confirm=confirm)
    old = application.old

    def failing(key, item, *, sequence):
        if happened:
            old(key, item, sequence=sequence)
        raise TimeoutError("a notification was not sent")

    add._work.functions.sides[Backend.OLD] = failing
    with pytest.raises(TimeoutError):
        add("user-1", "apple", outbox=application.connection)
    application.connection.commit()

    assert application.settled()
    assert application.delivered == application.carts() == ([("user-1", 1, "apple")] if happened else [])


def test_failed_statement(application):
    """
    Where a statement of the application failed, its error is what it gets, and the rollback takes the intent along.
    """
    add = application.write()
    application.connection.execute("DROP TABLE carts")
    application.connection.commit()
    with pytest.raises((sqlite3.Error, psycopg.Error), match="carts"):
        add("user-1", "apple", outbox=application.connection)
    application.connection.rollback()

    assert application.settled()
    assert application.delivered == []


def test_behind_a_transaction(application):
    """
    A write in a transaction goes behind what its key has undelivered, and both arrive in order.
    """
    add = application.write()
    for item in ("apple", "pear", "plum"):
        add("user-1", item, outbox=application.connection)
        application.connection.commit()

    assert application.settled()
    assert [one[1] for one in application.delivered] == [1, 2, 3]


def test_autocommit(application):
    """
    A connection without a transaction is refused before anything is written: the two could come apart.
    """
    add = application.write()
    if isinstance(application.connection, sqlite3.Connection):
        application.connection.isolation_level = None
    else:
        application.connection.autocommit = True
    with pytest.raises(ConfigurationError, match="has no transaction open"):
        add("user-1", "apple", outbox=application.connection)
    application.connection.execute("BEGIN")
    add("user-1", "pear", outbox=application.connection)
    application.connection.execute("COMMIT")

    assert application.settled()
    assert application.delivered == application.carts() == [("user-1", 1, "pear")]


def test_sides(application):
    """
    With a connection for one side, the writes of the other are stored by themselves.
    """
    add = application.write()

    def old(*args, **kwargs):
        application.old(*args, **kwargs)
        application.connection.commit()

    add._work.functions.sides[Backend.OLD] = old
    application.router.set(cart=100)
    add("user-1", "apple", outbox={Backend.OLD: application.connection})

    assert application.settled()
    assert application.delivered == application.carts() == [("user-1", 1, "apple")]


def test_other_database(application, request, tmp_path):
    """
    A connection to another database than the outbox's is refused before anything is written.
    """
    add = application.write()
    if application.mark == "?":
        url, foreign = f"sqlite:///{tmp_path}/foreign.db", sqlite3.connect(tmp_path / "foreign.db")
    else:
        server = request.getfixturevalue("postgresql")
        url = server.url(server.create_database())
        foreign = psycopg.connect(url)
    with closing(foreign):
        with pytest.raises(Unavailable, match="has no outbox yet"):
            add("user-1", "apple", outbox=foreign)
        foreign.rollback()
        make_outbox(url)
        with pytest.raises(ConfigurationError, match="another database"):
            add("user-1", "apple", outbox=foreign)

    assert application.carts() == []


def test_made_meanwhile(postgresql, monkeypatch):
    """
    An outbox that another process makes after one found none is not damaged: who looks may look again.
    """
    url = postgresql.url(postgresql.create_database())
    with closing(open_outbox(url)) as outbox:
        explained = outbox._tables.place.explained

        def explained_late(session, missing):
            make_outbox(url)
            return explained(session, missing)

        monkeypatch.setattr(outbox._tables.place, "explained", explained_late)
        with pytest.raises(Unavailable, match="has no outbox yet"):
            outbox.shortfalls("shop")

        assert outbox.shortfalls("shop") == []


@pytest.mark.parametrize("connection", ["a text", 7, object()])
def test_no_connection(application, connection):
    """
    What is no connection is refused with its type.
    """
    with pytest.raises(ConfigurationError, match="allowed: a connection"):
        application.write()("user-1", "apple", outbox=connection)


def test_one_key_at_once(application):
    """
    Transactions that write for one key at the same time are delivered in the order of their commits.
    """
    if isinstance(application.connection, sqlite3.Connection):
        application.connection.close()
    add = application.write()
    connections = threading.local()
    application.old = None

    def old(key, item, *, sequence):
        query = f"INSERT INTO carts VALUES ({application.mark}, {application.mark}, {application.mark})"
        connections.own.execute(query, (key, sequence, item))

    add._work.functions.sides[Backend.OLD] = old

    def transactions(name):
        connections.own = application.connect()
        for number in range(10):
            add("user-1", f"{name}{number}", outbox=connections.own)
            connections.own.commit()
        connections.own.close()

    threads = [threading.Thread(target=transactions, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert application.settled()
    assert [one[1] for one in application.delivered] == list(range(1, 31))
    assert application.delivered == application.carts()


KILLED = """
import os, signal, sqlite3, sys
import psycopg
import cutover.testing

url, place = sys.argv[1:]
connection = psycopg.connect(place) if url.startswith("postgresql") else sqlite3.connect(place)
mark = "%s" if url.startswith("postgresql") else "?"

def old(key, item, *, sequence):
    connection.execute(f"INSERT INTO carts VALUES ({mark}, {mark}, {mark})", (key, sequence, item))

router = cutover.testing.router(cart=0)
add = router.flow("cart").write(name="cart.add", old=old, new=dict, outbox=url)
add("user-1", "apple", outbox=connection)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_before_the_commit(application):
    """
    A process that is killed between the write and its commit leaves nothing behind, on neither side.
    """
    place = application.url.removeprefix("sqlite:///")
    killed = subprocess.run([sys.executable, "-c", KILLED, application.url, place], check=False, timeout=60)
    add = application.write()
    add("user-1", "pear", outbox=application.connection)
    application.connection.commit()

    assert killed.returncode == -signal.SIGKILL
    assert application.settled()
    assert application.delivered == application.carts() == [("user-1", 1, "pear")]


def test_coroutines(database):
    """
    With coroutine functions the connection is psycopg's asynchronous one.
    """
    delivered = []
    make_outbox(database)
    router = router_for_tests(cart=0)

    async def application():
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await connection.execute("CREATE TABLE carts (key text, sequence integer, item text)")

            async def old(key, item, *, sequence):
                if item == "impossible":
                    raise ValueError("sold out")
                await connection.execute("INSERT INTO carts VALUES (%s, %s, %s)", (key, sequence, item))

            async def new(key, item, *, sequence):
                delivered.append((key, sequence, item))

            add = router.flow("cart").write(name="cart.add", old=old, new=new, outbox=database)
            await add("user-1", "apple", outbox=connection)
            with pytest.raises(ValueError, match="sold out"):
                await add("user-1", "impossible", outbox=connection)
            assert delivered == []
            await connection.commit()
            assert await asyncio.to_thread(until, lambda: delivered)
            await connection.rollback()

    asyncio.run(application())
    router.close()

    assert delivered == [("user-1", 1, "apple")]


def test_user_without_rights(database):
    """
    A user who may not write the outbox is told so, and nothing is written.
    """
    make_outbox(database)
    router = router_for_tests(cart=0)
    calls = []
    add = router.flow("cart").write(name="cart.add", old=dict, new=lambda *_, **__: calls.append(1), outbox=database)
    with psycopg.connect(database) as connection:
        connection.execute("CREATE ROLE shopper")
        connection.execute("SET LOCAL ROLE shopper")
        with pytest.raises(Unavailable, match="may not write the outbox"):
            add("user-1", "apple", outbox=connection)
        connection.rollback()
    router.close()

    assert calls == []
