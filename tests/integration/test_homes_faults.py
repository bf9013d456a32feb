"""
Homes where the place is away, refuses, or holds something else.
"""

import re
import sqlite3
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis
from servers.postgresql import postgresql_server
from servers.proxy import proxied
from servers.redis import LOG, valkey_server

from cutover.claims.homes import homes
from cutover.core.backend import Backend
from cutover.core.defined import Flow
from cutover.core.migration import Migration
from cutover.errors import ConfigurationError, Corrupt, Unavailable
from cutover.operations.control import control
from cutover.testing.store_helpers import in_thread, until

PAGE = Path(__file__).parents[2] / "docs/how-to/use-redis.md"
OLD, NEW = Backend.OLD, Backend.NEW
SHOP = Migration(name="shop", title="Shop", old="a", new="b", salt="shop", flows={"pay": Flow(name="pay")})
NEEDED = "homes need Redis 7.2 or later, or Valkey, with appendonly yes, appendfsync always and maxmemory-policy"


@pytest.fixture
def sqlite_url(tmp_path):
    """
    A fresh place in SQLite.
    """
    return f"sqlite:///{tmp_path}/homes.db"


@pytest.fixture(params=["sqlite_url", "postgresql_url", "valkey_with_log_url"])
def url(request):
    """
    A fresh place of each kind.
    """
    return request.getfixturevalue(request.param)


@pytest.fixture
def place(url):
    """
    Homes there, in which order 1 lives on NEW.
    """
    with homes(url, migration="shop") as opened:
        opened.claim("order", 1, NEW)
        yield opened


@pytest.mark.parametrize("engine", ["postgresql", "valkey_with_log"])
def test_a_lost_answer(request, engine):
    """
    Where the answer to a claim does not come the outcome is in doubt, and claiming again gives what holds.
    """
    server = request.getfixturevalue(engine)
    direct = server.url()
    with proxied(server.port) as proxy, homes(direct, migration="shop") as beside:
        beside.claim("order", 1, NEW)
        with homes(direct.replace(f":{server.port}", f":{proxy.port}"), migration="shop") as place:
            place.claim("order", 2, NEW)
            proxy.hold_answers()
            with pytest.raises(Unavailable) as caught:
                place.claim("order", 3, OLD)
            assert caught.value.in_doubt
            proxy.forward()
            proxy.cut()

            assert until(lambda: beside.find("order", 3) is OLD)
            assert place.claim("order", 3, NEW) is OLD


@pytest.mark.parametrize("engine", ["own_postgresql", "own_valkey_with_log"])
def test_a_frozen_server(request, engine):
    """
    A server that does not answer is away, for looking and for claiming, and serves again when it goes on.
    """
    server = request.getfixturevalue(engine)
    with homes(server.url(), migration="shop") as place:
        place.claim("order", 1, NEW)
        with server.frozen():
            for ask in (lambda: place.find("order", 1), lambda: place.claim("order", 2, NEW)):
                with pytest.raises(Unavailable, match=r"does not answer|cannot be reached"):
                    ask()

        assert place.find("order", 1) is NEW


def test_a_locked_table(postgresql):
    """
    A claim that another transaction keeps waiting gives up, and nothing was done.
    """
    with homes(postgresql.url(), migration="shop") as place, postgresql.client() as client:
        place.claim("order", 1, NEW)
        with client.transaction():
            client.execute(f"LOCK TABLE {place._engine._tables.place.schema}.homes")
            with pytest.raises(Unavailable, match="locked by another transaction") as caught:
                place.claim("order", 2, NEW)
        assert not caught.value.in_doubt
        assert place.find("order", 2) is None


def test_asynchronous_commits_are_overruled(own_postgresql):
    """
    A claim is flushed also where the database does not wait for its disk.
    """
    name = own_postgresql.create_database()
    with own_postgresql.client() as client:
        client.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with homes(own_postgresql.url(name), migration="shop") as place:
        for claim in (lambda: place.claim("order", 1, NEW), lambda: place.claim_many("order", {2: NEW, 3: OLD})):
            claim()
            with own_postgresql.client(name) as client:
                ((flushed,),) = client.execute("SELECT pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()")
                assert flushed


