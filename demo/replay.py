"""
The replay: lets the application's processes go on together, as fast as the demo should be.
"""

import time
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

import attrs

from cutover.operations.control import Control
from demo.errors import DemoFailed
from demo.operator import Operator
from demo.stage import Stage
from demo.traffic import Step

__all__ = ["Pace", "Replay"]

FINEST: Final = 100  # a stretch is at most this part of the replay, so that the picture moves
CHECK_IN_WITHIN: Final = 30.0  # seconds
DELIVERED_WITHIN: Final = 30.0
NAP: Final = 0.02  # seconds; while there is nothing to do yet


@attrs.frozen
class Pace:
    """
    How fast to go.

    Attributes:
        seconds: How long the replay should take; None for as fast as it can.
    """

    seconds: float | None

    def due(self, elapsed: float, total: int) -> int:
        """
        Say how many steps should be done by now.
        """
        return total if self.seconds is None else min(int(total * elapsed / self.seconds) + 1, total)


class Replay:
    """
    Drives workers and operator from the first step to the last.

    Workers get leave for one stretch after the other, and go on only when all have done theirs. So none runs ahead,
    the moves begin at the same places in every run, and a slow machine makes the demo longer and no different.

    Attributes:
        position: How many steps are done.
    """

    def __init__(self, stage: Stage, steps: Sequence[Step], pace: Pace, operator: Operator) -> None:
        self._stage = stage
        self._steps = steps
        self._pace = pace
        self._operator = operator
        self._began = 0.0
        self.position = 0

    @property
    def total(self) -> int:
        """
        How many steps there are.
        """
        return len(self._steps)

    @property
    def at(self) -> str:
        """
        When the last step was recorded.
        """
        return self._steps[max(self.position - 1, 0)].at

    @property
    def rate(self) -> float:
        """
        Requests a second so far.
        """
        return self.position / max(monotonic() - self._began, NAP)

    def await_check_ins(self, control: Control) -> None:
        """
        Wait until every worker has told the store of itself, so that no command counts one too few.

        Raises:
            DemoFailed: If one does not.
        """
        until = monotonic() + CHECK_IN_WITHIN
        while len(control.instances()) < len(self._stage.workers):
            self._stage.check()
            if monotonic() > until:
                raise DemoFailed("not every worker has checked in at the store")
            time.sleep(NAP)

    def await_deliveries(self, control: Control, migration: str) -> None:
        """
        Wait until both back ends have all mirrored writes.

        Raises:
            DemoFailed: If one of them still lacks some.
        """
        until = monotonic() + DELIVERED_WITHIN
        while lacking := sum(one.backlog for one in control.mirrors.status(migration).writes):
            self._stage.check()
            if monotonic() > until:
                raise DemoFailed(f"{lacking} mirrored writes are undelivered")
            time.sleep(NAP)

    def run(self, show: Callable[[], None]) -> None:
        """
        Replay everything.

        Args:
            show: Called again and again, to draw how it stands.
        """
        self._began = monotonic()
        while self.position < self.total or not self._operator.is_idle:
            self._stage.check()
            self._operator.look(self.position)
            limit = self._limit()
            if limit > self.position:
                self._advance(limit)
            else:
                time.sleep(NAP)
            show()

    def _limit(self) -> int:
        due = self._pace.due(monotonic() - self._began, self.total)
        longest = self.position + self.total // FINEST + 1
        return min(due, longest, self._operator.limit(self.position))

    def _advance(self, limit: int) -> None:
        try:
            for worker in self._stage.workers:
                worker.tell(str(limit))
            for worker in self._stage.workers:
                worker.hear()
        except DemoFailed:
            self._stage.check()  # the process that is to blame may be another
            raise
        self.position = limit
