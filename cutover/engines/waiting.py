"""
Waiting for a change by looking often and cheaply, for sources that nobody can be woken by.
"""

import time
from collections.abc import Callable
from typing import Final

from cutover.core.snapshot import Head

__all__ = ["wait_for_change"]

STEP: Final = 0.03  # seconds between two looks


def wait_for_change(
    *,
    seen: Head | None,
    timeout: float,
    token: Callable[[], object],
    glimpse: Callable[[], Head | str | None],
    pause: Callable[[float], bool],
) -> None:
    """
    Return when a source may hold something else than *seen*, or after *timeout* seconds, or when closed.

    Args:
        token: Gives something that changes whenever the source may have changed; cheap.
        glimpse: Gives the source's head, or the name of the error that a read would raise.
        pause: Sleeps that many seconds, and tells whether the source was closed.
    """
    deadline = time.monotonic() + timeout
    last = token()
    first = glimpse()
    if not isinstance(first, str) and first != seen:
        return
    while (left := deadline - time.monotonic()) > 0 and not pause(min(STEP, left)):
        now = token()
        if now != last:
            last = now
            if glimpse() != first:
                return
