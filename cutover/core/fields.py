"""
Reading fields of stored documents: a value of another type is an error, never converted.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

__all__ = ["counter", "field", "items", "typed"]

T = TypeVar("T")


def typed(value: object, kind: type[T], what: str = "a value") -> T:
    """
    Give a value back if it is of one type; a boolean is no integer.

    Raises:
        TypeError: If it is of another type.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{what} is a {type(value).__name__}, not {kind.__name__}")
    return value


def field(document: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """
    Give one field of a document.

    Raises:
        KeyError: If it is not there.
        TypeError: If it is of another type.
    """
    return typed(document[name], kind, name)


def items(document: Mapping[str, Any], name: str, kind: type[T]) -> tuple[T, ...]:
    """
    Give a field that is a list of values of one type.

    Raises:
        KeyError: If it is not there.
        TypeError: If it is no list, or an item is of another type.
    """
    return tuple(typed(item, kind, f"an item of {name}") for item in field(document, name, list))


def counter(value: object, what: str, *, least: int = 0) -> int:
    """
    Give an integer that counts something.

    Raises:
        TypeError: If it is of another type.
        ValueError: If it is smaller than *least*.
    """
    number = typed(value, int, what)
    if number < least:
        raise ValueError(f"{what} is {number}")
    return number
