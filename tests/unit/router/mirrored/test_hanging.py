"""
Mirrored writes whose calls hang: what goes on beside them, and who waits.
"""

import asyncio
import itertools
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cutover.clock import utc_now
from cutover.core.backend import Backend
from cutover.engines.registry import open_outbox
from cutover.engines.sqlite import outbox as sqlite
from cutover.mirror.functions import Functions
from cutover.ports.outbox import Entry, Intent, Rule, State
from cutover.router.mirrored import delivering, work
from cutover.router.mirrored.delivering import Mirror
from cutover.router.mirrored.work import Patience, UnderWay, Work
from cutover.testing import router as router_for_tests
from cutover.testing.store_helpers import until

NUMBERS = itertools.count()
PATIENCE = 30.0
DEADLINE = 10.0
LATE = DEADLINE + work.GRACE + 1


class Gate:
    """
    A back end that keeps its callers until it is opened; which of them is told by the key.
    """

    def __init__(self):
        self.opened = threading.Event()
        self.came = []
        self.took = []

    def __call__(self, key, *, sequence):
        """
        Take a write.
        """
        self.came.append((key, sequence))
        if key.startswith("hangs"):
            assert self.opened.wait(PATIENCE)
        self.took.append((key, sequence))


class Process:
    """
    What one process does with the outbox, step by step: its thread does not run.
    """

    def __init__(self):
        self.outbox = open_outbox(f"memory:hanging-{next(NUMBERS)}")
        self.mirror = Mirror(self.outbox, lambda: "test", lambda *_: None)
        self.mirror.start = lambda: None
        self.gate = Gate()
        self.work = Work(
            rule=Rule(flow="cart", name="cart.add", confirms=True),
            functions=Functions.of("cart.add", self.gate, self.gate, self.has),
            patience=Patience(deadline=DEADLINE),
        )
        self.mirror.add(self.work)
        self.own = self.mirror._own.get()

    def has(self, key, *, sequence, side):
        """
        Tell that a side has a write, as late as it takes one.
        """
        self.gate(f"{key} asked", sequence=sequence)
        return True

    def owes(self, *keys, state=State.PENDING):
        """
        Leave writes that are to be delivered.
        """
        for key in keys:
            entry = entry_of(key)
            intent = self.mirror.record(entry, 30)
            self.mirror.put_back(Intent(id=intent.id, entry=entry, sequence=intent.sequence, state=state))

    def step(self):
        """
        Do what the thread does at one look, until it would pause.
        """
        while self.mirror._step(self.own) == 0:
            pass


def entry_of(key):
    """
    Give what a user wrote.
    """
    return Entry(
        migration="test",
        flow="cart",
        write="cart.add",
        lane=key,
        key=f'"{key}"',
        side=Backend.OLD,
        arguments="[[],{}]",
    )


@pytest.fixture
def process():
    """
    A process with an outbox in memory.
    """
    one = Process()
    yield one
    one.gate.opened.set()
    assert until(lambda: one.own.deliveries == 0)
    one.mirror.close()


