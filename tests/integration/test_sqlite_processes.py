"""
SQLite between processes: kills, races, locks, full disks, journals that were left behind.
"""

import os
import random
import resource
import shutil
import signal
import threading
from contextlib import ExitStack

import pytest

from cutover.engines.sqlite import file as sqlite_file
from cutover.engines.sqlite.store import SqliteStore
from cutover.errors import Corrupt, Unavailable
from cutover.testing.fork_contract import in_child
from cutover.testing.store_helpers import MIGRATION, PATIENCE, head_of, in_thread, write

KILLS = 20
WRITERS = 8
EACH = 10


def test_killed_writer(store, worker):
    """
    A writer that is killed at any moment loses no change that was acknowledged, and leaves a whole state.
    """
    draw = random.Random(7)
    for _ in range(KILLS):
        with worker("append_for_ever", store.url) as process:
            acknowledged = [int(process.said()) for _ in range(draw.randrange(1, 8))]
            process.send_signal(signal.SIGKILL)
            acknowledged += map(int, process.stdout.read().split())

        reading = store.read(MIGRATION)
        version = reading.head.version
        assert acknowledged
        assert version in (acknowledged[-1], acknowledged[-1] + 1)
        assert reading.document.startswith(f"snapshot {version} ")
        assert list(store.history(MIGRATION)) == [f"change {n}" for n in range(1, version + 1)]


def test_killed_creator(tmp_path):
    """
    Whenever the process that makes the file is killed, the file is whole or not there.
    """
    draw = random.Random(7)
    for number in range(KILLS):
        path = tmp_path / f"{number}.db"
        pid = os.fork()
        if pid == 0:
            write(SqliteStore(path), snapshot="x" * 1_000_000)
            os._exit(0)
        threading.Event().wait(draw.random() * 0.02)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

        store = SqliteStore(path)
        if path.exists():
            assert store.read(MIGRATION).head == head_of(1)
        else:
            write(store)
        store.close()


def test_racing_processes(store, worker):
    """
    Eight processes that compare and swap make exactly as many versions as they were told.
    """
    with ExitStack() as running:
        processes = [running.enter_context(worker("append_with_retry", store.url, EACH)) for _ in range(WRITERS)]
        done = [process.said() for process in processes]

    assert done == [str(EACH)] * WRITERS
    assert store.read(MIGRATION).head.version == 2 + WRITERS * EACH
    assert len(set(store.history(MIGRATION))) == 2 + WRITERS * EACH


def test_seen_by_another_process(store, worker):
    """
    A change by another process wakes who waits.
    """
    with worker("append_on_demand", store.url) as process:
        for version in (3, 4, 5):
            seen = store.read(MIGRATION).head
            waiter = in_thread(lambda seen=seen: store.wait(MIGRATION, seen=seen, timeout=10 * PATIENCE))
            process.stdin.write("write\n")
            process.stdin.flush()
            waiter.join(PATIENCE)

            assert not waiter.is_alive()
            assert process.said() == str(version)
            assert store.read(MIGRATION).head.version == version


def test_locked(store, path, monkeypatch, worker):
    """
    A file that another process keeps locked is Unavailable, and works again when it lets go.
    """
    monkeypatch.setattr(sqlite_file, "WRITE_PATIENCE", 0.1)
    monkeypatch.setattr(sqlite_file, "READ_PATIENCE", 0.1)
    with worker("hold_lock", path, "BEGIN EXCLUSIVE") as process:
        assert process.said() == "locked"
        with pytest.raises(Unavailable, match="locked by another process"):
            store.read(MIGRATION)
        with pytest.raises(Unavailable, match="locked by another process"):
            write(store, head_of(2))
        process.stdin.close()
        assert process.said() == "released"

    assert write(store, head_of(2)) == store.read(MIGRATION).head


def test_reading_beside_a_waiting_writer(store, path, monkeypatch, worker):
    """
    A writer that waits for another process keeps no reader of its own process waiting.
    """
    monkeypatch.setattr(sqlite_file, "WRITE_PATIENCE", 100 * PATIENCE)
    with worker("hold_lock", path, "BEGIN IMMEDIATE") as process:
        assert process.said() == "locked"
        writer = in_thread(lambda: write(store, head_of(2)))
        for _ in range(100):
            assert store.read(MIGRATION).head == head_of(2)
        assert writer.is_alive()
        process.stdin.close()
        writer.join(PATIENCE)

    assert store.read(MIGRATION).head == head_of(3)


def test_closing_ends_waiting_for_a_lock(store, path, monkeypatch, worker):
    """
    Who waits for a lock is let go by `close`.
    """
    monkeypatch.setattr(sqlite_file, "WRITE_PATIENCE", 100 * PATIENCE)
    errors = []

    def blocked():
        try:
            write(store, head_of(2))
        except Unavailable as error:
            errors.append(error)

    with worker("hold_lock", path, "BEGIN EXCLUSIVE") as process:
        assert process.said() == "locked"
        writer = in_thread(blocked)
        store.close()
        writer.join(PATIENCE)

    assert len(errors) == 1


def test_full_disk(store, path):
    """
    Where the file cannot grow, a change is Unavailable and the state before it stays, also for a first change.
    """

    def use():
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 8192, resource.RLIM_INFINITY))
        with pytest.raises(Unavailable, match="cannot be"):
            write(store, head_of(2), snapshot="x" * 1_000_000)
        with pytest.raises(Unavailable, match="cannot be"):
            write(SqliteStore(path.with_name("new.db")), snapshot="x" * 1_000_000)
        assert store.read(MIGRATION).document == "snapshot 2"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        write(store, head_of(2))

    assert in_child(use)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert store.read(MIGRATION).head == head_of(3)


def crash_in_commit(path, worker):
    """
    Kill a process that had begun to overwrite the file.
    """
    before = path.read_bytes()
    with worker("stay_in_commit", path) as process:
        assert process.said() == "changed"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() != before
    assert path.with_name("cutover.db-journal").stat().st_size > 0


def test_crash_in_commit(store, path, worker):
    """
    A change that was half written when its process died is rolled back by the next reader.
    """
    crash_in_commit(path, worker)

    assert store.read(MIGRATION).head == head_of(2)
    assert SqliteStore(path).read(MIGRATION).document == "snapshot 2"


def test_journal_of_another_state(store, path, tmp_path, worker):
    """
    A backup restored beside the journal of the lost state is refused before SQLite mixes the two, and read once the
    journal is deleted.
    """
    backup = tmp_path / "backup"
    shutil.copyfile(path, backup)
    write(store, head_of(2), snapshot="y" * 100_000)
    store.close()
    crash_in_commit(path, worker)
    backup.replace(path)
    content = path.read_bytes()

    restored = SqliteStore(path)
    for _ in range(2):
        with pytest.raises(Corrupt, match=r"delete .*cutover.db-journal"):
            restored.read(MIGRATION)
    assert path.read_bytes() == content

    path.with_name("cutover.db-journal").unlink()
    assert restored.read(MIGRATION).head == head_of(2)
    restored.close()


def test_journal_without_its_file(store, path, worker):
    """
    A store is not made anew beside the journal of a deleted one, which SQLite would roll back into it.
    """
    store.close()
    crash_in_commit(path, worker)
    path.unlink()

    with pytest.raises(Unavailable, match=r"delete .*cutover.db-journal"):
        write(SqliteStore(path))

    assert not path.exists()
