"""
What a function of the application returned: a result, or an object that has not run yet.
"""

import asyncio
import types
import warnings
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager

import pytest
from werkzeug.local import LocalProxy

from cutover.returned import NotRun, discard, finished, finishing, settled, settling, unfinished


async def coroutine():
    """
    Give a result, when it is awaited.
    """
    return "result"


def generator():
    """
    Give nothing, when it is asked for something.
    """
    yield


async def async_generator():
    """
    Give nothing, when it is asked for something.
    """
    yield


@types.coroutine
def old_coroutine():
    """
    Give a result, as coroutines were written before `async def`.
    """
    yield
    return "result"


class Awaitable:
    """
    What can be awaited, as the requests of some clients can.
    """

    def __await__(self):
        yield
        return "result"


class Pool:
    """
    What gives itself when it is awaited.
    """

    def __await__(self):
        yield
        return self


class Anything:
    """
    What says that it has whatever it is asked for, as a proxy of a remote service does.
    """

    def __getattr__(self, name):
        return self


class Metaclass(type):
    """
    Of classes that cannot be hashed, and say that they have whatever they are asked for.
    """

    __hash__ = None

    def __eq__(cls, other):
        return True

    def __getattr__(cls, name):
        return cls


class Odd(metaclass=Metaclass):
    """
    One of them.
    """


class Endless:
    """
    What gives another one whenever it is awaited.
    """

    def __await__(self):
        yield
        return Endless()


class Never(Awaitable):
    """
    What takes back that it can be awaited.
    """

    __await__ = None


NOT_RUN = {
    "coroutine": (coroutine, "a coroutine"),
    "generator": (generator, "a generator"),
    "async generator": (async_generator, "an async generator"),
    "generator expression": (lambda: (n for n in range(3)), "a generator"),
    "awaitable": (Awaitable, "an awaitable of the type Awaitable"),
    "future": (Future, "a future of concurrent.futures"),
    "proxy": (lambda: LocalProxy(Awaitable), "an awaitable of the type Awaitable"),
    "thread": (lambda: asyncio.to_thread(len, ""), "a coroutine"),
    "context manager": (contextmanager(generator), "a context manager"),
    "async context manager": (asynccontextmanager(async_generator), "an async context manager"),
}
RESULTS = {
    "none": None,
    "list": [],
    "mapped": map(len, ()),
    "iterator": iter("ab"),
    "anything": Anything(),
    "odd": Odd(),
    "never": Never(),
    "class": Awaitable,
    "function": coroutine,
    "proxy": LocalProxy(lambda: "user-42"),
}


@pytest.mark.parametrize("name", NOT_RUN)
def test_what_has_not_run(name):
    """
    An object that has not run is refused with its name, and closed, so that Python warns of nothing.
    """
    function, word = NOT_RUN[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NotRun, match=f"^new gave {word}, which has not run yet; allowed: a function that returns"):
            finishing(function, "new")()


@pytest.mark.parametrize("name", RESULTS)
def test_results(name):
    """
    Whatever else a function returns is its result, and given as it is.
    """
    value = RESULTS[name]

    assert unfinished(value) == ""
    assert finished(value, "new") is value
    assert asyncio.run(settled(value, "new")) is value


@pytest.mark.parametrize("make", [coroutine, old_coroutine, Awaitable])
def test_awaited(make):
    """
    Where it can be awaited it is, until there is a result, also where a coroutine function forgot to.
    """

    async def forgot():
        return make()

    assert asyncio.run(settling(make, "new")()) == "result"
    assert asyncio.run(settling(forgot, "new")()) == "result"


def test_futures_and_tasks():
    """
    Futures and tasks are awaited, those of threads too.
    """

    async def all_of_them():
        loop = asyncio.get_running_loop()
        done = Future()
        done.set_result("result")
        made = [loop.create_task(coroutine()), asyncio.to_thread(lambda: "result"), done]
        assert all(unfinished(one) for one in made)
        return [await settled(one, "new") for one in made]

    assert asyncio.run(all_of_them()) == ["result"] * 3


def test_what_gives_itself():
    """
    What gives itself when it is awaited has run, and is awaited once.
    """
    pool = Pool()

    assert asyncio.run(settling(lambda: pool, "new")()) is pool


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (generator, "such as a list"),
        (async_generator, "such as a list"),
        (contextmanager(generator), "request"),
        (asynccontextmanager(async_generator), "request"),
        (Endless, "an awaitable of the type Endless"),
    ],
)
def test_what_cannot_be_awaited(make, told):
    """
    A generator and a context manager have not run, and cannot be awaited; awaitables without end are given up.
    """
    with pytest.raises(NotRun, match=told):
        asyncio.run(settling(make, "new")())


@pytest.mark.parametrize("function", [len, [].append, coroutine])
def test_a_function_is_no_answer(function):
    """
    A function that is asked something must not answer with a function that nobody called; elsewhere that is a result.
    """
    error = "^confirm gave a [a-z_]+, which was not called; allowed: what a call of it returns$"
    with pytest.raises(NotRun, match=error):
        finishing(lambda: function, "confirm", is_asked=True)()
    with pytest.raises(NotRun, match=error):
        asyncio.run(settling(lambda: function, "confirm", is_asked=True)())

    assert finishing(lambda: function, "new")() is function


def test_discarding_raises_nothing():
    """
    A generator that will not be closed is left as it is.
    """

    def stubborn():
        try:
            yield
        except GeneratorExit:
            yield

    begun = stubborn()
    next(begun)

    discard(begun)
    discard(None)
