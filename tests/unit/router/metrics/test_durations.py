"""
How long calls took: gathered without a lock, and in the histogram exactly as if each had been observed.
"""

import json
import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from routers import samples
from switching import NEW, Back, Place

from cutover.core.bucketing import PARTS
from cutover.router import counting
from cutover.router.metrics.instruments import BUCKETS, instruments_on

NAME = "cutover_call_duration_seconds"
amounts = st.lists(st.one_of(st.sampled_from((0.0, *BUCKETS)), st.floats(0, 60)), max_size=60)


def _shown(registry, name) -> dict:
    return {end: samples(registry, f"{name}_{end}") for end in ("count", "sum", "bucket")}


@given(st.lists(amounts, max_size=4))
def test_as_if_each_were_observed(rounds):
    """
    Count, sum and every bucket are those of a histogram that observed the same amounts one by one.
    """
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    child = instruments_on(ours).durations.labels("shop", "pay", "new")
    plain = Histogram(NAME, "x", ("migration", "flow", "backend"), buckets=BUCKETS, registry=theirs)
    observed = plain.labels("shop", "pay", "new")
    for some in rounds:
        child.observe_all(some)
        for amount in some:
            observed.observe(amount)

    found, expected = _shown(ours, NAME), _shown(theirs, NAME)
    assert found.pop("sum") == pytest.approx(expected.pop("sum"))
    assert found == expected


def test_calls_of_many_threads():
    """
    No duration is lost between threads that call and a thread that gathers.
    """
    place, ended = Place(PARTS), threading.Event()
    switch = place.flow.switch(old=Back(), new=lambda _: None)

    def gather():
        while not ended.is_set():
            place.parts.telemetry.refresh_durations()

    def call():
        for number in range(3000):
            switch(number)

    gatherer, callers = threading.Thread(target=gather), [threading.Thread(target=call) for _ in range(6)]
    for thread in (gatherer, *callers):
        thread.start()
    for thread in callers:
        thread.join()
    ended.set()
    gatherer.join()

    assert samples(place.parts.registry, f"{NAME}_count") == {("browse", "new"): 18_000}
    assert place.counted("calls") == {("new", "ok"): 18_000}


def test_of_each_side_and_outcome():
    """
    Durations are kept by side, whatever a call came to.
    """
    place = Place()
    for seconds, side, outcome in ((0.004, "old", "ok"), (0.2, "old", "error"), (31.0, "new", "unknown")):
        place.flow.called(NEW if side == "new" else next(iter(type(NEW))), outcome, seconds)

    found = samples(place.parts.registry, f"{NAME}_bucket")
    assert found["browse", "old", "0.005"] == 1
    assert found["browse", "old", "0.25"] == found["browse", "old", "+Inf"] == 2
    assert (found["browse", "new", "30.0"], found["browse", "new", "+Inf"]) == (0, 1)


def test_where_nobody_gathers(monkeypatch):
    """
    Where nobody takes durations over, the last ones are kept and memory does not grow.
    """
    monkeypatch.setattr(counting, "MOST_WAITING", 100)
    place = Place(PARTS)
    switch = place.flow.switch(old=Back(), new=Back())
    for number in range(250):
        switch(number)

    assert samples(place.parts.registry, f"{NAME}_count") == {("browse", "new"): 100}
    assert place.counted("calls") == {("new", "ok"): 250}


SEVERAL = """
import json, os, sys
from prometheus_client import CollectorRegistry, multiprocess
import cutover

with cutover.control("memory:shop", actor="test") as control:
    control.apply(cutover.Migration.load(sys.argv[1]))
    control.set("pay", 100, reason="test")
router = cutover.connect("memory:shop", cache=None)
assert router.wait_ready(30)
charge = router.flow("pay").switch(old=lambda key: None, new=lambda key: None)
for number in range(300):
    charge(number)
children = []
for calls in (200, 100):
    pid = os.fork()
    if not pid:
        for number in range(calls):
            charge(number)
        router.close()
        os._exit(0)
    children.append(pid)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
router.close()
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(json.dumps({
    sample.name + "".join(sorted(v for k, v in sample.labels.items() if k in ("le", "outcome"))): sample.value
    for metric in registry.collect() for sample in metric.samples
    if sample.name.startswith("cutover_call") and sample.value
}))
"""


def test_in_several_processes(tmp_path):
    """
    With one folder for several processes, of which two were forked, each call stands once in the sum of all.
    """
    (tmp_path / "metrics").mkdir()
    (tmp_path / "cutover.toml").write_text('name = "shop"\nold = "a"\nnew = "b"\n[flows.pay]\n')
    told = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SEVERAL, tmp_path / "cutover.toml"],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout.splitlines()[-1])
    assert found["cutover_calls_totalok"] == 600
    assert found["cutover_call_duration_seconds_count"] == 600
    assert found["cutover_call_duration_seconds_bucket+Inf"] == 600
