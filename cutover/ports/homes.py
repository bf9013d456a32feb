"""
What an engine of homes does, and the values that it answers with.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

import attrs

from cutover.core.backend import Backend
from cutover.errors import Corrupt

__all__ = ["PIECE", "Engine", "Rehomed", "Sides", "side_in"]

PIECE = 1000  # ids that an engine is given at once: no statement, script or transaction holds others up for long


@attrs.frozen(kw_only=True)
class Sides:
    """
    How many things of one kind live on each side.
    """

    old: int = 0
    new: int = 0

    def __add__(self, other: "Sides") -> "Sides":
        return Sides(old=self.old + other.old, new=self.new + other.new)


@attrs.frozen(kw_only=True)
class Rehomed:
    """
    What became of things that were marked as living on NEW.

    Attributes:
        moved: How many lived on OLD.
        already: How many lived on NEW.
        new: How many had no home.
    """

    moved: int = 0
    already: int = 0
    new: int = 0

    def __add__(self, other: "Rehomed") -> "Rehomed":
        return Rehomed(moved=self.moved + other.moved, already=self.already + other.already, new=self.new + other.new)

    @classmethod
    def of(cls, held: Mapping[bytes, Backend], ids: Sequence[bytes]) -> "Rehomed":
        """
        Count what it would be, by the sides that hold.
        """
        sides = [held.get(id_) for id_ in ids]
        return cls(moved=sides.count(Backend.OLD), already=sides.count(Backend.NEW), new=sides.count(None))


class Engine(Protocol):
    """
    A place that keeps homes. Safe to use from any thread and after a fork; making one connects to nothing.

    Ids are bytes, at most `PIECE` of them in a call, none twice. A home whose time is over counts as none. Each
    method but `create` and `close` raises `Unavailable` with `missing` where the place was never made, and
    `Unavailable` where it cannot be reached; nothing is ever guessed. What is there and was not written by this
    library is `Corrupt`.
    """

    @property
    def url(self) -> str:
        """
        Name the place, without credentials.
        """
        ...

    def create(self) -> None:
        """
        Make the place, empty; nothing where it is.
        """
        ...

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that there are homes of.
        """
        ...

    def claim(
        self, migration: str, kind: str, wanted: Mapping[bytes, Backend], keep: timedelta | None
    ) -> Mapping[bytes, Backend]:
        """
        Write a home for each id that has none, and give the side that holds for each of all.

        Of several at once the first wins, and all are told the same. What was given is durable.

        Args:
            keep: How long what is written now holds; None for ever.
        """
        ...

    def find(self, migration: str, kind: str, ids: Sequence[bytes]) -> Mapping[bytes, Backend]:
        """
        Give the sides of those ids that have a home.
        """
        ...

    def rehome(self, migration: str, kind: str, ids: Sequence[bytes], keep: timedelta | None) -> Rehomed:
        """
        Put each id on NEW, and tell how it was. Done twice it is the same as once.

        Args:
            keep: As in `claim`, for those that have no home; the others keep their time.
        """
        ...

    def counts(self, migration: str) -> Mapping[str, Sides]:
        """
        Count the homes of each kind, piece by piece: what is claimed meanwhile may be counted or not.
        """
        ...

    def close(self) -> None:
        """
        Let go of connections; may be called twice, and from any thread.
        """
        ...


def side_in(url: str, text: str) -> Backend:
    """
    Read a side as it was written.

    Raises:
        Corrupt: If it is none.
    """
    try:
        return Backend(text)
    except ValueError as error:
        raise Corrupt(f"{url} holds a home on the side {text!r:.50}; allowed: old, new") from error
