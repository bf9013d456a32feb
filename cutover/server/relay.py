"""
A relay: all migrations of one store, each followed by a thread of its own, and calls that go through to the store.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Final, TypeVar

from cutover.chance import CHANCE
from cutover.clock import utc_now
from cutover.core.checkin import Fleet
from cutover.errors import StoreError, Unavailable
from cutover.ports.store import Store
from cutover.router.log import log
from cutover.server.calls import Calls
from cutover.server.copies import Copies
from cutover.server.entering import enter
from cutover.server.followed import Followed
from cutover.server.hub import EVERYTHING, Hub

__all__ = ["Relay"]

T = TypeVar("T")

POLL: Final = 1.0  # seconds; the truth is read at least this often
FIRST_RETRY: Final = 0.1  # seconds; doubled with each failure, full jitter
LAST_RETRY: Final = 2.0
CLOCK_EVERY: Final = 10.0  # seconds; how far the store's clock is from this machine's is measured so often
SURVEY_EVERY: Final = 5.0  # seconds; as often as routers check in
THREADS: Final = 16  # calls to the store at a time
STORE_PATIENCE: Final = 8.0  # seconds; every store ends its calls before
JOIN_PATIENCE: Final = 0.5


class Relay:
    """
    What one `cutover serve` knows, and how it asks its store.

    Args:
        store: Not closed by the relay.
        folder: Where it keeps what must outlive it; None for nowhere.
        trusting: Documents, changes and dates are taken as clients and the store give them. For the store contract,
            whose documents mean nothing.

    Attributes:
        migrations: What is known of each, by its name.
        surveyed: Called when a fleet was read, from any thread.
        answered: The store was reached since this process began.
        store_up: The store answered when it was last asked for its migrations.
    """

    def __init__(self, store: Store, *, folder: Path | None = None, trusting: bool = False) -> None:
        self.store = store
        self.trusting = trusting
        self.hub: Hub = Hub()
        self.migrations: dict[str, Followed] = {}
        self.surveyed: Callable[[Followed, Fleet], None] | None = None
        self.answered: bool = False
        self.store_up: bool = False
        self._copies = Copies(folder, store.url)
        self._offset = timedelta(0)
        self._clock_due = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._calls = Calls("cutover-call", threads=THREADS)
        self._disk = Calls("cutover-disk", threads=1)

    @property
    def has_data(self) -> bool:
        """
        Whether there is anything to serve.
        """
        return self.answered or any(followed.held for followed in tuple(self.migrations.values()))

    def start(self) -> None:
        """
        Begin to follow the store; on the running loop.
        """
        self.hub.open()
        for copy in self._copies.read():
            self._followed(copy.migration).restore(copy)
        for name in tuple(self.migrations):
            self._follow(name)
        self._spawn(self._discover)

    def stop(self) -> None:
        """
        Stop following. Threads that a store still holds are daemons, and are not waited for long.
        """
        self._stop.set()
        deadline = monotonic() + JOIN_PATIENCE
        for thread in self._threads:
            thread.join(max(deadline - monotonic(), 0))

    def now(self) -> datetime:
        """
        Read the store's clock, as far as it is known.
        """
        return utc_now() + self._offset

    def followed(self, migration: str) -> Followed | None:
        """
        Give what is held of a migration; None where nothing is.
        """
        found = self.migrations.get(migration)
        return None if found is None or found.held is None else found

    async def look(self, migration: str) -> Followed | None:
        """
        Give what is held of a migration, and ask the store where nothing is: somebody may have made it just now.
        """
        if self.followed(migration) is None and await self.call(lambda: self.store.read(migration)) is not None:
            with self.writing(migration) as followed:
                await self.call(followed.refresh)
        return self.followed(migration)

    @contextmanager
    def writing(self, migration: str) -> Iterator[Followed]:
        """
        Give a migration that need not be there yet, and follow it from then on if it is there afterwards.
        """
        followed = self._followed(migration)
        try:
            yield followed
        finally:
            if followed.held is not None:
                self.answered = self.answered or followed.store_up
                self._follow(migration)
            else:
                self.migrations.pop(migration, None)

    async def call(self, work: Callable[[], T], *, writes: bool = False) -> T:
        """
        Ask the store something, on a thread.

        Args:
            writes: Whether it may have been done when the answer is late.

        Raises:
            Unavailable: If it takes too long, or too many calls are waiting.
        """
        try:
            return await self._calls.call(work, patience=STORE_PATIENCE)
        except TimeoutError as error:
            raise Unavailable("the store did not answer in time", in_doubt=writes) from error

    async def aside(self, work: Callable[[], T]) -> T:
        """
        Do something that needs this machine's disk and not the store, which may hold up every thread of `call`.
        """
        try:
            return await self._disk.call(work, patience=STORE_PATIENCE)
        except TimeoutError as error:
            raise Unavailable("the relay's disk did not answer in time", in_doubt=True) from error

    def _followed(self, migration: str) -> Followed:
        with self._lock:
            found = self.migrations.get(migration)
            if found is None:
                found = self.migrations[migration] = Followed(
                    migration,
                    self.store,
                    self._copies,
                    now=self.now,
                    changed=self.hub.changed,
                    trusting=self.trusting,
                )
        return found

    def _follow(self, migration: str) -> None:
        name = f"cutover-follow-{migration}"
        with self._lock:
            if any(thread.name == name for thread in self._threads):
                return
            self._spawn(lambda: self._run(self._followed(migration)), name)

    def _spawn(self, work: Callable[[], None], name: str = "cutover-discover") -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _discover(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                for name in self.store.migrations():
                    self._follow(name)
                self._set_clock()
                failures, self.answered, self.store_up = 0, True, True
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the thread
                if self.store_up or not failures:
                    log.error("cutover.relay_store_unavailable", store=self.store.url, error=str(error))
                failures, self.store_up = failures + 1, False
            self._stop.wait(pause_after(failures))

    def _run(self, followed: Followed) -> None:
        failures, survey_due = 0, 0.0
        while not self._stop.is_set():
            try:
                followed.refresh()
                failures = 0
                if followed.floors.pending:
                    enter(followed, self.store)
                    followed.refresh()
                if monotonic() >= survey_due:
                    survey_due = monotonic() + SURVEY_EVERY
                    self._survey(followed)
                held = followed.held
                self.store.wait(followed.migration, seen=None if held is None else held.head, timeout=POLL)
            except StoreError:  # it has been said
                failures += 1
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the thread
                log.error("cutover.relay_fails", migration=followed.migration, error=repr(error))
                failures += 1
            if failures:
                self._stop.wait(pause_after(failures))

    def _survey(self, followed: Followed) -> None:
        with suppress(StoreError):  # a relay whose own store is away still tells the dials
            fleet = followed.survey()
            self.hub.changed(EVERYTHING)
            if self.surveyed is not None:
                self.surveyed(followed, fleet)

    def _set_clock(self) -> None:
        if monotonic() >= self._clock_due:
            self._offset = self.store.now() - utc_now()
            self._clock_due = monotonic() + CLOCK_EVERY


def pause_after(failures: int) -> float:
    """
    Give the seconds until the store is asked again.
    """
    if not failures:
        return CHANCE.uniform(POLL / 2, POLL)
    return CHANCE.uniform(0, min(LAST_RETRY, FIRST_RETRY * 2 ** min(failures, 10)))
