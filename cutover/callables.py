"""
What a function of the application is: told before it is called, through partials and objects with a `__call__`.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from typing import Any, Final

__all__ = [
    "Kind",
    "common_kind",
    "in_event_loop",
    "is_coroutine_function",
    "is_generator_function",
    "kind_of_call",
    "not_taken",
    "parameter_at",
]

DEEPEST: Final = 32  # decorators around one function


class Kind(Enum):
    """
    The kind of a function: whether its calls are awaited.
    """

    PLAIN = "def"
    ASYNC = "async def"
    EITHER = "def around an async def"  # a decorator that gives the coroutine, or one that runs it


def kind_of_call(function: Callable[..., Any]) -> Kind:
    """
    Tell what a call gives, as far as the function shows that.
    """
    if is_coroutine_function(function):
        return Kind.ASYNC
    return Kind.EITHER if _hides(function) else Kind.PLAIN


def common_kind(kinds: Iterable[Kind]) -> Kind | None:
    """
    Give the kind that functions are of together; None where a `def` is beside an `async def`.
    """
    kinds = set(kinds)
    if Kind.ASYNC in kinds:
        return None if Kind.PLAIN in kinds else Kind.ASYNC
    return Kind.PLAIN if Kind.PLAIN in kinds else Kind.EITHER


def in_event_loop() -> bool:
    """
    Tell whether the caller can await something: an event loop of asyncio runs in its thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """
    Tell whether a call gives something to be awaited.
    """
    return _holds(inspect.iscoroutinefunction, function)


def is_generator_function(function: Callable[..., Any]) -> bool:
    """
    Tell whether a call gives a generator, async or not, and so has done nothing yet.
    """
    return _holds(inspect.isgeneratorfunction, function) or _holds(inspect.isasyncgenfunction, function)


def not_taken(function: Callable[..., Any], *names: str) -> list[str]:
    """
    Give those names by which a function cannot be given an argument; none where it does not say.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # written in C
        return []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return []
    return [name for name in names if name not in parameters or parameters[name].kind not in kinds]


def parameter_at(function: Callable[..., Any], place: int) -> str | None:
    """
    Name the parameter at a place, if it may be given by its name; None where the function does not say.
    """
    try:
        parameter = list(inspect.signature(function).parameters.values())[place]
    except (TypeError, ValueError, IndexError):
        return None
    return parameter.name if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD else None


def _holds(check: Callable[[object], bool], function: Callable[..., Any]) -> bool:
    while isinstance(function, partial):
        function = function.func
    # A class gives an object, whatever a call of that object would do.
    return check(function) or (not isinstance(function, type) and check(type(function).__call__))


def _hides(function: Any) -> bool:
    """
    Tell whether decorators made with `functools.wraps` stand around a coroutine function.
    """
    waiting = [function]
    for _ in range(DEEPEST):
        if not waiting:
            break
        inner = _inside(waiting.pop())
        if any(is_coroutine_function(one) for one in inner):
            return True
        waiting += inner
    return False


def _inside(function: Any) -> list[Any]:
    if isinstance(function, type):
        return []
    call = type(function).__call__
    found = [call] if inspect.isfunction(call) else []
    try:
        return [*found, function.func if isinstance(function, partial) else function.__wrapped__]
    except Exception:  # noqa: BLE001 - a stranger's attributes may raise anything
        return found
