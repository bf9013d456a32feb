"""
Which call to a back end the code that runs now is inside of: for the application's own log lines.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from threading import get_ident
from typing import Final

from cutover.core.backend import Backend

__all__ = ["CURRENT", "HAS_COMPARED", "Current", "enter_shadow", "in_shadow", "inside", "move_here"]


Current = tuple[str, Backend, int]  # flow, side, and the version of the snapshot that decided

CURRENT: Final[ContextVar[Current | None]] = ContextVar("cutover", default=None)

SHADOW: Final[ContextVar[bool]] = ContextVar("cutover_shadow", default=False)
HAS_COMPARED: Final[list[bool]] = []  # not empty once this process has compared: found faster than a context variable


def enter_shadow() -> None:
    """
    Let the rest of this context be a call that no user makes, but a comparison.
    """
    HAS_COMPARED[:] = [True]
    SHADOW.set(True)


def move_here() -> None:
    """
    Let this context, which another thread made, be one of this thread.

    The locals of asgiref, where Django keeps its language, say to which thread they belong, and hide in others.
    """
    for variable, value in copy_context().items():
        kind = type(value)
        if (kind.__module__, kind.__qualname__) == ("asgiref.local", "_Storage"):
            with suppress(Exception):  # a later asgiref may keep it otherwise
                variable.set(kind(get_ident(), value.data))


def in_shadow() -> bool:
    """
    Tell whether a comparison makes the call that the code that runs now is inside of.
    """
    return bool(HAS_COMPARED) and SHADOW.get()


@contextmanager
def inside(call: Current) -> Iterator[None]:
    """
    Let a block be part of a call.
    """
    token = CURRENT.set(call)
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that is thrown away is closed in another context
            CURRENT.reset(token)
