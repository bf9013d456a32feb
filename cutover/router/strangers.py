"""
Asking objects of the application what they are: their own methods may raise anything.
"""

from typing import Final

from cutover.core.bucketing import key_bytes
from cutover.returned import discard, unfinished

__all__ = ["kind_of", "nameless_kind", "text_of", "truth"]

NAME_OF_TYPE: Final = type.__dict__["__name__"].__get__


def kind_of(stranger: object) -> str:
    """
    Name the type of an object, whatever its metaclass says.
    """
    name: str = NAME_OF_TYPE(type(stranger))
    return name


def nameless_kind(key: object) -> str | None:
    """
    Name the type of a key that was given and names nobody; None for another key, and where no key was given.
    """
    if key is None or issubclass(type(key), (str, bytes)) or key_bytes(key) is not None:
        return None
    return kind_of(key)


def text_of(stranger: object) -> str | None:
    """
    Give the text that an object holds, whatever its methods say; None where it is no text.
    """
    return str.__str__(stranger) if issubclass(type(stranger), str) else None


def truth(stranger: object) -> bool:
    """
    Tell whether an object counts as true. One that cannot tell does not, and one that has not run yet does not.
    """
    try:
        if unfinished(stranger):
            discard(stranger)
            return False
        return bool(stranger)
    except Exception:  # noqa: BLE001
        return False
