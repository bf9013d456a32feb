"""
A real Prometheus scrapes a process that routes, with the configuration, alerts and queries that the pages show.
"""

import json
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from pages import ROOT, blocks_of, file_in
from servers.ports import free_port
from servers.running import get, get_json, serving, until

import cutover
from cutover.operations.control import control as open_control

PAGE = ROOT / "docs/how-to/scrape-metrics.md"
TUTORIAL = ROOT / "docs/tutorial/first-migration.md"
REQUESTS = 2000
HERE = Path(__file__).parent


if not (shutil.which("prometheus") and shutil.which("promtool")):
    pytest.skip(
        "Prometheus is not installed; on Debian and Ubuntu: apt-get install prometheus", allow_module_level=True
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """
    The URL of a store where a quarter of pay goes to NEW.
    """
    folder = tmp_path_factory.mktemp("shop")
    url = f"sqlite:///{folder}/cutover.db"
    (folder / "cutover.toml").write_text(file_in(TUTORIAL, "cutover.toml"))
    with open_control(url, actor="test") as control:
        control.apply(cutover.Migration.load(folder / "cutover.toml"))
        control.set("purchase", 25, reason="test")
    return url


@pytest.fixture(scope="module")
def routed(shop):
    """
    Where a process that has routed exposes its metrics, and what it says went where.
    """
    port = free_port()
    command = [sys.executable, str(HERE / "routing_worker.py"), shop, str(REQUESTS), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        sides = json.loads(process.stdout.readline())
        yield port, sides
        process.stdin.close()
        process.stdout.read()
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def prometheus(routed, tmp_path_factory):
    """
    Where a Prometheus answers that runs the page's files; it scrapes each second instead of each quarter of a minute.
    """
    folder = tmp_path_factory.mktemp("prometheus")
    text = file_in(PAGE, "prometheus.yml")
    text = text.replace("localhost:8000", f"127.0.0.1:{routed[0]}").replace("interval: 15s", "interval: 1s")
    (folder / "prometheus.yml").write_text(text)
    (folder / "alerts.yml").write_text(file_in(PAGE, "alerts.yml"))
    address = f"127.0.0.1:{free_port()}"
    command = (
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    with serving(command, f"http://{address}/-/ready"):
        yield f"http://{address}"


def ask(prometheus, query):
    """
    Put a query, and give the values by their labels.
    """
    answer = get_json(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    assert answer["status"] == "success"
    return {frozenset(one["metric"].items()): float(one["value"][1]) for one in answer["data"]["result"]}


def labels(**values):
    """
    Name a series.
    """
    return frozenset(values.items())


def test_counts(prometheus, routed):
    """
    Prometheus has exactly as many requests and calls for each side as the process made.
    """
    sides = routed[1]
    expected = {labels(backend=side): float(number) for side, number in sides.items()}

    for metric in ('cutover_requests_total{reason="percent"}', 'cutover_calls_total{outcome="ok"}'):
        query = f"sum by (backend) ({metric})"

        def counted(query=query):
            return ask(prometheus, query) == expected

        until(counted)
    assert sum(sides.values()) == REQUESTS


def test_share(prometheus, routed):
    """
    The share of NEW is that of the process, beside the dial, and the fleet's share in the store becomes the same.
    """
    sides = routed[1]
    share = sides["new"] / REQUESTS

    def seen():
        shares = ask(
            prometheus,
            'cutover_requests_total{backend="new"} / ignoring(backend) sum without (backend) '
            '(cutover_requests_total{reason="percent"})',
        )
        return [value for value in shares.values() if value == pytest.approx(share)]

    def seen_of_the_fleet():
        fleet = ask(prometheus, "max by (flow) (cutover_flow_effective_ratio)")
        return fleet.get(labels(flow="pay")) == pytest.approx(share)

    until(seen)
    until(seen_of_the_fleet)
    dials = ask(prometheus, "max by (migration, flow) (cutover_flow_target_ratio)")
    assert dials[labels(migration="shop", flow="pay")] == 0.25
    assert dials[labels(migration="shop", flow="browse")] == 0.0


@pytest.mark.parametrize("query", [block.body for block in blocks_of(PAGE) if block.language == "promql"])
def test_queries_of_the_page(prometheus, query):
    """
    Prometheus understands every query that the page shows, and finds the series that it names.
    """

    def found():
        return ask(prometheus, query)

    assert until(found)


def test_alerts_of_the_page(prometheus):
    """
    Prometheus has loaded every alert that the page shows, and can evaluate each.
    """

    def evaluated():
        groups = get_json(f"{prometheus}/api/v1/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else []

    rules = until(evaluated)

    assert {rule["name"]: rule["health"] for rule in rules} == {
        "CutoverStoreDown": "ok",
        "CutoverRegressed": "ok",
        "CutoverBehind": "ok",
        "CutoverNewFailsMore": "ok",
    }


def test_exposition(routed):
    """
    The linter of Prometheus has nothing to say against the names, types and texts of the metrics.
    """
    text = get(f"http://127.0.0.1:{routed[0]}/metrics")

    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )

    assert "cutover_requests_total" in text
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
