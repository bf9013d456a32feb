"""
Redis and Valkey that refuse, and keys that are not what this library wrote.
"""

import re
from pathlib import Path

import pytest
import redis
from servers.ports import free_port
from servers.redis import valkey_server
from servers.tls import behind_tls

from cutover.core.snapshot import Head
from cutover.engines.redis.store import RedisStore
from cutover.errors import ConfigurationError, Corrupt, Unavailable
from cutover.ports.store import Durability
from cutover.testing.store_helpers import (
    MIGRATION,
    NOW,
    PATIENCE,
    check_in,
    counted,
    head_of,
    in_thread,
    report,
    until,
    write,
    write_many,
)

PAGE = Path(__file__).parents[2] / "docs/how-to/use-redis.md"
NAME = "refusals"
STATE = f"{{{NAME}}}:{MIGRATION}:state"
CHANGES = f"{{{NAME}}}:{MIGRATION}:changes"
HASHES = f"{{{NAME}}}:{MIGRATION}:hashes"
INSTANCES = f"{{{NAME}}}:{MIGRATION}:instances"
HOURS = f"{{{NAME}}}:{MIGRATION}:hours"
MIGRATIONS = f"{{{NAME}}}:migrations"


@pytest.fixture(params=["valkey", "old_redis"])
def server(request):
    """
    A server of the newer and of the older kind, which words its errors otherwise.
    """
    server = request.getfixturevalue(request.param)
    yield server
    with server.client() as client:
        for setting, value in (("maxmemory", "0"), ("min-replicas-to-write", "0"), ("requirepass", "")):
            client.config_set(setting, value)
        client.flushdb()


@pytest.fixture
def client(server):
    """
    A way past the store.
    """
    with server.client() as client:
        yield client


@pytest.fixture
def store(server):
    """
    A store at version 2, in which an instance has checked in.
    """
    store = RedisStore(server.url(NAME))
    write_many(store, 2)
    check_in(store)
    yield store
    store.close()


def unavailable(use, match):
    """
    Expect that a use is Unavailable, and certainly did nothing.
    """
    with pytest.raises(Unavailable, match=match) as caught:
        use()
    assert not caught.value.in_doubt
    assert not isinstance(caught.value, redis.RedisError)


def test_full_memory(store, client):
    """
    A server whose memory is full refuses a write as a whole, and reads go on.
    """
    client.config_set("maxmemory", "1")
    unavailable(lambda: write(store, head_of(2)), "memory is full")
    unavailable(lambda: check_in(store, "another"), "memory is full")
    assert store.read(MIGRATION).head == head_of(2)
    client.config_set("maxmemory", "0")

    assert write(store, head_of(2)) == store.read(MIGRATION).head
    assert len(store.history(MIGRATION)) == 3


def test_too_few_replicas(store, client):
    """
    A server that misses replicas refuses writes.
    """
    client.config_set("min-replicas-to-write", "1")

    unavailable(lambda: write(store, head_of(2)), "too few replicas")


def test_a_replica(store, client, tmp_path, server):
    """
    A replica is read from and cannot be written; without its primary it serves what it has.
    """
    with valkey_server(tmp_path, "--replicaof", "127.0.0.1", server.port) as replica:
        behind = RedisStore(replica.url(NAME))
        assert until(lambda: followed(behind))
        unavailable(lambda: write(behind, head_of(2)), "replica and cannot be written")
        unavailable(lambda: check_in(behind, "another"), "replica and cannot be written")
        assert behind.read(MIGRATION).document == "snapshot 2"
        behind.close()


def followed(store):
    """
    Tell whether a replica has what its primary has.
    """
    try:
        reading = store.read(MIGRATION)
    except Unavailable:
        return False
    return reading is not None and reading.head == head_of(2)


