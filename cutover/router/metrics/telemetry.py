"""
What one router shows to Prometheus: its counts, its snapshot, and how fresh that is.
"""

import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Final

from prometheus_client import Counter

from cutover.core.backend import Backend, Reason
from cutover.core.bucketing import PARTS
from cutover.core.checkin import Counted, Kind
from cutover.core.names import Asked
from cutover.core.progress import target_progress, target_ratio
from cutover.core.snapshot import Snapshot
from cutover.router.counting import Counting, Durations
from cutover.router.log import log
from cutover.router.metrics.instruments import GATE, Instruments, Labels
from cutover.version import VERSION

__all__ = ["Telemetry"]

NAME_PATIENCE: Final = 5.0  # seconds


Cells = Callable[[], Iterable[Counting]]
WaitingDurations = Callable[[], Iterable[tuple[str, Backend, Durations]]]


class Telemetry:
    """
    Feeds the instruments of a registry for one router.

    Args:
        cells: Gives all cells of the router as they are now.
        durations: Gives, by flow and side, what the histogram has not taken over.
    """

    def __init__(
        self, instruments: Instruments, cells: Cells, durations: WaitingDurations, migration: str | None
    ) -> None:
        self._instruments = instruments
        self._cells = cells
        self._durations = durations
        self._migration = migration or ""
        self._began = self._confirmed = monotonic()
        self._children: dict[tuple[str, Counted], Counter] = {}
        self._unknown: dict[Labels, float] = {}
        self._shown: dict[str, set[Labels]] = {}
        self._complaints: set[int | None] = set()
        self._lock = threading.Lock()
        instruments.owners.add(self)

    def after_fork(self) -> None:
        """
        Replace what another thread may have held when the process forked.
        """
        self._lock = threading.Lock()

    def refresh_counters(self, kinds: Container[str] = frozenset(Kind)) -> None:
        """
        Add what was counted since the last time; what cannot be written now is added next time.

        For some seconds, counts wait for the name of a migration that was not given: it is their label.

        Args:
            kinds: Of what is counted.
        """
        if self._is_nameless():
            return
        with self._written(), self._lock, GATE.held():
            for cell in self._cells():
                if cell.counted.kind not in kinds:
                    continue
                total = cell.total
                if total != cell.flushed:
                    self._child(cell.counted).inc(total - cell.flushed)
                    cell.flushed = total
                elif not total and _begins_at_zero(cell.counted):
                    self._child(cell.counted)

    def refresh_durations(self) -> None:
        """
        Add the durations that were noted since the last time.
        """
        if self._is_nameless():
            return
        with self._written(), self._lock, GATE.held():
            for flow, backend, waiting in self._durations():
                if waiting:
                    child = self._instruments.durations.labels(self._migration, flow, backend)
                    child.observe_all(waiting.popleft() for _ in range(len(waiting)))

    def refresh_age(self) -> None:
        """
        Show how many seconds ago the store last confirmed the snapshot, or the router was made.
        """
        self._show("snapshot_age_seconds", {(): monotonic() - self._confirmed})

    def confirm(self, age: float = 0.0) -> None:
        """
        Note that the store confirmed the snapshot just now, or a relay that its store did so many seconds ago.
        """
        self._confirmed = monotonic() - age

    def show_health(self, *, store_up: bool, regressed: bool) -> None:
        """
        Show how the store stands.
        """
        self._show("store_up", {(): float(store_up)})
        self._show("snapshot_regressed", {(): float(regressed)})
        self._show("build_info", {(VERSION,): 1.0})

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """
        Show what a snapshot says.
        """
        definition = snapshot.definition
        self._migration = snapshot.migration
        self._show("flow_target_ratio", {(f,): float(target_ratio(snapshot, f)) for f in definition.flows})
        self._show("progress_target_ratio", {(): float(target_progress(snapshot))})
        self._show("work_item_ratio", {(item,): parts / PARTS for item, parts in snapshot.work.items()})
        self._show("snapshot_version", {(): snapshot.version})
        deadline = definition.deadline_instant()
        self._show("deadline_timestamp_seconds", {} if deadline is None else {(): deadline.timestamp()})
        self._show("migration_info", {(definition.old, definition.new): 1.0})

    def show_unknown(self, unknown: Iterable[Asked]) -> None:
        """
        Show what the application asks for by name and the migration lacks; 0 for a name that it no longer lacks.
        """
        self._unknown = {**dict.fromkeys(self._unknown, 0.0), **{(one.kind.value, one.name): 1.0 for one in unknown}}
        self._show("unknown_names", self._unknown)

    def _is_nameless(self) -> bool:
        return not self._migration and monotonic() - self._began < NAME_PATIENCE

    def show_mirror(self, migration: str, flows: Mapping[str, tuple[int, float]]) -> None:
        """
        Show, by flow, how many mirrored writes a side lacks, and for how many seconds it has lacked the oldest.
        """
        self._migration = self._migration or migration
        self._show("mirror_backlog", {(flow,): float(backlog) for flow, (backlog, _) in flows.items()})
        self._show("mirror_lag_seconds", {(flow,): lag for flow, (_, lag) in flows.items()})

    def _show(self, gauge: str, values: "dict[tuple[str, ...], float]") -> None:
        labelled = {(self._migration, *labels): value for labels, value in values.items()}
        with self._written(), GATE.held():
            self._instruments.gauges[gauge].show(labelled, self._shown.setdefault(gauge, set()))

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # the multiprocess files are on a full disk, or were removed
            if error.errno not in self._complaints:
                self._complaints.add(error.errno)
                log.warning("cutover.metrics_not_written", error=str(error))

    def _child(self, counted: Counted) -> Counter:
        child = self._children.get((self._migration, counted))
        if child is None:
            labels = [counted.flow, *(label for label in (counted.backend, counted.detail) if label)]
            counter = self._instruments.counters[counted.kind]
            child = self._children[self._migration, counted] = counter.labels(self._migration, *labels)
        return child


def _begins_at_zero(counted: Counted) -> bool:
    """
    Tell the series that are shown from the start, so that `rate()` sees their first increment.
    """
    return counted.kind is Kind.VISITS or (counted.kind is Kind.REQUESTS and counted.detail == Reason.PERCENT)
