"""
``memory:NAME``: a store in this process, gone with it. All that open the same name in one process meet in it.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import attrs

from cutover.clock import utc_now
from cutover.core.checkin import TOO_LATE, CheckIn, Fleet, Totals, add
from cutover.core.snapshot import Head
from cutover.engines.memory.url import name_in
from cutover.engines.writing import check_append, check_expected, hour_of, oldest_open, oldest_taken
from cutover.errors import Unavailable
from cutover.forks import PerProcess
from cutover.ports.store import Durability, Reading

__all__ = ["MemoryStore", "opened"]


class MemoryStore:
    """
    One way into the place of that name. Closing it leaves the place to the others.

    A child process after a fork goes on with a copy of its own.
    """

    durability = Durability.ACCEPTED

    def __init__(self, name: str) -> None:
        self._name = name
        self._place = _PLACES.setdefault(name, _Place())
        self._closed = False

    @property
    def url(self) -> str:
        """
        Name the source, without credentials.
        """
        return f"memory:{self._name}"

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that the source holds, sorted.
        """
        with self._entered():
            return tuple(sorted(self._place.ledgers))

    def read(self, migration: str, *, seen: Head | None = None) -> Reading | None:
        """
        Read one migration, as `Source.read` says.
        """
        with self._entered():
            ledger = self._place.ledgers.get(migration)
        if ledger is None:
            return None
        document = None if ledger.head == seen else ledger.snapshot
        ancestor = None if seen is None else ledger.hash_at(seen.version)
        return Reading(head=ledger.head, document=document, secret=ledger.secret, ancestor=ancestor)

    def wait(self, migration: str, *, seen: Head | None, timeout: float) -> None:
        """
        Return when the store holds something else than *seen*, or after *timeout* seconds, or when closed.
        """
        deadline = time.monotonic() + timeout
        changed = self._place.changed.get()
        with changed:
            while not self._closed and self._head(migration) == seen:
                left = deadline - time.monotonic()
                if left <= 0 or not changed.wait(left):
                    return

    def close(self) -> None:
        """
        Wake every `wait` and refuse what comes later.
        """
        changed = self._place.changed.get()
        with changed:
            self._closed = True
            changed.notify_all()

    def append(
        self,
        migration: str,
        *,
        expect: Head | None,
        head: Head,
        change: str,
        snapshot: str,
        secret: bytes | None = None,
    ) -> None:
        """
        Write one change and the snapshot after it, as `Store.append` says.
        """
        check_append(expect, head, secret)
        with self._entered() as changed:
            check_expected(migration, expect, self._head(migration))
            before = self._place.ledgers.get(migration) or _Ledger(head=head, snapshot="", secret=bytes(secret or b""))
            # one assignment, so that a fork in another thread finds the state before or the state after
            self._place.ledgers[migration] = attrs.evolve(
                before,
                head=head,
                snapshot=snapshot,
                changes=(*before.changes, change),
                hashes=(*before.hashes, head.hash),
            )
            changed.notify_all()

    def history(self, migration: str, *, after: int = 0) -> Sequence[str]:
        """
        Give the texts of all changes above a version, oldest first; none where there is no such migration.
        """
        with self._entered():
            ledger = self._place.ledgers.get(migration)
        return () if ledger is None else ledger.changes[max(after, 0) :]

    def now(self) -> datetime:
        """
        Read the store's own clock, which is this machine's.
        """
        return utc_now()

    def check_in(self, migration: str, report: CheckIn, *, now: datetime) -> None:
        """
        Take a report of a router process, as `Store.check_in` says.
        """
        report = attrs.evolve(CheckIn.decode(report.encode()), at=now)  # a copy: the caller's totals may change later
        with self._entered():
            self._place.fleets.setdefault(migration, _FleetBook()).take(report, now)

    def fleet(self, migration: str) -> Fleet:
        """
        Give what is known of the processes; empty where none ever checked in.
        """
        with self._entered():
            book = self._place.fleets.get(migration)
            return Fleet() if book is None else book.fleet()

    def _head(self, migration: str) -> Head | None:
        ledger = self._place.ledgers.get(migration)
        return None if ledger is None else ledger.head

    @contextmanager
    def _entered(self) -> Iterator[threading.Condition]:
        if self._closed:
            raise Unavailable(f"{self.url} was closed")
        changed = self._place.changed.get()
        with changed:
            yield changed


@attrs.frozen(kw_only=True)
class _Ledger:
    """
    One migration: the last snapshot, and what led to it.
    """

    head: Head
    snapshot: str
    secret: bytes = attrs.field(repr=False)
    changes: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()

    def hash_at(self, version: int) -> str | None:
        return self.hashes[version - 1] if 1 <= version <= len(self.hashes) else None


@attrs.define(kw_only=True)
class _Instance:
    """
    What is remembered of one router process.

    Attributes:
        folded: The last minute of it that was folded into an hour.
    """

    report: CheckIn
    received: datetime
    folded: int = -1


class _FleetBook:
    """
    The check-ins of one migration. Whoever calls holds the place's lock.
    """

    def __init__(self) -> None:
        self.instances: dict[str, _Instance] = {}
        self.minutes: dict[tuple[str, int], tuple[int, Totals]] = {}
        self.hours: dict[int, Totals] = {}

    def take(self, report: CheckIn, now: datetime) -> None:
        known = self.instances.setdefault(report.instance, _Instance(report=report, received=now))
        if report.sequence > known.report.sequence:
            known.report, known.received = report, now
        for minute, totals in report.minutes.items():
            if minute >= oldest_taken(now) and minute > known.folded:
                self._take_minute((report.instance, minute), report.sequence, totals)
        self._fold(oldest_open(now))
        self._forget_closed(now)

    def _take_minute(self, key: tuple[str, int], sequence: int, totals: Totals) -> None:
        if key not in self.minutes or sequence > self.minutes[key][0]:
            self.minutes[key] = (sequence, totals)

    def _fold(self, oldest: int) -> None:
        for instance, minute in [key for key in self.minutes if key[1] < oldest]:
            _, totals = self.minutes.pop((instance, minute))
            hour = hour_of(minute)
            self.hours[hour] = add((self.hours.get(hour, {}), totals))
            known = self.instances[instance]
            known.folded = max(known.folded, minute)

    def _forget_closed(self, now: datetime) -> None:
        counting = {instance for instance, _ in self.minutes}
        for name, known in list(self.instances.items()):
            overdue = known.report.closing and now - known.received > TOO_LATE
            if overdue and name not in counting:
                del self.instances[name]

    def fleet(self) -> Fleet:
        instances = sorted(self.instances.items())
        minutes: dict[int, Totals] = {}
        for (_, minute), (_, totals) in self.minutes.items():
            minutes[minute] = add((minutes.get(minute, {}), totals))
        return Fleet(
            instances=tuple(attrs.evolve(i.report, minutes={}) for _, i in instances if not i.report.closing),
            minutes=minutes,
            hours=_copies(self.hours),
        )


def _copies(many: Mapping[int, Totals]) -> dict[int, Any]:
    return {number: dict(totals) for number, totals in many.items()}


class _Place:
    """
    What lies under one name.
    """

    def __init__(self) -> None:
        self.changed = PerProcess(threading.Condition)
        self.ledgers: dict[str, _Ledger] = {}
        self.fleets: dict[str, _FleetBook] = {}


_PLACES: dict[str, _Place] = {}


def opened(url: str) -> MemoryStore:
    """
    Give what a URL names.
    """
    return MemoryStore(name_in(url))
