"""
Mirrored writes as the application calls them: which side is called when, and what the caller gets.
"""

import asyncio
import itertools
import sqlite3
import threading
import traceback
from contextlib import contextmanager
from contextvars import copy_context

import pytest
from routers import totals
from structlog.testing import capture_logs

import cutover
from cutover.core.backend import Backend
from cutover.core.comparison import NotComparable
from cutover.errors import ConfigurationError, Unavailable
from cutover.ports.outbox import State
from cutover.router.current import enter_shadow
from cutover.router.mirrored import delivering
from cutover.router.mirrored.writes import AsyncWrite, Write
from cutover.testing import router as router_for_tests
from cutover.testing.store_helpers import until

NUMBERS = itertools.count()
PATIENCE = 30.0


def error_from(error, cause):
    """
    Give an error that another one caused.
    """
    error.__cause__ = cause
    return error


class Side:
    """
    A back end that remembers what it took, and fails as it is told.
    """

    def __init__(self, name, calls):
        self.name = name
        self.calls = calls
        self.took = []
        self.failures = []

    def __call__(self, key, *args, sequence, **kwargs):
        """
        Take a write once, or fail.
        """
        self.calls.append(self.name)
        if self.failures:
            failure = self.failures.pop(0)
            if callable(failure):
                failure()
            if isinstance(failure, BaseException):
                raise failure
        if (key, sequence) not in [taken[:2] for taken in self.took]:
            self.took.append((key, sequence, args, kwargs))
        return f"{self.name} {sequence}"

    def has(self, key, *_, sequence, **__):
        """
        Tell whether a write is here.
        """
        self.calls.append(f"confirm {self.name}")
        return (key, sequence) in [taken[:2] for taken in self.took]


class AsyncSide(Side):
    """
    A back end of coroutines.
    """

    async def __call__(self, *args, **kwargs):
        """
        Take a write once, or fail.
        """
        await asyncio.sleep(0)
        return Side.__call__(self, *args, **kwargs)

    async def has(self, *args, **kwargs):
        """
        Tell whether a write is here.
        """
        return Side.has(self, *args, **kwargs)


class Shop:
    """
    A router of a test, with two back ends.
    """

    def __init__(self, **dials):
        self.router = router_for_tests(**dials)
        self.flow = self.router.flow("cart")
        self.calls = []
        self.old, self.new = Side("old", self.calls), Side("new", self.calls)

    def write(self, **options):
        """
        Build the write.
        """
        given = {"name": "cart.add", "old": self.old, "new": self.new, "longest_pause": 0.01, **options}
        return self.flow.write(**given)

    def confirmed_write(self, **options):
        """
        Build it so that OLD can be asked.
        """
        return self.write(confirm=self.old.has, **options)

    def backlog(self):
        """
        Give backlog and dead letters.
        """
        outbox = self.outbox()
        (one,) = outbox.shortfalls("test")
        return (one.backlog, one.dead)

    def is_on_record(self):
        """
        Tell whether the outbox is made and knows the write, which a thread of its own sees to.
        """
        try:
            return len(self.outbox().shortfalls("test")) == 1
        except Unavailable:
            return False

    def outbox(self):
        """
        Give the outbox.
        """
        (mirror,) = self.router._writing._writes._mirrors.values()
        return mirror.outbox

    def settled(self, *expected):
        """
        Wait until backlog and dead letters are as expected.
        """
        return until(lambda: self.backlog() == expected)


@pytest.fixture
def shop():
    """
    A shop whose carts live on OLD.
    """
    one = Shop(cart=0)
    yield one
    one.router.close()


@contextmanager
def opened(**dials):
    """
    Another shop.
    """
    one = Shop(**dials)
    try:
        yield one
    finally:
        one.router.close()


def test_both_sides(shop):
    """
    A call reaches the side that its key is routed to, and then the other one, with the same sequence; the caller gets
    what the first returned.
    """
    add = shop.write()

    assert add("user-1", {"sku": 7}, count=2) == "old 1"
    assert shop.calls == ["old", "new"]
    assert shop.old.took == shop.new.took == [("user-1", 1, ({"sku": 7},), {"count": 2})]
    assert shop.backlog() == (0, 0)


