"""
From parameters and environment to a running router.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from prometheus_client import CollectorRegistry

from cutover.core.defined import NAME
from cutover.core.snapshot import Snapshot
from cutover.engines.registry import open_store
from cutover.errors import ConfigurationError, Corrupt
from cutover.ports.store import Source, Store
from cutover.protocols import missing_of
from cutover.router.background.cache import CachedCopy, default_folder, place_of
from cutover.router.background.follower import Follower
from cutover.router.background.housekeeping import BreakGlass, Housekeeper
from cutover.router.background.leftovers import Leftovers
from cutover.router.background.reporting import Reporter
from cutover.router.holding import Holding
from cutover.router.log import log
from cutover.router.metrics.instruments import instruments_on
from cutover.router.metrics.telemetry import Telemetry
from cutover.router.mirrored.writing import Writing
from cutover.router.naming import instance_name
from cutover.router.notices import NoticeBoard
from cutover.router.router import Parts, Router
from cutover.router.routing import CohortOf, check_cohort_of
from cutover.router.tokens import Tokens, secrets_in

if TYPE_CHECKING:
    from cutover.router.metrics.fleet_gauges import FleetGauges

__all__ = ["connect"]

OFF: Final = "off"


StrPath = str | os.PathLike[str]


@attrs.frozen(kw_only=True)
class Settings:
    """
    The parameters of `connect`, completed from the environment.
    """

    store: str | Source
    migration: str | None
    secrets: tuple[str, ...] = attrs.field(repr=False)
    cache: Path | None
    bootstrap: Path | None
    break_glass: Path | None
    name: str


def connect(
    store: str | Source | None = None,
    *,
    migration: str | None = None,
    registry: CollectorRegistry | None = None,
    secret: str | None = None,
    cohort_of: CohortOf | None = None,
    cache: StrPath | None = None,
    bootstrap: StrPath | None = None,
    break_glass: StrPath | None = None,
    fleet_metrics: bool = False,
    name: str | None = None,
) -> Router:
    """
    Make a router of this process. It begins with the last-known-good copy on disk, else the bootstrap, else every flow
    on OLD, and follows the store in the background from then on.

    What is left out comes from the environment: CUTOVER_STORE, CUTOVER_MIGRATION, CUTOVER_SECRET, CUTOVER_CACHE,
    CUTOVER_BOOTSTRAP, CUTOVER_BREAK_GLASS, CUTOVER_INSTANCE.

    Args:
        store: A URL, or a store object, which is not closed with the router.
        migration: Its name; else the only one in the store.
        registry: Where metrics go; else Prometheus's default one.
        secret: Signs the tokens of visits, at least 32 bytes; or several with commas between, of which the first signs
            and all verify.
        cohort_of: Asked for the cohort of a key where a call gives none.
        cache: The folder of last-known-good copies, "off" for none; else the user's cache folder.
        bootstrap: An exported snapshot to begin with on an empty disk.
        break_glass: A file that routers watch and obey above every dial.
        fleet_metrics: Also show the fleet-wide series; for one process of the fleet.
        name: What operators see this process as, such as ``checkout-api``; else CUTOVER_INSTANCE, else the name of the
            program.

    Raises:
        ConfigurationError: For what can never work: an unknown scheme, a missing extra, a bad URL or name.
    """
    settings = _settings(store, migration, secret, cache, bootstrap, break_glass, name)
    if registry is not None and not isinstance(registry, CollectorRegistry):
        raise ConfigurationError(f"registry is a {type(registry).__name__}; allowed: a CollectorRegistry")
    check_cohort_of(cohort_of)
    source = open_store(settings.store)
    _tell_limits(source)
    instruments = instruments_on(registry)
    notices = NoticeBoard()
    holding = Holding(notices, cohort_of)
    telemetry = Telemetry(instruments, holding.cells, holding.durations, settings.migration)
    reporter = Reporter(holding.cells, name=settings.name)
    copy, leftovers = _on_disk(settings, source)
    gauges = _fleet_gauges(registry) if fleet_metrics else None
    borrowed = not isinstance(settings.store, str)
    follower = Follower(
        source, settings.migration, holding, telemetry, reporter, copy, leftovers, gauges, borrowed=borrowed
    )
    watcher = BreakGlass(settings.break_glass, holding)
    watcher.look()
    _begin(follower, copy, settings.bootstrap)
    housekeeper = Housekeeper(watcher, holding, follower, telemetry, reporter, notices)
    tokens = Tokens(settings.secrets) if settings.secrets else None
    holding.writing = _writing(settings, holding, telemetry)
    reopen = partial(open_store, settings.store)
    return Router(Parts(holding, follower, housekeeper, telemetry, reporter, reopen, tokens))


def _tell_limits(source: Source) -> None:
    """
    Log what operators cannot learn from this process: nobody else notices.
    """
    if missing := missing_of(source, Store):
        log.warning("cutover.no_check_ins", store=source.url, missing=", ".join(missing))
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        log.warning("cutover.counts_inexact", python=sys.version)


def _settings(
    store: str | Source | None,
    migration: str | None,
    secret: str | None,
    cache: StrPath | None,
    bootstrap: StrPath | None,
    break_glass: StrPath | None,
    instance: str | None,
) -> Settings:
    chosen = store if store is not None else os.environ.get("CUTOVER_STORE")
    if not chosen:
        raise ConfigurationError("no store is given; allowed: connect(URL) or CUTOVER_STORE, as sqlite:///cutover.db")
    name = migration or os.environ.get("CUTOVER_MIGRATION") or None
    if name is not None and not NAME.fullmatch(_text(name, "migration")):
        raise ConfigurationError(f"migration is {name!r}; allowed: a name such as tokopedia")
    key = secret or os.environ.get("CUTOVER_SECRET")
    folder = cache or os.environ.get("CUTOVER_CACHE") or None
    return Settings(
        store=chosen,
        migration=name,
        secrets=secrets_in(_text(key, "secret")) if key else (),
        cache=None if folder == OFF else _path(folder, "cache") or default_folder(),
        bootstrap=_path(bootstrap or os.environ.get("CUTOVER_BOOTSTRAP"), "bootstrap"),
        break_glass=_path(break_glass or os.environ.get("CUTOVER_BREAK_GLASS"), "break_glass"),
        name=instance_name(instance),
    )


def _text(given: object, what: str) -> str:
    if not isinstance(given, str):
        raise ConfigurationError(f"{what} is of the type {type(given).__name__}; allowed: text")
    return given


def _path(given: StrPath | None, what: str) -> Path | None:
    if not given:
        return None
    try:
        path = Path(given)
    except TypeError as error:
        raise ConfigurationError(f"{what} is of the type {type(given).__name__}; allowed: a path") from error
    if "\0" in str(path):
        raise ConfigurationError(f"{what} holds a NUL character; allowed: a path")
    return path


def _writing(settings: Settings, holding: Holding, telemetry: Telemetry) -> Writing:
    store = settings.store if isinstance(settings.store, str) else None

    def migration() -> str | None:
        snapshot = holding.snapshot
        return settings.migration if snapshot is None else snapshot.migration

    return Writing(store, migration, telemetry.show_mirror)


def _on_disk(settings: Settings, source: Source) -> tuple[CachedCopy | None, Leftovers | None]:
    """
    Give what is kept on disk for a store; one in this process's memory needs nothing.
    """
    if settings.cache is None or source.url.startswith("memory:"):
        return None, None
    copy = CachedCopy(settings.cache, source.url, settings.migration)
    return copy, Leftovers(settings.cache, place_of(source.url, settings.migration))


def _fleet_gauges(registry: CollectorRegistry | None) -> "FleetGauges":
    from cutover.router.metrics.fleet_gauges import fleet_gauges_on  # noqa: PLC0415 - for one process of a fleet

    return fleet_gauges_on(registry)


def _begin(follower: Follower, copy: CachedCopy | None, bootstrap: Path | None) -> None:
    snapshot = None if bootstrap is None else _read_bootstrap(bootstrap)
    cached = None if copy is None else copy.read()
    if cached is not None and follower.migration in (None, cached.snapshot.migration):
        follower.take(cached.snapshot, cached.secret, "cache")
        return
    if snapshot is None:
        return
    if follower.migration in (None, snapshot.migration):
        follower.take(snapshot, None, "bootstrap")
    else:
        log.error("cutover.bootstrap_foreign", path=str(bootstrap), migration=snapshot.migration)


def _read_bootstrap(path: Path) -> Snapshot | None:
    try:
        return Snapshot.decode(path.read_bytes())
    except (OSError, Corrupt) as error:
        log.error("cutover.bootstrap_unreadable", path=str(path), error=str(error))
        return None
