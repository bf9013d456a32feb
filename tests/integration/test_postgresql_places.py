"""
PostgreSQL databases that are missing, foreign, newer, damaged or closed to the user: never an empty state.
"""

import re
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from servers.ports import free_port
from servers.postgresql import GUARDED

from cutover.claims.homes import homes
from cutover.core.backend import Backend
from cutover.core.checkin import minute_of
from cutover.engines.postgresql import schema as schemas
from cutover.engines.registry import open_outbox
from cutover.errors import Conflict, Corrupt, Unavailable
from cutover.ports.outbox import Entry, Rule
from cutover.testing.store_helpers import MIGRATION, NOW, check_in, counted, head_of, report, write, write_many


@pytest.fixture
def database(postgresql):
    """
    The name of an empty database.
    """
    return postgresql.create_database()


@pytest.fixture
def empty_store(open_postgresql, postgresql, database):
    """
    A store in an empty database.
    """
    return open_postgresql(postgresql.url(database))


@pytest.fixture
def store(empty_store):
    """
    A store at version 2.
    """
    write_many(empty_store, 2)
    return empty_store


@pytest.fixture
def sql(postgresql, database):
    """
    Run statements in the database past the store.
    """
    with postgresql.client(database) as client:
        yield client.execute


def looks(store):
    """
    Every way to look into a store.
    """
    return [
        store.migrations,
        lambda: store.read(MIGRATION),
        lambda: store.history(MIGRATION),
        lambda: store.fleet(MIGRATION),
    ]


def uses(store):
    """
    Everything that one can do with a store that has version 2.
    """
    return [*looks(store), lambda: check_in(store), lambda: write(store, head_of(2))]


def refused(actions, error, match):
    """
    Check that every action is refused, and give the errors.
    """
    errors = []
    for action in actions:
        with pytest.raises(error, match=match) as caught:
            action()
        errors.append(caught.value)
    return errors


def tables(sql):
    """
    Name all tables of the database.
    """
    query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    return sql(query).fetchall()


def test_opening_connects_to_nothing(open_postgresql):
    """
    A store is open_postgresql without its server; what is asked of it then is Unavailable, and nothing is in doubt.
    """
    store = open_postgresql(f"postgresql://127.0.0.1:{free_port()}/nowhere")

    errors = refused([*uses(store), lambda: write(store), store.now], Unavailable, "cannot be reached")

    assert not any(error.in_doubt for error in errors)


def test_no_schema(empty_store, sql):
    """
    A database without the schema is Unavailable, not empty, and no use but the first change creates it.
    """
    refused(uses(empty_store), Unavailable, "cutover apply")
    empty_store.wait(MIGRATION, seen=None, timeout=0.01)

    assert tables(sql) == []


def test_missing_database(open_postgresql, postgresql):
    """
    A database that is not there is Unavailable.
    """
    store = open_postgresql(postgresql.url("not_there"))

    refused([*uses(store), lambda: write(store)], Unavailable, "does not exist")


def test_foreign_schema(empty_store, sql):
    """
    A schema of that name with the tables of another program is Corrupt, for the first change too, and is left alone.
    """
    sql("CREATE SCHEMA cutover")
    sql("CREATE TABLE cutover.migrations (name text)")

    refused([*uses(empty_store), lambda: write(empty_store)], Corrupt, "another program")

    assert tables(sql) == [("cutover", "migrations")]


def test_foreign_table(empty_store, sql):
    """
    A table of another program in the place of the one that names the store is Corrupt.
    """
    sql("CREATE SCHEMA cutover")
    sql("CREATE TABLE cutover.store (articles int)")

    refused([*looks(empty_store), lambda: write(empty_store)], Corrupt, "cutover")

    assert tables(sql) == [("cutover", "store")]


def test_schema_made_by_an_administrator(empty_store, sql):
    """
    A schema that is there and empty is filled by the first change.
    """
    sql("CREATE SCHEMA cutover")

    write(empty_store)

    assert empty_store.read(MIGRATION).head == head_of(1)


def test_newer_schema(store, sql):
    """
    Tables of a later library are Corrupt, and the error names both schemas; nothing is written.
    """
    sql("UPDATE cutover.store SET cutover_schema = 99")

    refused([*uses(store), lambda: write(store, migration="other")], Corrupt, "schema 99; this version reads 1")

    assert sql("SELECT max(version), count(*) FROM cutover.changes").fetchall() == [(2, 2)]
    assert sql("SELECT count(*) FROM cutover.instances").fetchall() == [(0,)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM cutover.store",
        "DROP TABLE cutover.migrations",
        "DROP TABLE cutover.changes",
        "ALTER TABLE cutover.migrations DROP COLUMN secret",
        "ALTER TABLE cutover.migrations ALTER COLUMN version TYPE text",
        r"UPDATE cutover.migrations SET document = '\xff'",
    ],
)
def test_damaged(store, sql, statement):
    """
    Tables that this library cannot have left like that are Corrupt.
    """
    sql(statement)

    with pytest.raises(Corrupt):
        store.read(MIGRATION)


