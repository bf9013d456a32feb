"""
What one router shows to Prometheus.
"""

import attrs
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from routers import FIRST, SHOP, Parts, Script, after, events, reading, samples
from strategies import NAME, at, begun, definition_of
from structlog.testing import capture_logs

from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.router.metrics import telemetry as module
from cutover.router.metrics.instruments import instruments_on
from cutover.router.metrics.telemetry import Telemetry
from cutover.version import VERSION

HALF = after(at("browse", 50_000), lambda s: changes.set_work(s, "branding", 12_500))


@pytest.fixture
def parts():
    """
    The parts of a router that has taken a snapshot.
    """
    parts = Parts(Script(reading(HALF)))
    parts.follower.step()
    return parts


def test_decisions(parts):
    """
    Every decision is shown by flow, side and reason, load tests apart; what never happened has no series.
    """
    browse = parts.flow("browse")
    for _ in range(3):
        browse.route(None)
        browse.decide("user-1", home="new")
    browse.route("user-1", home="old", synthetic=True)

    shown = samples(parts.registry, "cutover_requests_total")
    assert {labels: n for labels, n in shown.items() if n} == {
        ("browse", "old", "no_key"): 3,
        ("browse", "new", "home"): 3,
    }
    assert samples(parts.registry, "cutover_synthetic_requests_total") == {("browse", "old"): 1}


def test_series_begin_at_zero(parts):
    """
    The two sides of a flow's dial are shown before their first request, so that a rate sees it.
    """
    parts.flow("browse")

    assert samples(parts.registry, "cutover_requests_total") == {
        ("browse", "new", "percent"): 0,
        ("browse", "old", "percent"): 0,
    }


def test_a_scrape_is_up_to_date(parts):
    """
    What was counted a moment before a scrape is in it, once.
    """
    browse = parts.flow("browse")
    for number in range(1, 4):
        browse.route(None)

        assert samples(parts.registry, "cutover_requests_total")["browse", "old", "no_key"] == number


def test_calls(parts):
    """
    Calls are shown by outcome, their durations by side.
    """
    pay = parts.flow("pay")
    pay.called(Backend.NEW, "ok", 0.02)
    pay.called(Backend.NEW, "ok", 3)
    pay.called(Backend.OLD, "unknown", 0.5)

    assert samples(parts.registry, "cutover_calls_total") == {("pay", "new", "ok"): 2, ("pay", "old", "unknown"): 1}
    assert samples(parts.registry, "cutover_call_duration_seconds_sum") == {("pay", "new"): 3.02, ("pay", "old"): 0.5}


def test_a_snapshot_is_shown(parts):
    """
    Dials, progress, work items, version and names are those of the snapshot that holds.
    """
    expected = {
        "flow_target_ratio": {("browse",): 0.5, ("cart",): 0, ("pay",): 0},
        "progress_target_ratio": {(): pytest.approx((0.5 + 0.125) / 4)},
        "work_item_ratio": {("branding",): 0.125},
        "snapshot_version": {(): HALF.version},
        "deadline_timestamp_seconds": {},
        "migration_info": {("tiktok", "tokopedia"): 1},
    }

    assert {name: samples(parts.registry, f"cutover_{name}") for name in expected} == expected


def test_health(parts):
    """
    How the store stands is shown as it is.
    """
    parts.telemetry.show_health(store_up=True, regressed=False)
    parts.telemetry.show_health(store_up=False, regressed=True)

    assert samples(parts.registry, "cutover_store_up") == {(): 0}
    assert samples(parts.registry, "cutover_snapshot_regressed") == {(): 1}
    assert samples(parts.registry, "cutover_build_info") == {(VERSION,): 1}


def test_age(parts, monkeypatch):
    """
    The snapshot's age counts from the store's last confirmation, also where that found nothing new.
    """
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    parts.follower.step()
    now[0] += 7
    assert samples(parts.registry, "cutover_snapshot_age_seconds") == {(): 7}

    parts.follower.step()
    assert samples(parts.registry, "cutover_snapshot_age_seconds") == {(): 0}


