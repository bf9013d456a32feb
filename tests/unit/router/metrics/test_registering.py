"""
How metrics come onto a registry.
"""

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from cutover.errors import ConfigurationError
from cutover.router.metrics.registering import OnePerRegistry, all_or_none


def test_one_for_each_registry():
    """
    Metrics are made once for a registry, and the default one is meant where none is named.
    """
    asked = []
    metrics = OnePerRegistry(lambda registry: asked.append(registry) or object())
    one = CollectorRegistry()

    assert metrics.on(one) is metrics.on(one)
    assert metrics.on(None) is metrics.on(REGISTRY) is not metrics.on(one)
    assert len(asked) == 2


def test_all_or_none():
    """
    Where one of several is refused, those before it are taken back, and others of the registry stay.
    """
    registry = CollectorRegistry()
    Gauge("theirs", "Somebody else's", registry=registry)
    names = OnePerRegistry(lambda given: [Gauge(name, "Ours", registry=given) for name in ("ours", "theirs")])

    with pytest.raises(ConfigurationError, match="theirs"):
        names.on(registry)

    assert [metric.name for metric in registry.collect()] == ["theirs"]


def test_other_errors_pass():
    """
    What is no clash of names is not taken for one.
    """
    with pytest.raises(ZeroDivisionError), all_or_none(CollectorRegistry()):
        raise ZeroDivisionError
