"""
The instruments of a registry: made once, all or none.
"""

import gc
import weakref

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, generate_latest
from routers import Parts, Script, after, reading

from cutover.errors import ConfigurationError
from cutover.router.metrics.instruments import instruments_on

LABELS = {
    "cutover_requests": {"migration", "flow", "backend", "reason"},
    "cutover_calls": {"migration", "flow", "backend", "outcome"},
    "cutover_call_duration_seconds": {"migration", "flow", "backend"},
    "cutover_synthetic_requests": {"migration", "flow", "backend"},
    "cutover_fallbacks": {"migration", "flow"},
    "cutover_shadow_comparisons": {"migration", "flow", "outcome"},
    "cutover_visits": {"migration", "journey", "event"},
    "cutover_flow_target_ratio": {"migration", "flow"},
    "cutover_progress_target_ratio": {"migration"},
    "cutover_work_item_ratio": {"migration", "item"},
    "cutover_snapshot_version": {"migration"},
    "cutover_snapshot_age_seconds": {"migration"},
    "cutover_snapshot_regressed": {"migration"},
    "cutover_store_up": {"migration"},
    "cutover_deadline_timestamp_seconds": {"migration"},
    "cutover_migration_info": {"migration", "old", "new"},
    "cutover_mirror_backlog": {"migration", "flow"},
    "cutover_mirror_lag_seconds": {"migration", "flow"},
    "cutover_unknown_names": {"migration", "kind", "name"},
    "cutover_build_info": {"migration", "version"},
}


def test_every_metric_has_its_labels():
    """
    The metrics and their labels are those that are published, and each has a help text.
    """
    registry = CollectorRegistry()
    instruments = instruments_on(registry)
    metrics = [*instruments.counters.values(), instruments.durations, *instruments.gauges.values()]

    assert {metric._name: set(metric._labelnames) for metric in metrics} == LABELS
    assert all(metric.documentation for metric in registry.collect())


def test_once_for_each_registry():
    """
    All routers on a registry share its instruments; another registry has its own.
    """
    one, other = CollectorRegistry(), CollectorRegistry()

    assert instruments_on(one) is instruments_on(one)
    assert instruments_on(one) is not instruments_on(other)


def test_the_given_registry_alone():
    """
    Nothing of a router on another registry shows on the default one.
    """
    before = set(REGISTRY._names_to_collectors)
    parts = Parts(Script(reading(after())))
    parts.follower.step()
    parts.flow("pay").route("user-1")

    assert set(REGISTRY._names_to_collectors) == before


@pytest.mark.parametrize("kind", [Counter, Gauge])
@pytest.mark.parametrize("name", ["cutover_requests", "cutover_store_up"])
def test_a_name_that_is_taken(kind, name):
    """
    Where another metric has one of the names, connecting is refused, and nothing of ours stays behind.
    """
    registry = CollectorRegistry()
    foreign = kind(name, "Somebody else's", registry=registry)
    before = set(registry._names_to_collectors)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=name):
            instruments_on(registry)
        assert set(registry._names_to_collectors) == before

    registry.unregister(foreign)
    assert instruments_on(registry).gauges


def test_no_created_series():
    """
    A scrape has no ``_created`` series, which would double the number of ours.
    """
    parts = Parts(Script(reading(after())))
    parts.follower.step()
    with parts.flow("pay").request("user-1"):
        pass

    assert b"_created" not in generate_latest(parts.registry)


def test_a_registry_is_not_kept():
    """
    A registry that nobody holds any more is freed with its instruments.
    """
    registry = CollectorRegistry()
    instruments_on(registry)
    reference = weakref.ref(registry)
    del registry
    gc.collect()

    assert reference() is None
