"""
Asking objects of the application what they are: their own methods may raise anything.
"""

from typing import Final

__all__ = ["kind_of", "truth"]

NAME_OF_TYPE: Final = type.__dict__["__name__"].__get__


def kind_of(stranger: object) -> str:
    """
    Name the type of an object, whatever its metaclass says.
    """
    name: str = NAME_OF_TYPE(type(stranger))
    return name


def truth(stranger: object) -> bool:
    """
    Tell whether an object counts as true; one that cannot tell does not.
    """
    try:
        return bool(stranger)
    except Exception:  # noqa: BLE001
        return False
