"""
Forks: a router that was made before one lives on in the parent and in the child.

`os.register_at_fork` cannot be undone, so one hook for the process looks after all routers that are alive.
"""

import os
from typing import Any, Protocol
from weakref import WeakSet

__all__ = ["Forking", "leaked", "look_after"]


class Forking(Protocol):
    """
    What is told about forks.
    """

    def after_fork(self) -> None:
        """
        Go on in a child process.
        """
        ...

    def close(self) -> None:
        """
        End before the child process does.
        """
        ...


_alive: "WeakSet[Any]" = WeakSet()
_hooked = False

# What a child must neither use nor finalise, because the parent still uses it.
leaked: list[object] = []


def look_after(one: Forking) -> None:
    """
    Tell an object about every fork from now on; it is held weakly.
    """
    global _hooked  # noqa: PLW0603 - the hook is the process's, and cannot be taken off
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_in_child)
    _alive.add(one)
    _look_after_multiprocessing(one)


def _in_child() -> None:
    for one in tuple(_alive):
        one.after_fork()


def _look_after_multiprocessing(one: Forking) -> None:
    # Its processes run no atexit handlers: without this the last second of their counts would be lost.
    from multiprocessing import util  # noqa: PLC0415 - a program that makes no router need not load it

    util.register_after_fork(one, _close_at_exit_of_child)


def _close_at_exit_of_child(one: Forking) -> None:
    from multiprocessing import util  # noqa: PLC0415

    util.Finalize(one, type(one).close, args=(one,), exitpriority=0)
