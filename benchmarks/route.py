"""
What a decision costs, beside the floor; what a large snapshot, a scrape and an import cost.

    python benchmarks/route.py

Prints a line for each figure with its target, and exits 1 where one is missed.
"""

import gc
import subprocess
import sys
import time
import tracemalloc
from datetime import UTC, datetime

import attrs
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from timing import floor, milliseconds, per_key

from cutover.core.backend import Backend
from cutover.core.bucketing import digest_of, position_of
from cutover.core.defined import Cohort, Flow
from cutover.core.migration import Migration
from cutover.core.snapshot import NO_HASH, Head, Override, Snapshot
from cutover.router.compiled import Circumstances
from cutover.router.flow import Flow as Handle
from cutover.router.holding import Holding
from cutover.router.metrics.instruments import instruments_on
from cutover.router.metrics.telemetry import Telemetry
from cutover.router.notices import NoticeBoard

SECRET = b"benchmark" * 3
LINE = b"\ncutover_"
NOW = datetime(2024, 1, 1, tzinfo=UTC)
missed = []


def report(what, value, unit, target=None, times=None):
    line = f"{what:<58} {value:>9,.0f} {unit}"
    if times is not None:
        line += f"  {times:5.2f}x floor"
    if target is not None:
        reached = (times if times is not None else value) <= target
        line += f"  (target {target}{'' if reached else ', MISSED'})"
        if not reached:
            missed.append(what)
    print(line)


def snapshot_of(flows=("browse", "cart", "checkout", "pay"), cohorts=("staff",), overrides=0):
    definition = Migration(
        name="tokopedia",
        title="Benchmark",
        old="tiktok",
        new="nusantara",
        salt="tokopedia",
        flows={name: Flow(name=name) for name in flows},
        cohorts={name: Cohort(name=name, title=name) for name in cohorts},
    )
    keys = [f"vip-{number}".encode() for number in range(overrides)]
    named = {digest_of(SECRET, key): Override(position_of(b"tokopedia", key), Backend.NEW) for key in keys}
    return Snapshot(
        definition=definition,
        head=Head(1, 1, NO_HASH),
        at=NOW,
        dials=dict.fromkeys(flows, 25_000),
        cohort_dials={"pay": dict.fromkeys(cohorts, 50_000)} if "pay" in flows else {},
        overrides={flows[-1]: named} if named else {},
    )


def handle(snapshot, cohort_of=None):
    pay = Handle("pay", NoticeBoard(), cohort_of)
    pay.use(Circumstances(snapshot=snapshot, secret=SECRET))
    return pay


def decisions():
    plain = handle(snapshot_of())
    numbers = iter(range(10**9))
    cases = [
        ("route", plain.route, 2),
        ("route with a cohort", lambda key: plain.route(key, cohort="staff"), 5),
        ("route, router asks cohort_of", handle(snapshot_of(), lambda _key: "staff").route, 5),
        ("route beside 1,000 overrides", handle(snapshot_of(overrides=1000)).route, 5),
        ("route beside 100,000 overrides", handle(snapshot_of(overrides=100_000)).route, None),
        ("route an int", lambda _key: plain.route(next(numbers)), None),
        ("route a thing with a home", lambda key: plain.route(key, home="new"), None),
        ("decide", plain.decide, 10),
        ("request block", lambda key: _block(plain, key), None),
    ]
    least = per_key(floor)
    report("floor", least, "ns")
    for what, call, target in cases:
        took = per_key(call)
        least = min(least, per_key(floor, rounds=3))
        report(what, took, "ns", target, took / least)


def _block(flow, key):
    with flow.request(key):
        pass


def large_snapshot():
    flows = (*(f"flow-{number}" for number in range(49)), "pay")
    text = snapshot_of(flows, tuple(f"cohort-{number}" for number in range(10)), 100_000).encode()
    gc.collect()
    tracemalloc.start()
    snapshot = Snapshot.decode(text)
    holding = Holding(NoticeBoard(), None)
    for name in flows:
        holding.flow(name)
    holding.take_snapshot(snapshot, SECRET)
    held = tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()
    took = milliseconds(lambda: holding.take_snapshot(snapshot, SECRET))
    report("compile 50 flows, 10 cohorts, 100,000 overrides", took, "ms", 300)
    report("the same, memory with the snapshot itself", held, "MiB", 50)
    report("the same, reading its document", milliseconds(lambda: Snapshot.decode(text), rounds=3), "ms")


def growth():
    pay = handle(snapshot_of(overrides=1000))
    for number in range(10_000):
        pay.route(f"warm-{number}")
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(300_000):
        pay.route(f"user-{number}")
        pay.decide(number)
    gc.collect()
    report("growth over 600,000 decisions", tracemalloc.get_traced_memory()[0] - before, "bytes", 2000)
    tracemalloc.stop()


def scrape():
    flows = tuple(f"flow-{number}" for number in range(50))
    registry = CollectorRegistry()
    holding = Holding(NoticeBoard(), None)
    telemetry = Telemetry(instruments_on(registry), holding.cells, holding.durations, "tokopedia")
    for name in flows:
        holding.flow(name)
    snapshot = snapshot_of(flows)
    holding.take_snapshot(snapshot, None)
    telemetry.show_snapshot(snapshot)
    telemetry.show_health(store_up=True, regressed=False)
    for name in flows:
        for number in range(100):
            holding.flow(name).route(f"user-{number}")
    report(_scraped(registry), milliseconds(lambda: generate_latest(registry), rounds=20), "ms", 5)
    for name in flows:
        for number in range(100):
            with holding.flow(name).request(f"user-{number}"):
                pass
    report(_scraped(registry), milliseconds(lambda: generate_latest(registry), rounds=20), "ms")


def _scraped(registry):
    return f"scrape of 50 flows, {generate_latest(registry).count(LINE)} series"


def imports():
    def least(code):
        took = []
        for _ in range(9):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            took.append(time.perf_counter() - began)
        return min(took) * 1e3

    dependencies = least("import attrs, structlog, prometheus_client, mmh3")
    ours = least("import cutover")
    report("import of the dependencies", dependencies, "ms")
    line = f"import cutover {ours / dependencies:.2f}x of that"
    report(line, ours, "ms", round(1.3 * dependencies))


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(f"Python {sys.version.split()[0]}, attrs {attrs.__version__}")
    for part in (decisions, large_snapshot, growth, scrape, imports):
        part()
    sys.exit(bool(missed))