def test_no_comparison_writes(shop):
    """
    A write that a comparison makes is refused before any side is called: the user's own call has written already.
    """
    add = shop.write()

    def compared():
        enter_shadow()
        return add("user-1", {"sku": 7})

    with pytest.raises(NotComparable, match=r"the mirrored write 'cart\.add'"):
        copy_context().run(compared)

    assert until(shop.is_on_record)
    assert (shop.calls, shop.backlog()) == ([], (0, 0))
    assert add("user-1", {"sku": 7}) == "old 1"


def test_new_is_authoritative():
    """
    Where the dial sends the key to NEW, NEW is called first.
    """
    with opened(cart=100) as shop:
        assert shop.write()("user-1", 1) == "new 1"
        assert shop.calls == ["new", "old"]


def test_home(shop):
    """
    A thing that lives on NEW is written there first, whatever the dial says.
    """
    add = shop.write()
    add("user-1", 1, home="new")
    add("user-1", 1, home=Backend.OLD)

    assert shop.calls == ["new", "old", "old", "new"]


@contextmanager
def visited(**options):
    """
    Give a router whose cart is on NEW and in a journey, and a visit there.
    """
    flows = {"cart": cutover.core.migration.Flow(name="cart")}
    journeys = {"purchase": cutover.core.migration.Journey(name="purchase", flows=("cart",), together=True)}
    definition = cutover.Migration(
        name="test", title="Test", old="a", new="b", salt="test", flows=flows, journeys=journeys
    )
    router = router_for_tests(definition, cart=100)
    yield router, router.journey("purchase").enter("user-1", **options)
    router.close()


def test_visit():
    """
    A visit stands where a key stands: its side is called first, and the functions get its key.
    """
    calls = []
    old, new = Side("old", calls), Side("new", calls)
    with visited() as (router, visit):
        router.set(cart=0)
        router.flow("cart").write(name="cart.add", old=old, new=new)(visit, 1)

    assert calls == ["new", "old"]
    assert old.took == [("user-1", 1, (1,), {})]


@pytest.mark.parametrize("kind", [Side, AsyncSide])
def test_load_tests_are_no_calls(kind):
    """
    A write of a visit that a load test is on reaches both sides, and is counted as the load test's, however it ends.
    """
    old, new = kind("old", []), kind("new", [])
    with visited(synthetic=True) as (router, visit):
        cart = router.flow("cart")
        add = cart.write(name="cart.add", old=old, new=new)
        made = [add(visit, 1)] if kind is Side else [asyncio.run(add(visit, 1))]
        new.failures = [ValueError("sold out")]
        with pytest.raises(ValueError, match="sold out"):
            made.append(add(visit, 1) if kind is Side else asyncio.run(add(visit, 1)))

    assert (made, old.took) == (["new 1"], new.took)
    assert totals(cart) == {("synthetic", "cart", "new", ""): 2}


def test_counted(shop):
    """
    A write counts one decision and one call with its outcome, of the authoritative side.
    """
    add = shop.write(refused=ValueError)
    add("user-1", 1)
    shop.old.failures = [ValueError("no"), TimeoutError("late"), KeyboardInterrupt()]
    for error in (ValueError, TimeoutError, KeyboardInterrupt):
        with pytest.raises(error):
            add("user-2", 1)
    calls = {cell: cells.total for cell, cells in shop.flow.cells.calls.items() if cells.total}

    assert calls == {(Backend.OLD, outcome): 1 for outcome in ("ok", "error", "unknown", "cancelled")}
    assert sum(cell.total for cell in shop.flow.cells if cell.counted.kind == "requests") == 4


def test_definite_failure(shop):
    """
    What the authoritative side refused never reaches the other one, and is forgotten; its sequence is not used again.
    """
    add = shop.write(refused=ValueError)
    shop.old.failures = [ValueError("sold out")]
    with pytest.raises(ValueError, match="sold out") as caught:
        add("user-1", 1)
    add("user-1", 2)

    assert shop.calls == ["old", "old", "new"]
    assert shop.new.took == [("user-1", 2, (2,), {})]
    assert "__call__" in "".join(traceback.format_tb(caught.tb))
    assert caught.value.__cause__ is None
    assert shop.backlog() == (0, 0)


