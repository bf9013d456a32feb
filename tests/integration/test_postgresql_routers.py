"""
Routers and operators over PostgreSQL, end to end.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from servers.postgresql_proxy import proxy_to

import cutover
from cutover import Backend
from cutover.engines.postgresql import session as postgresql_session
from cutover.testing.store_helpers import PATIENCE, in_thread, until

DEFINITION = """
name = "shop"
title = "Old shop to new shop"
old = "old-shop"
new = "new-shop"
started = 2024-01-01
deadline = 2024-12-31
[flows.browse]
weight = 1
[flows.pay]
weight = 1
"""


@pytest.fixture
def definition(tmp_path):
    """
    A migration with two flows.
    """
    path = tmp_path / "cutover.toml"
    path.write_text(DEFINITION)
    return cutover.Migration.load(path)


@pytest.fixture
def operator(postgresql, definition):
    """
    An operator of that migration in a database of its own.
    """
    control = cutover.control(postgresql.url(postgresql.create_database()), actor="rina")
    control.apply(definition)
    yield control
    control.close()


@pytest.fixture
def connected(tmp_path):
    """
    Connect routers, and close them at the end.
    """
    routers = []

    def connect(url):
        routers.append(cutover.connect(url, cache=tmp_path / f"cache-{len(routers)}"))
        assert routers[-1].wait_ready(PATIENCE)
        return routers[-1]

    yield connect
    for router in routers:
        router.close()


def runs(router, change):
    """
    Tell whether a router runs a change.
    """
    return router.snapshot.head.hash == change.hash


def test_a_change_reaches_other_processes(operator, postgresql, connected, tmp_path):
    """
    A dial that the command line turns in another process is routed by here, and confirmed by the check-ins.
    """
    url = operator_url(operator, postgresql)
    router = connected(url)
    assert router.flow("pay").route("user-42") is Backend.OLD
    assert until(lambda: operator.status().instances)
    command = [Path(sys.executable).with_name("cutover"), "set", "pay", "100", "--store", url]
    subprocess.run([*command, "--reason", "all of them", "--wait", "20s", "--yes"], check=True, capture_output=True)

    assert router.flow("pay").route("user-42") is Backend.NEW
    (instance,) = operator.status().instances
    assert instance.state == "current"


def test_a_lost_answer_is_looked_up(operator, postgresql, monkeypatch):
    """
    An operator whose acknowledgement was lost is told the truth: the change is in force.
    """
    monkeypatch.setattr(postgresql_session, "PATIENCE", 1.0)
    url = operator_url(operator, postgresql)
    with proxy_to(postgresql.port) as proxy:
        distant = cutover.control(url.replace(f":{postgresql.port}/", f":{proxy.port}/"), actor="budi")
        distant.status()
        proxy.word = b"COMMIT\0"
        change = distant.set("pay", 25, reason="week 3")
        distant.close()

    assert proxy.reached.is_set()
    assert operator.history()[-1] == change
    assert operator.verify().ok


def test_killed_under_a_router(own_postgresql, definition, connected):
    """
    While the database is gone a router routes as before, a new one begins from its copy, and both follow afterwards.
    """
    url = own_postgresql.url()
    control = cutover.control(url, actor="rina")
    control.apply(definition)
    control.set("pay", 100, reason="all")
    router = connected(url)
    assert until(lambda: router.flow("pay").peek("user-42").backend is Backend.NEW)
    own_postgresql.kill()

    assert until(lambda: not router._parts.follower.store_up)
    assert router.flow("pay").route("user-42") is Backend.NEW
    own_postgresql.start()
    change = control.rollback("pay", reason="errors")
    assert until(lambda: runs(router, change), 2 * PATIENCE)
    assert router.flow("pay").route("user-42") is Backend.OLD
    control.close()


def test_frozen_under_a_router(own_postgresql, definition, connected):
    """
    While the database hangs a router routes as before, and what it does there ends; it follows once all goes on.
    """
    url = own_postgresql.url()
    control = cutover.control(url, actor="rina")
    control.apply(definition)
    change = control.set("pay", 100, reason="all")
    router, other = connected(url), connected(url)
    assert until(lambda: runs(router, change) and runs(other, change))
    with own_postgresql.frozen():
        assert until(lambda: not router._parts.follower.store_up, 2 * PATIENCE)
        assert router.flow("pay").route("user-42") is Backend.NEW
        leaving = in_thread(other.close)
        leaving.join(PATIENCE)
        assert not leaving.is_alive()

    assert until(lambda: router._parts.follower.store_up, 2 * PATIENCE)
    change = control.rollback("pay", reason="errors")
    assert until(lambda: runs(router, change), 2 * PATIENCE)
    control.close()


def test_restored_backup_that_went_on(operator, postgresql, connected):
    """
    A router keeps what it runs where an older backup was restored and changed, says so, and follows once that history
    is adopted.
    """
    url = operator_url(operator, postgresql)
    place = ("-h", "127.0.0.1", "-p", postgresql.port, "-U", "postgres", "-d", url.rpartition("/")[2])
    backup = postgresql.folder / "backup.dump"
    backup.unlink(missing_ok=True)
    operator.set("pay", 50, reason="half")
    postgresql.run("pg_dump", *place, "-Fc", "-f", backup)
    change = operator.set("pay", 100, reason="all")
    router = connected(url)
    assert until(lambda: runs(router, change))

    postgresql.run("pg_restore", *place, "--clean", backup)
    operator.set("pay", 10, reason="after the restore")
    assert until(lambda: router.regressed)
    assert router.flow("pay").route("user-42") is Backend.NEW
    adopted = operator.adopt(reason="the restored history holds")
    assert until(lambda: runs(router, adopted))
    assert until(lambda: not router.regressed)
    assert operator.verify().ok


def test_emptied_schema(operator, postgresql, connected):
    """
    A schema that was dropped, or emptied, is never taken for 0%.
    """
    url = operator_url(operator, postgresql)
    change = operator.set("pay", 100, reason="all")
    router = connected(url)
    assert until(lambda: runs(router, change))
    with postgresql.client(url.rpartition("/")[2]) as client:
        for statement in ("TRUNCATE cutover.migrations", "DROP SCHEMA cutover CASCADE"):
            client.execute(statement)
            before = router._parts.follower.stepped
            assert until(lambda before=before: router._parts.follower.stepped > before + 1)
            assert router.flow("pay").route("user-42") is Backend.NEW


def operator_url(operator, postgresql):
    """
    Give the URL of an operator's store with the user in it.
    """
    return operator.store.url.replace("://", "://postgres@")
