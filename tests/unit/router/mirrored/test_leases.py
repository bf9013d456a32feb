"""
Leases of mirrored writes: what a process may believe about those that it had, and what it does without a thread.
"""

import asyncio
import itertools
import threading
import time

import attrs
import pytest

from cutover.clock import utc_now
from cutover.core.backend import Backend
from cutover.engines.registry import open_outbox
from cutover.engines.sqlite import outbox as sqlite
from cutover.errors import Unavailable
from cutover.mirror.functions import Functions
from cutover.ports.outbox import Entry, Rule, State
from cutover.router.mirrored import delivering
from cutover.router.mirrored.delivering import Mirror
from cutover.router.mirrored.work import Patience, Work
from cutover.router.mirrored.writes import Write
from cutover.testing import router as router_for_tests
from cutover.testing.store_helpers import until

NUMBERS = itertools.count()
PATIENCE = 30.0
ENTRY = Entry(
    migration="test", flow="cart", write="cart.add", lane="1", key='"user-1"', side=Backend.OLD, arguments="[[],{}]"
)


class Process:
    """
    What one process does with the outbox, step by step: its thread does not run.
    """

    def __init__(self, url, delivered):
        self.outbox = open_outbox(url)
        self.mirror = Mirror(self.outbox, lambda: "test", lambda *_: None)

        def write(key, *, sequence):
            delivered.append((key, sequence))

        functions = Functions.of("cart.add", write, write, lambda key, *, sequence, side: True)
        rule = Rule(flow="cart", name="cart.add", confirms=True)
        self.work = Work(rule=rule, functions=functions, patience=Patience(longest_pause=0.01))
        self.mirror.start = lambda: None
        self.mirror.add(self.work)
        self.own = self.mirror._own.get()

    def step(self):
        """
        Do what the thread does at one look.
        """
        self.mirror._step(self.own)

    def change(self, **sides):
        """
        Have a side do something else.
        """
        functions = self.work.functions
        more = {Backend(side): function for side, function in sides.items()}
        self.work.functions = attrs.evolve(functions, sides={**functions.sides, **more})

    def taken_by_another(self):
        """
        Have another process take what is due.
        """
        (intent,) = self.outbox.take("test", [self.work.place], "another", 30, 8)
        return intent


@pytest.fixture
def delivered():
    """
    What the other side got.
    """
    return []


@pytest.fixture
def process(delivered):
    """
    A process with an outbox in memory.
    """
    one = Process(f"memory:leases-{next(NUMBERS)}", delivered)
    yield one
    one.mirror.close()


