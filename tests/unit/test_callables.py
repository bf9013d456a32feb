"""
What a function of the application is.
"""

import inspect
from functools import partial
from unittest.mock import AsyncMock, Mock

import pytest

from cutover.callables import is_coroutine_function, is_generator_function, not_taken


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

    silent.__signature__ = "none"
    with pytest.raises(TypeError, match="signature"):
        inspect.signature(silent)

    assert not_taken(silent, "sequence") == []
