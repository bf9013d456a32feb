"""
PostgreSQL killed, frozen, cut off, locked, pooled and copied: the real thing is broken, and what was promised holds.
"""

import random
import signal
from contextlib import suppress

import pytest
from servers.pooler import pooler_to
from servers.postgresql import postgresql_server
from servers.postgresql_proxy import proxy_to

from cutover.engines.postgresql import session as postgresql_session
from cutover.errors import Conflict, Unavailable
from cutover.testing.store_helpers import (
    MIGRATION,
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

KILLS = 3
WRITERS = 4
EACH = 20
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE query LIKE %s AND state = 'idle'"
DEADLINE = 3 * PATIENCE  # within which every call ends


@pytest.fixture
def address(postgresql_url):
    """
    Where the store is.
    """
    return postgresql_url


@pytest.fixture
def store(open_postgresql, address):
    """
    A store at version 2.
    """
    store = open_postgresql(address)
    write_many(store, 2)
    return store


@pytest.fixture
def proxy(postgresql):
    """
    A proxy to the server.
    """
    with proxy_to(postgresql.port) as proxy:
        yield proxy


def through(port, address):
    """
    Give the same place behind another port.
    """
    head, _, tail = address.rpartition("/")
    return f"{head.rpartition(':')[0]}:{port}/{tail}"


def ended(action):
    """
    Do something that must end within the deadline, and give the error that it raised, if any.
    """
    outcomes = []

    def attempt():
        try:
            action()
            outcomes.append(None)
        except Exception as error:  # noqa: BLE001 - whatever leaves the store is judged by the test
            outcomes.append(error)

    in_thread(attempt).join(DEADLINE)
    assert outcomes, "it does not end"
    return outcomes[0]


def works(store):
    """
    Tell whether the store answers.
    """
    try:
        return store.read(MIGRATION) is not None
    except Unavailable:
        return False


def listeners(client, store):
    """
    Find the backends that listen for this store.
    """
    return [pid for (pid,) in client.execute(LISTENERS, [f'LISTEN "{store._address.schema}"%'])]


def waiting(store, seen):
    """
    Let a thread wait for a change, and give it.
    """

    def has_changed():
        with suppress(Unavailable):
            return store.read(MIGRATION).head != seen
        return False

    def wait():
        store.wait(MIGRATION, seen=seen, timeout=1)
        return has_changed()

    return in_thread(lambda: until(wait))


def is_live(store):
    """
    Tell whether somebody listens for the store.
    """
    return store._watch.get()._hint.is_live


def test_killed_server(own_postgresql, worker, open_postgresql):
    """
    Whenever the server is killed, every change that was acknowledged is there after it starts again.
    """
    draw = random.Random(7)
    url = own_postgresql.url()
    store = open_postgresql(url)
    write(store)
    for _ in range(KILLS):
        with worker("append_for_ever", url) as process:
            acknowledged = [int(process.said()) for _ in range(draw.randrange(1, 20))]
            own_postgresql.kill()
            acknowledged += map(int, process.stdout.read().split())
        assert isinstance(ended(lambda: store.read(MIGRATION)), Unavailable)
        own_postgresql.start()

        version = store.read(MIGRATION).head.version
        assert version in (acknowledged[-1], acknowledged[-1] + 1)
        assert list(store.history(MIGRATION)) == [f"change {n}" for n in range(1, version + 1)]


def written_after_all(store):
    """
    Write; again where the server was still about to commit what a killed process had sent.
    """
    with suppress(Conflict):
        return write(store, store.read(MIGRATION).head)
    return write(store, store.read(MIGRATION).head)


def test_killed_writer(store, address, worker):
    """
    A writer that is killed at any moment leaves a whole state and no lock.
    """
    draw = random.Random(7)
    for _ in range(10):
        with worker("append_for_ever", address) as process:
            acknowledged = [int(process.said()) for _ in range(draw.randrange(1, 8))]
            process.send_signal(signal.SIGKILL)
            acknowledged += map(int, process.stdout.read().split())

        head = written_after_all(store)
        assert head.version - 1 in (acknowledged[-1], acknowledged[-1] + 1)
        assert list(store.history(MIGRATION)) == [f"change {n}" for n in range(1, head.version + 1)]


def test_writers_of_many_processes(store, address, worker):
    """
    Writers of several processes make exactly as many versions as were acknowledged.
    """
    with worker("append_with_retry", address, EACH) as one, worker("append_with_retry", address, EACH) as other:
        acknowledged = [int(process.said()) for process in (one, other)]

    assert acknowledged == [EACH, EACH]
    assert store.read(MIGRATION).head.version == 2 + sum(acknowledged) == len(store.history(MIGRATION))


def test_frozen_server(own_postgresql, open_postgresql):
    """
    Nothing hangs at a frozen server, connected before or not; nothing is in doubt, as no change was committed, and
    all goes on once it does.
    """
    url = own_postgresql.url()
    store, late = open_postgresql(url), open_postgresql(url)
    write_many(store, 2)
    check_in(store)

    actions = [store.now, lambda: write(store, head_of(2)), lambda: late.read(MIGRATION)]
    with own_postgresql.frozen():
        errors = [ended(action) for action in actions]

    assert [(type(error), error.in_doubt) for error in errors] == [(Unavailable, False)] * 3
    assert until(lambda: works(store) and works(late))
    write(store, head_of(2))


def test_waiting_at_a_frozen_server(own_postgresql, open_postgresql, monkeypatch):
    """
    Whoever waits while the server freezes goes on waiting without an error, and hears of changes again afterwards.
    """
    monkeypatch.setattr(postgresql_session, "PATIENCE", 1.0)
    url = own_postgresql.url()
    store, writer = open_postgresql(url), open_postgresql(url)
    head = write(store)
    waiter = waiting(store, head)
    assert until(lambda: is_live(store))
    with own_postgresql.frozen():
        assert isinstance(ended(lambda: writer.read(MIGRATION)), Unavailable)
        assert ended(lambda: store.wait(MIGRATION, seen=head, timeout=0.2)) is None
        assert waiter.is_alive()
    assert until(lambda: works(writer))
    write(writer, head)

    waiter.join(DEADLINE)
    assert not waiter.is_alive()


def test_close_ends_what_hangs(own_postgresql, open_postgresql):
    """
    Closing a store ends what waits for a frozen server.
    """
    store = open_postgresql(own_postgresql.url())
    head = write(store)
    with own_postgresql.frozen():
        reader = in_thread(lambda: ended(lambda: store.read(MIGRATION)))
        waiter = in_thread(lambda: store.wait(MIGRATION, seen=head, timeout=60))
        assert until(store._session._links.get().lock.locked)
        store.close()
        for thread in (reader, waiter):
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_lost_answer(store, open_postgresql, proxy, address, monkeypatch):
    """
    A change whose acknowledgement was lost is in doubt, and is found in the history.
    """
    monkeypatch.setattr(postgresql_session, "PATIENCE", 1.0)
    cut_off = open_postgresql(through(proxy.port, address))
    cut_off.read(MIGRATION)
    proxy.word = b"COMMIT\0"

    error = ended(lambda: write(cut_off, head_of(2)))

    assert proxy.reached.is_set()
    assert isinstance(error, Unavailable)
    assert error.in_doubt
    assert until(lambda: store.read(MIGRATION).head == head_of(3))
    proxy.word = None
    assert list(cut_off.history(MIGRATION, after=2)) == ["change 3"]


@pytest.mark.parametrize(("word", "in_doubt"), [(b"UPDATE", False), (b"COMMIT\0", True)])
def test_cut_connection(store, open_postgresql, proxy, address, word, in_doubt):
    """
    A connection that is cut before the commit was sent leaves nothing done and nothing in doubt.
    """
    cut_off = open_postgresql(through(proxy.port, address))
    cut_off.read(MIGRATION)
    proxy.word, proxy.cutting = word, True

    error = ended(lambda: write(cut_off, head_of(2)))

    assert proxy.reached.is_set()
    assert (type(error), error.in_doubt) == (Unavailable, in_doubt)
    assert store.read(MIGRATION).head == head_of(2)


def test_lost_connection_is_made_anew(store, postgresql):
    """
    A connection that was ended while nobody used it is made anew by the next call, without an error.
    """
    for action in (lambda: store.read(MIGRATION), lambda: write(store, head_of(2)), lambda: check_in(store)):
        with postgresql.client() as client:
            client.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'cutover'"
            )
        action()

    assert store.read(MIGRATION).head == head_of(3)


