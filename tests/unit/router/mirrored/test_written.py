"""
What the functions of a mirrored write return: nothing counts as written or confirmed before it has run.
"""

import asyncio
import functools
import threading
import warnings

import attrs
import pytest
from routers import totals
from structlog.testing import capture_logs

from cutover.errors import ConfigurationError
from cutover.ports.outbox import State
from cutover.router.mirrored.writes import AsyncWrite, EitherWrite
from cutover.testing import router as router_for_tests
from cutover.testing.store_helpers import until


class Sides:
    """
    Two back ends, and a router whose carts live on OLD.
    """

    def __init__(self):
        self.router = router_for_tests(cart=0)
        self.flow = self.router.flow("cart")
        self.old, self.new = [], []

    def side(self, name):
        """
        Give a coroutine function that writes on a side.
        """
        took = getattr(self, name)

        async def write(key, item, *, sequence):
            await asyncio.sleep(0)
            took.append((key, item, sequence))
            return f"{name} {sequence}"

        return write

    def plain(self, name):
        """
        Give a function that writes on a side.
        """
        took = getattr(self, name)

        def write(key, item, *, sequence):
            took.append((key, item, sequence))
            return f"{name} {sequence}"

        return write

    def write(self, **options):
        """
        Build the write.
        """
        return self.flow.write(**{"name": "cart.add", "longest_pause": 0.01, "refused": LookupError, **options})

    def outbox(self):
        """
        Give the outbox.
        """
        (mirror,) = self.router._writing._writes._mirrors.values()
        return mirror.outbox

    def backlog(self):
        """
        Give backlog and dead letters.
        """
        (one,) = self.outbox().shortfalls("test")
        return one.backlog, one.dead


