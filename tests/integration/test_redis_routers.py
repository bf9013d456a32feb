"""
A router over Valkey, end to end, when its server forgets.
"""

import shutil
from contextlib import contextmanager
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

import cutover
from cutover.ports.store import Durability
from cutover.testing.store_helpers import until

NAME = "shop-of-the-test"
TOML = """
name = "shop"
title = "Shop"
old = "monolith"
new = "services"
started = 2024-01-01
deadline = 2024-06-30
timezone = "UTC"
[flows.pay]
weight = 1
[flows.cart]
weight = 1
"""


@pytest.fixture
def definition(tmp_path):
    """
    A migration of two flows.
    """
    path = tmp_path / "cutover.toml"
    path.write_text(TOML)
    return cutover.Migration.load(str(path))


@contextmanager
def routing(server, tmp_path):
    """
    Run a router for a block, which has its metrics and its cached copy for itself.
    """
    registry = CollectorRegistry()
    router = cutover.connect(server.url(NAME), migration="shop", registry=registry, cache=str(tmp_path / "cache"))
    try:
        assert router.wait_ready(10)
        yield router
    finally:
        router.close()


def at(router, version):
    """
    Wait until a router runs a version.
    """
    return until(lambda: router.snapshot is not None and router.snapshot.version == version)


def saved(server, path):
    """
    Let a server write its data down, and keep a copy.
    """
    with server.client() as client:
        client.save()
    shutil.copy(server.folder / "dump.rdb", path)


def restored(server, path):
    """
    Start a server that was killed on an older copy of its data.
    """
    shutil.copy(path, server.folder / "dump.rdb")
    server.start()


def test_changes_arrive(valkey_with_log, tmp_path, definition):
    """
    A change reaches a router, and the check-in of the router reaches the operator.
    """
    control = cutover.control(valkey_with_log.url(NAME), actor="rina")
    control.apply(definition)
    with routing(valkey_with_log, tmp_path) as router:
        change = control.set("pay", 100, reason="all of it")
        assert at(router, change.version)
        assert router.flow("pay").route("user-1") is cutover.Backend.NEW
        assert control.wait(change, timeout=10).is_complete
        assert control.durability is Durability.DURABLE_ON_NODE
    control.close()


def test_a_server_that_forgot_everything(own_valkey, tmp_path, definition):
    """
    A router keeps what it runs when a kill without a log took the migration away, and says that it is missing; it does
    not take the empty server for 0%.
    """
    control = cutover.control(own_valkey.url(NAME), actor="rina", migration="shop")
    control.apply(definition)
    control.set("pay", 100, reason="all of it")
    with capture_logs() as logs, routing(own_valkey, tmp_path) as router:
        own_valkey.kill()
        own_valkey.start()
        assert until(lambda: "cutover.migration_missing" in {entry["event"] for entry in logs})

        assert router.snapshot.version == 2
        assert router.flow("pay").route("user-1") is cutover.Backend.NEW
    control.close()


def test_a_server_with_an_older_copy(own_valkey, tmp_path, definition):
    """
    A router keeps what it runs when its server came back with older data that went on from there, and shows that it is
    regressed; the next adopt brings it back.
    """
    control = cutover.control(own_valkey.url(NAME), actor="rina", migration="shop")
    control.apply(definition)
    saved(own_valkey, tmp_path / "older.rdb")
    control.set("pay", 100, reason="all of it")
    with routing(own_valkey, tmp_path) as router:
        assert at(router, 2)
        own_valkey.kill()
        restored(own_valkey, tmp_path / "older.rdb")
        control.set("cart", 5, reason="another history")
        assert until(lambda: router.regressed)
        kept = router.snapshot.dials["pay"], router.flow("pay").route("user-1")

        control.adopt(reason="the backup is the truth")
        assert until(lambda: not router.regressed)
        assert kept == (100_000, cutover.Backend.NEW)
        assert (router.snapshot.epoch, router.snapshot.version) == (2, 3)
        assert router.flow("pay").route("user-1") is cutover.Backend.OLD
    control.close()


def test_a_killed_server_in_the_middle(own_valkey_with_log, tmp_path, definition):
    """
    While the server is down a router routes as before, a change is refused as not done, and after the restart the next
    one arrives.
    """
    control = cutover.control(own_valkey_with_log.url(NAME), actor="rina", migration="shop")
    control.apply(definition)
    with routing(own_valkey_with_log, tmp_path) as router:
        control.set("pay", 100, reason="all of it")
        assert at(router, 2)
        own_valkey_with_log.kill()
        assert router.flow("pay").route("user-1") is cutover.Backend.NEW
        with pytest.raises(cutover.Unavailable) as caught:
            control.set("pay", 50, reason="half of it")
        own_valkey_with_log.start()
        change = control.set("pay", Decimal(25), reason="a quarter of it")

        assert not caught.value.in_doubt
        assert at(router, change.version)
    control.close()
