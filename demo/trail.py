"""
What the application's processes wrote down of each request of a purchase: the evidence for the proofs.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import attrs

from cutover.core.backend import Backend
from cutover.core.snapshot import Snapshot
from demo.traffic import Step

__all__ = ["Trace", "Trail", "read_trails"]

NAMES: Final = "trail-*.csv"


@attrs.frozen
class Trace:
    """
    One request, where it went, and what held then.

    Attributes:
        number: Its place in the replay.
        flow: Of the clickstream's event.
        version: The snapshot that held in the process that served it.
        parts: The flow's dial in that snapshot, of 100,000.
    """

    number: int = attrs.field(converter=int)
    session: str
    user: str
    flow: str
    event: str
    side: Backend = attrs.field(converter=Backend)
    version: int = attrs.field(converter=int)
    parts: int = attrs.field(converter=int)


class Trail:
    """
    What one process writes down. A context manager; at its end all of it is in the file.
    """

    def __init__(self, folder: Path, worker: int) -> None:
        self._file = (folder / NAMES.replace("*", str(worker))).open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def note(self, step: Step, side: Backend, held: Snapshot) -> None:
        """
        Write down one request.
        """
        parts = held.effective_parts(step.flow)
        trace = Trace(step.number, step.session, step.user, step.flow, step.event, side, held.version, parts)
        self._rows.writerow(attrs.astuple(trace))


def read_trails(folder: Path) -> list[Trace]:
    """
    Read what all processes wrote down, in the order of the replay.
    """
    return sorted((trace for path in folder.glob(NAMES) for trace in _read(path)), key=lambda trace: trace.number)


def _read(path: Path) -> Iterable[Trace]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from (Trace(*row) for row in csv.reader(file))
