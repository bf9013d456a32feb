"""
What a relay shows to Prometheus: itself, and the whole fleet as its store knows it. A scrape reads no store.
"""

from collections import Counter
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from cutover.core.checkin import Fleet
from cutover.router.metrics.fleet_gauges import FleetGauges
from cutover.server.followed import Followed
from cutover.server.relay import Relay

__all__ = ["RelayMetrics"]


class RelayMetrics:
    """
    The metrics of one relay, on a registry of their own.

    Attributes:
        connections: How many there were at the last request.
    """

    def __init__(self, relay: Relay) -> None:
        self.connections = 0
        self._relay = relay
        self._answers: Counter[int] = Counter()
        self._registry = CollectorRegistry()
        self._fleet = FleetGauges(self._registry)
        self._registry.register(self)
        relay.surveyed = self.show_fleet

    def answered(self, status: int) -> None:
        """
        Count an answer.
        """
        self._answers[status] += 1

    def show_fleet(self, followed: Followed, fleet: Fleet) -> None:
        """
        Show a fleet that was read just now; while the store is away, what was shown last stays.
        """
        snapshot = followed.snapshot()
        if snapshot is not None:
            self._fleet.show(snapshot, fleet, now=self._relay.now())

    def text(self) -> bytes:
        """
        Give everything in Prometheus's text format.
        """
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """
        Name the families without samples.
        """
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """
        Give the relay's own families as they are now.
        """
        relay = self._relay
        yield GaugeMetricFamily("cutover_relay_connections", "Connections at the last request", self.connections)
        yield GaugeMetricFamily("cutover_relay_waiting", "Clients in a long poll", relay.hub.waiting)
        answers = CounterMetricFamily("cutover_relay_answers", "Answers by status", labels=["code"])
        for status, number in sorted(self._answers.items()):
            answers.add_metric([str(status)], number)
        yield answers
        yield from _of_migrations(
            [followed for followed in tuple(relay.migrations.values()) if followed.held is not None]
        )


def _of_migrations(migrations: Iterable[Followed]) -> Iterable[Metric]:
    up = GaugeMetricFamily("cutover_relay_store_up", "1 while the store answers", labels=["migration"])
    version = GaugeMetricFamily("cutover_relay_version", "Version that is served", labels=["migration"])
    age = GaugeMetricFamily(
        "cutover_relay_age_seconds", "Seconds since the store last confirmed what is served", labels=["migration"]
    )
    broken = GaugeMetricFamily(
        "cutover_relay_break_glass_instances",
        "Processes that hold a flow by their break-glass file or a floor, as last heard",
        labels=["migration", "flow"],
    )
    floor = GaugeMetricFamily(
        "cutover_relay_floor", "1 for each flow that an emergency holds on OLD", labels=["migration", "flow"]
    )
    for followed in migrations:
        for flow in followed.floor:
            floor.add_metric([followed.migration, flow], 1.0)
        name = [followed.migration]
        up.add_metric(name, float(followed.store_up))
        age.add_metric(name, followed.age())
        if followed.held is not None:
            version.add_metric(name, followed.held.head.version)
        instances = () if followed.fleet is None else followed.fleet.instances
        flows = Counter(flow for report in instances for flow in set(report.break_glass))
        for flow, number in sorted(flows.items()):
            broken.add_metric([followed.migration, flow], number)
    yield from (up, version, age, floor, broken)