def test_stop_iteration(shop):
    """
    Also an exception that means something to generators reaches the caller as it is.
    """
    shop.old.failures = [StopIteration("none left")]

    with pytest.raises(StopIteration, match="none left"):
        shop.write()("user-1", 1)


@pytest.mark.parametrize("error", [TimeoutError("late"), ConnectionResetError("gone"), KeyboardInterrupt()])
def test_unknown_that_happened(shop, error):
    """
    After a failure that leaves the outcome unknown the authoritative side is asked; what it has the other one gets.
    """
    add = shop.confirmed_write()
    shop.old.took.append(("user-1", 1, (1,), {}))  # written, and the answer was lost
    shop.old.failures = [error]
    with pytest.raises(type(error)):
        add("user-1", 1)

    assert shop.settled(0, 0)
    assert shop.calls == ["old", "confirm old", "new"]
    assert shop.new.took == [("user-1", 1, (1,), {})]


def test_unknown_that_did_not_happen(shop):
    """
    What the authoritative side says that it does not have never reaches the other one.
    """
    add = shop.confirmed_write()
    shop.old.failures = [TimeoutError("late")]
    with pytest.raises(TimeoutError):
        add("user-1", 1)

    assert shop.settled(0, 0)
    assert shop.calls == ["old", "confirm old"]


REFUSALS = {
    "a refusal": (LookupError("none left"), True),
    "of a class below": (KeyError("none left"), True),
    "a group of refusals": (ExceptionGroup("two", [KeyError(1), ExceptionGroup("one", [LookupError(2)])]), True),
    "a group of something else too": (ExceptionGroup("two", [KeyError(1), OSError("no route")]), False),
    "a timeout": (TimeoutError("late"), False),
    "any other one": (ValueError("who knows"), False),
    "with a refusal as its cause": (error_from(ValueError("who knows"), KeyError("none left")), False),
}


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(shop, name, asks):
    """
    What `refused` names proves that the side did nothing; after any other exception it is asked, or an operator is.
    """
    error, is_refusal = REFUSALS[name]
    add = shop.write(refused=LookupError, confirm=shop.old.has if asks else None)
    shop.old.failures = [error]
    with pytest.raises(type(error)):
        add("user-1", 1)

    left = (0, 0) if is_refusal or asks else (1, 1)
    assert shop.settled(*left)
    assert shop.calls == ["old", *(["confirm old"] if asks and not is_refusal else [])]


@pytest.mark.parametrize("more", [{}, {"refused": ValueError}, {"confirm": lambda *_, sequence, side: True}])
def test_nothing_to_go_by(shop, more):
    """
    A write with neither `confirm` nor `refused` is logged once, with what that means.
    """
    with capture_logs() as logs:
        shop.write(**more)
    said = [line for line in logs if line["event"] == "cutover.write_unconfirmable"]

    assert [(line["flow"], line["write"]) for line in said] == ([] if more else [("cart", "cart.add")])
    assert all("an operator has to decide" in line["means"] for line in said)


@pytest.mark.parametrize("happened", [True, False])
def test_clients_with_timeouts_of_their_own(shop, happened):
    """
    Where it can be asked, the authoritative side is asked after any exception: a client's timeout may look like a
    refusal.
    """

    class ReadTimeout(Exception):
        """
        Of a client.
        """

    add = shop.confirmed_write()
    if happened:
        shop.old.took.append(("user-1", 1, (1,), {}))
    shop.old.failures = [ReadTimeout("late")]
    with pytest.raises(ReadTimeout):
        add("user-1", 1)

    assert shop.settled(0, 0)
    assert shop.calls == ["old", "confirm old", *(["new"] if happened else [])]


def test_nobody_to_ask(shop):
    """
    Without `confirm` an unknown outcome waits for an operator, and so do later writes of its key alone.
    """
    add = shop.write()
    shop.old.failures = [TimeoutError("late")]
    with capture_logs() as logs:
        with pytest.raises(TimeoutError):
            add("user-1", 1)
        assert shop.settled(1, 1)
    assert add("user-1", 2) == "old 2"
    add("user-2", 1)

    assert shop.settled(2, 1)
    assert [taken[0] for taken in shop.new.took] == ["user-2"]
    (dead,) = shop.outbox().dead("test", 10)
    assert dead.state is State.UNCONFIRMED
    assert [(line["event"], line["id"], line["state"]) for line in logs] == [
        ("cutover.mirror_dead_letter", dead.id, "unconfirmed")
    ]