def test_a_replica_without_its_primary(tmp_path):
    """
    A replica that may not serve old data says that it cannot, and not that there is no migration.
    """
    options = ("--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "no")
    with valkey_server(tmp_path, *options) as replica:
        store = RedisStore(replica.url(NAME))
        unavailable(lambda: store.read(MIGRATION), "without its primary")
        store.close()


def test_failing_snapshots(tmp_path):
    """
    A server that cannot write its snapshots to disk refuses changes.
    """
    with valkey_server(tmp_path) as server, server.client() as client:
        store = RedisStore(server.url(NAME))
        head = write(store)
        client.config_set("save", "1 1")
        (tmp_path / "dump.rdb").mkdir()
        client.bgsave()
        assert until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        unavailable(lambda: write(store, head), "snapshots on disk fail")
        store.close()


def test_passwords(store, client, server):
    """
    A missing or a wrong password is Unavailable, says so, and shows none.
    """
    client.config_set("requirepass", "right")
    with redis.Redis(port=server.port, password="right") as known:
        url = server.url(NAME)
        for start, match in (("redis://", "wants a password"), ("redis://:hunter2@", "refuses the user or password")):
            stranger = RedisStore(url.replace("redis://", start))
            unavailable(lambda s=stranger: s.read(MIGRATION), match)
            unavailable(lambda s=stranger: write(s), match)
            assert "hunter2" not in stranger.url
            stranger.close()
        member = RedisStore(url.replace("redis://", "redis://:right@"))
        assert member.read(MIGRATION).head == head_of(2)
        member.close()
        known.config_set("requirepass", "")


def test_no_permission(valkey):
    """
    A user without rights to the keys is Unavailable.
    """
    with valkey.client() as client:
        client.execute_command("ACL", "SETUSER", "guest", "on", ">pw", "~other:*", "+@all")
        store = RedisStore(valkey.url().replace("://", "://guest:pw@"))
        unavailable(lambda: store.read(MIGRATION), "does not permit")
        unavailable(lambda: write(store), "does not permit")
        store.close()
        client.execute_command("ACL", "DELUSER", "guest")


def test_the_least_rights(valkey_with_log):
    """
    A user with the rights of the page can do all that a store does, and subscribe.
    """
    (line,) = re.findall(r"^ACL SETUSER .*$", PAGE.read_text(), re.MULTILINE)
    with valkey_with_log.client() as client:
        client.acl_log_reset()
        client.execute_command(*line.replace("PASSWORD", "pw").split(" "))
        store = RedisStore(valkey_with_log.url("cutover").replace("://", "://cutover:pw@"))
        head = write_many(store, 2)
        late = report(minutes={int(NOW.timestamp()) // 60 - 60: {counted(): 1}})
        store.check_in(MIGRATION, late, now=NOW)
        store.check_in(MIGRATION, report("b", closing=True), now=store.now())
        store.wait(MIGRATION, seen=head, timeout=0.01)

        assert store.durability is Durability.DURABLE_ON_NODE
        assert (store.read(MIGRATION).head, list(store.migrations())) == (head, [MIGRATION])
        assert (len(store.history(MIGRATION)), store.fleet(MIGRATION).totals()) == (2, {counted(): 1})
        assert dict(client.pubsub_numsub(f"{{cutover}}:{MIGRATION}:changed")) == {b"{cutover}:shop:changed": 1}
        assert client.acl_log() == []
        store.close()
        client.execute_command("ACL", "DELUSER", "cutover")


def test_one_slot_of_a_cluster(tmp_path):
    """
    On a node of a cluster every script finds its keys in one slot; a node that does not keep them says so.
    """
    bus = str(free_port())  # by itself it would be 10,000 above the other one, which may be too high
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-port", bus)
    with valkey_server(tmp_path, *options) as node, node.client() as client:
        store = RedisStore(node.url(NAME))
        unavailable(lambda: store.read(MIGRATION), "cluster that is down|node of a cluster")
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        assert until(lambda: client.cluster("info")["cluster_state"] == "ok")
        write_many(store, 2)
        check_in(store)

        assert store.read(MIGRATION, seen=head_of(1)).ancestor == head_of(1).hash
        assert len(store.fleet(MIGRATION).instances) == 1
        store.close()


def dumped(client):
    """
    Give all keys with what they hold.
    """
    return {name.decode(): client.dump(name) for name in client.scan_iter()}


def read_all(store):
    """
    Read everything.
    """
    return store.migrations(), store.read(MIGRATION, seen=head_of(1)), store.history(MIGRATION), store.fleet(MIGRATION)


@pytest.mark.parametrize("key", [STATE, CHANGES, HASHES, INSTANCES, MIGRATIONS])
def test_keys_of_another_kind(store, client, key):
    """
    A key of another kind under one of our names makes the store Corrupt, and no write is half done.
    """
    client.delete(key)
    client.set(key, "something else")
    before = dumped(client)

    for use in (
        lambda: read_all(store),
        lambda: (write(store, head_of(2)), check_in(store)),
    ):
        with pytest.raises(Corrupt):
            use()

    changed = {name for name, value in dumped(client).items() if before.get(name) != value}
    assert changed == ({STATE, CHANGES, HASHES} if key == INSTANCES else set())


@pytest.mark.parametrize("field", ["epoch", "version", "hash", "secret", "snapshot", "layout"])
def test_a_field_is_missing(store, client, field):
    """
    A head that is not whole is Corrupt.
    """
    client.hdel(STATE, field)

    with pytest.raises(Corrupt):
        store.read(MIGRATION)


@pytest.mark.parametrize(
    ("field", "value"), [("epoch", "one"), ("version", ""), ("hash", b"\xff"), ("snapshot", b"\xff"), ("layout", "2")]
)
def test_a_field_is_wrong(store, client, field, value):
    """
    A head or a snapshot that cannot be read, or of a layout that this version does not know, is Corrupt.
    """
    client.hset(STATE, field, value)

    with pytest.raises(Corrupt):
        store.read(MIGRATION)


def test_a_foreign_hash(store, client):
    """
    A hash of somebody else under the name of the state is not taken for a migration, nor overwritten.
    """
    client.delete(STATE, MIGRATIONS)
    client.hset(STATE, "name", "theirs")

    for use in (lambda: store.read(MIGRATION), lambda: write(store)):
        with pytest.raises(Corrupt, match="not written by this library"):
            use()
    assert client.hgetall(STATE) == {b"name": b"theirs"}


def test_evicted(store, client):
    """
    A state that the server evicted is Corrupt, and no "no such migration": nothing may begin anew over the rest.
    """
    client.delete(STATE)

    with pytest.raises(Corrupt, match="evicted"):
        store.read(MIGRATION)
    with pytest.raises(Corrupt, match="missing"):
        write(store)
    assert client.exists(STATE) == 0


@pytest.mark.parametrize("key", [CHANGES, HASHES])
def test_a_ledger_that_is_cut(store, client, key):
    """
    Where the ledger does not end at the head, no change is written after it.
    """
    client.delete(key)

    with pytest.raises(Corrupt, match="does not end at 2"):
        write(store, head_of(2))
    assert store.read(MIGRATION).head == head_of(2)


@pytest.mark.parametrize("key", [STATE, CHANGES])
def test_a_history_that_is_cut(store, client, key):
    """
    A history that does not end at the head is Corrupt: who looks a change up must not be told that it is not there.
    """
    client.delete(key)

    with pytest.raises(Corrupt, match="does not end at the head"):
        store.history(MIGRATION, after=1)


def test_a_head_in_other_words(store, client):
    """
    A head that says the same in other words than this library writes is not taken for a change that was written.
    """
    client.hset(STATE, "epoch", "01")

    with pytest.raises(Corrupt):
        write(store, head_of(2))
    assert len(store.history(MIGRATION)) == 2


@pytest.mark.parametrize("key", [INSTANCES, HOURS])
def test_check_ins_of_others(store, client, key):
    """
    What cannot be read as check-ins or totals is Corrupt.
    """
    client.hset(key, "17", "theirs")

    with pytest.raises(Corrupt):
        store.fleet(MIGRATION)


def test_many_late_minutes(server):
    """
    More minutes than are folded in one go are all folded when the check-in returns, each once.
    """
    store = RedisStore(server.url(NAME))
    first = int(NOW.timestamp()) // 60 - 1300
    late = report(minutes={first + number: {counted(): 2**40 + number} for number in range(1200)})
    for _ in range(2):
        store.check_in(MIGRATION, late, now=NOW)

    fleet = store.fleet(MIGRATION)
    assert fleet.minutes == {}
    assert {counted(): 1200 * 2**40 + sum(range(1200))} == fleet.totals()
    store.close()


def test_large_counts(server):
    """
    Counts up to the largest that a document may hold are added up exactly.
    """
    store = RedisStore(server.url(NAME))
    minute = int(NOW.timestamp()) // 60 - 60
    for instance, number in (("a", 2**52 + 1), ("b", 2**52 - 2)):
        store.check_in(MIGRATION, report(instance, minutes={minute: {counted(): number}}), now=NOW)

    assert store.fleet(MIGRATION).totals() == {counted(): 2**53 - 1}
    store.close()


def test_prefixes(valkey):
    """
    Stores of different prefixes in one database do not see each other.
    """
    one, other = RedisStore(valkey.url("one")), RedisStore(valkey.url("other"))
    write(one)

    assert (list(one.migrations()), list(other.migrations())) == ([MIGRATION], [])
    write(other, branch="other")
    assert one.read(MIGRATION).head != other.read(MIGRATION).head == Head(1, 1, head_of(1, branch="other").hash)
    for store in (one, other):
        store.close()


def test_nothing_expires(store, client):
    """
    No key of the store ever expires.
    """
    assert {client.ttl(key) for key in client.scan_iter()} == {-1}


def test_no_server():
    """
    Opening connects to nothing; what cannot be reached is Unavailable at the first use.
    """
    store = RedisStore("redis://127.0.0.1:1/0")
    unavailable(lambda: store.read(MIGRATION), "cannot be reached")
    unavailable(lambda: write(store), "cannot be reached")
    store.close()


def test_no_redis(tmp_path):
    """
    A TLS URL of a server that speaks none is Unavailable; a wrong file of certificates too, as it may be put there.
    """
    with valkey_server(tmp_path) as server:
        for options in ("", "?ssl_ca_certs=nowhere.pem"):
            store = RedisStore(f"rediss://127.0.0.1:{server.port}/0{options}")
            unavailable(lambda s=store: s.read(MIGRATION), "cannot be reached|does not answer")
            store.close()


def test_encrypted(valkey, tmp_path):
    """
    A store works through TLS, also with documents and hints; a certificate of somebody else, or for another name, is
    not accepted.
    """
    with behind_tls(valkey.port, tmp_path) as (port, trusted):
        url = f"rediss://localhost:{port}/0?prefix=tls"
        store = RedisStore(f"{url}&ssl_ca_certs={trusted}")
        head = write(store, snapshot="x" * 1_000_000)
        waiter = in_thread(lambda: store.wait(MIGRATION, seen=head, timeout=10 * PATIENCE))
        with valkey.client() as client:
            assert until(lambda: dict(client.pubsub_numsub("{tls}:shop:changed")) == {b"{tls}:shop:changed": 1})
        assert len(store.read(MIGRATION).document) == 1_000_000
        write(store, head)
        waiter.join(PATIENCE)
        assert not waiter.is_alive()

        for other in (url, f"{url.replace('localhost', '127.0.0.1')}&ssl_ca_certs={trusted}"):
            stranger = RedisStore(other)
            unavailable(lambda s=stranger: s.read(MIGRATION), "cannot be reached.*certificate")
            stranger.close()
        store.close()


def test_a_missing_driver(monkeypatch):
    """
    Without the driver, opening is one error that names the command which installs it.
    """
    from cutover.engines.registry import open_store

    monkeypatch.setitem(__import__("sys").modules, "cutover.engines.redis.store", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'cutover-controller\[redis\]'"):
        open_store("redis://127.0.0.1")
