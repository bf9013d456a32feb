"""
A real gunicorn with the files of the page: three workers forked from a loaded application, one sum of their counts.
"""

import os
import signal
import sys
import urllib.error
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest
from pages import ROOT, file_in
from prometheus_client.parser import text_string_to_metric_families
from servers.ports import free_port
from servers.running import get, serving, until

import cutover
from cutover.operations.control import Control
from cutover.operations.control import control as open_control

PAGE = ROOT / "docs/how-to/run-under-gunicorn.md"
TUTORIAL = ROOT / "docs/tutorial/first-migration.md"
WORKERS = 3
PROCESSES = WORKERS + 1  # the main process has a router too


@attrs.frozen
class Server:
    """
    A gunicorn, its address, and the operators' side of its store.
    """

    pid: int
    url: str
    control: Control

    def workers(self):
        """
        Give the process ids of the workers.
        """
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return {int(pid) for pid in text.split()}

    def request(self, number):
        """
        Make one request, and give the side that it went to.
        """
        return get(f"{self.url}/pay?user-{number}").strip()

    def requests(self, numbers):
        """
        Make many requests, several at a time, and count the sides.
        """
        with ThreadPoolExecutor(8) as pool:
            return Counter(pool.map(self.request, numbers))

    def counted(self):
        """
        Give what the metrics say, summed over all workers: requests by side; nothing where they cannot be collected,
        as prometheus_client fails where another worker has just made a file, and has not filled it yet.
        """
        sides = Counter()
        try:
            text = get(f"{self.url}/metrics")
        except urllib.error.HTTPError as error:
            error.close()
            return sides
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "cutover_requests_total":
                    sides[sample.labels["backend"]] += int(sample.value)
        return +sides

    def instances(self):
        """
        Give the processes that have checked in and run the last change.
        """
        return [one for one in self.control.instances() if one.state.value == "current"]


@pytest.fixture
def server(tmp_path):
    """
    A gunicorn as on the page, with a quarter of pay on NEW.
    """
    for name in ("shop.py", "gunicorn.conf.py"):
        (tmp_path / name).write_text(file_in(PAGE, name))
    (tmp_path / "cutover.toml").write_text(file_in(TUTORIAL, "cutover.toml"))
    (tmp_path / "metrics").mkdir()
    store = f"sqlite:///{tmp_path}/cutover.db"
    address = f"127.0.0.1:{free_port()}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CUTOVER")},
        "HOME": str(tmp_path),  # gunicorn keeps a socket there
        "CUTOVER_STORE": store,
        "CUTOVER_CACHE": str(tmp_path / "cache"),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
    }
    command = (sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "--bind", address)
    with open_control(store, actor="test") as control:
        control.apply(cutover.Migration.load(tmp_path / "cutover.toml"))
        control.set("purchase", 25, reason="test")
        with serving(command, f"http://{address}/metrics", cwd=tmp_path, env=environment) as process:
            server = Server(process.pid, f"http://{address}", control)
            until(lambda: len(server.instances()) == PROCESSES)
            yield server


def test_counts(server):
    """
    The sum over all workers is the number of requests made, for each side; and several workers served them.
    """
    made = server.requests(range(600))

    def all_counted():
        return server.counted() == made

    def several_counted():
        return len([one for one in server.control.fleet().instances if one.since_version]) > 1

    until(all_counted)
    until(several_counted)
    assert sum(made.values()) == 600


def test_dials_reach_all_workers(server):
    """
    A dial that every process has confirmed decides every request from then on, in every worker.
    """
    assert set(server.requests(range(200))) == {"old", "new"}

    confirmation = server.control.wait(server.control.set("purchase", 100, reason="test"))

    assert len(confirmation.current) == PROCESSES
    assert server.requests(range(200)) == {"new": 200}

    server.control.wait(server.control.rollback("purchase", reason="test"))

    assert server.requests(range(200)) == {"old": 200}


def test_killed_worker(server):
    """
    A worker that is killed is replaced, what had been handed over stays counted, and the new one counts as well.

    Of what the killed worker had not handed over yet, at most all is lost, and nothing is counted twice.
    """
    first = server.requests(range(300))
    until(lambda: server.counted() == first)
    before = server.workers()
    second = server.requests(range(100))

    os.kill(min(before), signal.SIGKILL)
    until(lambda: len(server.workers()) == WORKERS and server.workers() != before)
    until(lambda: len(server.instances()) == PROCESSES)
    third = server.requests(range(300))

    least = sum(first.values()) + sum(third.values())
    most = least + sum(second.values())
    until(lambda: server.counted().total() >= least)
    assert until(lambda: server.counted().total()) <= most


def test_end(server):
    """
    Workers that end as asked hand over everything: the store has every request of every process.
    """
    made = server.requests(range(200))
    os.kill(server.pid, signal.SIGHUP)  # gunicorn starts other workers and lets these end

    def all_in_store():
        flows = {flow.name: flow for flow in server.control.status().flows}
        return (flows["pay"].old_requests, flows["pay"].new_requests) == (made["old"], made["new"])

    until(all_in_store)
