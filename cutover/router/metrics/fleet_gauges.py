"""
What a store knows of all processes together, as Prometheus gauges: the fleet-wide series.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry

from cutover.core.checkin import Fleet, InstanceState
from cutover.core.fleet import called_now, effective_progress, recent, states
from cutover.core.lacking import lacking
from cutover.core.progress import forecast, target_progress
from cutover.core.snapshot import Snapshot
from cutover.router.metrics.instruments import GATE, FreshGauge, Labels
from cutover.router.metrics.registering import OnePerRegistry

__all__ = ["FleetGauges", "fleet_gauges_on"]

NAMES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "flow_effective_ratio": ("Share of requests that all processes sent to NEW", ("flow",)),
    "progress_effective_ratio": ("Overall progress that users see", ()),
    "forecast_timestamp_seconds": ("When it would be complete at its mean pace so far", ()),
    "instances": ("Processes that route, by how they stand to the store", ("state",)),
    "unknown_name_instances": ("Processes that ask for a name which the migration lacks", ("kind", "name")),
}


class FleetGauges:
    """
    The fleet-wide gauges on one registry.

    Raises:
        ValueError: If the registry has them already.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._shown: dict[tuple[str, str], set[Labels]] = {}
        self._gauges = {
            name: FreshGauge(
                f"cutover_{name}",
                text,
                ("migration", *labels),
                registry=registry,
                multiprocess_mode="livemostrecent",
            )
            for name, (text, labels) in NAMES.items()
        }

    def show(self, snapshot: Snapshot, fleet: Fleet, *, now: datetime) -> None:
        """
        Show the fleet as it is; what cannot be measured now has no series.
        """
        fleet = called_now(fleet, snapshot.definition)
        traffic = recent(fleet, snapshot, now=now)
        shares = {flow: measured.requests.ratio for flow, measured in traffic.items()}
        self._show(snapshot, "flow_effective_ratio", {(f,): float(s) for f, s in shares.items() if s is not None})
        progress = effective_progress(snapshot, traffic)
        self._show(snapshot, "progress_effective_ratio", {} if progress is None else {(): float(progress)})
        started = snapshot.definition.started_instant()
        due = None if started is None else forecast(target_progress(snapshot), since=started, now=now)
        self._show(snapshot, "forecast_timestamp_seconds", {} if due is None else {(): due.timestamp()})
        counts = dict.fromkeys(InstanceState, 0)
        for state in states(fleet, snapshot.head, now=now).values():
            counts[state] += 1
        self._show(snapshot, "instances", {(state.value,): number for state, number in counts.items()})
        unknown = lacking(fleet.instances, snapshot.definition, now=now)
        self._show(snapshot, "unknown_name_instances", {(one.kind.value, one.name): len(one.asking) for one in unknown})

    def _show(self, snapshot: Snapshot, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        labelled = {(snapshot.migration, *labels): value for labels, value in values.items()}
        with GATE.held():
            self._gauges[name].show(labelled, self._shown.setdefault((snapshot.migration, name), set()))


fleet_gauges_on: Final = OnePerRegistry(FleetGauges).on