def test_lost_tables_are_not_made_anew(store, sql):
    """
    Where a table is missing beside others, a first change is refused too: it would hide what was lost.
    """
    sql("DROP TABLE cutover.migrations")

    with pytest.raises(Corrupt, match="tables are missing"):
        write(store)


@pytest.mark.parametrize(
    ("use", "error"),
    [(lambda store: write(store, branch="b"), Conflict), (lambda store: store.read(MIGRATION), Unavailable)],
    ids=["first change", "look"],
)
def test_made_meanwhile(empty_store, open_postgresql, postgresql, database, monkeypatch, use, error):
    """
    Tables that another process makes after a store found none are no damage: a first change comes too late, and a look
    may look again.
    """
    another = open_postgresql(postgresql.url(database))
    explained = empty_store._place.explained

    def explained_late(*given):
        monkeypatch.undo()
        write(another)
        return explained(*given)

    monkeypatch.setattr(empty_store._place, "explained", explained_late)
    with pytest.raises(error):
        use(empty_store)

    assert empty_store.read(MIGRATION).head == head_of(1)


def test_later_library_brings_tables_up_to_date(store, sql, open_postgresql, monkeypatch, postgresql, database):
    """
    The first change by a later library runs the steps that are missing, once; new places look the same.
    """
    later = (*schemas.STEPS, "schema_2")
    queries = {**schemas.QUERIES, "schema_2": "ALTER TABLE cutover.migrations ADD COLUMN note text DEFAULT 'x'"}
    with monkeypatch.context() as patch:
        patch.setattr(schemas, "STEPS", later)
        patch.setattr(schemas, "QUERIES", queries)
        upgraded = open_postgresql(postgresql.url(database))
        assert upgraded.read(MIGRATION).head == head_of(2)
        head = write(upgraded, head_of(2))
        write(upgraded, head)
        fresh = open_postgresql(postgresql.url(database) + "?schema=fresh")
        write(fresh)

    columns = (
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema = '{}' ORDER BY table_name, ordinal_position"
    )
    assert sql(columns.format("cutover")).fetchall() == sql(columns.format("fresh")).fetchall()
    assert sql("SELECT note FROM cutover.migrations").fetchall() == [("x",)]
    refused([lambda: store.read(MIGRATION)], Corrupt, "schema 2; this version reads 1")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_other_encodings(open_postgresql, postgresql, encoding):
    """
    Texts come back to the letter also where the database has another encoding.
    """
    with postgresql.client() as client:
        client.execute(f"CREATE DATABASE in_{encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    store = open_postgresql(postgresql.url(f"in_{encoding}".lower()))
    write(store, change="東京 \x00 \U0001f6d2", snapshot="é\x00")

    assert store.read(MIGRATION).document == "é\x00"
    assert list(store.history(MIGRATION)) == ["東京 \x00 \U0001f6d2"]


def test_wrong_password(open_postgresql, postgresql, database, sql):
    """
    A wrong password is Unavailable, and stands in no message.
    """
    sql(f"DROP ROLE IF EXISTS {GUARDED}")
    sql(f"CREATE ROLE {GUARDED} LOGIN PASSWORD 'right'")
    store = open_postgresql(postgresql.url(database, user=f"{GUARDED}:wr0ng%40%2F"))

    errors = refused([*uses(store), lambda: write(store)], Unavailable, "password authentication failed")

    assert not any("wr0ng" in str(error) for error in (*errors, store.url, repr(store._address)))


def test_role_that_may_only_read(store, open_postgresql, postgresql, database, sql):
    """
    A role with the right to read reads; what it may not do is Unavailable, nothing done and nothing in doubt.
    """
    sql("DROP ROLE IF EXISTS reader")
    sql("CREATE ROLE reader LOGIN")
    sql("GRANT USAGE ON SCHEMA cutover TO reader")
    sql("GRANT SELECT ON ALL TABLES IN SCHEMA cutover TO reader")
    reader = open_postgresql(postgresql.url(database, user="reader"))
    elsewhere = open_postgresql(postgresql.url(database, user="reader") + "?schema=elsewhere")

    for look in looks(reader):
        look()
    actions = [lambda: check_in(reader), lambda: write(reader, head_of(2)), lambda: write(elsewhere)]
    errors = refused(actions, Unavailable, "no permission")

    assert not any(error.in_doubt for error in errors)
    assert store.read(MIGRATION).head == head_of(2)
    sql("DROP OWNED BY reader")
    sql("DROP ROLE reader")


def test_role_of_a_router(store, open_postgresql, postgresql, database, sql):
    """
    The rights that the page on PostgreSQL gives to routers are enough to read, to check in and to fold, and for no
    more; those beside them, to keep homes and to mirror writes.
    """
    sql("DROP ROLE IF EXISTS router")
    page = Path(__file__).parents[2] / "docs/how-to/use-postgresql.md"
    script, beside = re.findall(r"<<'SQL'\n(.*?)SQL\n", page.read_text(), re.DOTALL)
    sql(script)
    router = open_postgresql(postgresql.url(database, user="router"))

    for look in looks(router):
        look()
    router.check_in(MIGRATION, report(minutes={minute_of(NOW): {counted(): 5}}), now=NOW)
    router.check_in(MIGRATION, report(sequence=2), now=NOW + timedelta(hours=1))
    refused([lambda: write(router, head_of(2))], Unavailable, "no permission")

    assert router.fleet(MIGRATION).hours == {minute_of(NOW) // 60: {counted(): 5}}

    url = postgresql.url(database, user="router")
    with closing(open_outbox(postgresql.url(database))) as operators:
        operators.create()
    sql(beside)
    with homes(url, migration=MIGRATION) as kept, closing(open_outbox(url)) as outbox:
        assert kept.claim("order", "o-1", Backend.NEW) is Backend.NEW
        outbox.register(MIGRATION, Rule(flow="cart", name="cart.add"))
        entry = Entry(
            migration=MIGRATION,
            flow="cart",
            write="cart.add",
            lane="a",
            key='"a"',
            side=Backend.OLD,
            arguments="[[],{}]",
        )
        outbox.done(outbox.record(entry, "holder", 30.0))
    sql("DROP OWNED BY router")
    sql("DROP ROLE router")


def test_no_connection_left(open_postgresql, postgresql, database, sql, store):
    """
    A server that has no connection left is Unavailable, and works once there is one again.
    """
    sql("DROP ROLE IF EXISTS crowded")
    sql("CREATE ROLE crowded LOGIN SUPERUSER CONNECTION LIMIT 0")
    sql("ALTER ROLE crowded NOSUPERUSER")
    sql("GRANT USAGE ON SCHEMA cutover TO crowded")
    sql("GRANT SELECT ON ALL TABLES IN SCHEMA cutover TO crowded")
    crowded = open_postgresql(postgresql.url(database, user="crowded"))

    refused(looks(crowded), Unavailable, "too many connections")
    sql("ALTER ROLE crowded CONNECTION LIMIT 1")

    assert crowded.read(MIGRATION).head == head_of(2)
    crowded.close()
    sql("DROP OWNED BY crowded")
    sql("DROP ROLE crowded")


@pytest.mark.parametrize(
    ("state", "error", "match"),
    [
        ("53100", Unavailable, "disk is full"),
        ("58030", Unavailable, "input/output"),
        ("40001", Unavailable, "busy"),
        ("55P03", Unavailable, "locked"),
        ("25006", Unavailable, "read-only"),
        ("XX001", Corrupt, "damaged"),
        ("23514", Corrupt, "rule of its own tables"),
    ],
)
def test_refused_statements(store, sql, state, error, match):
    """
    What the server refuses keeps its meaning and its code, and is certain not to have been done.
    """
    sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"
    )
    sql("CREATE TRIGGER refuse BEFORE INSERT ON cutover.changes FOR EACH ROW EXECUTE FUNCTION refuse()")

    (raised,) = refused([lambda: write(store, head_of(2))], error, f"(?s){match}.*{state}")

    assert not getattr(raised, "in_doubt", False)
    assert store.read(MIGRATION).head == head_of(2)
    sql("DROP TRIGGER refuse ON cutover.changes")
    write(store, head_of(2))


@pytest.mark.parametrize("name", ["nul\0", "\ud800"])
def test_names_that_no_database_takes(store, name):
    """
    A name that PostgreSQL cannot hold is a mistake of the caller, not an error of the driver.
    """
    with pytest.raises(ValueError, match=r"NUL|surrogates"):
        store.read(name)

    assert store.read(MIGRATION).head == head_of(2)


def test_durable_whatever_the_default(store, sql, database, postgresql, open_postgresql):
    """
    A change is flushed to disk before it is acknowledged, also in a database that is set not to.
    """
    sql(f"ALTER DATABASE {database} SET synchronous_commit = off")
    sql(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.hash := current_setting('synchronous_commit'); RETURN NEW; END $$"
    )
    sql("CREATE TRIGGER note BEFORE INSERT ON cutover.changes FOR EACH ROW EXECUTE FUNCTION note()")
    write(open_postgresql(postgresql.url(database)), head_of(2))

    assert sql("SELECT hash FROM cutover.changes WHERE version = 3").fetchall() == [("on",)]


def test_nothing_stays_in_the_session(store, sql):
    """
    No setting, prepared statement or lock outlives a transaction: the next one may run on another server connection.
    """
    check_in(store)
    with pytest.raises(Conflict):
        write(store, head_of(1))

    left = store._session.run(
        "SELECT (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_locks WHERE "
        "locktype = 'advisory' AND pid = pg_backend_pid()), current_setting('idle_in_transaction_session_timeout')"
    )
    assert left == [(0, 0, "0")]
