"""
The store protocol. Its docstrings are the specification; `cutover.testing.StoreContract` holds every store to them.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

import attrs

from cutover.core.checkin import CheckIn, Fleet
from cutover.core.snapshot import Head
from cutover.protocols import Checked

__all__ = ["Durability", "Reading", "Source", "Store"]


class Durability(StrEnum):
    """
    What an acknowledged change survives.
    """

    DURABLE = "durable"  # on disk before the answer: survives power loss
    DURABLE_ON_NODE = "durable on this node"  # on the disk of one node; a failover may lose it
    ACCEPTED = "accepted"  # in memory only


@attrs.frozen(kw_only=True)
class Reading:
    """
    What a source holds of one migration, read in one go.

    Attributes:
        head: The last change.
        document: The snapshot's document; None where the reader had said that it runs this head.
        secret: What overrides are looked up with; None where the source does not know it.
        ancestor: The hash that the source's chain has at the reader's version; None where it has no such version or
            keeps no chain.
        age: Seconds since what is read was confirmed by the store: a relay goes on while its own store is away. Two
            readings that differ in nothing else are equal.
        floor: The flows that the source wants held on OLD, whatever the document says: a relay's emergencies.
    """

    head: Head
    document: str | None
    secret: bytes | None = attrs.field(default=None, repr=False)
    ancestor: str | None = None
    age: float = attrs.field(default=0.0, eq=False)
    floor: frozenset[str] = frozenset()


@runtime_checkable
class Source(Protocol, metaclass=Checked):
    """
    Something that snapshots are read from.

    Every method may be called from any thread and after a fork; none hands out anything that a caller could change.
    Every method raises `Unavailable` where the source cannot be reached now, and `Corrupt` where what it holds was not
    written by this library: truncated, emptied, replaced by another file or of an unknown major. A driver's own error
    type never leaves the source. Nothing that is missing is ever taken for an empty state.
    """

    @property
    def url(self) -> str:
        """
        Name the source, without credentials.
        """
        ...

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that the source holds, sorted.
        """
        ...

    def read(self, migration: str, *, seen: Head | None = None) -> Reading | None:
        """
        Read one migration, consistent in itself.

        Args:
            seen: What the reader runs. Where the source is at the same head, the document is left out.

        Returns:
            The reading, or None where the source works and has no such migration.
        """
        ...

    def wait(self, migration: str, *, seen: Head | None, timeout: float) -> None:
        """
        Return when the source may hold something else than *seen*, or after *timeout* seconds, or when closed.

        A hint only: it may return early, and a caller must read to know. Errors are left to the next read.
        """
        ...

    def close(self) -> None:
        """
        Let go of connections and wake every `wait`; may be called twice, and from any thread.
        """
        ...


@runtime_checkable
class Store(Source, Protocol, metaclass=Checked):
    """
    A source that changes are written to.
    """

    @property
    def durability(self) -> Durability:
        """
        Say what an acknowledgement of `append` means.
        """
        ...

    def now(self) -> datetime:
        """
        Read the store's own clock: what check-ins are dated and judged by, because those of processes may be off.
        """
        ...

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
        Write one change and the snapshot after it in one transaction: both or neither.

        When this returns, the change survives what `durability` says. An empty place (no file, no tables) is set up
        by the first change of a migration; a foreign database is refused.

        Args:
            expect: What the store must be at; None for the first change of a migration.
            head: What it is at afterwards; its version follows on that of *expect*.
            change: The change's canonical text; given back by `history` to the letter.
            snapshot: The snapshot's document; given back by `read` to the letter.
            secret: What overrides are looked up with: needed with the first change, ignored later.

        Raises:
            Conflict: If the store is at another head; nothing was written.
            ValueError: If the versions do not follow on each other, or a first change has no secret.
        """
        ...

    def history(self, migration: str, *, after: int = 0) -> Sequence[str]:
        """
        Give the texts of all changes above a version, oldest first; none where there is no such migration.
        """
        ...

    def check_in(self, migration: str, report: CheckIn, *, now: datetime) -> None:
        """
        Take a report of a router process.

        - Of an instance, the report with the highest sequence holds; one that is closing takes the instance away, and
          one that it overtook does not bring it back.
        - Of an instance and minute, the totals with the highest sequence hold: sending twice does no harm.
        - Minutes that began more than `FOLD_AFTER` before *now* are folded into hours; what is folded outlives the
          instance.
        - A minute that comes later is folded at once, unless one as late of the same instance is folded already: it
          may hold the same counts, and is left out. So is one that began `TOO_LATE` before *now*. The rest of the
          report is taken.
        """
        ...

    def fleet(self, migration: str) -> Fleet:
        """
        Give what is known of the processes, sorted by instance; empty where none ever checked in.
        """
        ...
