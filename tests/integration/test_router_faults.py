"""
Routers while something is broken: they keep what they have, say so, and heal.
"""

import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from router_processes import PATIENCE, begin
from structlog.testing import capture_logs

import cutover
from cutover.testing.store_helpers import until


@pytest.fixture
def path(url):
    """
    The store's file.
    """
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture
def registry():
    """
    Where the metrics are.
    """
    return CollectorRegistry()


@pytest.fixture
def router(control, url, registry, tmp_path):
    """
    A router that follows the store, with pay at 100%.
    """
    control.set("pay", 100, reason="all")
    with cutover.connect(url, registry=registry, cache=tmp_path / "cache") as router:
        assert until(lambda: router.snapshot is not None and router.snapshot.version == 3)
        yield router


def shown(registry: CollectorRegistry, name: str) -> float | None:
    """
    Give the value of a gauge of the shop.
    """
    return registry.get_sample_value(f"cutover_{name}", {"migration": "shop"})


def test_restored_from_a_backup(router, control, url, registry, path, tmp_path):
    """
    A store that was restored and went on is regressed: what runs is kept and shown, until `adopt` heals.
    """
    backup = tmp_path / "backup.db"
    shutil.copy(path, backup)
    control.set("browse", 10, reason="after the backup")
    assert until(lambda: router.snapshot.version == 4)
    pay, browse = router.flow("pay"), router.flow("browse")
    before = browse.peek("user-1")

    with capture_logs() as logs:
        backup.replace(path)
        with cutover.control(url, actor="rina") as again:
            again.rollback("pay", reason="on the restored store")
            assert until(lambda: router.regressed)
            assert (pay.route("user-1"), browse.peek("user-1")) == ("new", before)
            assert until(lambda: shown(registry, "snapshot_regressed") == 1)
            assert until(lambda: [i.regressed for i in again.fleet().instances] == [True])

            again.adopt(reason="the restored history goes on")
            assert until(lambda: pay.peek("user-1").backend == "old")
            assert until(lambda: not router.regressed)
    assert [entry["event"] for entry in logs if "regressed" in entry["event"]] == ["cutover.regressed"]
    assert until(lambda: shown(registry, "snapshot_regressed") == 0)


def _another(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE invoices (number INTEGER)")
    connection.close()


FAULTS = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "foreign": lambda path: path.write_bytes(b"PK\3\4" * 5000),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "another database": _another,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_store_that_is_broken(router, control, registry, path, tmp_path, fault):
    """
    Whatever becomes of the store's file, no user is moved; when it is back, the router follows it again.
    """
    pay = router.flow("pay")
    kept = tmp_path / "kept.db"
    shutil.copy(path, kept)
    with capture_logs():
        fault(path)
        assert until(lambda: shown(registry, "store_up") == 0)
        assert {pay.route(f"user-{user}") for user in range(1000)} == {"new"}

        if path.is_dir():
            path.rmdir()
        kept.replace(path)
        control.set("pay", 0, reason="back again")
        assert until(lambda: pay.peek("user-1").backend == "old")
    assert until(lambda: shown(registry, "store_up") == 1)
    assert not router.regressed


def test_a_store_that_is_locked(router, control, path):
    """
    While somebody holds the store's file, requests are decided, and the end does not wait for it.
    """
    pay = router.flow("pay")
    holder = sqlite3.connect(path)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with capture_logs():
            assert {pay.route(f"user-{user}") for user in range(1000)} == {"new"}
            closing = threading.Thread(target=router.close, daemon=True)
            closing.start()
            closing.join(PATIENCE)
            assert not closing.is_alive()
    finally:
        holder.rollback()
        holder.close()


def test_counts_outlive_a_store_that_is_away(router, control, path, tmp_path):
    """
    What a process counted while the store was away reaches it with the next process on that machine.
    """
    for user in range(100):
        router.flow("pay").route(f"user-{user}")
    with capture_logs():
        away = path.rename(tmp_path / "away.db")
        router.close()
        away.rename(path)
    assert sum(control.fleet().totals().values()) <= 100  # a check-in may have come before it was away

    with cutover.connect(f"sqlite:///{path}", registry=CollectorRegistry(), cache=tmp_path / "cache") as following:
        assert following.wait_ready(30)
        assert until(lambda: sum(control.fleet().totals().values()) == 100)


def test_a_multiprocess_folder_that_is_gone(control, url, tmp_path):
    """
    Where the folder of the multiprocess mode is not there, requests are decided and blocks work, and nothing raises.
    """
    program = (
        "import cutover, sys\n"
        "with cutover.connect(sys.argv[1], cache='off') as router:\n"
        "    assert router.wait_ready(30)\n"
        "    pay = router.flow('pay')\n"
        "    for user in range(100):\n"
        "        with pay.request(f'user-{user}') as request:\n"
        "            assert pay.route(f'user-{user}') is request.backend\n"
    )
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "nowhere"), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", program, url]
    done = subprocess.run(command, env=environment, timeout=PATIENCE, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")
    assert [line.partition(" ")[0] for line in done.stderr.splitlines()] == ["cutover.metrics_not_written"]
    assert sum(n for counted, n in control.fleet().totals().items() if counted.kind == "requests") == 200


def test_a_process_starts_without_its_store(routing, control, url, path, tmp_path, monkeypatch):
    """
    A process that starts while the store is away routes by the copy of the last one, and follows when it is back.
    """
    monkeypatch.setenv("CUTOVER_CACHE", str(tmp_path / "cache"))
    control.set("pay", 100, reason="all")
    with routing("follow", url) as process:
        assert process.said() == {"ready": True}
        assert until(lambda: process.asked()["version"] == 3)
        assert until(lambda: bool(list((tmp_path / "cache").glob("*.snapshot"))))

    away = path.rename(tmp_path / "away.db")
    with routing("follow", url) as process:
        assert process.said() == {"ready": True}
        assert process.asked() == {"version": 3, "backend": "new", "regressed": False}

        away.rename(path)
        control.set("pay", 0, reason="back again")
        assert until(lambda: process.asked()["backend"] == "old")


def test_another_store_of_the_same_name_elsewhere(control, url, tmp_path):
    """
    A copy belongs to one store's place: another one, also of the same migration, does not see it.
    """
    cache = tmp_path / "cache"
    control.set("pay", 100, reason="all")
    with cutover.connect(url, registry=CollectorRegistry(), cache=cache) as router:
        assert until(lambda: bool(list(cache.glob("*.snapshot"))))
        assert router.ready

    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    with begin(elsewhere, tmp_path), cutover.connect(elsewhere, registry=CollectorRegistry(), cache=cache) as other:
        assert until(lambda: other.snapshot is not None and other.snapshot.version == 2)
        assert not other.regressed