@pytest.mark.parametrize("lost", ["file", "schema", "keys"])
def test_a_place_that_is_gone(request, lost, tmp_path):
    """
    Homes that somebody claimed in, or only looked into, and that are gone are away, never unclaimed, and nothing is
    begun anew.
    """
    fixture = {"file": "sqlite_url", "schema": "postgresql_url", "keys": "valkey_with_log_url"}[lost]
    url = request.getfixturevalue(fixture)
    with homes(url, migration="shop") as place, homes(url, migration="shop") as looked_into:
        place.claim("order", 1, NEW)
        assert looked_into.find("order", 1) is NEW
        if lost == "file":
            (tmp_path / "homes.db").unlink()
        elif lost == "schema":
            with request.getfixturevalue("postgresql").client() as client:
                client.execute(f"DROP SCHEMA {place._engine._tables.place.schema} CASCADE")
        else:
            with request.getfixturevalue("valkey_with_log").client() as client:
                client.delete(*client.scan_iter(f"*{place._engine._target.prefix}*"))

        for one in (place, looked_into):
            for ask in (partial(one.find, "order", 1), partial(one.claim, "order", 1, OLD), one.counts):
                with pytest.raises(Unavailable) as caught:
                    ask()
                assert caught.value.missing


def test_a_folder_that_is_not_there(tmp_path):
    """
    A folder that is missing, as where a disk is not mounted, is no place without homes.
    """
    with homes(f"sqlite:///{tmp_path}/disk/homes.db", migration="shop") as place:
        for ask in (lambda: place.find("order", 1), lambda: place.claim("order", 1, OLD), place.counts):
            with pytest.raises(Unavailable, match="there is no folder"):
                ask()


@pytest.mark.parametrize("change", ["layout", "side"])
def test_a_damaged_file(place, url, change):
    """
    A later layout, or a value that is no side, is corrupt and never a guess; a place that is open notices it at once.
    """
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            damage = {"layout": "UPDATE homes_layout SET version = 2", "side": "UPDATE homes SET side = 'both'"}
            connection.execute(damage[change])
    elif url.startswith("postgresql"):
        damage_postgresql(place, change, url)
    else:
        damage_valkey(place, change, url)

    with homes(url, migration="shop") as fresh:
        for at in (place, fresh):
            for ask in (lambda at=at: at.find("order", 1), lambda at=at: at.claim("order", 1, OLD)):
                with pytest.raises(Corrupt):
                    ask()


def damage_postgresql(place, change, url):
    """
    Write into a schema what this library does not write.
    """
    schema = place._engine._tables.place.schema
    with psycopg.connect(url.partition("?")[0], autocommit=True) as client:
        if change == "layout":
            client.execute(f"UPDATE {schema}.layout SET cutover_homes = 2")
        else:
            client.execute(f"ALTER TABLE {schema}.homes DROP CONSTRAINT homes_side_check")
            client.execute(f"UPDATE {schema}.homes SET side = 'both'")


def damage_valkey(place, change, url):
    """
    Write into keys what this library does not write.
    """
    prefix = place._engine._target.prefix
    with redis.Redis.from_url(url.partition("?")[0]) as client:
        if change == "layout":
            client.hset(f"{{{prefix}}}:homes", "layout", "2")
        else:
            client.hset(f"{{{prefix}}}:shop:homes:order", "1", "both 1 0")


def test_a_replica(own_postgresql):
    """
    A replica is away, lest it says of what it lacks that nobody claimed it; of several hosts the primary is asked.
    """
    url = own_postgresql.url()
    with homes(url, migration="shop") as place:
        place.claim("order", 1, NEW)
        with postgresql_server(copy_of=own_postgresql) as replica:
            with replica.client() as client:
                client.execute("SELECT pg_wal_replay_pause()")
            place.claim("order", 2, NEW)
            hosts = f"127.0.0.1:{replica.port},127.0.0.1:{own_postgresql.port}"
            with homes(url.replace(str(own_postgresql.port), str(replica.port)), migration="shop") as lagging:
                for ask in (lambda: lagging.find("order", 2), lambda: lagging.claim("order", 3, OLD), lagging.counts):
                    with pytest.raises(Unavailable, match="hot standby"):
                        ask()
            with homes(url.replace(f"127.0.0.1:{own_postgresql.port}", hosts), migration="shop") as both:
                assert both.find("order", 2) is NEW


def test_a_server_that_becomes_a_replica(own_valkey_with_log):
    """
    A server that becomes a replica is away at once, and does not say of what it lacks that nobody claimed it.
    """
    url = own_valkey_with_log.url()
    with homes(url, migration="shop") as place, own_valkey_with_log.client() as client:
        place.claim("order", 1, NEW)
        client.execute_command("REPLICAOF", "127.0.0.1", 1)
        with homes(url, migration="shop") as fresh:
            for ask in (
                lambda: place.find("order", 2),
                lambda: place.claim("order", 2, OLD),
                lambda: fresh.find("order", 1),
            ):
                with pytest.raises(Unavailable, match="is a replica"):
                    ask()