@pytest.fixture
def let_pass(monkeypatch):
    """
    Give what lets time pass, on every clock of mirrored writes.
    """
    passed = [0.0]
    for module in (delivering, work):
        monkeypatch.setattr(module, "monotonic", lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(sqlite, "_now", lambda: int((utc_now().timestamp() + passed[0]) * 1000))

    def let_pass(seconds):
        passed[0] += seconds

    return let_pass


@pytest.mark.parametrize("state", [State.PENDING, State.UNKNOWN])
def test_others_go_on(process, let_pass, state):
    """
    Deliveries that hang, also where they ask the authoritative side, keep no place: after the deadline others go on.
    """
    process.owes(*(f"hangs-{number}" for number in range(work.AT_ONCE)), state=state)
    process.owes("user-1")
    process.step()
    assert until(lambda: len(process.gate.came) == work.AT_ONCE)
    process.step()
    assert process.gate.took == []
    let_pass(LATE)
    process.step()

    assert until(lambda: process.gate.took == [("user-1", 1)])


def test_order_behind_what_hangs(process, let_pass):
    """
    Later writes of a key wait for the one that hangs, and follow it in order.
    """
    process.owes("hangs", "hangs", "user-1")
    process.step()
    assert until(lambda: ("user-1", 1) in process.gate.took)
    for _ in range(3):
        let_pass(LATE)
        process.step()
    assert [one for one in process.gate.came if one[0] == "hangs"] == [("hangs", 1)]
    assert process.outbox.shortfalls("test")[0].under_way == 1
    process.gate.opened.set()
    assert until(lambda: process.own.deliveries == 0)
    process.step()

    assert until(lambda: process.gate.took == [("user-1", 1), ("hangs", 1), ("hangs", 2)])


def test_bound(process, let_pass, monkeypatch):
    """
    So many threads may hang and no more; when they are let go, all is delivered.
    """
    monkeypatch.setattr(work, "AT_ONCE", 2)
    monkeypatch.setattr(work, "AT_MOST", 3)
    process.owes(*(f"hangs-{number}" for number in range(5)))
    for expected in (2, 3, 3, 3):
        process.step()
        assert until(lambda expected=expected: len(process.gate.came) == expected)
        assert process.own.deliveries == expected
        let_pass(LATE)
    process.gate.opened.set()
    assert until(lambda: process.own.deliveries == 0)
    process.step()

    assert until(lambda: len(process.gate.took) == 5)
    assert until(lambda: process.outbox.shortfalls("test")[0].backlog == 0)


def test_logged_once(process, let_pass):
    """
    Of each delivery that hangs the log tells once, with its number and nothing of the user.
    """
    process.owes("hangs-1", "hangs-2")
    process.step()
    assert until(lambda: len(process.gate.came) == 2)
    with capture_logs() as logs:
        for _ in range(3):
            let_pass(LATE)
            process.step()

    told = [line for line in logs if line["event"] == "cutover.mirror_hangs"]
    assert sorted(line["id"] for line in told) == sorted(process.own.held)
    assert {(line["flow"], line["write"], line["side"], line["log_level"]) for line in told} == {
        ("cart", "cart.add", "new", "warning")
    }
    assert "hangs-1" not in str(told)


def test_in_time(process, let_pass):
    """
    What ends within its deadline is no word in the log, and no reason not to call.
    """
    process.work.hanging.add(Backend.NEW)
    process.owes("user-1")
    with capture_logs() as logs:
        process.step()
        assert until(lambda: process.own.deliveries == 0)
        let_pass(LATE)
        process.step()

    assert [line for line in logs if line["event"] == "cutover.mirror_hangs"] == []
    assert process.work.hanging == set()


def test_told_once_whatever_goes_well_meanwhile(process, let_pass):
    """
    A call that was told to hang is told no second time when it ends, also where another one went well meanwhile.
    """
    process.owes("hangs")
    with capture_logs() as logs:
        process.step()
        assert until(lambda: process.gate.came)
        let_pass(LATE)
        process.owes("user-1")
        process.step()
        assert until(lambda: process.own.deliveries == 1 and not process.work.hanging)
        process.gate.opened.set()
        assert until(lambda: process.own.deliveries == 0)

    assert [line["event"] for line in logs].count("cutover.mirror_hangs") == 1
    assert process.work.hanging == {Backend.NEW}


def test_an_answer_is_no_write(process):
    """
    A side that hangs when it writes still does so after it has answered whether it has a write.
    """
    process.work.hanging.add(Backend.OLD)
    process.owes("user-1", state=State.UNKNOWN)
    process.step()

    assert until(lambda: process.gate.took == [("user-1 asked", 1), ("user-1", 1)] and process.own.deliveries == 0)
    assert process.work.hanging == {Backend.OLD}


@given(st.lists(st.sampled_from(["on time", "late"]), max_size=100))
def test_room(deliveries):
    """
    Deliveries that hang leave room for others up to the greatest number of threads, and the others are never too many.
    """
    under_way, hung = UnderWay(), deliveries.count("late")
    intent = Intent(id=1, entry=entry_of("user-1"), sequence=1, state=State.PENDING)
    for number, kind in enumerate(deliveries):
        call = work._Call(set(), intent, Backend.NEW, float(number), is_delivery=True, is_late=kind == "late")
        under_way._calls.add(call)
    free = under_way.free(len(deliveries))

    assert free >= 0
    assert free == 0 or len(deliveries) + free <= work.AT_MOST
    assert free == 0 or len(deliveries) - hung + free <= work.AT_ONCE
    assert free > 0 or len(deliveries) >= work.AT_MOST or len(deliveries) - hung >= work.AT_ONCE


@pytest.fixture
def router(monkeypatch):
    """
    A router whose carts live on OLD, and which is quick to see what hangs.
    """
    monkeypatch.setattr(delivering, "POLL", 0.02)
    monkeypatch.setattr(work, "GRACE", 0.0)
    with router_for_tests(cart=0) as one:
        yield one


def test_callers_are_spared(router):
    """
    While a caller's call to the other side hangs, nobody else is made to wait: the thread delivers; and once it has,
    callers call again.
    """
    gate, began, threads = threading.Event(), threading.Event(), {}

    def old(key, *, sequence):
        return f"old {sequence}"

    def new(key, *, sequence):
        threads[key] = threading.current_thread().name
        if key == "hangs":
            began.set()
            assert gate.wait(PATIENCE)

    add = router.flow("cart").write(name="cart.add", old=old, new=new, deadline=0.05)

    def called_by():
        key = f"later-{next(NUMBERS)}"  # one of its own: or it would wait behind what the thread has not delivered
        add(key)
        return threads.get(key)

    with capture_logs() as logs:
        stuck = threading.Thread(target=add, args=("hangs",), name="stuck")
        stuck.start()
        assert began.wait(PATIENCE)
        assert until(lambda: any(line["event"] == "cutover.mirror_hangs" for line in logs))
        assert add("user-1") == "old 1"
        assert until(lambda: "user-1" in threads)
        assert until(lambda: called_by() == threading.current_thread().name)
    gate.set()
    stuck.join(PATIENCE)

    assert threads["user-1"] == "cutover-deliver"
    assert threads["hangs"] == "stuck"
    assert not stuck.is_alive()


class AsyncGate:
    """
    A back end of coroutines that keeps its first callers for ever.
    """

    def __init__(self, hanging):
        self.hanging = hanging
        self.took = []
        self.cancelled = 0

    async def __call__(self, key, *, sequence):
        """
        Take a write, or never.
        """
        if self.hanging:
            self.hanging -= 1
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        self.took.append((key, sequence))
        return "taken"


@pytest.mark.parametrize("hanging", [1, 3])
def test_coroutines_are_cancelled(router, hanging):
    """
    A coroutine for the other side is cancelled at the deadline, in the caller's own call too, and the write is tried
    again until it is taken.
    """
    old, new = AsyncGate(0), AsyncGate(hanging)
    add = router.flow("cart").write(name="cart.add", old=old, new=new, deadline=0.05, longest_pause=0.01)

    async def application():
        assert await asyncio.wait_for(add("user-1"), PATIENCE) == "taken"
        await asyncio.to_thread(until, lambda: new.took)

    asyncio.run(application())

    assert new.took == old.took == [("user-1", 1)]
    assert new.cancelled == hanging


def test_attempts_of_what_hangs(router):
    """
    A coroutine that is cancelled at the deadline counts as an attempt that failed: after enough of them an operator
    decides.
    """
    old, new = AsyncGate(0), AsyncGate(100)
    options = {"deadline": 0.05, "longest_pause": 0.01, "attempts": 3, "outbox": f"memory:hanging-{next(NUMBERS)}"}
    add = router.flow("cart").write(name="cart.add", old=old, new=new, **options)
    outbox = open_outbox(options["outbox"])

    async def application():
        await add("user-1")
        await asyncio.to_thread(until, lambda: outbox.dead("test", 10))

    asyncio.run(application())
    (dead,) = outbox.dead("test", 10)
    outbox.close()

    assert (dead.state, dead.attempts) == (State.UNDELIVERED, 3)
    assert dead.error == "TimeoutError: it did not end within 0.05 s, and was cancelled"
    assert new.cancelled == 3


def test_coroutines_that_hang_are_logged_once(router, monkeypatch):
    """
    However many coroutines of a write are cancelled at the deadline, the log tells once that the other side hangs.
    """
    monkeypatch.setattr(work, "GRACE", PATIENCE)
    old, new = AsyncGate(0), AsyncGate(100)
    options = {"deadline": 0.05, "longest_pause": 0.01, "attempts": 3, "outbox": f"memory:hanging-{next(NUMBERS)}"}
    add = router.flow("cart").write(name="cart.add", old=old, new=new, **options)
    outbox = open_outbox(options["outbox"])

    async def application():
        for number in range(3):
            await add(f"user-{number}")
        await asyncio.to_thread(until, lambda: len(outbox.dead("test", 10)) == 3)

    with capture_logs() as logs:
        asyncio.run(application())
    outbox.close()

    assert [line["event"] for line in logs].count("cutover.mirror_hangs") == 1


def test_the_first_side_has_no_deadline(router):
    """
    The side that the caller wants the answer of is given the time that it needs.
    """

    async def slow(key, *, sequence):
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.1)
        return "at last"

    add = router.flow("cart").write(name="cart.add", old=slow, new=AsyncGate(0), deadline=0.01)

    assert asyncio.run(add("user-1")) == "at last"
