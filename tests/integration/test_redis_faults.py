"""
Redis and Valkey when the real thing breaks: killed, frozen, restarted, cut off, subscribers thrown out.
"""

import pytest
import redis
from servers.proxy import proxied

from cutover.engines import hint
from cutover.engines.redis.store import RedisStore
from cutover.errors import Unavailable
from cutover.ports.store import Durability
from cutover.testing.store_helpers import (
    MIGRATION,
    PATIENCE,
    check_in,
    head_of,
    in_thread,
    until,
    write,
    write_many,
)

NAME = "shop-of-the-test"
LONGEST_CALL = 2 + 5 + 3  # seconds: to connect, to reply, and for a busy machine


@pytest.fixture
def opened():
    """
    Open stores that are closed at the end.
    """
    stores = []

    def opening(url):
        stores.append(RedisStore(url))
        return stores[-1]

    yield opening
    for store in stores:
        store.close()


def unavailable(use):
    """
    Give the error of a use that must be Unavailable.
    """
    with pytest.raises(Unavailable) as caught:
        use()
    return caught.value


def ended(*uses):
    """
    Do several things at once, and give what each raised; none may take longer than its deadlines.
    """
    errors = {}

    def attempt(number, use):
        try:
            use()
        except Unavailable as error:
            errors[number] = error

    threads = [in_thread(lambda n=n, use=use: attempt(n, use)) for n, use in enumerate(uses)]
    for thread in threads:
        thread.join(LONGEST_CALL)
    assert not any(thread.is_alive() for thread in threads)
    return [errors.get(number) for number in range(len(uses))]


def subscribers(client):
    """
    Count those who listen to the test's migration.
    """
    return sum(number for _, number in client.pubsub_numsub(f"{{{NAME}}}:{MIGRATION}:changed"))


@pytest.mark.parametrize(("sync", "word"), [("everysec", Durability.ACCEPTED), ("always", Durability.DURABLE_ON_NODE)])
def test_a_kill_with_the_log(own_valkey_with_log, opened, sync, word):
    """
    With the log on, every change that was acknowledged outlives a kill of the server, and nobody has to open the store
    again; only a log that is flushed before every reply is called durable, as it would outlive a power cut too.
    """
    with own_valkey_with_log.client() as client:
        client.config_set("appendfsync", sync)
    store = opened(own_valkey_with_log.url(NAME))
    head = write_many(store, 5)
    assert store.durability is word
    check_in(store)

    own_valkey_with_log.kill()
    assert not unavailable(lambda: store.read(MIGRATION)).in_doubt
    assert not unavailable(lambda: write(store, head)).in_doubt
    own_valkey_with_log.start()

    assert store.read(MIGRATION).head == head
    assert len(store.history(MIGRATION)) == 5
    assert write(store, head) == head_of(6)


def test_a_kill_without_the_log(own_valkey, opened):
    """
    Without the log an acknowledgement promises nothing: after a kill the migration is gone, which is said as "no such
    migration", and never as an empty state of it.
    """
    store = opened(own_valkey.url(NAME))
    write_many(store, 3)
    assert store.durability is Durability.ACCEPTED

    own_valkey.kill()
    own_valkey.start()

    assert store.read(MIGRATION, seen=head_of(3)) is None
    assert list(store.migrations()) == []


def test_the_word_follows_the_server(own_valkey, opened):
    """
    The word for an acknowledgement is that of the last change, and before the first what the server offers; a server
    that is away promises nothing, and nothing is raised.
    """
    url = own_valkey.url(NAME)
    before = opened(url).durability
    with own_valkey.client() as client:
        client.config_set("appendonly", "yes")
        client.config_set("appendfsync", "always")
        assert until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
    store = opened(url)
    offered = store.durability
    with own_valkey.client() as client:
        client.config_set("appendonly", "no")
    write(store)
    after = store.durability
    own_valkey.kill()

    assert [before, offered, after] == [Durability.ACCEPTED, Durability.DURABLE_ON_NODE, Durability.ACCEPTED]
    assert opened(url).durability is Durability.ACCEPTED


def test_a_disk_that_does_not_come_round(own_valkey, opened):
    """
    A change that the server does not confirm on its disk in time is in force, and only accepted.
    """
    store = opened(own_valkey.url(NAME))
    head = write_many(store, 2)
    with own_valkey.client() as client:
        client.config_set("appendfsync", "always")
        client.config_set("rdb-key-save-delay", 60_000_000)  # the log is begun, and not ready for a minute for each key
        client.config_set("appendonly", "yes")
        assert until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 1)
        new = opened(own_valkey.url(NAME))
        assert write(new, head) == store.read(MIGRATION).head
        assert client.info("persistence")["aof_rewrite_in_progress"] == 1
        client.config_set("appendonly", "no")  # ends the child that begins the log

    assert new.durability is Durability.ACCEPTED


