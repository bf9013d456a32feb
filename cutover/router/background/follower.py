"""
Following a store: read, take what is newer, check in, wait; for ever, whatever the store does.
"""

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from cutover.chance import CHANCE
from cutover.core.checkin import CheckIn
from cutover.core.following import Standing, standing
from cutover.core.snapshot import Head, Snapshot
from cutover.errors import Corrupt, StoreError
from cutover.forks import LOADING
from cutover.ports.store import Reading, Source, Store
from cutover.router.background.cache import CachedCopy
from cutover.router.background.leftovers import Leftovers
from cutover.router.background.reporting import Reporter
from cutover.router.holding import Holding
from cutover.router.log import log
from cutover.router.metrics.telemetry import Telemetry

if TYPE_CHECKING:
    from cutover.router.metrics.fleet_gauges import FleetGauges

__all__ = ["Follower"]

POLL: Final = 1.0  # seconds; the truth is read at least this often
BORROWED_POLL: Final = 0.25  # seconds; a source that is not ours to close is not woken when the router ends
FIRST_RETRY: Final = 0.1  # seconds; doubled with each failure, full jitter
LAST_RETRY: Final = 2.0
OLDER_IS_REGRESSED: Final = 10.0  # seconds; a replica may be a moment behind
CHECK_IN_SOON: Final = 0.5  # seconds; after a new version, jittered so that a fleet does not answer at once
CHECK_IN_EVERY: Final = 5.0


