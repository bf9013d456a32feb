"""
Threads that take turns more often than the interpreter lets them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def taking_turns(seconds: float = 1e-6) -> Iterator[None]:
    """
    Let threads take turns after so long, for a block.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