@pytest.fixture
def sides():
    """
    The two sides.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = Sides()
        yield one
        one.router.close()


def hidden(function):
    """
    Stand around a function as a lambda does.
    """

    def called(*arguments, **named):
        return function(*arguments, **named)

    return called


def traced(function):
    """
    Stand around a function as `functools.wraps` says, and give what it gives.
    """
    return functools.wraps(function)(hidden(function))


def run(function):
    """
    Stand around a coroutine function as `functools.wraps` says, and run it.
    """

    @functools.wraps(function)
    def called(*arguments, **named):
        return asyncio.run(function(*arguments, **named))

    return called


FORMS = {
    "traced": traced,
    "partial": lambda function: functools.partial(traced(function)),
    "object": lambda function: type("Client", (), {"__call__": staticmethod(traced(function))})(),
}


@pytest.mark.parametrize("form", FORMS)
def test_decorated_coroutine_functions(sides, form):
    """
    Coroutine functions behind plain decorators are awaited on both sides.
    """
    add = sides.write(old=FORMS[form](sides.side("old")), new=FORMS[form](sides.side("new")))
    assert isinstance(add, EitherWrite)

    async def application():
        return [await add("user-1", item) for item in range(3)]

    assert asyncio.run(application()) == ["old 1", "old 2", "old 3"]
    assert sides.new == sides.old == [("user-1", item, item + 1) for item in range(3)]
    assert sides.backlog() == (0, 0)


def test_decorators_that_run_the_coroutine(sides):
    """
    A decorator that runs the coroutine itself makes a function, which is called as one outside of event loops.
    """
    add = sides.write(old=run(sides.side("old")), new=run(sides.side("new")))

    assert add("user-1", 1) == "old 1"
    assert sides.new == sides.old == [("user-1", 1, 1)]


@pytest.mark.parametrize("form", [traced, run])
def test_delivered_later(sides, form):
    """
    What is delivered by a thread is run to its end, whichever of the two a decorator does.
    """
    failures = [OSError("no route")]
    new = sides.side("new")

    async def failing(key, item, *, sequence):
        if failures:
            raise failures.pop()
        return await new(key, item, sequence=sequence)

    add = sides.write(old=form(sides.side("old")), new=form(failing))

    async def application():
        return await add("user-1", 1)

    assert (asyncio.run(application()) if form is traced else add("user-1", 1)) == "old 1"
    assert until(lambda: sides.backlog() == (0, 0))
    assert sides.new == sides.old == [("user-1", 1, 1)]


def test_left_over(sides):
    """
    A process that never called a write delivers what others left, without an event loop of its own.
    """
    add = sides.write(old=traced(sides.side("old")), new=traced(sides.side("new")))
    entry = add._plain._entry("user-1", lambda: sides.flow.peek("user-1").backend, (7,), {})
    sides.outbox().create()
    intent = sides.outbox().record(entry, "another process", 30)
    sides.outbox().put_back(attrs.evolve(intent, state=State.PENDING), 0.0)

    assert until(lambda: sides.new == [("user-1", 7, 1)])
    assert until(lambda: sides.backlog() == (0, 0))


def test_first_side_has_not_run(sides):
    """
    A first side that gives a coroutine is an error of the call: the write stays in the outbox, and counts as no call.
    """
    add = sides.write(old=hidden(sides.side("old")), new=hidden(sides.side("new")))

    with pytest.raises(ConfigurationError, match=r"^write cart\.add: old gave a coroutine, which has not run yet; all"):
        add("user-1", 1)

    assert sides.old == sides.new == []
    assert until(lambda: sides.backlog() == (1, 1))
    assert totals(sides.flow)["calls", "cart", "old", "error"] == 1


def test_refused_names_everything(sides):
    """
    What has not run is no refusal, whatever `refused` names.
    """
    add = sides.write(old=hidden(sides.side("old")), new=hidden(sides.side("new")), refused=Exception)

    with pytest.raises(ConfigurationError):
        add("user-1", 1)

    assert until(lambda: sides.backlog() == (1, 1))


def test_other_side_has_not_run(sides):
    """
    An other side that gives a coroutine is an error of the call too, and logged once: no later try can mend it.
    """
    add = sides.write(old=sides.plain("old"), new=hidden(sides.side("new")), attempts=3)
    with capture_logs() as logs:
        for item in range(2):
            with pytest.raises(ConfigurationError, match=r"^write cart\.add: new gave a coroutine"):
                add(f"user-{item}", item)
        assert until(lambda: sides.backlog() == (2, 2))

    assert sides.old == [("user-0", 0, 1), ("user-1", 1, 1)]
    assert sides.new == []
    assert {dead.state for dead in sides.outbox().dead("test", 10)} == {State.UNDELIVERED}
    (line,) = [line for line in logs if line["event"] == "cutover.mirror_not_run"]
    assert line["error"].startswith("write cart.add: new gave a coroutine, which has not run yet")
    assert totals(sides.flow)["calls", "cart", "old", "ok"] == 2


@pytest.mark.parametrize("answer", [True, False])
def test_confirm_has_not_run(sides, answer):
    """
    A `confirm` that gives a coroutine confirms nothing and denies nothing: an operator decides.
    """

    async def confirm(key, item, *, sequence, side):
        return answer

    def fail(key, item, *, sequence):
        raise TimeoutError("late")

    add = sides.write(old=fail, new=sides.plain("new"), confirm=hidden(confirm), attempts=2)
    with capture_logs() as logs:
        with pytest.raises(TimeoutError):
            add("user-1", 1)
        assert until(lambda: sides.backlog() == (1, 1))

    (dead,) = sides.outbox().dead("test", 10)
    assert dead.state is State.UNCONFIRMED
    assert sides.new == []
    assert [line["event"] for line in logs if "confirm gave a coroutine" in str(line)] == ["cutover.mirror_not_run"]


def test_confirm_that_gives_a_function(sides):
    """
    A method without its parentheses is always true, and so confirms nothing.
    """

    def fail(key, item, *, sequence):
        raise TimeoutError("late")

    add = sides.write(old=fail, new=sides.plain("new"), confirm=lambda *_, **__: "taken".isupper, attempts=2)
    with pytest.raises(TimeoutError):
        add("user-1", 1)

    assert until(lambda: sides.backlog() == (1, 1))
    assert sides.new == []


def test_a_group_that_is_too_deep_for_calls(sides):
    """
    A write whose exception is nested deeply stays in the outbox, and its caller gets that exception.
    """
    error = ExceptionGroup("of", [TimeoutError("late")])
    for _ in range(3000):
        error = ExceptionGroup("of", [error])

    def fail(key, item, *, sequence):
        raise error

    add = sides.write(old=fail, new=sides.plain("new"))
    with pytest.raises(ExceptionGroup) as raised:
        add("user-1", 1)

    assert raised.value is error
    assert until(lambda: sides.backlog() == (1, 1))


@pytest.mark.parametrize("answer", [True, False])
def test_confirm_that_is_awaited(sides, answer):
    """
    A `confirm` behind a decorator is awaited, and its answer counts.
    """

    async def confirm(key, item, *, sequence, side):
        return answer

    async def fail(key, item, *, sequence):
        raise TimeoutError("late")

    add = sides.write(old=traced(fail), new=traced(sides.side("new")), confirm=traced(confirm))

    async def application():
        with pytest.raises(TimeoutError):
            await add("user-1", 1)
        assert await asyncio.to_thread(until, lambda: sides.backlog() == (0, 0))

    asyncio.run(application())

    assert sides.new == ([("user-1", 1, 1)] if answer else [])


def test_coroutine_functions_that_give_more(sides):
    """
    A coroutine function that gives something to be awaited is awaited to the end, in the call and later.
    """
    later = threading.Event()
    failures = [OSError("no route")]

    async def old(key, item, *, sequence):
        return sides.side("old")(key, item, sequence=sequence)

    async def new(key, item, *, sequence):
        if failures:
            raise failures.pop()
        later.set()
        return asyncio.get_running_loop().create_task(sides.side("new")(key, item, sequence=sequence))

    add = sides.write(old=old, new=new)
    assert isinstance(add, AsyncWrite)

    async def application():
        assert await add("user-1", 1) == "old 1"
        assert await asyncio.to_thread(until, lambda: sides.backlog() == (0, 0))

    asyncio.run(application())

    assert sides.new == sides.old == [("user-1", 1, 1)]
    assert later.is_set()


@pytest.mark.parametrize("make", [lambda: (n for n in "ab"), lambda: asyncio.Queue().get()])
def test_plain_functions_that_give_something_else(sides, make):
    """
    Whatever has not run leaves the write where it is.
    """

    def old(key, item, *, sequence):
        return make()

    add = sides.write(old=old, new=sides.plain("new"))

    with pytest.raises(ConfigurationError, match="which has not run yet"):
        add("user-1", 1)

    assert sides.new == []
    assert until(lambda: sides.backlog() == (1, 1))


def test_mixed_kinds(sides):
    """
    A lambda beside a coroutine function is refused when the write is built; a decorated one is not.
    """
    with pytest.raises(ConfigurationError, match="old is a function, new is a coroutine function; allowed: all"):
        sides.write(old=hidden(sides.side("old")), new=sides.side("new"))
    add = sides.write(old=traced(sides.side("old")), new=sides.side("new"))

    assert asyncio.run(add("user-1", 1)) == "old 1"
    assert sides.new == [("user-1", 1, 1)]
