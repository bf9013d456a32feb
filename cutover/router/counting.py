"""
Counting requests exactly, without a lock and without a number.

A cell is an iterator that repeats its backend: one `next` both counts the request and answers it. How often it was
taken is how much shorter the iterator has become. C code runs `next` whole, so no thread can lose a count.
"""

import sys
import threading
from collections import deque
from collections.abc import Iterator
from itertools import product, repeat
from operator import length_hint
from typing import Any, Protocol

from cutover.core.backend import Backend, Reason
from cutover.core.bucketing import well_formed
from cutover.core.checkin import Counted, Kind
from cutover.core.names import LONGEST_ASKED
from cutover.core.verdict import Verdict

__all__ = ["OUTCOMES", "Cell", "Counting", "Durations", "FlowCells", "StrangerCells", "VisitCells"]

ONLY_OLD = frozenset({Reason.HOME_UNKNOWN, Reason.DEFAULT, Reason.NO_KEY})
BY_KEY = (Reason.OVERRIDE, Reason.COHORT, Reason.PERCENT, Reason.NO_KEY)  # neither a home nor a visit decided
OUTCOMES = ("ok", "error", "cancelled", "unknown")  # of a call to a back end; a closed set

MOST_STRANGERS = 1000  # names

Durations = deque[float]  # of calls, in seconds; waiting for the histogram
MOST_WAITING = 131_072  # where nobody takes them over, the oldest are dropped


class Counting(Protocol):
    """
    One number that only grows, with what its two readers have taken over of it.
    """

    counted: Counted
    flushed: int
    reported: int

    @property
    def total(self) -> int:
        """
        How much was counted since it was made.
        """
        ...


class Cell:
    """
    One number that only grows.

    Attributes:
        ticks: `next(ticks)` counts one and gives the backend.
        backend: What the cell answers.
        detail: The reason of a decision, or the outcome of a call.
        flushed: How much of it the metrics have taken over; kept by their single flusher.
        reported: How much of it the check-ins have taken over; kept by their single harvester.
    """

    __slots__ = ("backend", "counted", "detail", "flushed", "reported", "ticks")

    def __init__(self, counted: Counted, backend: Backend) -> None:
        self.counted: Counted = counted
        self.backend: Backend = backend
        self.detail: Any = counted.detail
        self.ticks: Iterator[Backend] = repeat(backend, sys.maxsize)
        self.flushed: int = 0
        self.reported: int = 0

    @property
    def total(self) -> int:
        """
        How often the cell was taken since it was made.
        """
        return sys.maxsize - length_hint(self.ticks)


class Bypass:
    """
    How often a flow of a `together` journey was routed by a bare key: the sum of other cells, while it is watched.

    Derived, because the request path has no time to count twice.
    """

    __slots__ = ("_cells", "_lock", "_state", "counted", "flushed", "reported")

    def __init__(self, journey: str, cells: tuple[Cell, ...]) -> None:
        self.counted: Counted = Counted(Kind.VISITS, journey, "", "bypassed")
        self.flushed: int = 0
        self.reported: int = 0
        self._cells = cells
        # Or a reader could take the sum after it stopped to count. Reentrant, for the handlers of signals.
        self._lock = threading.RLock()
        self._state = (False, 0)  # whether it is watched; what to add to the sum then, or all there is

    @property
    def total(self) -> int:
        """
        How much was counted since it was made.
        """
        with self._lock:
            watched, number = self._state
            return self._sum() + number if watched else number

    def watch(self, watched: bool) -> None:
        """
        Count from now on, or no longer.
        """
        with self._lock:
            if watched != self._state[0]:
                total = self.total
                self._state = (watched, total - self._sum() if watched else total)

    def _sum(self) -> int:
        return sum(cell.total for cell in self._cells)


