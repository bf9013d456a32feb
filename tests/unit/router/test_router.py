"""
A router from its making to its end.
"""

import asyncio
import gc
import threading
import weakref

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from routers import ScriptedStore, after, events, reading, samples, totals
from strategies import at
from structlog.testing import capture_logs

import cutover
from cutover.core.bucketing import PARTS
from cutover.errors import Unavailable
from cutover.testing.store_helpers import until

NEW = after(at("browse", PARTS), at("purchase", PARTS))


@pytest.fixture
def store():
    """
    A store that has everything on NEW.
    """
    return ScriptedStore(reading(NEW))


@pytest.fixture
def registry():
    """
    Where the router of the test shows its metrics.
    """
    return CollectorRegistry()


@pytest.fixture
def router(store, registry):
    """
    A router that follows it.
    """
    router = cutover.connect(store, registry=registry)
    assert router.wait_ready(10)
    yield router
    router.close()


def ours() -> set[threading.Thread]:
    """
    Give the threads of routers.
    """
    names = ("cutover-follower", "cutover-housekeeper")
    return {thread for thread in threading.enumerate() if thread.name in names}


def test_threads_end_with_it(store):
    """
    A router has its threads from connect to close, and none after.
    """
    before = ours()
    router = cutover.connect(store, registry=CollectorRegistry())
    assert len(ours() - before) == 2
    router.close()

    assert until(lambda: ours() <= before)


def test_threads_are_daemons(router):
    """
    A program that forgets to close a router ends all the same.
    """
    assert all(thread.daemon for thread in ours())


def test_close_twice(router, store):
    """
    Closing again does nothing: there is one last check-in.
    """
    router.close()
    router.close()

    assert [report.closing for report in store.reports].count(True) == 1


def test_a_block(store):
    """
    A router is a context manager that closes itself, also where the block fails.
    """

    def fail():
        with cutover.connect(store, registry=CollectorRegistry()) as router:
            assert router.wait_ready(10)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert store.reports[-1].closing


def test_routes_after_the_end(store):
    """
    Handles route on after the end by what held last, and what they count is still shown.
    """
    registry = CollectorRegistry()
    router = cutover.connect(store, registry=registry)
    assert router.wait_ready(10)
    pay = router.flow("pay")
    pay.route("user-1")
    router.close()
    del router
    gc.collect()
    pay.route("user-1")

    assert pay.route("user-1") == "new"
    assert samples(registry, "cutover_requests_total")["pay", "new", "percent"] == 3


def test_only_a_flow_is_held(store):
    """
    A router of which a program holds no more than a flow lives on: it still follows its store.
    """
    pay = cutover.connect(store, registry=CollectorRegistry()).flow("pay")
    gc.collect()
    assert until(lambda: pay.peek("user-1").backend == "new")

    from cutover.router.fork_hook import _alive

    gc.collect()
    routers = [one for one in tuple(_alive) if isinstance(one, cutover.Router)]
    [router] = [one for one in routers if one._parts.follower.source is store]
    router.close()


def test_a_closed_router_is_freed(store):
    """
    Nothing keeps a router that was closed.
    """
    router = cutover.connect(store, registry=CollectorRegistry())
    router.close()
    reference = weakref.ref(router)
    del router

    def gone() -> bool:
        gc.collect()
        return reference() is None

    assert until(gone)


class Hanging(ScriptedStore):
    """
    A store that does not answer until the test ends.
    """

    def __init__(self, *answers):
        super().__init__(*answers)
        self.hangs = threading.Event()
        self.over = threading.Event()

    def read(self, migration, *, seen=None):
        """
        Hang, once told to.
        """
        if self.hangs.is_set():
            self.over.wait(60)
            raise Unavailable("too late")
        return super().read(migration, seen=seen)

    def check_in(self, migration, report, *, now):
        """
        Hang, once told to.
        """
        if self.hangs.is_set():
            self.over.wait(60)
        super().check_in(migration, report, now=now)


@pytest.fixture
def hanging():
    """
    A store that a test lets hang; it is let go at the end.
    """
    store = Hanging(reading(NEW))
    yield store
    store.over.set()


def test_close_does_not_wait_for_a_store_that_hangs(hanging):
    """
    A store that hangs does not hold up the end: what it was not told is logged, and the counts are shown.
    """
    registry = CollectorRegistry()
    router = cutover.connect(hanging, registry=registry)
    assert router.wait_ready(10)
    router.flow("pay").route("user-1")
    hanging.hangs.set()
    with capture_logs() as logs:
        closing = threading.Thread(target=router.close, daemon=True)
        closing.start()
        closing.join(30)
        assert not closing.is_alive()

    assert "cutover.closed_without_store" in events(logs)
    assert samples(registry, "cutover_requests_total")["pay", "new", "percent"] == 1


def test_break_glass_is_obeyed_while_the_store_hangs(hanging, tmp_path):
    """
    The operators' way without the store needs no store: not even an answer of it.
    """
    path = tmp_path / "glass.toml"
    router = cutover.connect(hanging, registry=CollectorRegistry(), break_glass=path)
    assert router.wait_ready(10)
    pay = router.flow("pay")
    hanging.hangs.set()
    assert pay.route("user-1") == "new"

    path.write_text('"*" = "old"\n')
    assert until(lambda: pay.peek("user-1").reason == "break_glass")
    assert pay.route("user-1") == "old"
    path.unlink()
    assert until(lambda: pay.peek("user-1").backend == "new")
    hanging.over.set()
    router.close()


def test_after_fork_in_the_parent_does_nothing(router):
    """
    The method for servers without fork hooks may be called anywhere, any number of times.
    """
    pay = router.flow("pay")
    pay.route("user-1")
    before = ours()
    router.after_fork()
    router.after_fork()

    assert ours() == before
    assert totals(pay) == {("requests", "pay", "new", "percent"): 1}


@pytest.mark.parametrize("name", ["", "\ud800", "a\0b", "pay " * 9, 5, None, cutover.Backend.NEW])
def test_odd_names_of_flows(router, store, registry, name):
    """
    A flow by a name that no migration can have is unknown: it goes to OLD, and breaks neither scrape nor check-in.
    """
    assert router.flow(name).decide("user-1")[1:3] == ("old", "default")
    assert generate_latest(registry)
    router.close()
    assert store.reports[-1].closing
    store.reports[-1].encode()


def test_wait_ready_gives_up(hanging):
    """
    Waiting for a snapshot ends with the time that was given, and says that there is none.
    """
    hanging.hangs.set()
    router = cutover.connect(hanging, registry=CollectorRegistry())
    assert router.wait_ready(0.01) is False
    assert asyncio.run(router.wait_ready_async(0.01)) is False
    assert (router.ready, router.snapshot, router.regressed) == (False, None, False)

    hanging.hangs.clear()
    hanging.over.set()
    assert asyncio.run(router.wait_ready_async(10)) is True
    assert router.wait_ready(10) is True
    router.close()


def test_waited_in_vain(hanging):
    """
    That nothing holds yet is logged once, by a background thread, however often and in whatever way somebody waited.
    """
    hanging.hangs.set()
    with capture_logs() as logs:
        router = cutover.connect(hanging, registry=CollectorRegistry())
        router.wait_ready(0.01)
        router.wait_ready(0.01)
        asyncio.run(router.wait_ready_async(0))
        router.close()
        assert until(lambda: "cutover.not_ready" in events(logs))

    (entry,) = [entry for entry in logs if entry["event"] == "cutover.not_ready"]
    assert (entry["log_level"], entry["meaning"]) == ("warning", "every flow goes to OLD until there is a snapshot")