def test_a_schema_of_another_program(postgresql):
    """
    A schema that somebody else filled is left alone.
    """
    url = postgresql.url()
    with homes(url, migration="shop") as place, postgresql.client() as client:
        client.execute(f"CREATE SCHEMA {place._engine._tables.place.schema}")
        client.execute(f"CREATE TABLE {place._engine._tables.place.schema}.theirs (id int)")

        for ask in (lambda: place.find("order", 1), lambda: place.claim("order", 1, OLD)):
            with pytest.raises(Corrupt, match="of another program"):
                ask()


def test_a_schema_that_was_prepared(postgresql):
    """
    An empty schema that an administrator made is filled.
    """
    with homes(postgresql.url(), migration="shop") as place, postgresql.client() as client:
        client.execute(f"CREATE SCHEMA {place._engine._tables.place.schema}")

        assert place.claim("order", 1, NEW) is NEW


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "WAITAOF cannot be used"),
        (("--appendonly", "yes"), "appendfsync everysec"),
        ((*LOG, "--maxmemory-policy", "allkeys-lru"), "maxmemory-policy allkeys-lru"),
        ((*LOG, "--maxmemory-policy", "volatile-ttl"), "maxmemory-policy volatile-ttl"),
    ],
)
def test_a_server_that_may_lose_claims(tmp_path, options, said):
    """
    A server that does not keep what it acknowledges is refused with what to set, before anything is written.
    """
    with valkey_server(tmp_path, *options) as server, homes(server.url(), migration="shop") as place:
        for ask in (lambda: place.claim("order", 1, NEW), lambda: place.find("order", 1), place.counts):
            with pytest.raises(ConfigurationError, match=NEEDED) as caught:
                ask()
            assert said in str(caught.value)
        with server.client() as client:
            assert client.dbsize() == 0


def test_an_old_server(old_redis_url):
    """
    A server that cannot say what is on its disk is refused.
    """
    with homes(old_redis_url, migration="shop") as place, pytest.raises(ConfigurationError, match=NEEDED):
        place.claim("order", 1, NEW)


def test_the_least_rights(own_valkey_with_log):
    """
    The rights of the page on stores, with two more, are enough for homes; without CONFIG they are refused.
    """
    (line,) = re.findall(r"^ACL SETUSER .*$", PAGE.read_text(), re.MULTILINE)
    rights = line.replace("PASSWORD", "pw").split()
    url = own_valkey_with_log.url("cutover").replace("redis://", "redis://cutover:pw@")
    with own_valkey_with_log.client() as client:
        client.execute_command(*rights, "+hkeys", "+hscan")
        with homes(url, migration="shop") as place:
            assert place.claim("order", 1, NEW) is NEW
            assert place.rehome("order", [b"1", b"2"]).new == 1
            assert place.counts()["order"].new == 2
            assert place.find("order", 1) is NEW
        client.execute_command("ACL", "SETUSER", "cutover", "-config|get")
        with homes(url, migration="shop") as place, pytest.raises(ConfigurationError, match=NEEDED):
            place.claim("order", 1, NEW)


def test_settings_that_change(own_valkey_with_log):
    """
    A claim notices at once that its server stopped flushing.
    """
    with homes(own_valkey_with_log.url(), migration="shop") as place, own_valkey_with_log.client() as client:
        place.claim("order", 1, NEW)
        client.config_set("appendfsync", "everysec")

        with pytest.raises(ConfigurationError, match="appendfsync everysec"):
            place.claim("order", 2, NEW)


def test_beside_a_store(url):
    """
    Homes and a store may share a place, whichever came first, and each leaves the other alone.
    """
    with homes(url, migration="early") as place:
        place.claim("order", 1, OLD)
    with control(url, actor="rina") as operator:
        operator.apply(SHOP)
    with homes(url) as place, pytest.raises(ConfigurationError, match="several: early, shop"):
        place.find("order", 1)
    with homes(url, migration="shop") as place:
        assert place.find("order", 1) is None
        place.claim("order", 1, NEW)
    with control(url, actor="rina", migration="shop") as operator:
        operator.set("pay", 25, reason="x")
        assert operator.verify().ok
        assert operator.store.migrations() == ("shop",)


def test_the_migration_of_the_store(url):
    """
    Before the first claim, the only migration of a store at the same place is meant.
    """
    with control(url, actor="rina") as operator:
        operator.apply(SHOP)

    with homes(url) as place:
        assert place.claim("order", 1, NEW) is NEW
        assert place.migration == "shop"


def test_closing_ends_a_wait(own_postgresql):
    """
    Closing wakes whoever waits for a server that does not answer.
    """
    place = homes(own_postgresql.url(), migration="shop")
    place.claim("order", 1, NEW)
    ended = []

    def ask():
        with suppress(Unavailable):
            place.find("order", 1)
        ended.append(True)

    with own_postgresql.frozen():
        thread = in_thread(ask)
        place.close()
        assert until(lambda: bool(ended))
    thread.join()