def test_half_open_connections(store, open_postgresql, proxy, address, monkeypatch):
    """
    Where a proxy stops forwarding, calls end as Unavailable, the next ones connect anew, and changes are seen again.
    """
    monkeypatch.setattr(postgresql_session, "PATIENCE", 1.0)
    cut_off = open_postgresql(through(proxy.port, address))
    waiter = waiting(cut_off, head_of(2))
    assert until(lambda: is_live(cut_off))
    proxy.stall()
    assert isinstance(ended(lambda: cut_off.history(MIGRATION)), Unavailable)
    write(store, head_of(2))

    waiter.join(DEADLINE)
    assert not waiter.is_alive()
    assert cut_off.read(MIGRATION).head == head_of(3)


def test_terminated_listener(store, open_postgresql, address, postgresql):
    """
    Who waits does not notice that the listening connection was terminated, and it comes back.
    """
    writer = open_postgresql(address)
    waiter = waiting(store, head_of(2))
    with postgresql.client() as client:
        assert until(lambda: listeners(client, store))
        (before,) = listeners(client, store)
        client.execute("SELECT pg_terminate_backend(%s, 5000)", [before])
        head = write(writer, head_of(2))
        waiter.join(PATIENCE)
        assert not waiter.is_alive()
        waiter = waiting(store, head)
        assert until(lambda: listeners(client, store) not in ([], [before]))

    write(writer, head)
    waiter.join(PATIENCE)
    assert not waiter.is_alive()


