"""
Which call to a back end the code that runs now is inside of: for the application's own log lines.
"""

from contextvars import ContextVar
from typing import Final

from cutover.core.backend import Backend

__all__ = ["CURRENT", "Current"]


Current = tuple[str, Backend, int]  # flow, side, and the version of the snapshot that decided

CURRENT: Final[ContextVar[Current | None]] = ContextVar("cutover", default=None)