def test_what_is_removed_vanishes(parts):
    """
    Gauges of flows and work items that the definition no longer has are gone; counters stay.
    """
    parts.flow("browse").route("user-1")
    parts.holding.take_snapshot(begun(definition_of("pay")), None)
    parts.telemetry.show_snapshot(parts.holding.snapshot)

    assert set(samples(parts.registry, "cutover_flow_target_ratio")) == {("pay",)}
    assert samples(parts.registry, "cutover_work_item_ratio") == {}
    assert ("browse", "old", "percent") in samples(parts.registry, "cutover_requests_total")


def test_a_deadline():
    """
    The deadline is shown as the end of its day.
    """
    from datetime import date

    parts = Parts(Script(reading(begun(attrs.evolve(SHOP, deadline=date(2024, 4, 11))))))
    parts.follower.step()

    assert samples(parts.registry, "cutover_deadline_timestamp_seconds") == {(): 1712880000}


def test_counts_wait_for_the_name(monkeypatch):
    """
    The migration's name is a label: where it was not given, counts wait for it, and are not lost.
    """
    parts = Parts(Script(reading(FIRST)), migration=None)
    pay = parts.flow("pay")
    pay.route("user-1")
    assert samples(parts.registry, "cutover_requests_total") == {}

    parts.follower.step()
    pay.route("user-1")
    with_labels = [s for metric in parts.registry.collect() for s in metric.samples if s.name.startswith("cutover_req")]
    assert {s.labels["migration"] for s in with_labels} == {NAME}
    assert sum(s.value for s in with_labels) == 2


def test_counts_do_not_wait_for_ever(monkeypatch):
    """
    Where no name is learnt for some seconds, counts are shown without it.
    """
    parts = Parts(Script(None), migration=None)
    parts.flow("pay").route("user-1")
    later = module.monotonic() + module.NAME_PATIENCE
    monkeypatch.setattr(module, "monotonic", lambda: later)

    assert samples(parts.registry, "cutover_requests_total") == {
        ("pay", "old", "default"): 1,
        ("pay", "new", "percent"): 0,
        ("pay", "old", "percent"): 0,
    }


@pytest.mark.parametrize("migration", [NAME, "other"])
def test_two_routers_on_one_registry(migration):
    """
    Two routers of one process share a registry, with the same migration or with two.
    """
    registry = CollectorRegistry()
    cells = [Parts(Script(reading(FIRST))) for _ in range(2)]
    for parts, name in zip(cells, (NAME, migration), strict=True):
        parts.telemetry = Telemetry(instruments_on(registry), parts.holding.cells, parts.holding.durations, name)
        parts.flow("pay").route("user-1")

    assert (
        sum(s.value for metric in registry.collect() for s in metric.samples if s.name == "cutover_requests_total") == 2
    )
    assert generate_latest(registry)


def test_a_full_disk_loses_nothing(parts, monkeypatch):
    """
    Where a counter cannot be written, its count is added later, once; the log tells it once.
    """
    browse = parts.flow("browse")
    counter = type(parts.telemetry._child(next(iter(browse.cells)).counted))
    browse.route(None)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(counter, "inc", full)
        parts.telemetry.refresh_counters()
        browse.route(None)
        parts.telemetry.refresh_counters()

    assert events(logs) == ["cutover.metrics_not_written"]
    assert samples(parts.registry, "cutover_requests_total")["browse", "old", "no_key"] == 2


def test_gauges_that_cannot_be_written(parts, monkeypatch):
    """
    Where a gauge cannot be written, the snapshot is taken all the same.
    """
    gauge = type(parts.telemetry._instruments.gauges["snapshot_version"])

    def full(*_):
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(gauge, "show", full)
    parts.follower.source.answers = [reading(after(at("browse", 1), at("browse", 2), at("browse", 3)))]
    with capture_logs() as logs:
        parts.follower.step()

    assert "cutover.metrics_not_written" in events(logs)
    assert (parts.version(), parts.follower.store_up) == (4, True)


def test_the_ratios_are_exact():
    """
    A dial at 100% is shown as 1 and one at 0.001% as 0.00001.
    """
    parts = Parts(Script(reading(after(at("browse", PARTS), at("purchase", 1)))))
    parts.follower.step()

    assert samples(parts.registry, "cutover_flow_target_ratio") == {("browse",): 1, ("cart",): 1e-5, ("pay",): 1e-5}