def test_confirm_is_told_which_side(shop):
    """
    It is asked about the side that the write went to first, wherever the flow has moved since.
    """
    asked = []

    def confirm(key, *_, sequence, side):
        asked.append(side)
        return True

    def moved():
        shop.router.set(cart=100)
        raise TimeoutError("late")

    add = shop.write(confirm=confirm)
    shop.old.failures = [moved]
    with pytest.raises(TimeoutError):
        add("user-1", 1)
    assert shop.settled(0, 0)

    assert asked == ["old"]
    assert len(shop.new.took) == 1


def test_confirm_that_raises(shop):
    """
    Where the authoritative side does not answer it is asked again, and at last an operator.
    """
    asked = []

    def confirm(key, *_, sequence, side):
        asked.append(sequence)
        if len(asked) < 3:
            raise OSError("no route")
        return len(asked) == 3

    add = shop.write(confirm=confirm, attempts=3)
    shop.old.failures = [TimeoutError("late")]
    with pytest.raises(TimeoutError):
        add("user-1", 1)
    assert shop.settled(0, 0)
    assert len(shop.new.took) == 1

    asked.clear()
    with opened(cart=0) as other:
        add = other.write(confirm=lambda *_, sequence, side: 1 / 0, attempts=3)
        other.old.failures = [TimeoutError("late")]
        with pytest.raises(TimeoutError):
            add("user-1", 1)
        assert other.settled(1, 1)
        (dead,) = other.outbox().dead("test", 10)
        assert (dead.state, dead.attempts, dead.error) == (State.UNCONFIRMED, 3, "ZeroDivisionError: division by zero")


def test_other_side_fails(shop):
    """
    A failure of the other side is not the caller's: it is tried again until it has the write.
    """
    add = shop.write()
    shop.new.failures = [ValueError("no"), SystemExit(1), TimeoutError("late")]

    assert add("user-1", 1) == "old 1"
    assert shop.settled(0, 0)
    assert shop.calls == ["old", *["new"] * 4]


def test_a_thousand_failures(shop):
    """
    A second write that fails a thousand times is made at last, in its order.
    """
    add = shop.write(attempts=2000, longest_pause=0.0001)
    shop.new.failures = [OSError("no route")] * 1000
    for item in range(3):
        add("user-1", item)

    assert shop.settled(0, 0)
    assert shop.calls.count("new") == 1003
    assert [taken[1] for taken in shop.new.took] == [1, 2, 3]


def test_order(shop):
    """
    A write whose key has an undelivered one waits behind it; another key does not.
    """
    opened_again = threading.Event()
    add = shop.write(attempts=1000)
    shop.new.failures = [OSError("no route"), lambda: opened_again.wait(PATIENCE)]
    for item in range(5):
        add("user-1", item)
    assert until(lambda: not shop.new.failures)
    add("user-2", 0)
    assert ("user-2", 1, (0,), {}) in shop.new.took
    opened_again.set()

    assert shop.settled(0, 0)
    assert [taken[2][0] for taken in shop.new.took if taken[0] == "user-1"] == [0, 1, 2, 3, 4]


def test_order_over_writes(shop):
    """
    All writes of a flow and key keep their order, whatever their names.
    """
    add, remove = shop.write(), shop.write(name="cart.remove")
    shop.new.failures = [OSError("no route")]
    add("user-1", "apple")
    remove("user-1", "apple")

    assert until(lambda: len(shop.new.took) == 2)
    assert [taken[1] for taken in shop.new.took] == [1, 2]


def test_dead_letter(shop):
    """
    What the other side refused too often waits for an operator, and is delivered when the operator says so.
    """
    add = shop.write(attempts=2)
    shop.new.failures = [ValueError("of user-1"), ValueError("of user-1")]
    with capture_logs() as logs:
        add("user-1", 1)
        add("user-1", 2)
        assert shop.settled(2, 1)
    assert [line for line in logs if "user-1" in str(line)] == []
    mirrors = cutover.operations.mirroring.Mirrors(shop.outbox().url)
    mirrors.retry("test", None, actor="rina", reason="fixed", at=cutover.clock.utc_now())

    assert shop.settled(0, 0)
    assert [taken[1] for taken in shop.new.took] == [1, 2]


