"""
Processes that route, fork and end in every way; each says at its end what it did, as one line of JSON.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Self

from prometheus_client import CollectorRegistry, generate_latest

import cutover
from cutover.router import fork_hook
from cutover.testing.store_helpers import until

PATIENCE = 30.0  # seconds after which a child counts as hanging; SIGALRM then ends it


def connected(url: str) -> tuple[cutover.Router, CollectorRegistry]:
    """
    Give a router that has a snapshot, and where its metrics are.
    """
    registry = CollectorRegistry()
    router = cutover.connect(url, registry=registry, cache="off")
    assert router.wait_ready(PATIENCE)
    return router, registry


def say(**facts: object) -> None:
    """
    Tell the test.
    """
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def route(router: cutover.Router, number: int) -> None:
    """
    Route that many users, each in one of the ways there are.
    """
    pay = router.flow("pay")
    for user in range(0, number, 2):
        pay.route(f"user-{user}")
        with pay.request(f"user-{user}"):
            pass


def child(work: Callable[[], object]) -> int:
    """
    Fork, and let the child work; it ends without the handlers of its parent, as gunicorn's do after theirs.
    """
    pid = os.fork()
    if pid == 0:
        signal.alarm(int(PATIENCE))
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - a child must never go on with its parent's program
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def codes(pids: list[int]) -> list[int]:
    """
    Wait for children, and give their exit codes.
    """
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


class Busy:
    """
    Threads that route, call and scrape until told to stop, and count what they route.
    """

    def __init__(self, router: cutover.Router, registry: CollectorRegistry) -> None:
        self._router = router
        self._registry = registry
        self._stop = threading.Event()
        self.routed = [0, 0]
        self._threads = [threading.Thread(target=self._route, args=(number,)) for number in range(2)]
        self._threads.append(threading.Thread(target=self._scrape))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _route(self, number: int) -> None:
        while not self._stop.is_set():
            route(self._router, 10)
            self.routed[number] += 10

    def _scrape(self) -> None:
        while not self._stop.is_set():
            generate_latest(self._registry)


def in_traffic(url: str, number: str) -> None:
    """
    Fork that many times while threads route, call and scrape; every child does the same and closes.
    """
    sys.setswitchinterval(1e-5)  # so that forks find threads inside everything that there is to be inside of
    router, registry = connected(url)

    def work() -> None:
        route(router, 100)
        assert b'reason="percent"' in generate_latest(registry)
        router.close()

    with Busy(router, registry) as busy:
        ended = [codes([child(work)])[0] for _ in range(int(number))]
    router.close()
    say(codes=ended, routed=sum(busy.routed) + 100 * int(number))


def dials(url: str) -> None:
    """
    Fork; parent and child each say what side a user is on, whenever it changes to NEW.
    """
    router, _ = connected(url)
    pay = router.flow("pay")
    pid = child(lambda: (until(lambda: pay.route("user-1") == "new"), router.close()))
    say(forked=True)
    parent = until(lambda: pay.route("user-1") == "new")
    ended = codes([pid])
    router.close()
    say(codes=ended, parent=parent)


def identities(url: str) -> None:
    """
    Fork, and fork again in the child: everybody routes and says who it is.
    """
    router, _ = connected(url)
    reader, writer = os.pipe()

    def tell() -> None:
        route(router, 10)
        os.write(writer, f"{router._parts.reporter.instance}\n".encode())

    def work() -> None:
        tell()
        assert codes([child(lambda: (tell(), router.close()))]) == [0]
        router.close()

    route(router, 10)
    ended = codes([child(work)])
    tell()
    router.close()
    os.close(writer)
    with os.fdopen(reader) as lines:
        say(codes=ended, instances=lines.read().split())


def closed_before(url: str) -> None:
    """
    Fork after the router was closed: the child routes by what held, and starts nothing.
    """
    router, _ = connected(url)
    pay = router.flow("pay")
    router.close()

    def work() -> None:
        assert pay.peek("user-1").version > 0
        assert threading.active_count() == 1
        router.close()

    say(codes=codes([child(work)]))


def without_hooks(url: str) -> None:
    """
    Fork without the router's hook, as under uWSGI; the child calls `after_fork` by hand, twice.
    """
    router, _ = connected(url)
    pay = router.flow("pay")
    route(router, 10)

    def work() -> None:
        router.after_fork()
        threads = threading.active_count()
        router.after_fork()
        assert threading.active_count() == threads
        route(router, 20)
        assert until(lambda: pay.peek("user-1").backend == "new")
        router.close()

    fork_hook._alive.clear()
    pid = child(work)
    say(forked=True)
    ended = codes([pid])
    router.close()
    say(codes=ended)


def _job(router: cutover.Router, number: int) -> None:
    route(router, number)


def shown_in_child(url: str) -> None:
    """
    Fork, and let the child say what its gauges show once it has heard from the store itself.
    """
    router, registry = connected(url)
    labels = {"migration": "shop"}

    def healthy() -> bool:
        age = registry.get_sample_value("cutover_snapshot_age_seconds", labels)
        return age is not None and age < 5 and registry.get_sample_value("cutover_store_up", labels) == 1

    def work() -> None:
        follower = router._parts.follower
        began = follower.stepped
        assert until(lambda: follower.stepped > began)
        assert until(healthy)
        router.close()

    ended = codes([child(work)])
    router.close()
    say(codes=ended)


def processes(url: str) -> None:
    """
    Start processes by `multiprocessing`, which run no exit handlers; nobody closes anything in them.
    """
    router, _ = connected(url)
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=_job, args=(router, 100)) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(PATIENCE)
    router.close()
    say(codes=[job.exitcode for job in jobs])


def just_ends(url: str) -> None:
    """
    Route and come to the end of the program, holding nothing but a flow.
    """
    registry = CollectorRegistry()
    pay = cutover.connect(url, registry=registry, cache="off").flow("pay")
    assert until(lambda: pay.peek("user-1").version)
    for user in range(500):
        pay.route(f"user-{user}")
    say(routed=500)


def fails(url: str) -> None:
    """
    Route and end with an exception, while a thread goes on routing.
    """
    router, _ = connected(url)
    threading.Thread(target=lambda: [route(router, 2) for _ in iter(int, 1)], daemon=True).start()
    route(router, 100)
    say(routed=100)
    raise SystemExit(3)


def ended_by_signal(url: str) -> None:
    """
    Close in the handler of a signal that comes in the middle of routing.
    """
    router, _ = connected(url)

    def handler(*_: object) -> None:
        router.close()
        sys.exit(0)

    signal.signal(signal.SIGTERM, handler)
    say(ready=True)
    while True:
        route(router, 10)


def visits(url: str) -> None:
    """
    Enter visits, fork, and go on with them in the child, where dials may have moved since; each says where they are.
    """
    router = cutover.connect(url, registry=CollectorRegistry(), cache="off", secret="s" * 32)
    assert router.wait_ready(PATIENCE)
    purchase, pay = router.journey("purchase"), router.flow("pay")
    users = {f"user-{user}": purchase.enter(f"user-{user}") for user in range(100)}
    before = {user: visit.backend for user, visit in users.items()}
    version = pay.peek("user-1").version
    pid = os.getpid()

    def go_on() -> None:
        assert until(lambda: pay.peek("user-1").version > version)
        for user, visit in users.items():
            again = purchase.enter(user, token=visit.token)
            assert (again.backend, pay.route(again), pay.route(visit)) == (before[user],) * 3
        pay.route("user-1")
        if os.getpid() != pid:
            router.close()

    forked = child(go_on)
    say(sides=sorted({str(side) for side in before.values()}))
    go_on()
    ended = codes([forked])
    router.close()
    say(codes=ended)


def closing_while_forking(url: str) -> None:
    """
    Close routers in one thread while another forks: every child can route and close, and the parent ends.
    """
    ended = []
    for _ in range(20):
        router, _registry = connected(url)
        thread = threading.Thread(target=router.close)
        thread.start()
        ended += codes([child(lambda router=router: (route(router, 10), router.close()))])
        thread.join()
    say(codes=ended)


def follow(url: str) -> None:
    """
    Route on, and answer each line of input with what holds.
    """
    registry = CollectorRegistry()
    router = cutover.connect(url, registry=registry)
    router.wait_ready(PATIENCE)
    say(ready=router.ready)
    for _ in sys.stdin:
        decision = router.flow("pay").decide("user-1")
        say(version=decision.version, backend=decision.backend, regressed=router.regressed)
    router.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
