"""
Results of the application's functions, and objects that have not run yet.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import _AsyncGeneratorContextManager, _GeneratorContextManager, suppress
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MethodType,
    NoneType,
)
from typing import Any, Final

from cutover.errors import ConfigurationError

__all__ = ["RESULTS", "NotRun", "discard", "finished", "finishing", "settled", "settling", "told", "unfinished"]

#: Types of which every object is a result, so that one look-up tells it; further ones are added when they are met.
RESULTS: Final[set[type]] = {NoneType, bool, int, float, str, bytes, tuple, list, dict, set}
MOST: Final = 500  # types that are remembered, and so kept alive
MRO: Final = type.__dict__["__mro__"].__get__  # whatever a metaclass says
NAME: Final = type.__dict__["__name__"].__get__
WORDS: Final = (
    (CoroutineType, "a coroutine"),
    (GeneratorType, "a generator"),
    (AsyncGeneratorType, "an async generator"),
    (_GeneratorContextManager, "a context manager"),
    (_AsyncGeneratorContextManager, "an async context manager"),
    (Future, "a future of concurrent.futures"),
)
LONGEST_CHAIN: Final = 32  # awaitables that give the next one
#: What an error allows besides a result; all else that has not run can be awaited.
INSTEAD: Final = {
    "a generator": ", such as a list",
    "an async generator": ", such as a list",
    "a context manager": ", or Flow.request() around the block",
    "an async context manager": ", or Flow.request() around the block",
}
FUNCTIONS: Final = frozenset({FunctionType, BuiltinFunctionType, MethodType})


class NotRun(ConfigurationError):
    """
    A function of the application returned an object that has not run yet, where nothing can await it.
    """


def unfinished(value: object) -> str:
    """
    Name what a function returned that has not run yet; empty for a result.

    These are awaitables, generators, async generators, futures of `concurrent.futures`, and what a function made with
    `contextlib.contextmanager` gives. Everything else is a result: also an iterator, a cursor, or a response that is
    still open.
    """
    try:
        if type(value) in RESULTS:
            return ""
    except TypeError:  # a class that cannot be hashed
        pass
    word = _word(type(value))
    with suppress(Exception):
        if word:  # a lazy proxy can be awaited because its object might be
            return _word(value.__class__)
        if len(RESULTS) < MOST:
            RESULTS.add(type(value))
    return word


def discard(value: object) -> None:
    """
    Close a coroutine or a generator that nobody will run, so that Python does not warn of it.
    """
    with suppress(Exception):
        if isinstance(value, Coroutine | GeneratorType):
            value.close()


def finished(value: Any, name: str) -> Any:
    """
    Give what a function returned.

    Args:
        name: The parameter that took the function.

    Raises:
        NotRun: If it has not run yet.
    """
    if word := unfinished(value):
        discard(value)
        others = INSTEAD.get(word, ", or async def for all functions, awaited in an event loop")
        raise NotRun(f"{name} gave {word}, which has not run yet; allowed: a function that returns a result{others}")
    return value


def told(value: Any, name: str) -> Any:
    """
    Give the result of a function that is asked something. A function is no answer: it would count as true.

    Raises:
        NotRun: If the result is a function.
    """
    if type(value) in FUNCTIONS:
        raise NotRun(f"{name} gave a {NAME(type(value))}, which was not called; allowed: what a call of it returns")
    return value


async def settled(value: Any, name: str) -> Any:
    """
    Give what a function returned, and await it as long as there is something to await.

    Raises:
        NotRun: If it cannot be awaited, or gives awaitables without end.
    """
    for _ in range(LONGEST_CHAIN):
        if not _can_be_awaited(value):
            break
        before, value = value, await (asyncio.wrap_future(value) if isinstance(value, Future) else value)
        if value is before:  # an object that gives itself when it is ready, as some pools of connections do
            return value
    return finished(value, name)


def finishing(function: Callable[..., Any], name: str, *, is_asked: bool = False) -> Callable[..., Any]:
    """
    Give the function, which raises `NotRun` where it returns no result.

    Args:
        is_asked: The function is asked something; see `told`.
    """

    def called(*arguments: Any, **named: Any) -> Any:
        value = finished(function(*arguments, **named), name)
        return told(value, name) if is_asked else value

    return called


def settling(
    function: Callable[..., Any], name: str, *, is_asked: bool = False
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """
    Give a coroutine function that calls the function, and awaits the object that it returns.

    Args:
        is_asked: As for `finishing`.
    """

    async def called(*arguments: Any, **named: Any) -> Any:
        value = await settled(function(*arguments, **named), name)
        return told(value, name) if is_asked else value

    return called


def _word(kind: type) -> str:
    for base in MRO(kind):
        word = next((word for given, word in WORDS if given is base), "")
        if word or "__await__" in base.__dict__:
            awaited = "" if base.__dict__.get("__await__") is None else f"an awaitable of the type {NAME(kind)}"
            return word or awaited
    return ""


def _can_be_awaited(value: object) -> bool:
    if isinstance(value, GeneratorType):  # only one that `types.coroutine` made
        return bool(value.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE)
    word = unfinished(value)
    return bool(word) and word not in INSTEAD
