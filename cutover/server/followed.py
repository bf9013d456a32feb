"""
One migration of the store behind a relay, followed: what it says is held, also when it says nothing any more.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import attrs

from cutover.core.checkin import Fleet
from cutover.core.floor import Emergency, floor_of
from cutover.core.snapshot import Head, Snapshot
from cutover.errors import Conflict, Corrupt, StoreError
from cutover.ports.store import Reading, Store
from cutover.router.log import log
from cutover.server.copies import Copies, Copy
from cutover.server.floors import Floors
from cutover.server.held import UNKNOWN, Held, hashes_of

__all__ = ["Followed"]

CONFIRM_EVERY: Final = timedelta(seconds=30)  # so often the copy on disk learns that it still holds


class Followed:
    """
    What one relay knows of one migration.

    A relay hands through what its store says, also an older or another history: whether to follow that is for each
    router to judge, which knows what it ran. What is missing or not valid leaves the last known good in place.

    Args:
        now: The store's clock.
        changed: Called with the migration's name, from any thread, when something else is held.
        trusting: Documents are taken as they are.

    Attributes:
        held: None where the store never said anything.
        fleet: The processes, as they were when the store last told; None where it never did.
        confirmed_at: When the store last said that this holds; aware, UTC.
        floors: The emergency rollbacks that were given here.
        store_up: The last reading was answered, and valid.
        problem: What was wrong with the last reading; empty if nothing.
    """

    def __init__(
        self,
        migration: str,
        store: Store,
        copies: Copies,
        *,
        now: Callable[[], datetime],
        changed: Callable[[str], None],
        trusting: bool = False,
    ) -> None:
        self.migration = migration
        self.held: Held | None = None
        self.fleet: Fleet | None = None
        self.floors: Floors = Floors(copies.floor_path(migration))
        self._floor_below: frozenset[str] = frozenset()  # of the relay that this one's store is
        self.confirmed_at: datetime | None = None
        self.store_up: bool = False
        self.problem: str = ""
        self._store = store
        self._copies = copies
        self._now = now
        self._changed = changed
        self._trusting = trusting
        self._written_at: datetime | None = None
        self._snapshot: Snapshot | None = None
        # A reading that began before a change was written must not be taken after it.
        self._lock = threading.Lock()

    def restore(self, copy: Copy) -> None:
        """
        Begin with what an earlier process of this relay held.
        """
        self.held, self.confirmed_at, self._written_at = copy.held, copy.confirmed_at, copy.confirmed_at

    def refresh(self) -> None:
        """
        Read the store once, and hold what it says.

        Raises:
            StoreError: If it does not answer, has this migration no more, or what it says is not valid.
        """
        try:
            with self._lock:
                self._read()
        except StoreError as error:
            self._failed(error)
            raise
        self._answered()

    def append(
        self, *, expect: Head | None, head: Head, change: str, snapshot: str, secret: bytes | None = None
    ) -> None:
        """
        Write one change to the store, and hold what it leads to, as `Store.append` says.
        """
        try:
            with self._lock:
                self._store.append(
                    self.migration, expect=expect, head=head, change=change, snapshot=snapshot, secret=secret
                )
                before = self.held
                if before is not None and before.head == expect:
                    self._hold(head, snapshot, before.secret, (*before.chain, head.hash))
                elif expect is None:
                    self._hold(head, snapshot, secret, (head.hash,))
                else:
                    self._read()
        except Conflict:
            with suppress(StoreError):
                self.refresh()  # whoever lost the race will ask what is there now
            raise
        self._answered()

    @property
    def floor(self) -> tuple[str, ...]:
        """
        Name the flows that readers must hold on OLD, sorted.
        """
        emergencies = self.floors.emergencies
        if not emergencies:
            return tuple(sorted(self._floor_below))
        snapshot = self.snapshot()
        own = floor_of(emergencies, None if snapshot is None else snapshot.definition)
        return tuple(sorted(own | self._floor_below))

    def give(self, emergency: Emergency) -> None:
        """
        Hold flows on OLD, and tell all who wait.
        """
        given = self.floors.give(emergency)
        log.warning("cutover.floor", migration=self.migration, flows=", ".join(given.flows), actor=given.actor)
        self._changed(self.migration)

    def lift(self) -> None:
        """
        Let the dials hold again, and tell all who wait.
        """
        self.floors.lift()
        self._changed(self.migration)

    def survey(self) -> Fleet:
        """
        Read what the store knows of the processes, and keep it.
        """
        self.fleet = self._store.fleet(self.migration)
        return self.fleet

    def snapshot(self) -> Snapshot | None:
        """
        Give what is held as a value; None where nothing is held, or nothing that this library can read.
        """
        held = self.held
        if held is None:
            return None
        if self._snapshot is None or self._snapshot.head != held.head:
            with suppress(Corrupt):
                self._snapshot = Snapshot.decode(held.document)
        found = self._snapshot
        return found if found is not None and found.head == held.head else None

    def age(self) -> float:
        """
        Give the seconds since the store last said that this holds.
        """
        confirmed = self.confirmed_at
        return 0.0 if confirmed is None else max((self._now() - confirmed).total_seconds(), 0.0)

    def _read(self) -> None:
        held = self.held
        reading = self._store.read(self.migration, seen=None if held is None else held.head)
        if reading is None:
            raise Corrupt(f"{self._store.url} works, and has no migration {self.migration!r}")
        if reading.floor != self._floor_below:
            self._floor_below = reading.floor
            self._changed(self.migration)
        if held is not None and reading.head == held.head:
            self._mend(held)
            self._confirm()
            return
        if reading.document is None:
            raise Corrupt(f"{self._store.url} is at {reading.head} and gave no snapshot")
        if not self._trusting:
            Snapshot.given(reading.document, migration=self.migration, head=reading.head, by=self._store.url)
        self._hold(reading.head, reading.document, reading.secret, self._chain(held, reading))

    def _chain(self, held: Held | None, reading: Reading) -> tuple[str, ...]:
        """
        Give the hashes up to a new head: what is known goes on where the head stands on it, else all are read anew.
        """
        known = held.chain if held is not None and reading.ancestor == held.head.hash else ()
        missing = reading.head.version - len(known) - 1
        if missing < 0:
            known, missing = (), reading.head.version - 1
        return (*known, *self._hashes(len(known), missing), reading.head.hash)

    def _hashes(self, after: int, number: int) -> tuple[str, ...]:
        """
        Read hashes from the history; unknown ones where a relay behind this one tells dials, and has no history now.
        """
        texts: Sequence[str] = ()
        if number:
            with suppress(StoreError):
                texts = self._store.history(self.migration, after=after)
        return hashes_of(texts, number)

    def _mend(self, held: Held) -> None:
        """
        Read the hashes again that could not be read before.
        """
        if UNKNOWN in held.chain and not self._trusting:
            chain = (*self._hashes(0, held.head.version - 1), held.head.hash)
            if chain != held.chain:
                self.held = attrs.evolve(held, chain=chain)
                self._keep()

    def _hold(self, head: Head, document: str, secret: bytes | None, chain: tuple[str, ...]) -> None:
        self.held = Held(head=head, document=document, secret=secret, chain=chain)
        self.confirmed_at = self._now()
        self._keep()
        log.info("cutover.relay_holds", migration=self.migration, version=str(head))
        self._changed(self.migration)

    def _confirm(self) -> None:
        self.confirmed_at = self._now()
        if self._written_at is None or self.confirmed_at - self._written_at >= CONFIRM_EVERY:
            self._keep()

    def _keep(self) -> None:
        if self.held is not None and self.confirmed_at is not None:
            self._written_at = self.confirmed_at
            self._copies.write(Copy(migration=self.migration, held=self.held, confirmed_at=self.confirmed_at))

    def _answered(self) -> None:
        if not self.store_up:
            self.store_up, self.problem = True, ""
            self._changed(self.migration)

    def _failed(self, error: StoreError) -> None:
        if self.store_up or str(error) != self.problem:
            log.error("cutover.relay_store_fails", migration=self.migration, error=str(error))
        if self.store_up or not self.problem:
            self._changed(self.migration)
        self.store_up, self.problem = False, str(error)