def test_frozen_listener(store, open_postgresql, address, postgresql):
    """
    A listening connection that is silent without being lost is found out by a change that was not heard of.
    """
    writer, waiter = open_postgresql(address), waiting(store, head_of(2))
    with postgresql.client() as client:
        assert until(lambda: listeners(client, store))
        (silent,) = listeners(client, store)

        def is_found_out():
            head = write(writer, writer.read(MIGRATION).head)
            assert until(lambda: store.read(MIGRATION).head == head)
            return listeners(client, store) not in ([], [silent])

        with postgresql.frozen(silent):
            assert until(is_found_out)
    waiter.join(PATIENCE)
    assert not waiter.is_alive()


def test_locked_tables(store, postgresql):
    """
    What waits for another program's lock ends as Unavailable, nothing in doubt, and no backend goes on waiting.
    """
    schema = store._address.schema
    with postgresql.client() as client, client.transaction():
        client.execute(f"LOCK TABLE {schema}.migrations")
        errors = [ended(action) for action in (lambda: store.read(MIGRATION), lambda: write(store, head_of(2)))]
        left = client.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchall()

    assert [(type(error), error.in_doubt) for error in errors] == [(Unavailable, False)] * 2
    assert all("locked" in str(error) for error in errors)
    assert left == [(0,)]
    write(store, head_of(2))


