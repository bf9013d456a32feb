"""
The demo as a subprocess: a short run that proves its claims, and the ends that nobody wants.
"""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from cutover.operations.control import control as open_control

ROOT = Path(__file__).parents[2]
PATIENCE = 90  # seconds; a busy machine may be slow
SHOPS = {"old": "tiktok", "new": "tokopedia"}
LONG = ("--seconds", "600")


@pytest.fixture
def start(tmp_path):
    """
    Starts the demo in an empty folder; what still runs at the end is killed.
    """
    started = []

    def start_demo(*options):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("CUTOVER", "COV"))}
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "demo", *options],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "160"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start_demo
    for process in started:
        process.kill()
        process.communicate()


def finished(process):
    """
    Wait for its end, and give what it wrote and its exit code.
    """
    output, _ = process.communicate(timeout=PATIENCE)
    return output, process.returncode


def until(condition):
    """
    Wait until something is so, and give it.
    """
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def children_of(process):
    """
    List the processes that a process has started: id and command.
    """
    listed = subprocess.run(["ps", "-axww", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    return {int(pid): command for pid, parent, command in rows if int(parent) == process.pid}


def is_alive(pid):
    """
    Tell whether a process runs.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def replaying(process, line="metrics: "):
    """
    Wait until the demo has written a line, at first that all is up, and give its children of the long-lived kinds.
    """
    output = ""
    while line not in output:
        written = process.stdout.readline()
        assert written, output
        output += written
    return {pid: command for pid, command in children_of(process).items() if "-m demo." in command}


def rows(path, query):
    """
    Read from a shop's database.
    """
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_short_run(start, tmp_path):
    """
    Each order is in one database, and the store's totals are what the back ends saw, with the dials at 100% at the end.
    """
    output, code = finished(start("--events", "1500", "--no-wait"))

    assert code == 0, output
    assert (output.count("holds  "), output.count("FAILS")) == (4, 0)
    folder = tmp_path / "demo-run"
    orders = [{row for (row,) in rows(folder / f"{shop}.db", "select session from orders")} for shop in SHOPS.values()]
    assert all(orders)
    assert not orders[0] & orders[1]
    seen = {side: dict(rows(folder / f"{shop}.db", "select flow, requests from seen")) for side, shop in SHOPS.items()}
    with open_control(f"sqlite:///{folder}/cutover.db") as control:
        status, verification = control.status(), control.verify()
        verbs = [change.verb for change in control.history()]
    assert {f.name: (f.old_requests, f.new_requests) for f in status.flows} == {
        flow: (seen["old"][flow], seen["new"][flow]) for flow in ("browse", "cart", "checkout", "pay")
    }
    assert sum(sum(flows.values()) for flows in seen.values()) >= 1500
    assert verification.ok
    assert (status.progress.target, verbs.count("rollback")) == (1, 1)


def test_failed_proofs(start, tmp_path):
    """
    A stray order, or a request that only a back end has seen, fails its proof, and the demo exits with 1.
    """
    process = start("--events", "600", "--no-wait")
    replaying(process, "set browse 1 ")
    with closing(sqlite3.connect(tmp_path / "demo-run" / "tiktok.db", timeout=30)) as shop, shop:
        shop.execute("insert into orders values ('stray', 'nobody', 'placed')")
        shop.execute("update seen set requests = requests + 1 where flow = 'browse'")
    output, code = finished(process)

    assert code == 1
    assert re.findall(r"FAILS  (\S+)", output) == ["Each", "/metrics", "`cutover"]
    assert "holds  The ledger verifies" in output


@pytest.mark.parametrize(
    ("victim", "name"), [("--share 1 3", "worker-1"), ("tiktok.db", "tiktok"), ("tokopedia.db", "tokopedia")]
)
def test_crash(start, victim, name):
    """
    Where a process of the demo is killed, the demo says which, exits with 1 and leaves no process.
    """
    process = start(*LONG)
    children = replaying(process)
    os.kill(next(pid for pid, command in children.items() if victim in command), signal.SIGKILL)
    output, code = finished(process)

    assert code == 1, output
    assert f"the demo failed: {name} has ended, exit code -9" in output
    assert len(children) == 6
    assert not any(map(is_alive, children))


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_interrupted(start, sent, code):
    """
    A demo that is interrupted, terminated or killed leaves no process.
    """
    process = start(*LONG)
    children = replaying(process)
    process.send_signal(sent)
    output, ended = finished(process)

    assert ended == code, output
    assert len(children) == 6
    until(lambda: not any(map(is_alive, children)))


def test_foreign_folder(start, tmp_path):
    """
    A folder that no demo has left is not touched.
    """
    (tmp_path / "demo-run").mkdir()
    (tmp_path / "demo-run" / "thesis.txt").write_text("mine")
    output, code = finished(start())

    assert code == 1
    assert "was not left by a demo" in output
    assert (tmp_path / "demo-run" / "thesis.txt").read_text() == "mine"
