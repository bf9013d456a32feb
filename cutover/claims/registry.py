"""
From a URL to an engine of homes. The URLs are those of stores; not every store can keep homes.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from cutover.engines.redaction import redacted
from cutover.engines.registry import open_store
from cutover.errors import ConfigurationError
from cutover.ports.homes import Engine
from cutover.ports.store import Source

__all__ = ["open_engine"]

SQLITE: Final = "sqlite:///"


def open_engine(url: object) -> tuple[Engine, Source]:
    """
    Give the engine that a URL names, and the store at the same place, if there should be one. Nothing is connected.

    Raises:
        ConfigurationError: If the URL can never work: what is wrong, and what is allowed.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"the place of homes is a {type(url).__name__}; allowed: a URL, {ALLOWED}")
    opener = OPENERS.get(url.partition(":")[0])
    if opener is None:
        raise ConfigurationError(f"{redacted(url)!r} cannot keep homes; allowed: {ALLOWED}")
    store = open_store(url)  # checks the URL, and names the extra that is missing
    return opener(url), store


def _memory(url: str) -> Engine:
    from cutover.engines.memory.homes import MemoryEngine  # noqa: PLC0415 - a program loads only the engine that it uses

    return MemoryEngine(url)


def _sqlite(url: str) -> Engine:
    from cutover.engines.sqlite.homes import SqliteEngine  # noqa: PLC0415 - a program loads only the engine that it uses

    return SqliteEngine(url.removeprefix(SQLITE))


def _postgresql(url: str) -> Engine:
    from cutover.engines.postgresql.homes import PostgresqlEngine  # noqa: PLC0415 - its driver is an extra

    return PostgresqlEngine(url)


def _redis(url: str) -> Engine:
    from cutover.engines.redis.homes import RedisEngine  # noqa: PLC0415 - its driver is an extra

    return RedisEngine(url)


OPENERS: Final[Mapping[str, Callable[[str], Engine]]] = MappingProxyType(
    {
        "memory": _memory,
        "sqlite": _sqlite,
        "postgresql": _postgresql,
        "postgres": _postgresql,
        "redis": _redis,
        "rediss": _redis,
    }
)
ALLOWED: Final = "memory:NAME, sqlite:///PATH, postgresql://HOST/DATABASE, redis://HOST, rediss://HOST"
