"""
Counting with everything going on at once: threads, snapshots that change, flushes and scrapes.
"""

import threading

import pytest
from prometheus_client import CollectorRegistry
from routers import after
from strategies import SECRET, at
from turns import taking_turns

import cutover
from cutover.core import changes
from cutover.core.bucketing import PARTS
from cutover.router.compiled import Circumstances
from cutover.router.flow import Flow
from cutover.router.notices import NoticeBoard

THREADS = 8
EACH = 5_000


def total(registry: CollectorRegistry, name: str, **labels: str) -> int:
    """
    Add up a metric over all series with these labels.
    """
    found = (sample for metric in registry.collect() for sample in metric.samples if sample.name == name)
    return int(sum(s.value for s in found if labels.items() <= s.labels.items()))


@pytest.fixture
def registry():
    """
    Where the metrics are.
    """
    return CollectorRegistry()


def test_conservation(control, url, registry):
    """
    Under eight threads, with dials that move and scrapes meanwhile, what went to OLD and to NEW adds up to the calls.
    """
    sides = [0, 0]
    lock = threading.Lock()
    over = threading.Event()

    def work(number: int) -> None:
        new = 0
        for user in range(EACH):
            key = f"user-{number}-{user}"
            with pay.request(key, synthetic=user % 10 == 0) as request:
                new += request.backend == "new"
            new += pay.route(key) == "new"
            new += pay.route(key, "staff") == "new"
            new += pay.decide(user).backend == "new"
        with lock:
            sides[0] += 4 * EACH - new
            sides[1] += new

    def move() -> None:
        percent = 0
        while not over.is_set():
            percent = (percent + 7) % 101
            control.set("pay", percent, reason="move")

    def scrape() -> None:
        while not over.is_set():
            assert total(registry, "cutover_requests_total") <= THREADS * EACH * 4

    with cutover.connect(url, registry=registry, cache="off") as router:
        assert router.wait_ready(30)
        pay = router.flow("pay")
        before = router.snapshot.version
        threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
        others = [threading.Thread(target=move), threading.Thread(target=scrape)]
        with taking_turns():
            for thread in (*threads, *others):
                thread.start()
            for thread in threads:
                thread.join()
            over.set()
            for thread in others:
                thread.join()
        assert router.snapshot.version > before

    shown = [
        total(registry, "cutover_requests_total", flow="pay", backend=side)
        + total(registry, "cutover_synthetic_requests_total", flow="pay", backend=side)
        for side in ("old", "new")
    ]
    assert shown == sides
    assert total(registry, "cutover_calls_total", outcome="ok") == THREADS * EACH * 9 // 10
    assert total(registry, "cutover_call_duration_seconds_count") == THREADS * EACH * 9 // 10
    fleet = control.fleet().totals()
    assert sum(n for counted, n in fleet.items() if counted.kind in ("requests", "synthetic")) == sum(sides)


def test_no_request_meets_a_third_state(control, url, registry):
    """
    While a dial goes between 0% and 100%, each request is on the side of one of the two, for every reason consistent.
    """
    control.set("pay", 0, reason="down")
    over = threading.Event()
    wrong = []

    def work() -> None:
        while not over.is_set():
            decision = pay.decide("user-1")
            if decision.backend != known.get(decision.version, decision.backend):
                wrong.append(decision)

    with cutover.connect(url, registry=registry, cache="off") as router:
        assert router.wait_ready(30)
        pay = router.flow("pay")
        known = {router.snapshot.version: "old"}
        threads = [threading.Thread(target=work) for _ in range(4)]
        with taking_turns():
            for thread in threads:
                thread.start()
            for number in range(20):
                change = control.set("pay", 100 if number % 2 == 0 else 0, reason="swing")
                known[change.version] = "new" if number % 2 == 0 else "old"
            over.set()
            for thread in threads:
                thread.join()

    assert wrong == []


def test_two_routers_on_one_store(control, url, registry):
    """
    Two routers of one process on one store and registry are two instances, and their counts add up.
    """
    routers = [cutover.connect(url, registry=registry, cache="off") for _ in range(2)]
    for router in routers:
        assert router.wait_ready(30)
        for user in range(100):
            router.flow("pay").route(f"user-{user}")
    assert total(registry, "cutover_requests_total") == 200
    for router in routers:
        router.close()

    assert sum(control.fleet().totals().values()) == 200


@pytest.mark.parametrize("cohort", [None, "staff"])
def test_a_dial_is_met_with_its_overrides(cohort):
    """
    A key that no snapshot sends to NEW never goes there, whatever changes meanwhile, with or without a cohort.
    """
    vip, steps = "user-1", 3_000
    down = after(at("browse", 0))
    up = after(
        lambda s: changes.override(s, "browse", vip, cutover.Backend.OLD, secret=SECRET),
        at("browse", PARTS),
        at("browse", PARTS, "staff"),
    )
    flow = Flow("browse", NoticeBoard())
    flow.use(Circumstances(snapshot=down, secret=SECRET))
    over = threading.Event()
    wrong = []

    def work() -> None:
        while not over.is_set():
            if flow.route(vip, cohort) != "old":
                wrong.append(flow.peek(vip, cohort))

    threads = [threading.Thread(target=work) for _ in range(3)]
    with taking_turns():
        for thread in threads:
            thread.start()
        for number in range(steps):
            flow.use(Circumstances(snapshot=(up, down)[number % 2], secret=SECRET))
        over.set()
        for thread in threads:
            thread.join()

    assert wrong == []
