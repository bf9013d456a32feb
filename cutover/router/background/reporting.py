"""
What this process tells the store about itself: totals by UTC minute, gathered from the cells.
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable, Container, Iterable
from datetime import datetime, timedelta
from time import monotonic

from cutover.clock import utc_now
from cutover.core.checkin import MOST_RAN, TOO_LATE, CheckIn, Counted, Ran, minute_of
from cutover.core.names import Asked
from cutover.core.schema import READS
from cutover.core.snapshot import Head
from cutover.core.verdict import Mismatch
from cutover.router.counting import Counting
from cutover.version import VERSION

__all__ = ["Reporter"]

Cells = Callable[[], Iterable[Counting]]


class Reporter:
    """
    Gathers counts into minutes and makes check-ins of them; one instance of a process, another after a fork.

    Args:
        cells: Gives all cells of the router as they are now.
        now: The wall clock; aware, UTC.
        elapsed: Seconds by a clock that nobody puts back.
        name: What the process is called.
    """

    def __init__(
        self,
        cells: Cells,
        now: Callable[[], datetime] = utc_now,
        elapsed: Callable[[], float] = monotonic,
        *,
        name: str = "",
    ) -> None:
        self._cells = cells
        self._name = name
        self._now = now
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._ran: list[tuple[int, int, float]] = []  # epoch, version, and when it was begun with
        self._begin()

    def _begin(self) -> None:
        self.instance: str = secrets.token_hex(16)
        self._started = self._now()
        self._sequence = 0
        self._closing = False
        self._latest = 0
        self._minutes: dict[int, dict[Counted, int]] = {}
        self._since_version: dict[Counted, int] = {}
        self._ran = [(epoch, version, self._elapsed()) for epoch, version, _ in self._ran[-1:]]

    def after_fork(self) -> None:
        """
        Become another instance that has counted nothing.
        """
        self._lock = threading.Lock()
        self._begin()

    def harvest(self) -> None:
        """
        Take over what was counted since the last time, into the minute that it is now.
        """
        with self._lock:
            self._harvest()

    def version_changed(self, kept: Container[str] = ()) -> None:
        """
        Count anew for the version that begins to hold now.

        Args:
            kept: The flows that it leaves as they were: their counts go on.
        """
        with self._lock:
            self._harvest()
            self._since_version = {c: number for c, number in self._since_version.items() if c.flow in kept}

    def began(self, head: Head) -> None:
        """
        Note that requests are routed by this version from now on.
        """
        with self._lock:
            self._note(head)

    def heard_of(self, report: CheckIn) -> None:
        """
        Answer for a process that ended out of touch with the store: what it ran counts as run here, until now.

        Once its last report is delivered the store knows it no more, and visits that it entered may go on.
        """
        with self._lock:
            if report.head is None or not self._ran:
                return
            order, now = report.head.order, self._elapsed()
            older = [ran for ran in self._ran if ran[:2] <= order] or [(*order, self._ran[0][2])]
            self._ran = [*older, *((*ran[:2], now) for ran in self._ran if ran[:2] > order)][-MOST_RAN:]

    def check_in(
        self,
        head: Head | None,
        *,
        regressed: bool,
        break_glass: Iterable[str] = (),
        mismatches: tuple[Mismatch, ...] = (),
        asked: tuple[Asked, ...] = (),
        closing: bool = False,
    ) -> CheckIn:
        """
        Make the next check-in. One after the last is a last one, too: it must not bring the instance back.
        """
        with self._lock:
            self._harvest()
            self._note(head)
            self._sequence += 1
            self._closing = self._closing or closing
            return CheckIn(
                instance=self.instance,
                sequence=self._sequence,
                at=self._now(),
                host=socket.gethostname(),
                pid=os.getpid(),
                started=self._started,
                library=VERSION,
                majors=READS,
                head=head,
                regressed=regressed,
                break_glass=tuple(break_glass),
                mismatches=mismatches,
                asked=asked,
                closing=self._closing,
                minutes={minute: dict(totals) for minute, totals in self._minutes.items()},
                since_version=dict(self._since_version),
                ran=self._ran_until_now(),
                name=self._name,
            )

    def acknowledge(self, report: CheckIn) -> None:
        """
        Forget the minutes that were over when a check-in was made that the store has taken.
        """
        with self._lock:
            self._forget_before(minute_of(report.at))

    def _note(self, head: Head | None) -> None:
        if head is None or (self._ran and self._ran[-1][:2] == head.order):
            return
        # It is no later version only where an application gives snapshots in: then the later one is not run any more.
        older = [ran for ran in self._ran if ran[:2] < head.order]
        self._ran = [*older, (*head.order, self._elapsed())][-MOST_RAN:]

    def _ran_until_now(self) -> tuple[Ran, ...]:
        now = self._elapsed()
        return tuple(Ran(epoch, version, timedelta(seconds=now - since)) for epoch, version, since in self._ran)

    def _harvest(self) -> None:
        # Never an earlier one, where the clock is put back: what is acknowledged is forgotten here, and to count on in
        # it would replace it in the store.
        minute = self._latest = max(self._latest, minute_of(self._now()))
        totals = self._minutes.setdefault(minute, {})
        for cell in self._cells():
            gained = cell.total - cell.reported
            if gained:
                cell.reported += gained
                totals[cell.counted] = totals.get(cell.counted, 0) + gained
                self._since_version[cell.counted] = self._since_version.get(cell.counted, 0) + gained
        self._forget_before(minute - int(TOO_LATE.total_seconds() // 60))

    def _forget_before(self, minute: int) -> None:
        for old in [m for m in self._minutes if m < minute]:
            del self._minutes[old]