@pytest.fixture
def clocks(monkeypatch):
    """
    Give what lets time pass, on both clocks that leases are measured by.
    """
    passed = [0.0]
    monkeypatch.setattr(delivering, "monotonic", lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(sqlite, "_now", lambda: int((utc_now().timestamp() + passed[0]) * 1000))

    def let_pass(seconds):
        passed[0] += seconds

    return let_pass


def test_renewed_in_time(process, clocks):
    """
    A lease that is renewed before its end is held on.
    """
    intent = process.mirror.record(ENTRY, 30)
    for _ in range(3):
        clocks(20)
        process.step()

    assert process.mirror.holds(intent)


def test_renewed_too_late(process, clocks):
    """
    A process that slept over the end of its lease does not believe that it holds it once more: another one may.
    """
    intent = process.mirror.record(ENTRY, 30)
    clocks(31)
    process.step()
    process.step()

    assert not process.mirror.holds(intent)


def test_taken_while_it_is_put_back(process, delivered, monkeypatch):
    """
    A write that is put back is delivered by the next look, also where that comes before the call has ended.
    """
    intent = process.mirror.record(ENTRY, 30)
    put_back = process.outbox.put_back

    def put_back_and_look(*arguments):
        put_back(*arguments)
        process.step()

    monkeypatch.setattr(process.outbox, "put_back", put_back_and_look)
    process.mirror.put_back(intent)

    assert until(lambda: delivered == [("user-1", 1)])
    assert until(lambda: not process.own.held)


def test_no_thread_to_be_had(process, delivered, clocks, monkeypatch):
    """
    Where the system gives no thread, a write is not held for ever: after its lease it is delivered.
    """
    process.mirror.put_back(process.mirror.record(ENTRY, 30))
    start = threading.Thread.start

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        process.step()
    monkeypatch.setattr(threading.Thread, "start", start)
    clocks(31)
    process.step()

    assert until(lambda: delivered == [("user-1", 1)])
    assert until(lambda: process.own.deliveries == 0)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_interrupted_at_the_outbox(interrupt, monkeypatch):
    """
    What ends the program ends it also while the outbox is told that both sides have the write.
    """
    with router_for_tests(cart=0) as router:
        calls = []

        def write(key, *, sequence):
            calls.append(sequence)

        add = router.flow("cart").write(name="cart.add", old=write, new=write)

        def interrupted(*_):
            raise interrupt

        monkeypatch.setattr(Mirror, "done", interrupted)
        with pytest.raises(interrupt):
            add("user-1")

    assert calls == [1, 1]


def test_state_of_a_late_call(process, clocks):
    """
    A call that ends after its lease leaves its write in the outbox as pending.
    """
    intent = process.mirror.record(ENTRY, 30)
    clocks(31)
    process.step()
    process.mirror.put_back(attrs.evolve(intent, state=State.PENDING), 60.0)
    (lack,) = process.outbox.shortfalls("test")

    assert (lack.backlog, lack.lacks[Backend.NEW]) == (1, 1)


def test_a_call_that_outlives_its_lease(process, delivered, clocks):
    """
    A call that finds its lease gone leaves its write to the queue, and enters it anew where it was dropped meanwhile.
    """

    def slow(key, *, sequence):
        clocks(31)
        process.outbox.done(process.taken_by_another())

    process.change(old=slow)
    with router_for_tests(cart=0) as router:
        Write(router.flow("cart"), process.mirror, process.work, ())("user-1")
    by_the_call = list(delivered)
    process.step()

    assert by_the_call == []
    assert until(lambda: delivered == [("user-1", 1)])


def test_nothing_beside_a_call_that_goes_on(process, delivered, clocks):
    """
    What another process took from a call of this one, and left behind, is not delivered while that call goes on.
    """
    process.mirror.record(ENTRY, 30)
    clocks(31)
    process.taken_by_another()
    clocks(31)
    process.step()

    assert until(lambda: process.own.deliveries == 0)
    assert delivered == []


def test_asking_uses_up_no_attempt(process):
    """
    How often the first side could not be asked is not counted against the other one.
    """
    failures = []

    def refuse(key, *, sequence):
        failures.append(sequence)
        raise OSError

    process.change(new=refuse)
    intent = process.mirror.record(ENTRY, 30)
    process.mirror.put_back(attrs.evolve(intent, state=State.UNKNOWN, attempts=process.work.patience.attempts - 1))
    process.step()

    assert until(lambda: failures and process.own.deliveries == 0)
    assert list(process.outbox.dead("test", 1)) == []


@pytest.mark.parametrize(("step", "failure"), [("record", Unavailable("away")), ("done", None)])
def test_cancelled_at_the_outbox(step, failure, monkeypatch):
    """
    A task that is cancelled while its write waits for the outbox is cancelled, whatever else has failed.
    """

    async def refuse(key, *, sequence):
        raise ValueError(key, sequence)

    async def cancelled(router):
        loop, reached, goes_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def slow(*_):
            loop.call_soon_threadsafe(reached.set)
            assert goes_on.wait(PATIENCE)
            if failure is not None:
                raise failure

        add = router.flow("cart").write(name="cart.add", old=refuse, new=refuse, refused=ValueError)
        with monkeypatch.context() as patch:
            patch.setattr(Mirror, step, slow)
            task = asyncio.create_task(add("user-1"))
            await asyncio.wait_for(reached.wait(), PATIENCE)
            task.cancel()
            loop.call_soon(goes_on.set)
            await asyncio.wait((task,), timeout=PATIENCE)
        return task.cancelled()

    with router_for_tests(cart=0) as router:
        assert asyncio.run(cancelled(router))
