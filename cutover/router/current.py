"""
Which call to a back end the code that runs now is inside of: for the application's own log lines.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final

from cutover.core.backend import Backend

__all__ = ["CURRENT", "Current", "inside"]


Current = tuple[str, Backend, int]  # flow, side, and the version of the snapshot that decided

CURRENT: Final[ContextVar[Current | None]] = ContextVar("cutover", default=None)


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
