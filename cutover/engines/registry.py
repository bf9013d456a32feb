"""
From a URL to a source: the one place that knows which schemes there are.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from cutover.engines.redaction import redacted
from cutover.errors import ConfigurationError
from cutover.ports.store import Source, Store
from cutover.protocols import missing_of

__all__ = ["open_store"]

MEMORY_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def open_store(url_or_store: object) -> Source | Store:
    """
    Give the source that a URL names. Nothing is read or created yet.

    Args:
        url_or_store: A URL, or a source or store object, which is given back as it is; whoever made it closes it.

    Raises:
        ConfigurationError: If the URL can never work: what is wrong, and what is allowed.
    """
    if isinstance(url_or_store, Source):
        return url_or_store
    if not isinstance(url_or_store, str):
        kind = f"{type(url_or_store).__name__} without {', '.join(missing_of(url_or_store, Source))}"
        raise ConfigurationError(f"the store is a {kind}; allowed: a URL such as sqlite:///cutover.db, or a store")
    scheme, colon, rest = url_or_store.partition(":")
    opener = OPENERS.get(scheme)
    if not colon or opener is None:
        raise ConfigurationError(f"the store {redacted(url_or_store)!r} has an unknown scheme; allowed: {ALLOWED}")
    if "\0" in rest:
        raise ConfigurationError(f"the store {url_or_store!r} holds a NUL character; allowed: {ALLOWED}")
    return opener(url_or_store)


def _memory(url: str) -> Store:
    from cutover.engines.memory.store import MemoryStore  # noqa: PLC0415 - a program loads only the store that it uses

    name = url.removeprefix("memory:")
    if not MEMORY_NAME.fullmatch(name):
        raise _wrong(url, "memory:NAME, with 1 to 64 letters, digits, '.', '_' and '-'")
    return MemoryStore(name)


def _sqlite(url: str) -> Store:
    from cutover.engines.sqlite.store import SqliteStore  # noqa: PLC0415 - a program loads only the store that it uses

    allowed = "sqlite:///relative/path.db or sqlite:////absolute/path.db, without options"
    path = url.removeprefix("sqlite:///")
    if path in {url, ""} or path.endswith("/") or "?" in path:
        raise _wrong(url, allowed)
    if path == ":memory:":
        raise _wrong(url, f"{allowed}; memory:NAME is the store without a file")
    return SqliteStore(path)


def _file(url: str) -> Source:
    from cutover.engines.file.store import FileSource  # noqa: PLC0415 - a program loads only the store that it uses

    path = url.removeprefix("file:")
    path = path.removeprefix("//") if path.startswith("///") else path
    if not path or path.startswith("//") or path.endswith("/"):
        raise _wrong(url, "file:relative/path or file:/absolute/path")
    return FileSource(path)


def _postgresql(url: str) -> Store:
    try:
        from cutover.engines.postgresql.store import PostgresqlStore  # noqa: PLC0415 - a program loads only what it uses
    except ImportError as error:  # the driver's own, too, where it finds no libpq
        raise _missing(url, "postgres", error) from error
    return PostgresqlStore(url)


def _redis(url: str) -> Store:
    try:
        from cutover.engines.redis.store import RedisStore  # noqa: PLC0415 - a program loads only the store that it uses
    except ModuleNotFoundError as error:
        raise _missing(url, "redis", error) from error
    return RedisStore(url)


def _relay(url: str) -> Store:
    from cutover.engines.relay.store import HttpStore  # noqa: PLC0415 - a program loads only the store that it uses
    from cutover.engines.relay.url import RelayAddress  # noqa: PLC0415 - a program loads only the store that it uses

    return HttpStore(RelayAddress.parse(url))


def _missing(url: str, extra: str, error: ImportError) -> ConfigurationError:
    install = f"pip install 'cutover-controller[{extra}]'"
    missing = error.name or error
    return ConfigurationError(f"the store {redacted(url)!r} needs a driver ({missing} is missing): {install}")


def _wrong(url: str, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"the store {redacted(url)!r} cannot be opened; allowed: {allowed}")


OPENERS: Final[Mapping[str, Callable[[str], Source | Store]]] = MappingProxyType(
    {
        "memory": _memory,
        "sqlite": _sqlite,
        "file": _file,
        "postgresql": _postgresql,
        "postgres": _postgresql,
        "redis": _redis,
        "rediss": _redis,
        "http": _relay,
        "https": _relay,
    }
)
ALLOWED: Final = (
    "memory:NAME, sqlite:///PATH, file:PATH, postgresql://HOST/DATABASE, redis://HOST, rediss://HOST, "
    "http://HOST, https://HOST"
)
