"""
The locks of registries, across forks: an application's thread that scrapes holds one for a moment, and a fork in that
moment would leave it locked in the child for ever.
"""

import os
from typing import Any, Final
from weakref import WeakSet

from prometheus_client import CollectorRegistry

__all__ = ["hold_at_forks"]

PATIENCE: Final = 2.0  # seconds that a fork waits

_registries: "WeakSet[CollectorRegistry]" = WeakSet()
_held: list[Any] = []


def hold_at_forks(registry: CollectorRegistry) -> None:
    """
    Have every fork from now on wait until nobody holds the lock of a registry.
    """
    _registries.add(registry)


def _before() -> None:
    for registry in tuple(_registries):
        # prometheus_client has no other way to hold a registry; where it calls the lock something else, none is held.
        lock = getattr(registry, "_lock", None)
        if lock is not None and lock.acquire(timeout=PATIENCE):
            _held.append(lock)


def _after() -> None:
    while _held:
        _held.pop().release()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
