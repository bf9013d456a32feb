"""
How metrics come onto a Prometheus registry: all of them or none, and once, whoever asks for them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.registry import Collector

from cutover.errors import ConfigurationError
from cutover.router.metrics.registry_locks import hold_at_forks

__all__ = ["OnePerRegistry", "all_or_none"]

T = TypeVar("T")


class OnePerRegistry(Generic[T]):
    """
    Metrics that Prometheus lets be registered once: the routers of a process share them.

    Args:
        make: Registers them on the registry that it is given.
    """

    def __init__(self, make: Callable[[CollectorRegistry], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[CollectorRegistry, T] = WeakKeyDictionary()

    def on(self, registry: CollectorRegistry | None) -> T:
        """
        Give those of a registry, the default one for None; made at the first call.

        Raises:
            ConfigurationError: If something else is registered there under one of the names.
        """
        registry = REGISTRY if registry is None else registry
        made = self._made.get(registry)
        if made is None:
            with all_or_none(registry) as tentative:
                made = self._made[registry] = self._make(tentative)
            hold_at_forks(registry)
        return made


@contextmanager
def all_or_none(registry: CollectorRegistry) -> Iterator[CollectorRegistry]:
    """
    Give a registry that passes everything on to another one, unless something of the block is refused there.

    Raises:
        ConfigurationError: If something else is registered there under one of the names.
    """
    tentative = _Tentative(registry)
    try:
        yield tentative
    except ValueError as error:
        tentative.withdraw()
        raise ConfigurationError(f"the registry has a metric of that name already: {error}") from error


class _Tentative(CollectorRegistry):
    """
    Registers elsewhere, and can take it all back.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._registry = registry
        self._made: list[Collector] = []

    def register(self, collector: Collector) -> None:
        self._registry.register(collector)
        self._made.append(collector)

    def withdraw(self) -> None:
        for collector in self._made:
            self._registry.unregister(collector)
