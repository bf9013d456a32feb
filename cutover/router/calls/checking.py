"""
Checks of what a switch was given: each raises one error that says what is allowed.
"""

from collections.abc import Callable
from typing import Any, Final

from cutover.callables import Kind, common_kind, is_generator_function, kind_of_call
from cutover.errors import ConfigurationError
from cutover.router.calls.shadow import ShadowTerms

__all__ = ["PERCENT", "check_helpers", "check_shadow", "errors_in", "is_number", "kind_of_all"]

PERCENT: Final = 100

Function = Callable[..., Any]


def errors_in(name: str, given: object) -> tuple[type[Exception], ...]:
    """
    Give the classes of exceptions that a parameter holds, one or several.
    """
    kinds = given if isinstance(given, tuple) else (given,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            raise ConfigurationError(
                f"{name} holds {kind!r:.100}; allowed: classes of exceptions, such as (TimeoutError,)"
            )
    return kinds


def check_shadow(terms: ShadowTerms, *, safe: bool) -> None:
    """
    Check the terms of comparisons.
    """
    if not safe and terms != ShadowTerms():
        raise ConfigurationError("comparisons are for a call that changes nothing; allowed: with safe=True")
    if not is_number(terms.deadline) or not terms.deadline > 0:
        raise ConfigurationError(f"shadow_deadline is {terms.deadline!r}; allowed: seconds above 0")
    if type(terms.limit) is not int or terms.limit < 1:
        raise ConfigurationError(f"shadow_limit is {terms.limit!r}; allowed: an integer from 1")
    if not is_number(terms.noise) or not 0 <= terms.noise <= PERCENT:
        raise ConfigurationError(f"noise is {terms.noise!r}; allowed: 0 to 100")
    fields: object = terms.ignore_fields
    if not isinstance(fields, tuple) or not all(isinstance(field, str) and field for field in fields):
        raise ConfigurationError(f'ignore_fields is {fields!r:.100}; allowed: a tuple of names, as ("updated_at",)')


def is_number(given: object) -> bool:
    """
    Tell a number from all else, a truth value too.
    """
    return isinstance(given, int | float) and not isinstance(given, bool)


def check_helpers(*, can_await: bool, **functions: object) -> None:
    """
    Check what is called beside the back ends.
    """
    for name, function in functions.items():
        if function is None:
            continue
        if not callable(function):
            raise ConfigurationError(f"{name} is a {type(function).__name__}; allowed: a function made with def")
        if kind_of_all(**{name: function}) is Kind.ASYNC and not can_await:
            raise ConfigurationError(f"{name} is an async def; allowed: a function made with def")


def kind_of_all(**functions: Function) -> Kind:
    """
    Tell whether functions are coroutine functions.

    Raises:
        ConfigurationError: If one cannot be called, or is a generator, or they are of both kinds.
    """
    kinds = {}
    for name, function in functions.items():
        if not callable(function):
            raise ConfigurationError(f"{name} is a {type(function).__name__}; allowed: a function, def or async def")
        if is_generator_function(function):
            raise ConfigurationError(
                f"{name} is a generator: when it has answered, and whether it failed, cannot be told; "
                "allowed: a function that returns, such as one that gives a list"
            )
        kinds[name] = kind_of_call(function)
    kind = common_kind(kinds.values())
    if kind is None:
        words = ", ".join(f"{name} is {kind.value}" for name, kind in kinds.items())
        raise ConfigurationError(f"{words}; allowed: all of them def, or all of them async def")
    return kind