def test_dial_that_moves(shop):
    """
    What is undelivered keeps the sides that it was made for when the dial moves; what comes after goes behind it.
    """
    opened_again = threading.Event()
    add = shop.write()
    shop.new.failures = [OSError("no route"), lambda: opened_again.wait(PATIENCE)]
    add("user-1", "before")
    assert until(lambda: not shop.new.failures)
    shop.router.set(cart=100)
    assert add("user-1", "after") == "new 2"
    opened_again.set()

    assert shop.settled(0, 0)
    assert sorted(taken[1:3] for taken in shop.old.took) == [(1, ("before",)), (2, ("after",))]
    assert sorted(taken[1:3] for taken in shop.new.took) == [(1, ("before",)), (2, ("after",))]


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (lambda add: add("", 1), "the key is empty"),
        (lambda add: add(None, 1), "the key is of the type NoneType"),
        (lambda add: add("user-1", {1, 2}), "argument 1 holds a set"),
        (lambda add: add("user-1", item=b""), "argument 'item' holds a bytes"),
        (lambda add: add("user-1", sequence=1), "'sequence' has a meaning"),
    ],
)
def test_wrong_call(shop, call, wrong):
    """
    What cannot be kept is an error before anything happens.
    """
    with pytest.raises(ConfigurationError, match=wrong):
        call(shop.write())

    assert shop.calls == []


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"name": "Cart Add"}, "the write's name"),
        ({"name": 7}, "the write's name"),
        ({"allowed_backlog": -1}, "allowed_backlog is -1"),
        ({"attempts": 0}, "attempts is 0"),
        ({"longest_pause": 0}, "longest_pause is 0"),
        ({"lease": float("nan")}, "lease is nan"),
        ({"deadline": 0}, "deadline is 0"),
        ({"deadline": None}, "deadline is None"),
        ({"refused": (ValueError("no class"),)}, "refused holds ValueError.*; allowed: classes of exceptions"),
        ({"refused": KeyboardInterrupt}, "refused holds <class 'KeyboardInterrupt'>"),
        ({"outbox": "redis://localhost"}, "cannot keep an outbox"),
        ({"outbox": "https://relay"}, "cannot keep an outbox"),
        ({"outbox": sqlite3}, "the outbox is a module"),
        ({"outbox": "sqlite:///"}, "sqlite:///relative/path.db"),
    ],
)
def test_wrong_options(shop, options, wrong):
    """
    What can never work is an error when the write is built, with what is allowed.
    """
    with pytest.raises(ConfigurationError, match=wrong):
        shop.write(**options)


def test_same_name(shop):
    """
    Two writes of a flow have two names: what is undelivered is kept under it.
    """
    shop.write()

    with pytest.raises(ConfigurationError, match=r"has a write 'cart\.add' already"):
        shop.write()


def test_stores_that_keep_no_outbox(monkeypatch, tmp_path):
    """
    With a store that cannot keep an outbox, a write says where to name one; CUTOVER_OUTBOX does.
    """
    monkeypatch.delenv("CUTOVER_OUTBOX", raising=False)
    with cutover.connect(f"file:{tmp_path}/rollout.toml", migration="shop", cache="off") as router:
        flow = router.flow("cart")
        with pytest.raises(ConfigurationError, match=r"write\(outbox=URL\) or CUTOVER_OUTBOX"):
            flow.write(name="cart.add", old=dict, new=dict)
        monkeypatch.setenv("CUTOVER_OUTBOX", f"memory:writes-{next(NUMBERS)}")
        assert isinstance(flow.write(name="cart.add", old=dict, new=dict), Write)


def test_outside_a_router():
    """
    A flow that belongs to no router has nowhere to keep writes.
    """
    flow = cutover.Flow("cart", cutover.router.notices.NoticeBoard())

    with pytest.raises(ConfigurationError, match="belongs to no router"):
        flow.write(name="cart.add", old=dict, new=dict)


