"""
Functions of the application that are told of each snapshot.
"""

import os
import threading
from functools import partial

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

import cutover
import cutover.testing
from cutover.testing.store_helpers import until

PATIENCE = 30  # seconds
SHOP = cutover.testing.router(pay=0).snapshot.definition


@pytest.fixture
def control(tmp_path):
    """
    An operator of a store with one flow.
    """
    with cutover.control(f"sqlite:///{tmp_path}/cutover.db", actor="rina") as control:
        control.apply(SHOP)
        yield control


@pytest.fixture
def router(control, tmp_path):
    """
    A router that follows the store.
    """
    url = f"sqlite:///{tmp_path}/cutover.db"
    with cutover.connect(url, cache="off", registry=CollectorRegistry()) as router:
        assert router.wait_ready(PATIENCE)
        yield router


def moved(control, percent, listener):
    """
    Move the dial, and wait until a listener was told.
    """
    version = control.set("pay", percent, reason="test").version
    return until(lambda: listener.told[-1:] == [version], PATIENCE)


class Listener:
    """
    Remembers what it was told, in which thread, and what held then.
    """

    def __init__(self, router=None):
        self.router = router
        self.told = []
        self.held = []
        self.threads = set()

    def __call__(self, snapshot):
        """
        Listen.
        """
        self.told.append(snapshot.version)
        self.threads.add(threading.current_thread())
        if self.router is not None:
            self.held.append((self.router.snapshot.version, self.router.flow("pay").peek("user-42").version))


def test_each_change(router, control):
    """
    Every listener is called with a new snapshot once it holds for all flows, in a thread of the library's own; not for
    the snapshot that held before.
    """
    first, second = Listener(router), Listener(router)
    router.on_change(first)
    router.on_change(second)

    assert moved(control, 25, second)
    assert moved(control, 50, second)

    assert (first.told, first.held) == ([2, 3], [(2, 2), (3, 3)])
    assert all(thread.name == "cutover-listeners" and thread.daemon for thread in first.threads | second.threads)


def test_the_first_snapshot(control, tmp_path):
    """
    A router that had none takes its first snapshot as a change.
    """
    with cutover.connect("memory:listened", registry=CollectorRegistry()) as router:
        listener = Listener()
        router.on_change(listener)
        with cutover.control("memory:listened", actor="rina") as operator:
            operator.apply(SHOP)

        assert until(lambda: listener.told == [1], PATIENCE)


def test_removed(router, control):
    """
    What `on_change` gives removes the one listener, any number of times, also out of the listener itself.
    """
    once, always, twice = Listener(), Listener(), Listener()

    def only_once(snapshot):
        once(snapshot)
        removers[0]()

    removers = [router.on_change(only_once), router.on_change(twice)]
    router.on_change(twice)
    router.on_change(always)
    removers[1]()
    removers[1]()

    assert moved(control, 25, always)
    assert moved(control, 50, always)

    assert (once.told, twice.told) == ([2], [2, 3])


@pytest.mark.parametrize("error", [KeyError("a user's name"), SystemExit(1), KeyboardInterrupt()])
def test_one_that_raises(router, control, error):
    """
    What a listener raises is logged once with its type and without its text; the others are called all the same.
    """

    def failing(snapshot):
        raise error

    listener = Listener()
    router.on_change(failing)
    router.on_change(listener)

    with capture_logs() as logs:
        assert moved(control, 25, listener)
        assert moved(control, 50, listener)

    raised = [entry for entry in logs if entry["event"] == "cutover.listener_raised"]
    assert [(entry["log_level"], entry["error"]) for entry in raised] == [("error", type(error).__name__)]
    assert "failing" in raised[0]["listener"]
    assert "user" not in str(raised)


def test_one_that_gives_a_coroutine(router, control):
    """
    A listener that gives a coroutine instead of a result has not listened, and that is logged.
    """
    listener = Listener()
    router.on_change(lambda snapshot: coroutine_function(snapshot))  # noqa: PLW0108 - so that it cannot be seen before
    router.on_change(listener)

    with capture_logs() as logs:
        assert moved(control, 25, listener)

    (said,) = [entry["error"] for entry in logs if entry["event"] == "cutover.listener_raised"]
    assert said.startswith("listener gave a coroutine, which has not run yet; allowed: ")


def test_one_that_hangs(router, control):
    """
    While a listener hangs, the router follows its store; afterwards the listener gets the last snapshot alone.
    """
    over, listener = threading.Event(), Listener()

    def hanging(snapshot):
        listener(snapshot)
        over.wait(PATIENCE)

    router.on_change(hanging)
    assert moved(control, 25, listener)
    control.set("pay", 50, reason="test")
    assert until(lambda: router.snapshot.version == 3, PATIENCE)
    control.set("pay", 75, reason="test")
    assert until(lambda: router.snapshot.version == 4, PATIENCE)
    over.set()

    assert until(lambda: listener.told == [2, 4], PATIENCE)


async def coroutine_function(snapshot):
    raise NotImplementedError


def generator_function(snapshot):
    yield snapshot


@pytest.mark.parametrize(
    "wrong", [None, "print", coroutine_function, generator_function, partial(coroutine_function), 42]
)
def test_what_is_no_listener(wrong):
    """
    A listener that a thread cannot call is refused where it is given.
    """
    with pytest.raises(cutover.ConfigurationError, match=r"the listener is .*; allowed: a function made with def"):
        cutover.testing.router(pay="new").on_change(wrong)


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_after_a_fork(router, control):
    """
    Listeners of the parent listen in the child too, also where the fork comes while one hangs in the parent.
    """
    over, begun = threading.Event(), threading.Event()
    reading, writing = os.pipe()
    parent = os.getpid()

    def listener(snapshot):
        if os.getpid() == parent:
            begun.set()
            over.wait(PATIENCE)
        else:
            os.write(writing, f"{snapshot.version}\n".encode())

    router.on_change(listener)
    control.set("pay", 25, reason="test")
    assert begun.wait(PATIENCE)
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        threading.Event().wait(PATIENCE)
        os._exit(0)
    os.close(writing)
    control.set("pay", 50, reason="test")
    with os.fdopen(reading) as told:
        assert told.readline() == "3\n"
    over.set()
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_in_tests_of_applications():
    """
    A router for tests has called its listeners when a dial is set; a listener may set one too.
    """
    router, listener = cutover.testing.router(pay=0), Listener()
    router.on_change(listener)
    router.on_change(lambda snapshot: router.set(pay=50) if snapshot.version == 2 else None)

    router.set(pay=25)

    assert listener.told == [2, 3]
