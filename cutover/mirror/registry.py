"""
From a URL to an outbox. The URLs are those of stores; not every store can keep an outbox.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from cutover.engines.redaction import redacted
from cutover.engines.registry import open_store
from cutover.errors import ConfigurationError
from cutover.ports.outbox import Outbox

__all__ = ["can_keep", "open_outbox"]

SQLITE: Final = "sqlite:///"


def open_outbox(url: object) -> Outbox:
    """
    Give the outbox that a URL names. Nothing is connected or made.

    Raises:
        ConfigurationError: If the URL can never work: what is wrong, and what is allowed.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"the outbox is a {type(url).__name__}; allowed: a URL, {ALLOWED}")
    if not can_keep(url):
        raise ConfigurationError(f"{redacted(url)!r} cannot keep an outbox; allowed: {ALLOWED}")
    open_store(url).close()  # checks the URL, and names the extra that is missing
    return OPENERS[url.partition(":")[0]](url)


def can_keep(url: str) -> bool:
    """
    Tell whether a place of this kind keeps what it acknowledges, in order, and lets several processes share the work.
    """
    return url.partition(":")[0] in OPENERS


def _memory(url: str) -> Outbox:
    from cutover.engines.memory.outbox import memory_outbox  # noqa: PLC0415 - a program loads only the engine that it uses

    return memory_outbox(url)


def _sqlite(url: str) -> Outbox:
    from cutover.engines.sqlite.outbox import SqliteOutbox  # noqa: PLC0415 - a program loads only the engine that it uses

    return SqliteOutbox.at(url.removeprefix(SQLITE))


def _postgresql(url: str) -> Outbox:
    from cutover.engines.postgresql.outbox import PostgresqlOutbox  # noqa: PLC0415 - its driver is an extra

    return PostgresqlOutbox(url)


OPENERS: Final[Mapping[str, Callable[[str], Outbox]]] = MappingProxyType(
    {"memory": _memory, "sqlite": _sqlite, "postgresql": _postgresql, "postgres": _postgresql}
)
ALLOWED: Final = "sqlite:///PATH, postgresql://HOST/DATABASE, and memory:NAME for tests"