def test_no_snapshot_yet(tmp_path):
    """
    Before the migration's name is known nothing is written, and neither side is called.
    """
    calls = []
    with cutover.connect(f"sqlite:///{tmp_path}/none.db", cache="off") as router:
        add = router.flow("cart").write(name="cart.add", old=Side("old", calls), new=Side("new", calls))
        with pytest.raises(Unavailable, match="nothing was read from the store yet"):
            add("user-1", 1)

    assert calls == []


def test_outbox_away(tmp_path):
    """
    While the outbox cannot be reached, a write says so and calls no side.
    """
    router = router_for_tests(cart=0)
    calls = []
    sides = {"old": Side("old", calls), "new": Side("new", calls)}
    with capture_logs() as logs:
        add = router.flow("cart").write(name="cart.add", **sides, outbox=f"sqlite:///{tmp_path}/no/outbox.db")
        with pytest.raises(Unavailable):
            add("user-1", 1)
        assert until(lambda: any(line["event"] == "cutover.mirror_unavailable" for line in logs))
    router.close()

    assert calls == []


def test_outbox_lost_in_between(shop):
    """
    An outbox that goes away during a call is told how it ended when it is back; the caller notices nothing.
    """
    add = shop.write()
    outbox = shop.outbox()
    done, failures = outbox.done, [Unavailable("away"), Unavailable("away")]

    def failing(intent):
        if failures:
            raise failures.pop()
        done(intent)

    outbox.done = failing
    with capture_logs() as logs:
        assert add("user-1", 1) == "old 1"
        assert until(lambda: outbox.record is not None and not failures and shop.backlog() == (0, 0))

    assert shop.calls == ["old", "new"]
    assert "cutover.mirror_unsettled" in [line["event"] for line in logs]


def test_gauges(shop, monkeypatch):
    """
    Backlog and lag are shown by flow.
    """
    monkeypatch.setattr(delivering, "COUNT_EVERY", 0.0)
    add = shop.write(attempts=1)
    shop.new.failures = [ValueError("no")]
    add("user-1", 1)
    value = shop.router.registry.get_sample_value
    labels = {"migration": "test", "flow": "cart"}

    assert until(lambda: value("cutover_mirror_backlog", labels) == 1)
    assert value("cutover_mirror_lag_seconds", labels) >= 0


def test_gauges_of_several_outboxes(shop, monkeypatch):
    """
    What a flow lacks in one outbox is added to what it lacks in another, and hides nothing of it.
    """
    monkeypatch.setattr(delivering, "COUNT_EVERY", 0.0)
    places = [f"memory:gauges-{next(NUMBERS)}" for _ in range(2)]
    add, drop = (shop.write(name=place[7:], outbox=place, attempts=1) for place in places)
    shop.new.failures = [ValueError("no")] * 3
    for write, key in ((add, "user-1"), (drop, "user-2"), (drop, "user-3")):
        write(key, 1)
    labels = {"migration": "test", "flow": "cart"}

    assert until(lambda: shop.router.registry.get_sample_value("cutover_mirror_backlog", labels) == 3)


def test_closed(shop):
    """
    A router that was closed refuses writes before anything happens; what was undelivered stays.
    """
    add = shop.write()
    shop.new.failures = [OSError("no route")] * 1000
    add("user-1", 1)
    place = shop.outbox().url
    shop.router.close()
    with pytest.raises(Unavailable):
        add("user-1", 2)

    assert cutover.operations.mirroring.Mirrors(place).outbox.shortfalls("test")[0].backlog == 1


def test_closed_under_way(shop):
    """
    Closing does not wait for a call that hangs; when that ends, the outbox is told all the same.
    """
    inside, go_on = threading.Event(), threading.Event()
    add = shop.write()
    shop.old.failures = [lambda: (inside.set(), go_on.wait(PATIENCE))]
    caller = threading.Thread(target=add, args=("user-1", 1))
    caller.start()
    assert inside.wait(PATIENCE)
    shop.router.close()
    go_on.set()
    caller.join(PATIENCE)

    assert shop.calls == ["old", "new"]
    assert shop.backlog() == (0, 0)


