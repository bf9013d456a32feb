"""
What the request path noticed: logged once for each kind, by a background thread.
"""

from collections import deque
from typing import Final

from cutover.router.log import log

__all__ = ["NoticeBoard"]

MOST: Final = 1000  # kinds that are remembered; further ones are dropped, not kept for ever


class NoticeBoard:
    """
    Takes notices from any thread without a lock, and gives each to the log once.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
        self._waiting: deque[tuple[str, dict[str, str]]] = deque(maxlen=MOST)

    def note(self, event: str, **facts: str) -> None:
        """
        Remember an event, unless the same was noted before; never raises, never blocks.
        """
        notice = (event, frozenset(facts.items()))
        if notice not in self._seen and len(self._seen) < MOST:
            self._seen.add(notice)
            self._waiting.append((event, facts))

    def log(self) -> None:
        """
        Log what was noted since the last time.
        """
        while self._waiting:
            event, facts = self._waiting.popleft()
            log.warning(event, **facts)