def test_an_old_server(old_redis, opened):
    """
    A server that cannot tell what is on its disk makes no promise, whatever its log does.
    """
    store = opened(old_redis.url())
    offered = store.durability
    write(store)

    assert {offered, store.durability} == {Durability.ACCEPTED}


def test_a_frozen_server(own_valkey, opened):
    """
    A server that is stopped in the middle makes every call Unavailable within its deadline, a write in doubt; and all
    goes on once it is continued.
    """
    url = own_valkey.url(NAME)
    store, writer, counter, new = (opened(url) for _ in range(4))
    head = write(store)
    assert writer.read(MIGRATION) == counter.read(MIGRATION)  # each has its connection
    with own_valkey.frozen():
        read, written, counted, first_use = ended(
            lambda: store.read(MIGRATION),
            lambda: write(writer, head),
            lambda: check_in(counter),
            lambda: write(new, head),
        )
        waited, word = ended(lambda: new.wait(MIGRATION, seen=head, timeout=0.1), lambda: new.durability)

    assert [read.in_doubt, written.in_doubt, counted.in_doubt, first_use.in_doubt] == [False, True, True, False]
    assert (waited, word) == (None, None)
    assert until(lambda: store.read(MIGRATION).head == head_of(2)), "what was in doubt was done once continued"


def test_a_lost_answer(valkey, opened):
    """
    A write whose answer was lost is in doubt, and not repeated: it may have been done, as it was here.
    """
    with proxied(valkey.port) as proxy:
        store = opened(f"redis://127.0.0.1:{proxy.port}/0?prefix=lost-answer")
        head = write(store)
        proxy.hold_answers()
        (error,) = ended(lambda: write(store, head))
        proxy.cut()
        proxy.forward()

        assert error.in_doubt
        assert store.durability is Durability.ACCEPTED
        assert store.read(MIGRATION).head == head_of(2)
        assert list(store.history(MIGRATION)) == ["change 1", "change 2"]


def test_half_open_connections(valkey, opened):
    """
    Where a network stops forwarding, reads become Unavailable, and the store works again when it forwards again.
    """
    with proxied(valkey.port) as proxy:
        store = opened(f"redis://127.0.0.1:{proxy.port}/0?prefix=half-open")
        head = write(store)
        proxy.hold()
        read, waited = ended(lambda: store.read(MIGRATION), lambda: store.wait(MIGRATION, seen=head, timeout=0.1))
        proxy.forward()

        assert (read.in_doubt, waited) == (False, None)
        assert store.read(MIGRATION).head == head


def test_a_restart_between_calls(own_valkey_with_log, opened):
    """
    Connections that ended while nobody used them are replaced unnoticed, also for a write: nothing is in doubt; the
    scripts, which the server forgot, are given to it again.
    """
    store = opened(own_valkey_with_log.url(NAME))
    head = write(store)
    own_valkey_with_log.kill()
    own_valkey_with_log.start()

    assert write(store, head) == store.read(MIGRATION).head


def test_a_subscriber_is_thrown_out(own_valkey, opened):
    """
    A waiter whose subscription is killed subscribes again within the same wait, and is told of the next change.
    """
    store, other = opened(own_valkey.url(NAME)), opened(own_valkey.url(NAME))
    head = write(store)
    waiter = in_thread(lambda: store.wait(MIGRATION, seen=head, timeout=10 * PATIENCE))
    with own_valkey.client() as client:
        assert until(lambda: subscribers(client) == 1)
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert until(lambda: subscribers(client) == 1)
    assert waiter.is_alive()

    write(other, head)
    waiter.join(PATIENCE)
    assert not waiter.is_alive()


def test_a_change_in_the_gap(own_valkey, opened):
    """
    A change that was published while the subscription was dead is found on subscribing again.
    """
    store, other = opened(own_valkey.url(NAME)), opened(own_valkey.url(NAME))
    head = write(store)
    store.wait(MIGRATION, seen=head, timeout=0.01)
    with own_valkey.client() as client:
        assert until(lambda: subscribers(client) == 1)
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        write(other, head)

    waiter = in_thread(lambda: store.wait(MIGRATION, seen=head, timeout=10 * PATIENCE))
    waiter.join(PATIENCE)
    assert not waiter.is_alive()


