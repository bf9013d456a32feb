"""
What a function of the application is.
"""

import asyncio
import functools
import inspect
from functools import partial
from unittest.mock import AsyncMock, Mock

import pytest

from cutover.callables import (
    Kind,
    common_kind,
    in_event_loop,
    is_coroutine_function,
    is_generator_function,
    kind_of_call,
    not_taken,
)


def plain():
    """
    Give nothing.
    """


async def coroutine():
    """
    Give nothing, when it is awaited.
    """


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


FORMS = {
    "itself": lambda function: function,
    "partial": partial,
    "partial of a partial": lambda function: partial(partial(function)),
    "method": lambda function: type("Thing", (), {"call": function})().call,
    "object": lambda function: type("Thing", (), {"__call__": function})(),
    "partial of an object": lambda function: partial(type("Thing", (), {"__call__": function})()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        (plain, (False, False)),
        (coroutine, (True, False)),
        (generator, (False, True)),
        (async_generator, (False, True)),
    ],
)
def test_kinds(form, function, kinds):
    """
    A function is of one kind in each form that it may be given in.
    """
    given = FORMS[form](function)

    assert (is_coroutine_function(given), is_generator_function(given)) == kinds


@pytest.mark.parametrize("function", [coroutine, generator, async_generator])
def test_class(function):
    """
    A class is a function that gives an object, whatever a call of that object gives.
    """
    given = type("Thing", (), {"__call__": function})

    assert not is_coroutine_function(given)
    assert not is_generator_function(given)


@pytest.mark.parametrize("function", [coroutine, generator])
def test_object_that_holds_a_function(function):
    """
    What an object keeps under the name that partials use for theirs says nothing of its call.
    """
    given = type("Thing", (), {"__call__": plain, "func": staticmethod(function)})()

    assert not is_coroutine_function(given)
    assert not is_generator_function(given)


def test_mocks():
    """
    A mock is of the kind that it stands for.
    """
    assert is_coroutine_function(AsyncMock())
    assert not is_coroutine_function(Mock())
    assert not is_generator_function(Mock())


TAKES = {
    "by name": (lambda key, *, sequence, side: key, []),
    "by place or name": (lambda key, sequence, side=None: key, []),
    "whatever is named": (lambda key, **named: key, []),
    "a mock": (Mock(), []),
    "bound": (partial(lambda key, sequence, side: key, side=1), []),
    "one of them": (lambda key, *, sequence: key, ["side"]),
    "one by place only": (lambda key, sequence, /, *, side: key, ["sequence"]),
    "whatever has no name": (lambda *given: given, ["sequence", "side"]),
}


@pytest.mark.parametrize("name", TAKES)
def test_not_taken(name):
    """
    What a function cannot be given by name is found out before it is called.
    """
    function, untaken = TAKES[name]

    assert not_taken(function, "sequence", "side") == untaken


def test_a_function_that_says_nothing():
    """
    Of a function that does not say what it takes, as some that are written in C, nothing is known that it does not.
    """

    def silent():
        """
        Stand for one.
        """

    silent.__signature__ = 0
    with pytest.raises(TypeError, match="signature"):
        inspect.signature(silent)

    assert not_taken(silent, "sequence") == []


def around(function):
    """
    Decorate with a `def`, as `functools.wraps` says.
    """

    @functools.wraps(function)
    def wrapper(*arguments, **named):
        return function(*arguments, **named)

    return wrapper


class Endless:
    """
    What has itself under every name, as a proxy of a remote service does.
    """

    def __call__(self):
        """
        Give nothing.
        """

    def __getattr__(self, name):
        return Endless()


class Refusing(Endless):
    """
    What cannot say now whether it stands around something.
    """

    def __getattr__(self, name):
        raise RuntimeError(name) if name == "__wrapped__" else AttributeError(name)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("function", "kind"), [(coroutine, Kind.EITHER), (plain, Kind.PLAIN), (generator, Kind.PLAIN)])
def test_kinds_behind_decorators(form, function, kind):
    """
    Only a call can tell what a `def` around a coroutine function gives; it is no generator function in any case.
    """
    for given in (FORMS[form](around(function)), around(FORMS[form](around(function)))):
        assert kind_of_call(given) is kind
        assert not is_generator_function(given)


@pytest.mark.parametrize("make", [Endless, Refusing, Mock, lambda: dict])
def test_strange_functions(make):
    """
    What says strange things of itself is a function like any other.
    """
    assert kind_of_call(make()) is Kind.PLAIN


@pytest.mark.parametrize(
    ("kinds", "together"),
    [
        ((Kind.PLAIN, Kind.PLAIN), Kind.PLAIN),
        ((Kind.ASYNC, Kind.ASYNC), Kind.ASYNC),
        ((Kind.EITHER, Kind.EITHER), Kind.EITHER),
        ((Kind.PLAIN, Kind.EITHER), Kind.PLAIN),
        ((Kind.ASYNC, Kind.EITHER), Kind.ASYNC),
        ((Kind.PLAIN, Kind.ASYNC), None),
        ((Kind.PLAIN, Kind.ASYNC, Kind.EITHER), None),
    ],
)
def test_kinds_together(kinds, together):
    """
    Functions are of one kind together, or they are a `def` beside an `async def`.
    """
    assert common_kind(kinds) is together
    assert common_kind(reversed(kinds)) is together


def test_event_loops():
    """
    Whether something can be awaited is told by the event loop that runs, in this thread and in no other.
    """

    async def application():
        return in_event_loop(), await asyncio.to_thread(in_event_loop)

    assert in_event_loop() is False
    assert asyncio.run(application()) == (True, False)
