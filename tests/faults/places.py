"""
Stores that can be broken: a SQLite file, and PostgreSQL and Valkey servers of their own behind a line.
"""

import itertools
import shutil
import sqlite3
import subprocess
from contextlib import ExitStack, closing, contextmanager

from servers.postgresql import NEWEST, as_user
from servers.postgresql import Server as PostgresqlServer
from servers.redis import LOG, running, valkey_program

from cutover.testing.store_helpers import until
from faults.lines import Line

NUMBERS = itertools.count()
SMALL = 65_536  # bytes
SLOW = 30.0  # seconds
START = 60.0  # seconds that a server may take
USE = 3.0  # seconds that a use of a file takes at most


class SqlitePlace:
    """
    A store in a file.

    Attributes:
        url: For clients.
        direct: For operators.
        has_clock: Whether the store has a clock of its own.
    """

    has_clock = False

    def __init__(self, folder, stack):
        self.path = folder / "shop.db"
        self.url = self.direct = f"sqlite:///{self.path}"
        self._copies = folder / "copies"
        self._copies.mkdir()

    @contextmanager
    def killed(self):
        """
        There is no server to kill: the file is away for a block, as that of a disk that is gone.
        """
        away = self.path.rename(self._copies / "away.db")
        yield
        away.rename(self.path)

    @contextmanager
    def stopped(self):
        """
        Some process holds the file's lock, and does not go on.
        """
        holder = sqlite3.connect(self.path, timeout=START, check_same_thread=False)
        holder.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            holder.rollback()
            holder.close()

    def is_locked(self):
        """
        Tell whether some process holds the file's lock for longer than any use of it takes.
        """
        with closing(sqlite3.connect(self.path, timeout=USE)) as connection:
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                return True
            connection.rollback()
            return False

    def backup(self):
        """
        Copy the store as it is; gives what `restore` takes.
        """
        target = self._copies / f"backup-{next(NUMBERS)}.db"
        with sqlite3.connect(self.path, timeout=START) as source, sqlite3.connect(target) as copy:
            source.backup(copy)
        source.close()
        copy.close()
        return target

    def restore(self, backup):
        """
        Put a copy in the place of the store.
        """
        shutil.copy(backup, self._copies / "restored")
        (self._copies / "restored").replace(self.path)

    def fail_over(self):
        """
        Move to another disk, losing nothing.
        """
        self.restore(self.backup())

    @contextmanager
    def lagging(self, write):
        """
        Readers get a copy that is a moment behind what *write* does.
        """
        behind = self.backup()
        write()
        ahead = self.backup()
        self.restore(behind)
        yield
        self.restore(ahead)

    @contextmanager
    def full(self, writer):
        """
        The disk is full for a writing process: its files cannot grow.
        """
        with not_growing([writer], self.path.stat().st_size):
            yield


class ServedPlace:
    """
    What places behind a server of their own have in common; the clients reach it through a line.
    """

    has_clock = True

    @contextmanager
    def killed(self):
        """
        The server is killed, and started again after a block.
        """
        self.server.kill()
        yield
        self.server.start()

    def stopped(self):
        """
        The server and all its processes are stopped for a block, with their connections open.
        """
        return self.server.frozen()

    def is_locked(self):
        """
        Tell whether a process that stands still keeps the others from changes: a server ends what it does itself.
        """
        return False

    def silent(self):
        """
        The network forwards nothing for a block.
        """
        return self.line.silent()

    def slow(self):
        """
        The network is slow for a block.
        """
        return self.line.slow(SLOW)


class ValkeyPlace(ServedPlace):
    """
    A store in a Valkey server with its log on disk.
    """

    def __init__(self, folder, stack):
        self._data, self._replica, self._copies = folder / "data", folder / "replica", folder / "copies"
        for each in (self._data, self._replica, self._copies):
            each.mkdir()
        self._program = valkey_program()
        self._stack = stack
        self.server = self._started(self._data)
        self.line = Line(self.server.port)
        stack.callback(self.line.close)
        self.url = self._address(self.line.port)

    @property
    def direct(self):
        """
        The address of the server itself.
        """
        return self._address(self.server.port)

    def backup(self):
        """
        Copy the log once all is in it.
        """
        with self.server.client() as client:
            client.execute_command("WAITAOF", 1, 0, 5000)
        target = self._copies / f"backup-{next(NUMBERS)}"
        shutil.copytree(self._data / "appendonlydir", target)
        return target

    def restore(self, backup):
        """
        Start the server on a copy of the log.
        """
        self.server.kill()
        shutil.rmtree(self._data / "appendonlydir")
        (self._data / "dump.rdb").unlink(missing_ok=True)
        shutil.copytree(backup, self._data / "appendonlydir")
        self.server.start()

    def fail_over(self):
        """
        A replica that has everything takes the place of the server, which is gone.
        """
        with self.line.silent():
            replica = self._made_replica()
            with replica.client() as client:
                client.execute_command("REPLICAOF", "NO", "ONE")
            self.server.kill()
            self.line.lead_to(replica.port)
        self.server = replica

    @contextmanager
    def lagging(self, write):
        """
        Readers are led to a replica that stays behind what *write* does.
        """
        replica = self._made_replica()
        with replica.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
            write()
            self.line.lead_to(replica.port)
            yield
            client.execute_command("REPLICAOF", "127.0.0.1", self.server.port)
        self.line.lead_to(self.server.port)

    @contextmanager
    def full(self, writer):
        """
        The disk is full for the server: its log cannot grow.
        """
        (log,) = (self._data / "appendonlydir").glob("*.incr.aof")
        with not_growing([self.server.process.pid], log.stat().st_size):
            yield
        if self.server.process.poll() is not None:  # with appendfsync always it ends itself
            self.server.start()

    def _started(self, folder):
        # Where a file may not grow the system sends a signal first, which ends a server that does not ignore it.
        program = folder / "valkey"
        program.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {self._program} \"$@\"\n")
        program.chmod(0o700)
        return self._stack.enter_context(running(program, folder, *LOG))

    def _made_replica(self):
        replica = self._started(self._replica)
        with replica.client() as client, self.server.client() as primary:
            client.execute_command("REPLICAOF", "127.0.0.1", self.server.port)
            assert until(lambda: client.info("replication").get("master_link_status") == "up", START)
            primary.set("marker", "1")
            assert primary.wait(1, int(START * 1000)) == 1
        return replica

    def _address(self, port):
        return f"redis://127.0.0.1:{port}/0?prefix=shop"


