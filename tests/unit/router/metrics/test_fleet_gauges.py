"""
What a store knows of all processes, as gauges.
"""

from datetime import timedelta

import attrs
from prometheus_client import CollectorRegistry, Gauge
from routers import after, samples
from strategies import at, begun, definition_of

from cutover.core import changes
from cutover.core.checkin import CheckIn, Counted, Fleet, Kind, minute_of
from cutover.core.ledger import seal
from cutover.core.names import Asked, NameKind
from cutover.core.snapshot import Snapshot
from cutover.errors import ConfigurationError
from cutover.router.metrics.fleet_gauges import FleetGauges, fleet_gauges_on

SNAPSHOT = after(at("browse", 50_000))
NOW = SNAPSHOT.at + timedelta(minutes=3)


def fleet_of(snapshot: Snapshot, old: int, new: int) -> Fleet:
    """
    Give a fleet of one instance that routed so many requests.
    """
    counts = {Counted(Kind.REQUESTS, "browse", side, "percent"): n for side, n in (("old", old), ("new", new))}
    instance = CheckIn(
        instance="a",
        sequence=1,
        at=NOW,
        host="web-1",
        pid=1,
        started=NOW,
        library="1",
        head=snapshot.head,
        since_version=counts,
    )
    return Fleet(instances=(instance,), minutes={minute_of(NOW): counts})


def test_shares_and_instances():
    """
    The share that went to NEW is shown for flows with traffic, and the processes by how they stand.
    """
    registry = CollectorRegistry()
    FleetGauges(registry).show(SNAPSHOT, fleet_of(SNAPSHOT, 30, 10), now=NOW)

    assert samples(registry, "cutover_flow_effective_ratio") == {("browse",): 0.25}
    states = samples(registry, "cutover_instances")
    assert states == {("current",): 1, ("behind",): 0, ("regressed",): 0, ("lost",): 0}


def test_names_that_the_migration_lacks():
    """
    Of each unknown name it is shown how many processes ask for it; one that nobody asks for any more has no series.
    """
    registry = CollectorRegistry()
    gauges = FleetGauges(registry)
    fleet = fleet_of(SNAPSHOT, 30, 10)
    asked = (Asked(NameKind.FLOW, "browse", 40), Asked(NameKind.FLOW, "pya", 2), Asked(NameKind.JOURNEY, "buy", 0))
    gauges.show(SNAPSHOT, Fleet(instances=(attrs.evolve(fleet.instances[0], asked=asked),)), now=NOW)

    assert samples(registry, "cutover_unknown_name_instances") == {("flow", "pya"): 1, ("journey", "buy"): 1}
    gauges.show(SNAPSHOT, fleet, now=NOW)
    assert samples(registry, "cutover_unknown_name_instances") == {}


def test_a_change_of_another_flow_does_not_matter():
    """
    A share is that of the flow's own window: another flow's change does not begin it anew.
    """
    registry = CollectorRegistry()
    later = seal(changes.set_dial(SNAPSHOT, "pay", 1_000), at=NOW, actor="rina", reason="x")[1]
    FleetGauges(registry).show(later, fleet_of(SNAPSHOT, 30, 10), now=NOW)

    assert samples(registry, "cutover_flow_effective_ratio") == {("browse",): 0.25}


def test_a_forecast_needs_a_day_of_history():
    """
    There is no forecast before a day has passed since the beginning.
    """
    registry = CollectorRegistry()
    definition = attrs.evolve(SNAPSHOT.definition, started=SNAPSHOT.at.date())
    snapshot, midnight = attrs.evolve(SNAPSHOT, definition=definition), definition.started_instant()
    gauges = FleetGauges(registry)

    gauges.show(snapshot, Fleet(), now=midnight + timedelta(hours=23, minutes=59))
    assert samples(registry, "cutover_forecast_timestamp_seconds") == {}
    gauges.show(snapshot, Fleet(), now=midnight + timedelta(days=1))
    assert len(samples(registry, "cutover_forecast_timestamp_seconds")) == 1


def test_no_traffic_is_no_share():
    """
    A share that cannot be measured any more has no series: nothing stale is shown.
    """
    registry = CollectorRegistry()
    gauges = FleetGauges(registry)
    gauges.show(SNAPSHOT, fleet_of(SNAPSHOT, 30, 10), now=NOW)
    gauges.show(SNAPSHOT, Fleet(), now=NOW)

    assert samples(registry, "cutover_flow_effective_ratio") == {}


def test_two_migrations_beside_each_other():
    """
    Two migrations on one registry do not take each other's series away.
    """
    other = begun(definition_of("pay", name="other"))
    registry = CollectorRegistry()
    gauges = fleet_gauges_on(registry)
    for snapshot in (SNAPSHOT, other, SNAPSHOT):
        gauges.show(snapshot, Fleet(), now=NOW)

    shown = [s for m in registry.collect() for s in m.samples if s.name == "cutover_instances"]
    assert {s.labels["migration"] for s in shown} == {"shop", "other"}


def test_once_for_each_registry():
    """
    A second router on a registry shares the gauges of the first.
    """
    registry = CollectorRegistry()

    assert fleet_gauges_on(registry) is fleet_gauges_on(registry)


def test_a_name_that_is_taken():
    """
    Where another metric has one of the names, they are refused, and nothing of them stays behind.
    """
    registry = CollectorRegistry()
    Gauge("cutover_instances", "Somebody else's", registry=registry)
    before = set(registry._names_to_collectors)
    try:
        fleet_gauges_on(registry)
    except ConfigurationError as error:
        refusal = str(error)

    assert "cutover_instances" in refusal
    assert set(registry._names_to_collectors) == before
