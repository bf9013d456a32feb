"""
Counting requests exactly, without a lock and without a number.

A cell is an iterator that repeats its backend: one `next` both counts the request and answers it. How often it was
taken is how much shorter the iterator has become. C code runs `next` whole, so no thread can lose a count.
"""

import sys
from collections.abc import Iterator
from itertools import product, repeat
from operator import length_hint
from typing import Any

from cutover.core.backend import Backend, Reason
from cutover.core.checkin import Counted, Kind

__all__ = ["OUTCOMES", "Cell", "FlowCells"]

ONLY_OLD = frozenset({Reason.HOME_UNKNOWN, Reason.DEFAULT, Reason.NO_KEY})
OUTCOMES = ("ok", "error", "cancelled", "unknown")  # of a call to a back end; a closed set


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
        self.counted = counted
        self.backend = backend
        self.detail: Any = counted.detail
        self.ticks: Iterator[Backend] = repeat(backend, sys.maxsize)
        self.flushed = 0
        self.reported = 0

    @property
    def total(self) -> int:
        """
        How often the cell was taken since it was made.
        """
        return sys.maxsize - length_hint(self.ticks)


class FlowCells:
    """
    All cells of one flow, made once for a process: a new snapshot counts on in the same ones.
    """

    __slots__ = ("calls", "decisions", "synthetic")

    def __init__(self, flow: str) -> None:
        self.decisions = {
            (backend, reason): Cell(Counted(Kind.REQUESTS, flow, backend, reason), backend)
            for reason, backend in product(Reason, Backend)
            if backend is Backend.OLD or reason not in ONLY_OLD
        }
        self.synthetic = {side: Cell(Counted(Kind.SYNTHETIC, flow, side, ""), side) for side in Backend}
        self.calls = {
            (backend, outcome): Cell(Counted(Kind.CALLS, flow, backend, outcome), backend)
            for backend, outcome in product(Backend, OUTCOMES)
        }

    def __iter__(self) -> Iterator[Cell]:
        yield from self.decisions.values()
        yield from self.synthetic.values()
        yield from self.calls.values()
