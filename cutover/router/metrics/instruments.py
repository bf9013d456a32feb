"""
The metrics of a process: one set of Prometheus instruments for each registry, shared by all routers on it.

Counters are real `prometheus_client` counters, which also work in its multiprocess mode. Routers count in cells; the
difference since the last time is added once a second, and before every scrape.
"""

import os
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol
from weakref import WeakSet

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

from cutover.core.checkin import Kind
from cutover.forks import Gate
from cutover.router.metrics.registering import OnePerRegistry

__all__ = ["GATE", "FreshCounter", "FreshGauge", "Instruments", "Refresh", "instruments_on"]

Refresh = Callable[[], None]
Labels = tuple[str, ...]

GATE: Final = Gate()  # prometheus_client's locks would stay locked in a child, if a thread of ours held one at a fork
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class FreshCounter(Counter):
    """
    A counter that brings itself up to date before it is scraped, and has no ``_created`` series.
    """

    refresh: Refresh | None = None

    def collect(self) -> Iterable[Metric]:
        """
        Give the samples as they are now.
        """
        if self.refresh is not None:
            self.refresh()
        with GATE.held():
            return [_without_created(metric) for metric in super().collect()]


class FreshGauge(Gauge):
    """
    A gauge that brings itself up to date before it is scraped.
    """

    refresh: Refresh | None = None

    def collect(self) -> Iterable[Metric]:
        """
        Give the samples as they are now.
        """
        if self.refresh is not None:
            self.refresh()
        with GATE.held():
            return super().collect()

    def show(self, values: Mapping[Labels, float], shown: set[Labels]) -> None:
        """
        Set the values of one owner, and take away those it no longer has.

        Args:
            shown: What the owner shows now; brought up to date.
        """
        for labels, value in values.items():
            self.labels(*labels).set(value)
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:  # there a series stays as long as its file
            for labels in shown - values.keys():
                with suppress(KeyError):  # another owner was faster; older versions of prometheus_client tell
                    self.remove(*labels)
        shown.clear()
        shown.update(values)


class FreshHistogram(Histogram):
    """
    A histogram that brings itself up to date before it is scraped, and has no ``_created`` series.
    """

    refresh: Refresh | None = None

    def observe_all(self, amounts: Iterable[float]) -> None:
        """
        Observe many amounts for the price of a few: each bucket is written once.
        """
        kept = list(amounts)
        counts = Counts(bisect_left(self._upper_bounds, amount) for amount in kept)
        self._sum.inc(sum(kept))
        for bucket, count in counts.items():
            self._buckets[bucket].inc(count)

    def collect(self) -> Iterable[Metric]:
        """
        Give the samples as they are now.
        """
        if self.refresh is not None:
            self.refresh()
        with GATE.held():
            return [_without_created(metric) for metric in super().collect()]


def _without_created(metric: Metric) -> Metric:
    metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
    return metric


class Owner(Protocol):
    """
    One router's side of the instruments.
    """

    def refresh_counters(self, kinds: Container[str]) -> None:
        """
        Add what was counted since the last time.
        """
        ...

    def refresh_durations(self) -> None:
        """
        Add the durations that were noted since the last time.
        """
        ...

    def refresh_age(self) -> None:
        """
        Show how old the snapshot is now.
        """
        ...


class Instruments:
    """
    All metrics that routers feed, on one registry.

    Attributes:
        counters: By the kind of what is counted.
        gauges: By name without the prefix.
        owners: What feeds them, one for each router.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.owners: WeakSet[Owner] = WeakSet()
        count = partial(self._counter, registry)
        probes = "Decisions for load tests, probes and bots"
        self.counters: dict[str, FreshCounter] = {
            Kind.REQUESTS: count(Kind.REQUESTS, "requests", "Decisions of routers", "flow", "backend", "reason"),
            Kind.SYNTHETIC: count(Kind.SYNTHETIC, "synthetic_requests", probes, "flow", "backend"),
            Kind.CALLS: count(Kind.CALLS, "calls", "Calls to a back end by outcome", "flow", "backend", "outcome"),
            Kind.FALLBACKS: count(Kind.FALLBACKS, "fallbacks", "Calls that OLD answered because NEW failed", "flow"),
            Kind.SHADOWS: count(
                Kind.SHADOWS, "shadow_comparisons", "Calls that the other side was asked for too", "flow", "outcome"
            ),
            Kind.VISITS: count(Kind.VISITS, "visits", "What happens to visits", "journey", "event"),
        }
        self.durations: FreshHistogram = FreshHistogram(
            "cutover_call_duration_seconds",
            "How long calls to a back end took",
            ("migration", "flow", "backend"),
            buckets=BUCKETS,
            registry=registry,
        )
        self.durations.refresh = self._refresh_durations
        gauge = partial(_gauge, registry)
        self.gauges: dict[str, FreshGauge] = {
            "flow_target_ratio": gauge("flow_target_ratio", "Share that the dial sends to NEW", "flow"),
            "progress_target_ratio": gauge("progress_target_ratio", "Overall progress that dials and work items say"),
            "work_item_ratio": gauge("work_item_ratio", "How far a work item has come", "item"),
            "snapshot_version": gauge("snapshot_version", "Version in force in this process", mode="livemin"),
            "snapshot_age_seconds": gauge(
                "snapshot_age_seconds", "Seconds since the store last confirmed it", mode="livemax"
            ),
            "snapshot_regressed": gauge(
                "snapshot_regressed", "1 while the store has another history than this process", mode="livemax"
            ),
            "store_up": gauge("store_up", "1 while the store answers", mode="livemin"),
            "deadline_timestamp_seconds": gauge("deadline_timestamp_seconds", "End of the deadline's day"),
            "unknown_names": gauge(
                "unknown_names", "1 while it asks for a name that the migration lacks", "kind", "name", mode="livesum"
            ),
            "migration_info": gauge("migration_info", "What people call the two back ends", "old", "new"),
            "mirror_backlog": gauge("mirror_backlog", "Mirrored writes that a side lacks", "flow"),
            "mirror_lag_seconds": gauge("mirror_lag_seconds", "Age of the oldest of them", "flow"),
            "build_info": gauge("build_info", "Version of this library", "version"),
        }
        self.gauges["snapshot_age_seconds"].refresh = self._refresh_ages

    def _counter(self, registry: CollectorRegistry, kind: str, name: str, text: str, *labels: str) -> FreshCounter:
        counter = FreshCounter(f"cutover_{name}", text, ("migration", *labels), registry=registry)
        counter.refresh = partial(self._refresh_counters, (kind,))
        return counter

    def _refresh_counters(self, kinds: Container[str]) -> None:
        for owner in tuple(self.owners):
            owner.refresh_counters(kinds)

    def _refresh_durations(self) -> None:
        for owner in tuple(self.owners):
            owner.refresh_durations()

    def _refresh_ages(self) -> None:
        for owner in tuple(self.owners):
            owner.refresh_age()


def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str, mode: Any = "livemostrecent") -> FreshGauge:
    return FreshGauge(f"cutover_{name}", text, ("migration", *labels), registry=registry, multiprocess_mode=mode)


instruments_on: Final = OnePerRegistry(Instruments).on
