"""
From a URL to an engine: the one place that knows which schemes there are.

Another package adds an engine by entry points in the groups `cutover.store`, `cutover.homes` and `cutover.outbox`. The
name of an entry point is the scheme, and it gives a function that takes the URL and gives the engine.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

from cutover.engines.redaction import redacted
from cutover.errors import ConfigurationError
from cutover.ports.store import Source, Store

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from cutover.ports.homes import Engine
    from cutover.ports.outbox import Outbox
from cutover.protocols import missing_of

__all__ = ["can_keep_outbox", "open_homes", "open_outbox", "open_store"]


class Port(StrEnum):
    """
    What an engine can be: the module of its folder, and the end of the name of its group of entry points.
    """

    STORE = "store"
    HOMES = "homes"
    OUTBOX = "outbox"


@attrs.frozen
class Scheme:
    """
    A scheme of URLs that the library brings an engine for.

    Attributes:
        shown: How its URLs look, for errors; empty for another spelling of a scheme.
        folder: The folder of the engine; `opened` of its module of a port takes the URL.
        extra: The extra of the distribution that brings the driver.
    """

    shown: str
    folder: str
    ports: frozenset[Port]
    extra: str | None = None


SCHEMES: Final[Mapping[str, Scheme]] = MappingProxyType(
    {
        "memory": Scheme("memory:NAME", "memory", frozenset(Port)),
        "sqlite": Scheme("sqlite:///PATH", "sqlite", frozenset(Port)),
        "file": Scheme("file:PATH", "file", frozenset({Port.STORE})),
        "postgresql": Scheme("postgresql://HOST/DATABASE", "postgresql", frozenset(Port), "postgres"),
        "postgres": Scheme("", "postgresql", frozenset(Port), "postgres"),
        "redis": Scheme("redis://HOST", "redis", frozenset({Port.STORE, Port.HOMES}), "redis"),
        "rediss": Scheme("rediss://HOST", "redis", frozenset({Port.STORE, Port.HOMES}), "redis"),
        "http": Scheme("http://HOST", "relay", frozenset({Port.STORE})),
        "https": Scheme("https://HOST", "relay", frozenset({Port.STORE})),
    }
)

Opener = Callable[[str], Any]


def open_store(url_or_store: object) -> Source | Store:
    """
    Give the source that a URL names. Nothing is read or created yet.

    Args:
        url_or_store: A URL, or a source or store object, which is given back as it is; its maker closes it.

    Raises:
        ConfigurationError: If the URL can never work: what is wrong, and what is allowed.
    """
    if isinstance(url_or_store, Source):
        return url_or_store
    if not isinstance(url_or_store, str):
        kind = f"{type(url_or_store).__name__} without {', '.join(missing_of(url_or_store, Source))}"
        raise ConfigurationError(f"the store is a {kind}; allowed: a URL such as sqlite:///cutover.db, or a store")
    store: Source | Store = _opened(Port.STORE, url_or_store, "the store {} has an unknown scheme")
    return store


def open_homes(url: object) -> "tuple[Engine, Source | None]":
    """
    Give the engine of homes that a URL names, and the store at the same place. Nothing is connected.

    Returns:
        The engine, and the store; None instead of the store where the scheme names no store.

    Raises:
        ConfigurationError: If the URL can never work: what is wrong, and what is allowed.
    """
    if not isinstance(url, str):
        kind, allowed = type(url).__name__, _allowed(Port.HOMES)
        raise ConfigurationError(f"the place of homes is a {kind}; allowed: a URL, {allowed}")
    engine: Engine = _opened(Port.HOMES, url, "{} cannot keep homes")
    return engine, None if _opener(Port.STORE, url) is None else open_store(url)


def open_outbox(url: object) -> "Outbox":
    """
    Give the outbox that a URL names. Nothing is connected or made.

    Raises:
        ConfigurationError: If the URL can never work: what is wrong, and what is allowed.
    """
    if not isinstance(url, str):
        kind, allowed = type(url).__name__, _allowed(Port.OUTBOX)
        raise ConfigurationError(f"the outbox is a {kind}; allowed: a URL, {allowed}")
    outbox: Outbox = _opened(Port.OUTBOX, url, "{} cannot keep an outbox")
    return outbox


def can_keep_outbox(url: str) -> bool:
    """
    Tell whether an engine of this scheme keeps what it acknowledges, in order, for several processes.
    """
    return _opener(Port.OUTBOX, url) is not None


def _opened(port: Port, url: str, problem: str) -> Any:
    opener = _opener(port, url)
    if opener is None:
        raise ConfigurationError(f"{problem.format(repr(redacted(url)))}; allowed: {_allowed(port)}")
    if "\0" in url:
        raise ConfigurationError(f"the URL {redacted(url)!r} holds a NUL character; allowed: {_allowed(port)}")
    return opener(url)


def _opener(port: Port, url: str) -> Opener | None:
    name, colon, _ = url.partition(":")
    if not colon:
        return None
    scheme = SCHEMES.get(name)
    if scheme is None:
        return next((entry.load() for entry in _added(port) if entry.name == name), None)
    return (lambda url: _load(scheme, port, url)(url)) if port in scheme.ports else None


def _load(scheme: Scheme, port: Port, url: str) -> Opener:
    """
    Import one engine: a program loads only the engines that it uses.

    Raises:
        ConfigurationError: If the driver is missing: which extra brings it.
    """
    try:
        opened: Opener = import_module(f"cutover.engines.{scheme.folder}.{port}").opened
    except ImportError as error:  # the driver's own error too, where the driver finds no libpq
        if scheme.extra is None:
            raise
        install, missing = f"pip install 'cutover-controller[{scheme.extra}]'", error.name or error
        raise ConfigurationError(f"{redacted(url)!r} needs a driver ({missing} is missing): {install}") from error
    return opened


def _allowed(port: Port) -> str:
    own = (scheme.shown for scheme in SCHEMES.values() if port in scheme.ports and scheme.shown)
    added = (f"{entry.name}:..." for entry in _added(port) if entry.name not in SCHEMES)
    return ", ".join((*own, *added))


def _added(port: Port) -> "EntryPoints":
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to load, and seldom asked

    return entry_points(group=f"cutover.{port}")