class PostgresqlPlace(ServedPlace):
    """
    A store in a PostgreSQL server.
    """

    def __init__(self, folder, stack, template):
        self._stack = stack
        self.server = self._started(lambda server: copy_folder(template, server.data))
        self.line = Line(self.server.port)
        stack.callback(self.line.close)
        self.url = self.server.url("postgres", port=self.line.port)

    @property
    def direct(self):
        """
        The address of the server itself.
        """
        return self.server.url("postgres")

    def backup(self):
        """
        Take a base backup of the running server.
        """
        target = self.server.folder / f"backup-{next(NUMBERS)}"
        self._base_backup(self.server, target)
        return target

    def restore(self, backup):
        """
        Start the server on a copy of a base backup.
        """
        self.server.kill()
        shutil.rmtree(self.server.data)
        copy_folder(backup, self.server.data)
        self.server.start()

    def fail_over(self):
        """
        A replica that has everything is promoted in the place of the server, which is gone.
        """
        with self.line.silent():
            replica = self._made_replica()
            replica.run("pg_ctl", "promote", "-D", replica.data, "-w")
            self.server.kill()
            self.line.lead_to(replica.port)
        self.server = replica

    @contextmanager
    def lagging(self, write):
        """
        Readers are led to a replica that stays behind what *write* does.
        """
        replica = self._made_replica()
        with replica.client() as client:
            client.execute("SELECT pg_wal_replay_pause()")
            write()
            self.line.lead_to(replica.port)
            yield
            client.execute("SELECT pg_wal_replay_resume()")
        self.line.lead_to(self.server.port)

    @contextmanager
    def full(self, writer):
        """
        The disk is full for the server, which ends itself where it cannot write its log; it is started again.
        """
        with not_growing([self.server.process.pid, *self.server._children()], SMALL, **as_user()):
            yield
        self.server.kill()
        self.server.start()

    def _started(self, prepare):
        server = PostgresqlServer(NEWEST)
        self._stack.callback(server.stop)
        prepare(server)
        server.start()
        return server

    def _base_backup(self, server, target, *options):
        place = ("-h", "127.0.0.1", "-p", self.server.port, "-U", "postgres")
        server.run("pg_basebackup", "-D", target, "-c", "fast", *place, *options)

    def _made_replica(self):
        replica = self._started(lambda server: self._base_backup(server, server.data, "-R"))
        with self.server.client() as primary, replica.client() as client:
            (end,) = primary.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
            reached = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
            assert until(lambda: client.execute(reached, (end,)).fetchone() == (True,), START)
        return replica


@contextmanager
def not_growing(pids, size, **user):
    """
    Let no file of some processes grow beyond a size: what they write then fails as on a full disk.

    Args:
        user: Whose processes they are, as `subprocess` takes it.
    """
    for pid in pids:
        limit_files(pid, size, **user)
    try:
        yield
    finally:
        for pid in pids:
            limit_files(pid, "unlimited", **user)


def limit_files(pid, size, **user):
    """
    Set the limit that a process could raise itself; only its own user may.
    """
    command = ["prlimit", f"--pid={pid}", f"--fsize={size}:"]
    # A process may have ended meanwhile; where none is limited, nothing fails, which the scenario waits for.
    subprocess.run(command, check=False, capture_output=True, timeout=START, **user)


def copy_folder(source, target):
    """
    Copy a folder with its owner.
    """
    subprocess.run(["cp", "-a", source, target], check=True, timeout=START)


@contextmanager
def cluster():
    """
    An empty PostgreSQL cluster to copy, as making one takes seconds.
    """
    server = PostgresqlServer(NEWEST)
    try:
        server.initialise()
        yield server.data
    finally:
        server.stop()


KINDS = {"sqlite": SqlitePlace, "postgresql": PostgresqlPlace, "valkey": ValkeyPlace}


def place_of(kind, folder, stack, template):
    """
    Give a fresh store of a kind; what it started ends with the stack.
    """
    assert isinstance(stack, ExitStack)
    folder.mkdir()
    if kind == "postgresql":
        return PostgresqlPlace(folder, stack, template)
    return KINDS[kind](folder, stack)
