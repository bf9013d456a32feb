"""
What a function of the application is: told before it is called, through partials and objects with a `__call__`.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["is_coroutine_function", "is_generator_function", "not_taken", "parameter_at"]


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
