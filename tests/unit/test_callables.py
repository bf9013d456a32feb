"""
What a function of the application is.
"""

from functools import partial
from unittest.mock import AsyncMock, Mock

import pytest

from cutover.callables import is_coroutine_function, is_generator_function


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
