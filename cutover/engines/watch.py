"""
Waiting for a change: what is heard shortens the pauses between two looks, and what is found is the truth.
"""

import time
from collections.abc import Callable
from typing import Final

import attrs

from cutover.chance import CHANCE
from cutover.core.snapshot import Head
from cutover.engines.hint import Hint, Mark

__all__ = ["Watch"]

POLL: Final = 1.0  # seconds between two looks, whatever was heard or not
FRESH: Final = 0.1  # seconds after a look in which waiting need not look first, where nobody listens


@attrs.frozen
class _Found:
    """
    What the last look at a migration found.

    Attributes:
        head: None where there was no such migration.
        mark: What had been heard before it.
        at: When it was, by the monotonic clock.
        unheard: It found a change that had not been heard of, and may yet be.
    """

    head: Head | None
    mark: Mark
    at: float
    unheard: bool


class Watch:
    """
    Who waits in one process.
    """

    def __init__(self, hint: Hint) -> None:
        self._hint = hint
        self._found: dict[str, _Found] = {}

    def mark(self, migration: str) -> Mark:
        """
        Give a mark of what was heard so far; to be taken before a read.
        """
        return self._hint.mark(migration)

    def found(self, migration: str, head: Head | None, mark: Mark) -> None:
        """
        Take note of what a look found. A change that is still unheard of at the next look means that nobody listens.
        """
        before = self._found.get(migration)
        heard_nothing = before is not None and before.mark == mark
        if before is not None and before.unheard and heard_nothing:
            self._hint.renew()
        unheard = before is not None and before.head != head and heard_nothing
        self._found[migration] = _Found(head, mark, time.monotonic(), unheard)

    def wait(self, migration: str, seen: Head | None, timeout: float, glimpse: Callable[[], Head | str | None]) -> None:
        """
        Return when there may be something else than *seen*, or after *timeout* seconds, or when closed.

        Args:
            glimpse: Gives the head, or the name of the error that a read would raise.
        """
        deadline = time.monotonic() + timeout
        mark, first = self._begin(migration, seen, glimpse)
        if not isinstance(first, str) and first != seen:
            return
        while not self._hint.is_closed and (left := deadline - time.monotonic()) > 0:
            self._hint.wait(migration, mark, min(left, POLL * CHANCE.uniform(0.8, 1)))
            is_told = self._hint.mark(migration).heard != mark.heard
            if is_told or self._hint.is_closed or time.monotonic() >= deadline:
                return  # a caller that was told of a change reads it anyhow: no look before
            mark, found = self._look(migration, glimpse)
            if found != first:
                return

    def close(self) -> None:
        """
        Wake all that wait.
        """
        self._hint.close()

    def _begin(
        self, migration: str, seen: Head | None, glimpse: Callable[[], Head | str | None]
    ) -> tuple[Mark, Head | str | None]:
        """
        Look first, unless a look has just done so, or somebody listens since: then what was heard after it counts.
        """
        last = self._found.get(migration)
        if last is not None and last.head == seen:
            is_heard = self._hint.is_live and last.mark.subscribed == self._hint.mark(migration).subscribed
            if is_heard or time.monotonic() - last.at < FRESH:
                return last.mark, seen
        return self._look(migration, glimpse)

    def _look(self, migration: str, glimpse: Callable[[], Head | str | None]) -> tuple[Mark, Head | str | None]:
        mark = self._hint.mark(migration)
        found = glimpse()
        if not isinstance(found, str):
            self.found(migration, found, mark)
        return mark, found