def test_no_permission_to_subscribe(own_valkey, opened):
    """
    Where a user may not subscribe, the store is looked at all the same.
    """
    with own_valkey.client() as client:
        rules = ["on", ">pw", "~*", "+@all", "-subscribe", "allchannels"]
        client.execute_command("ACL", "SETUSER", "router", *rules)
    url = own_valkey.url(NAME)
    store, other = opened(url.replace("://", "://router:pw@")), opened(url)
    head = write(other)
    waiter = in_thread(lambda: store.wait(MIGRATION, seen=head, timeout=10 * PATIENCE))
    with own_valkey.client() as client:
        assert until(lambda: client.info("commandstats").get("cmdstat_subscribe", {}).get("rejected_calls", 0) > 0)

    write(other, head)
    waiter.join(PATIENCE)
    assert not waiter.is_alive()


def test_a_hint_that_never_comes(own_valkey, opened):
    """
    A subscription that is open and brings nothing is no stall: the store is looked at while waiting.
    """
    with proxied(own_valkey.port) as proxy:
        silent, other = opened(f"redis://127.0.0.1:{proxy.port}/0?prefix={NAME}"), opened(own_valkey.url(NAME))
        head = write(silent)
        waiter = in_thread(lambda: silent.wait(MIGRATION, seen=head, timeout=10 * PATIENCE))
        with own_valkey.client() as client:
            assert until(lambda: subscribers(client) == 1)
            # the reply of the script without the message that it publishes: the change comes from elsewhere
            client.hset(f"{{{NAME}}}:{MIGRATION}:state", mapping={"version": 2, "hash": head_of(2).hash})
        waiter.join(PATIENCE)

        assert not waiter.is_alive()
        assert other.read(MIGRATION).head == head_of(2)


def test_quiet_waits_ask_nothing(own_valkey, opened):
    """
    While a subscription lasts and brings nothing, waits up to a second cost the server no command.
    """
    store = opened(own_valkey.url(NAME))
    head = write(store)
    store.wait(MIGRATION, seen=head, timeout=0.01)
    with own_valkey.client() as client:
        before = client.info("stats")["total_commands_processed"]
        for _ in range(10):
            store.wait(MIGRATION, seen=head, timeout=0.01)
        assert client.info("stats")["total_commands_processed"] == before + 1


def test_waiting_for_a_server(own_valkey_with_log, opened):
    """
    A wait survives that the server is away, and is over when it is back with something else.
    """
    store = opened(own_valkey_with_log.url(NAME))
    seen = write(store)
    own_valkey_with_log.kill()
    waiter = in_thread(lambda: store.wait(MIGRATION, seen=seen, timeout=10 * PATIENCE))
    own_valkey_with_log.start()
    head = write(opened(own_valkey_with_log.url(NAME)), seen)
    waiter.join(PATIENCE)

    assert not waiter.is_alive()
    assert store.read(MIGRATION).head == head


def test_closing_ends_a_wait_without_a_server(own_valkey, opened):
    """
    Closing wakes who waits for a server that is away.
    """
    store = opened(own_valkey.url(NAME))
    own_valkey.kill()
    waiter = in_thread(lambda: store.wait(MIGRATION, seen=None, timeout=10 * PATIENCE))
    store.close()
    waiter.join(PATIENCE)

    assert not waiter.is_alive()


def test_back_off(monkeypatch, own_valkey, opened):
    """
    Subscribing is tried again with growing pauses, not at each look.
    """
    pauses = []

    def longest(least, most):
        pauses.append(most)
        return most

    monkeypatch.setattr(hint.CHANCE, "uniform", longest)
    store = opened(own_valkey.url(NAME))
    own_valkey.kill()
    waiter = in_thread(lambda: store.wait(MIGRATION, seen=None, timeout=10 * PATIENCE))

    def doubled():
        tried = [pause for pause in pauses if pause != 1]  # 1 is the pause between two looks
        return tried[:4] == [0.2, 0.4, 0.8, 1.6]

    assert until(doubled)
    assert waiter.is_alive()


def test_connections_are_let_go(own_valkey):
    """
    A store that was closed leaves no connection behind.
    """
    store = RedisStore(own_valkey.url(NAME))
    head = write(store)
    store.wait(MIGRATION, seen=head, timeout=0.01)
    threads = [in_thread(lambda: store.history(MIGRATION)) for _ in range(4)]
    for thread in threads:
        thread.join(PATIENCE)
    store.close()

    with redis.Redis(port=own_valkey.port) as client:
        assert until(lambda: len(client.client_list()) == 1)