def test_writer_that_stops_in_a_transaction(store, open_postgresql, proxy, address):
    """
    A writer that is cut off with the row locked holds the others up for some seconds only.
    """
    cut_off = open_postgresql(through(proxy.port, address))
    cut_off.read(MIGRATION)
    proxy.word = b"UPDATE"
    proxy.reached.clear()
    in_thread(lambda: ended(lambda: write(cut_off, head_of(2), branch="cut off")))
    assert proxy.reached.wait(PATIENCE)

    def written():
        try:
            return write(store, head_of(2)) is not None
        except Unavailable:
            return False

    assert until(written, DEADLINE)
    assert store.read(MIGRATION).head == head_of(3)


def test_transaction_pooler(postgresql, open_postgresql, address, store):
    """
    Behind a transaction pooler all works on one server connection; that nobody can listen there is found out.
    """
    with pooler_to(postgresql.port) as pooler:
        pooled = [open_postgresql(through(pooler.port, address)) for _ in range(3)]
        heads = [store.read(MIGRATION).head]
        waiter = waiting(pooled[0], heads[-1])
        assert until(lambda: pooled[0]._watch.get()._hint.is_deaf)
        for each in pooled:
            heads.append(write(each, heads[-1]))
            check_in(each, instance=f"i{len(heads)}")
        waiter.join(PATIENCE)

        assert not waiter.is_alive()
        assert not is_live(pooled[0])
        assert [each.read(MIGRATION).head for each in pooled] == [head_of(5)] * 3
        assert len(pooled[1].fleet(MIGRATION).instances) == 3
        for each in pooled:
            each.close()


def test_replica(own_postgresql, open_postgresql):
    """
    A replica is read and never written to, without a doubt, and whoever waits there sees what is replicated.
    """
    primary = open_postgresql(own_postgresql.url("postgres"))
    head = write_many(primary, 2)
    with postgresql_server(copy_of=own_postgresql) as server:
        replica = open_postgresql(server.url("postgres"))
        assert until(lambda: works(replica))
        errors = [ended(action) for action in (lambda: write(replica, head), lambda: check_in(replica))]
        waiter = waiting(replica, head)
        write(primary, head)
        waiter.join(PATIENCE)
        assert not waiter.is_alive()

    assert all("read-only" in str(error) and not error.in_doubt for error in errors)
    assert primary.read(MIGRATION).head == head_of(3)


def test_restored_backup(postgresql, open_postgresql):
    """
    A backup that is restored under an open store is read as the older state that it is.
    """
    database = postgresql.create_database()
    url = postgresql.url(database)
    store = open_postgresql(url)
    head = write_many(store, 2)
    backup = postgresql.folder / f"{database}.dump"
    place = ("-h", "127.0.0.1", "-p", postgresql.port, "-U", "postgres", "-d", database)
    postgresql.run("pg_dump", *place, "-Fc", "-f", backup)
    newer = write(store, head)
    postgresql.run("pg_restore", *place, "--clean", "--single-transaction", backup)

    reading = store.read(MIGRATION, seen=newer)
    assert (reading.head, reading.ancestor) == (head, None)
    write(store, head, branch="restored")


def test_check_ins_of_many_at_once(store, open_postgresql, address):
    """
    Reports that arrive together, repeated and while others fold, are counted once.
    """
    stores = [open_postgresql(address) for _ in range(WRITERS)]
    now = store.now()
    minute = int(now.timestamp()) // 60

    def send(number):
        for sequence in range(1, EACH + 1):
            minutes = {minute - 14 - back: {counted(): sequence} for back in range(3)}
            sent = report(f"i{number}", sequence, minutes=minutes)
            stores[number].check_in(MIGRATION, sent, now=now)

    threads = [in_thread(lambda number=number: send(number)) for number in range(WRITERS)]
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    check_in(store, "last", now=now)

    fleet = store.fleet(MIGRATION)
    open_minutes = {m: n for m, totals in fleet.minutes.items() for n in totals.values()}
    assert open_minutes.get(minute - 14) == WRITERS * EACH
    assert sum(fleet.totals().values()) <= 3 * WRITERS * EACH