class FlowCells:
    """
    All cells of one flow, made once for a process: a new snapshot counts on in the same ones.

    Attributes:
        durations: How long calls took to OLD and to NEW, where the histogram has not taken that over yet: observing
            one takes a lock.
        went_well: For calls that ended well: what counts one to OLD, and one to NEW.
    """

    __slots__ = (
        "_by_key",
        "_bypasses",
        "calls",
        "decisions",
        "durations",
        "fallbacks",
        "shadows",
        "synthetic",
        "went_well",
    )

    def __init__(self, flow: str) -> None:
        self.decisions: dict[tuple[Backend, Reason], Cell] = {
            (backend, reason): Cell(Counted(Kind.REQUESTS, flow, backend, reason), backend)
            for reason, backend in product(Reason, Backend)
            if backend is Backend.OLD or reason not in ONLY_OLD
        }
        self.synthetic: dict[Backend, Cell] = {
            side: Cell(Counted(Kind.SYNTHETIC, flow, side, ""), side) for side in Backend
        }
        self.calls: dict[tuple[Backend, str], Cell] = {
            (backend, outcome): Cell(Counted(Kind.CALLS, flow, backend, outcome), backend)
            for backend, outcome in product(Backend, OUTCOMES)
        }

        self.fallbacks: Cell = Cell(Counted(Kind.FALLBACKS, flow, "", ""), Backend.OLD)
        self.shadows: dict[Verdict, Cell] = {v: Cell(Counted(Kind.SHADOWS, flow, "", v), Backend.OLD) for v in Verdict}
        self.durations: tuple[Durations, Durations] = (deque(maxlen=MOST_WAITING), deque(maxlen=MOST_WAITING))
        self.went_well: tuple[Iterator[Backend], ...] = tuple(
            self.calls[side, "ok"].ticks for side in (Backend.OLD, Backend.NEW)
        )
        self._by_key = tuple(cell for (_, reason), cell in self.decisions.items() if reason in BY_KEY)
        self._bypasses: dict[str, Bypass] = {}

    def __iter__(self) -> Iterator[Counting]:
        yield from self.decisions.values()
        yield from self.synthetic.values()
        yield from self.calls.values()
        yield self.fallbacks
        yield from self.shadows.values()
        yield from tuple(self._bypasses.values())

    def count_requests(self) -> int:
        """
        Give how many decisions were counted, those of load tests, probes and bots among them.
        """
        return sum(cell.total for cell in (*self.decisions.values(), *self.synthetic.values()))

    def watch_bypass(self, journey: str | None) -> None:
        """
        Count bare keys for the `together` journey that the flow is in now; None for none.
        """
        if journey is not None and journey not in self._bypasses:
            self._bypasses[journey] = Bypass(journey, self._by_key)
        for name, bypass in self._bypasses.items():
            bypass.watch(name == journey)


class VisitCells:
    """
    The cells of what happens to the visits of one journey; what they answer is not used.
    """

    __slots__ = ("entered", "evicted", "expired", "left", "rejected", "renamed", "resumed")

    entered: Cell
    resumed: Cell
    renamed: Cell
    left: Cell
    expired: Cell
    evicted: Cell
    rejected: Cell

    def __init__(self, journey: str) -> None:
        for event in self.__slots__:
            setattr(self, event, Cell(Counted(Kind.VISITS, journey, "", event), Backend.OLD))

    def __iter__(self) -> Iterator[Counting]:
        return (getattr(self, event) for event in self.__slots__)

    def count_uses(self) -> int:
        """
        Give how often a visit was entered or went on.
        """
        return self.entered.total + self.resumed.total


class StrangerCells:
    """
    How often each name came up that nobody expected. Names are strangers' text: only the first ones are counted.
    """

    __slots__ = ("_ticks",)

    def __init__(self) -> None:
        self._ticks: dict[str, Iterator[None]] = {}

    def count(self, name: str) -> None:
        """
        Count a name; never raises, never blocks.
        """
        name = name[:LONGEST_ASKED]
        ticks = self._ticks.get(name)
        if ticks is None:
            if len(self._ticks) >= MOST_STRANGERS:
                return
            ticks = self._ticks.setdefault(name, repeat(None, sys.maxsize))
        next(ticks)

    def counts(self) -> list[tuple[str, int]]:
        """
        Give each name with how often it came up.
        """
        counts = ((name, sys.maxsize - length_hint(ticks)) for name, ticks in tuple(self._ticks.items()))
        return [(well_formed(name).decode(), number) for name, number in counts]

    def restart_counting(self) -> None:
        """
        Begin at zero: what was counted before a fork belongs to the parent.
        """
        self._ticks.clear()