def test_threads_end(shop):
    """
    Closing ends the thread.
    """
    shop.write()
    (mirror,) = shop.router._writing._writes._mirrors.values()
    thread = mirror._own.get().thread
    assert thread.is_alive()
    shop.router.close()
    thread.join(PATIENCE)

    assert not thread.is_alive()


@pytest.fixture
def async_shop():
    """
    A shop of coroutines.
    """
    one = Shop(cart=0)
    one.old, one.new = AsyncSide("old", one.calls), AsyncSide("new", one.calls)
    yield one
    one.router.close()


def test_coroutines(async_shop):
    """
    Of coroutine functions a write is awaited, and does the same.
    """
    add = async_shop.confirmed_write()
    assert isinstance(add, AsyncWrite)

    async def application():
        assert await add("user-1", 1) == "old 1"
        async_shop.new.failures = [OSError("no route")]
        assert await add("user-1", 2) == "old 2"
        async_shop.old.failures = [ValueError("sold out")]
        with pytest.raises(ValueError, match="sold out"):
            await add("user-1", 3)
        await asyncio.to_thread(async_shop.settled, 0, 0)

    asyncio.run(application())

    assert [taken[1] for taken in async_shop.new.took] == [1, 2]
    assert async_shop.backlog() == (0, 0)


@pytest.mark.parametrize("name", ["old", "new"])
def test_cancelled(async_shop, name):
    """
    A task that is cancelled while either side is called is cancelled, and the other side gets what the first has.
    """
    add = async_shop.confirmed_write()
    inside = asyncio.Event()
    side = getattr(async_shop, name)
    took = []

    async def hanging(key, *args, sequence, **kwargs):
        took.append(sequence)
        if len(took) == 1:
            inside.set()
            await asyncio.Event().wait()
        return await side(key, *args, sequence=sequence, **kwargs)

    async def application():
        functions = {"old": async_shop.old, "new": async_shop.new, name: hanging}
        hung = async_shop.flow.write(name="cart.hang", **functions, confirm=async_shop.old.has, longest_pause=0.01)
        task = asyncio.create_task(hung("user-1", 1))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        outbox = async_shop.outbox()
        assert await asyncio.to_thread(until, lambda: not any(one.backlog for one in outbox.shortfalls("test")))

    asyncio.run(application())

    assert add is not None
    assert async_shop.new.took == async_shop.old.took
    assert len(async_shop.new.took) == (name == "new")


@pytest.mark.parametrize("name", ["old", "new"])
def test_thrown_away(async_shop, name):
    """
    A coroutine that is thrown away while it calls a side leaves its write as a crash would: it is asked about, and what
    the first side has reaches the other.
    """
    side, inside = getattr(async_shop, name), asyncio.Event()

    async def hanging(key, *args, sequence, **kwargs):
        if not inside.is_set():
            inside.set()
            await asyncio.Event().wait()
        return await side(key, *args, sequence=sequence, **kwargs)

    sides = {"old": async_shop.old, "new": async_shop.new, name: hanging}
    add = async_shop.write(**sides, confirm=async_shop.old.has, lease=0.1)
    loop = asyncio.new_event_loop()
    coroutine = add("user-1", 1)
    task = loop.create_task(coroutine)
    loop.run_until_complete(inside.wait())
    coroutine.close()
    task.cancel()
    with pytest.raises(RuntimeError, match="already awaited"):
        loop.run_until_complete(task)
    loop.close()

    assert until(lambda: "confirm old" in async_shop.calls and async_shop.backlog() == (0, 0))
    assert async_shop.new.took == async_shop.old.took
    assert len(async_shop.new.took) == (name == "new")


def test_cancelled_before_it_began(async_shop):
    """
    A task that is cancelled while its intent is stored calls no side, and leaves nothing.
    """
    add = async_shop.write()
    outbox = async_shop.outbox()
    record, inside, go_on = outbox.record, threading.Event(), threading.Event()

    def slow(*args):
        inside.set()
        go_on.wait(PATIENCE)
        return record(*args)

    outbox.record = slow

    async def application():
        task = asyncio.create_task(add("user-1", 1))
        await asyncio.to_thread(inside.wait, PATIENCE)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(application())

    assert async_shop.calls == []
    assert outbox.take("test", ["cart cart.add"], "looker", 60, 10) == ()
    assert async_shop.backlog() == (0, 0)
