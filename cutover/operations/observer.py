"""
What operators look at: the state of one migration, its ledger, and what its router processes tell.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from cutover.clock import utc_now
from cutover.core.backend import UNSET, Unset
from cutover.core.checkin import Fleet
from cutover.core.fleet import called_now
from cutover.core.ledger import Change, Expectation, Verification
from cutover.core.snapshot import Snapshot
from cutover.errors import ConfigurationError, Corrupt, StoreError, Unavailable
from cutover.operations.audit import audited
from cutover.operations.commit import Expect
from cutover.operations.comparing import Comparisons, compared
from cutover.operations.explanation import Explanation, explanation_of
from cutover.operations.intents import Basis
from cutover.operations.mirroring import Mirrors
from cutover.operations.overview import Facts, instances_of, status_of
from cutover.operations.recovery import sound_snapshot
from cutover.operations.status import Instance, Status
from cutover.operations.trail import Trail, followed
from cutover.operations.waiting import Confirmation, wait_for
from cutover.ports.store import Durability, Source, Store

__all__ = ["Observer"]


class Observer:
    """
    Reads one migration in a store; `Control` adds what changes it.

    May be used from several threads. A context manager that closes the store which it opened.

    Attributes:
        store: Where the migration is kept.
        mirrors: What is known of mirrored writes.
    """

    def __init__(
        self,
        store: Source,
        *,
        migration: str | None = None,
        owns_store: bool = False,
        now: Callable[[], datetime] | None = None,
        mirrors: Mirrors | None = None,
    ) -> None:
        self.store = store
        self.mirrors: Mirrors = mirrors or Mirrors(None)
        self._asked = self._resolved = migration
        self._owns_store = owns_store
        self._now = now or (store.now if isinstance(store, Store) else utc_now)
        self._known: Basis | None = None
        self._trail = Trail()
        self._age = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.store.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        Let go of the store, if this object opened it.
        """
        self.mirrors.close()
        if self._owns_store:
            self.store.close()

    @property
    def durability(self) -> Durability:
        """
        What an acknowledged change survives.
        """
        return self._writable().durability

    @property
    def migration(self) -> str:
        """
        The name of the migration: as given, else the only one in the store.

        Raises:
            ConfigurationError: If the store holds none or several.
        """
        if self._resolved is None:
            names = self.store.migrations()
            if len(names) != 1:
                several = f"several: {', '.join(names)}; name one, as --migration or CUTOVER_MIGRATION"
                found = several if names else "none; apply a definition first"
                raise ConfigurationError(f"which migration is meant? {self.store.url} holds {found}")
            self._resolved = names[0]
        return self._resolved

    def snapshot(self) -> Snapshot:
        """
        Read what holds.
        """
        return self._read(self.migration).current

    def export_snapshot(self) -> str:
        """
        Give the snapshot's document, to start routers from where no store can be reached. It holds no secret.
        """
        return self.snapshot().encode()

    def history(self, *, after: int = 0) -> list[Change]:
        """
        Give the changes above a version, oldest first.
        """
        return [Change.decode(text) for text in self.history_texts(after=after)]

    def history_texts(self, *, after: int = 0) -> Sequence[str]:
        """
        Give the changes above a version to the letter, as they were stored and hashed.
        """
        return self._writable().history(self.migration, after=after)

    def verify(self, *, expect: Expect = None) -> Verification:
        """
        Check the whole ledger and that its effects merge to the snapshot.

        Args:
            expect: A change that must be on the chain, as it was once written down.
        """
        expectation = None if expect is None else Expectation.parse(expect)
        return audited(self._writable(), self.migration, expect=expectation)

    def status(self) -> Status:
        """
        Take the status of the migration.

        Over a relay whose store is away it is that of the last snapshot, with its age, and says what is not known.
        """
        fleet, problem = self._heard()
        snapshot = self.snapshot()
        store = self.store
        if isinstance(store, Store) and not problem:
            self._trail = followed(self._trail, store, snapshot.migration)
        facts = Facts(
            store=store.url,
            durability=store.durability.value if isinstance(store, Store) else "",
            snapshot=snapshot,
            fleet=called_now(fleet, snapshot.definition),
            trail=self._trail,
            age=self._age,
            problem=problem,
            mirrored=self.mirrors.mirrored(snapshot.migration),
        )
        return status_of(facts, now=self._now())

    def _heard(self) -> tuple[Fleet, str]:
        """
        Read what is known of the router processes, or say why nobody can be asked.
        """
        try:
            return self.fleet(), ""
        except StoreError as error:
            return Fleet(), str(error)

    def fleet(self) -> Fleet:
        """
        Read what is known of the router processes.
        """
        return self.store.fleet(self.migration) if isinstance(self.store, Store) else Fleet()

    def epochs(self) -> tuple[int, ...]:
        """
        Give the epochs that router processes were seen to run.
        """
        return tuple(report.head.epoch for report in self._heard()[0].instances if report.head is not None)

    def instances(self) -> tuple[Instance, ...]:
        """
        List the router processes that check in.
        """
        return instances_of(self.fleet(), self.snapshot(), now=self._now())

    def mismatches(self, flow: str | None = None, *, hours: int | None = None) -> Comparisons:
        """
        Tell how often the two sides answered differently, and the first mismatches that are kept.

        Args:
            hours: Count only the last hours, the one that runs included.
        """
        fleet, snapshot = self.fleet(), self.snapshot()
        fleet = called_now(fleet, snapshot.definition)
        return compared(fleet, snapshot, flow=flow, hours=hours, now=self._now())

    def explain(
        self, target: str, key: object, *, cohort: str | None = None, home: object | Unset = UNSET
    ) -> Explanation:
        """
        Say where a request of a key would go, and what each rule says, in their order.

        Args:
            target: A flow.
            home: Where the thing lives already, if it does.
        """
        fleet, _ = self._heard()
        basis = self._read(self.migration)
        return explanation_of(basis.current, target, key, cohort=cohort, home=home, secret=basis.secret, fleet=fleet)

    def wait(self, change: Change, *, timeout: float | timedelta = 30, confirmed: bool = False) -> Confirmation:
        """
        Wait until every router process runs a change; lost ones do not block.

        Args:
            timeout: Seconds.
            confirmed: It is agreed that processes ask for names which the definition lacks. Otherwise a change that
                may have raised a dial is not complete while one does.

        Returns:
            Which processes run it and which do not, when that was so or the time was over.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        return wait_for(self._writable(), change, self.snapshot(), timeout=seconds, now=self._now, confirmed=confirmed)

    def _writable(self) -> Store:
        if not isinstance(self.store, Store):
            raise ConfigurationError(f"{self.store.url} is only read, and keeps no ledger; allowed: a store")
        return self.store

    def _read(self, migration: str, *, creates: bool = False, is_dry: bool = False) -> Basis:
        known = self._known if self._known is not None and self._known.migration == migration else None
        seen = None if known is None or known.snapshot is None else known.snapshot.head
        try:
            reading = self.store.read(migration, seen=seen)
        except Unavailable as error:
            # An append tells a place that is not there from one that is lost; a dry run has only the error to go by.
            if not creates or (is_dry and not error.missing):
                raise
            return Basis(migration=migration, snapshot=None)
        if reading is None:
            return Basis(migration=migration, snapshot=None)
        self._age = reading.age
        if reading.document is None:
            if known is None or reading.head != seen:
                raise Corrupt(f"{self.store.url} gave no document for {reading.head}")
            return known
        snapshot = sound_snapshot(self.store, migration, reading.document, reading.head)
        self._known = Basis(migration=migration, snapshot=snapshot, secret=reading.secret)
        return self._known