class Follower:
    """
    Keeps what a router holds in step with its store.

    `step` is one pass and can be called by itself; `run` adds only waiting.

    Args:
        borrowed: The source belongs to the application, which closes it.

    Attributes:
        migration: The name, once it is known.
        regressed: The store has another history than this process runs, or an older one for too long.
        store_up: The last read was answered.
        stepped: When the last pass ended, on the monotonic clock.
    """

    def __init__(
        self,
        source: Source,
        migration: str | None,
        holding: Holding,
        telemetry: Telemetry,
        reporter: Reporter,
        cache: CachedCopy | None,
        leftovers: Leftovers | None = None,
        fleet_gauges: "FleetGauges | None" = None,
        *,
        borrowed: bool = False,
    ) -> None:
        self.source: Source = source
        self.migration = migration
        self.regressed: bool = False
        self.store_up: bool = False
        self.stepped: float = monotonic()
        self._holding = holding
        self._telemetry = telemetry
        self._reporter = reporter
        self._cache = cache
        self._leftovers = leftovers
        self._delivered = False
        self._fleet_gauges = fleet_gauges
        self._failures = 0
        self._older_since: float | None = None
        self._check_in_at = monotonic()
        self._offered: Head | None = None  # what the source had at the last read
        self._complaints: set[str] = set()
        self._borrowed = borrowed
        self._leaving = False  # from then on the store is closed under a pass that may be under way

    def run(self, stopping: Callable[[float], bool]) -> None:
        """
        Step until told to stop.

        Args:
            stopping: Waits so many seconds, and tells whether to stop.
        """
        while not stopping(0):
            self.step()
            if self.store_up and self.migration is not None:
                self._wait(self.migration)
            elif self.store_up:
                stopping(CHANCE.uniform(POLL / 2, POLL))
            if not self.store_up:
                ceiling = min(LAST_RETRY, FIRST_RETRY * 2 ** min(self._failures, 10))
                stopping(CHANCE.uniform(0, ceiling))

    def step(self) -> None:
        """
        Read once, take what is newer, and check in if it is time.
        """
        try:
            name = self.migration or self._only_migration()
            if name is not None:
                self._read_and_check_in(name)
            self._answered()
        except StoreError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the thread
            self._failed(StoreError(f"unexpected {error!r}"))
        self.stepped = monotonic()

    def _read_and_check_in(self, name: str) -> None:
        try:
            self._read(name)
        except Corrupt:
            self._check_in(name)  # a router beside a damaged snapshot is behind, not lost
            raise
        self._check_in(name)

    def after_fork(self, source: Source) -> None:
        """
        Go on with a source of this process's own.
        """
        self.source = source
        self._check_in_at = self.stepped = monotonic()

    def leave(self) -> None:
        """
        Tell the store that this instance ends, with all that it counted, and let go of the store.

        What it counted is left on disk before, for the next process, as the store may not answer in time.
        """
        self._leaving = True
        try:
            if self.migration is not None and isinstance(self.source, Store):
                self._report_last(self.source, self.migration)
        finally:
            if not self._borrowed:
                self.source.close()

    def _report_last(self, store: Store, migration: str) -> None:
        report = self._make_report(closing=True)
        if self._leftovers is not None and any(report.minutes.values()):
            self._leftovers.keep(report)
        if self.store_up:
            self._send_last(store, migration, report)

    def _send_last(self, store: Store, migration: str, report: CheckIn) -> None:
        try:
            self._send(store, migration, report)
        except StoreError as error:
            log.warning("cutover.last_check_in_failed", error=str(error))
            return
        if self._leftovers is not None:
            self._leftovers.drop(report)

    def take(self, snapshot: Snapshot, secret: bytes | None, origin: str) -> None:
        """
        Route by a snapshot, wherever it comes from.
        """
        before = self._holding.snapshot
        self._reporter.version_changed(() if before is None else snapshot.left_alone(before))
        self._holding.take_snapshot(snapshot, secret)
        self._reporter.began(snapshot.head)
        self.migration = snapshot.migration
        self._telemetry.show_snapshot(snapshot)
        log.info(
            "cutover.snapshot_applied",
            migration=snapshot.migration,
            version=str(snapshot.head),
            before=None if before is None else str(before.head),
            origin=origin,
        )

    def _wait(self, migration: str) -> None:
        longest = BORROWED_POLL if self._borrowed else POLL
        timeout = CHANCE.uniform(longest / 2, longest)
        if isinstance(self.source, Store):
            timeout = min(timeout, max(self._check_in_at - monotonic(), 0))
        try:
            # Not for something else than this process runs: one that is regressed would never wait.
            self.source.wait(migration, seen=self._offered, timeout=timeout)
        except StoreError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the thread
            self._failed(StoreError(f"unexpected {error!r}"))

    def _only_migration(self) -> str | None:
        names = self.source.migrations()
        if len(names) == 1:
            return names[0]
        self._complain(
            "cutover.migration_unnamed" if names else "cutover.store_empty",
            store=self.source.url,
            migrations=", ".join(names),
            allowed="one of them, as connect(migration=...) or CUTOVER_MIGRATION" if names else "cutover apply",
        )
        return None

    def _read(self, name: str) -> None:
        mine = self._head()
        reading = self.source.read(name, seen=mine)
        self._offered = None if reading is None else reading.head
        self.store_up = True  # already now: a program that only waited for the snapshot may end before this pass does
        if reading is None:
            self._complain("cutover.migration_missing", store=self.source.url, migration=name)
            return
        if reading.floor != self._holding.floor:
            self._take_floor(reading.floor)
        verdict = standing(mine, reading.head, reading.ancestor)
        if verdict is Standing.NEWER:
            self._follow(name, reading)
        elif verdict is Standing.SAME and reading.secret != self._holding.secret:
            self._learn_secret(reading.secret)
        if verdict in (Standing.NEWER, Standing.SAME):
            self._older_since = None
            self._regress(False, reading.head)
            self._telemetry.confirm(reading.age)
        elif verdict is Standing.FORKED:
            self._regress(True, reading.head)
        else:
            self._older_since = self._older_since or monotonic()
            if monotonic() - self._older_since >= OLDER_IS_REGRESSED:
                self._regress(True, reading.head)

    def _take_floor(self, floor: frozenset[str]) -> None:
        self._holding.take_floor(floor)
        self._check_in_at = monotonic() + CHANCE.uniform(0, CHECK_IN_SOON)
        log.warning("cutover.floor", store=self.source.url, flows=", ".join(sorted(floor)))

    def _follow(self, name: str, reading: Reading) -> None:
        with LOADING.held():
            snapshot = Snapshot.given(reading.document, migration=name, head=reading.head, by="the store")
        self.take(snapshot, reading.secret, "store")
        self._complaints.clear()
        self._check_in_at = monotonic() + CHANCE.uniform(0, CHECK_IN_SOON)
        if self._cache is not None:
            self._cache.write(snapshot, reading.secret)

    def _learn_secret(self, secret: bytes | None) -> None:
        # A snapshot from a bootstrap comes without it, and may be the one that the store has too.
        snapshot = self._holding.snapshot
        if secret is not None and snapshot is not None:
            self._holding.take_snapshot(snapshot, secret)
            if self._cache is not None:
                self._cache.write(snapshot, secret)

    def _check_in(self, name: str) -> None:
        if self._leaving or monotonic() < self._check_in_at or not isinstance(self.source, Store):
            return
        self._check_in_at = monotonic() + CHECK_IN_EVERY * CHANCE.uniform(0.9, 1.0)
        try:
            self._send(self.source, name, self._make_report(closing=False))
            if self._leftovers is not None and not self._delivered:
                self._deliver(self._leftovers, self.source, name)
            self._complaints.discard("cutover.check_in_failed")
        except StoreError as error:  # a store that is read-only for this process still tells the dials
            self._complain("cutover.check_in_failed", store=self.source.url, error=str(error))
        if self._fleet_gauges is not None and self._holding.snapshot is not None:
            self._fleet_gauges.show(self._holding.snapshot, self.source.fleet(name), now=self.source.now())

    def _deliver(self, leftovers: Leftovers, store: Store, name: str) -> None:
        def answer_for(report: CheckIn) -> None:
            self._reporter.heard_of(report)
            self._send(store, name, self._make_report(closing=False))

        leftovers.deliver(store, name, answer_for)
        self._delivered = True

    def _make_report(self, *, closing: bool) -> CheckIn:
        return self._reporter.check_in(
            self._head(),
            regressed=self.regressed,
            break_glass=self._holding.break_glass,
            mismatches=self._holding.mismatches(),
            asked=self._holding.asked(),
            closing=closing,
        )

    def _send(self, store: Store, migration: str, report: CheckIn) -> None:
        store.check_in(migration, report, now=store.now())
        self._reporter.acknowledge(report)

    def _regress(self, regressed: bool, theirs: Head) -> None:
        if regressed != self.regressed:
            tell, event = (log.error, "cutover.regressed") if regressed else (log.info, "cutover.on_chain_again")
            tell(event, migration=self.migration, runs=str(self._head()), store=str(theirs))
            self._check_in_at = monotonic()
        self.regressed = regressed

    def _answered(self) -> None:
        if self._failures:
            self._complaints.clear()
            log.info("cutover.store_answers_again", store=self.source.url, after_failures=self._failures)
        self._failures = 0
        self.store_up = True

    def _failed(self, error: StoreError) -> None:
        self._failures += 1
        self.store_up = False
        kind = "cutover.store_corrupt" if isinstance(error, Corrupt) else "cutover.store_unavailable"
        self._complain(kind, store=self.source.url, error=str(error))

    def _complain(self, event: str, **facts: object) -> None:
        if event not in self._complaints and not self._leaving:
            self._complaints.add(event)
            log.error(event, **facts)

    def _head(self) -> Head | None:
        snapshot = self._holding.snapshot
        return None if snapshot is None else snapshot.head
