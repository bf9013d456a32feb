"""
``memory:NAME``: homes in this process, gone with it; for tests. All that open the same name in one process meet in it.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from cutover.clock import utc_now
from cutover.core.backend import Backend
from cutover.engines.memory.url import name_in
from cutover.errors import Unavailable
from cutover.forks import PerProcess
from cutover.ports.homes import Rehomed, Sides

__all__ = ["MemoryEngine", "opened"]


class MemoryEngine:
    """
    Homes under one name in memory.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._place = _PLACES.setdefault(url, _Place())
        self._closed = False

    def create(self) -> None:
        """
        Make the place, empty; nothing where it is.
        """
        self._check_open()
        self._place.is_made = True

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that there are homes of.
        """
        with self._entered() as homes:
            return tuple(sorted({migration for migration, _ in homes}))

    def claim(
        self, migration: str, kind: str, wanted: Mapping[bytes, Backend], keep: timedelta | None
    ) -> Mapping[bytes, Backend]:
        """
        Claim, as `Engine.claim` says.
        """
        with self._entered() as homes:
            rows = homes.setdefault((migration, kind), {})
            now = utc_now()
            for id_, side in wanted.items():
                if _side(rows, id_, now) is None:
                    rows[id_] = _Home(side, None if keep is None else now + keep)
            return {id_: rows[id_].side for id_ in wanted}

    def find(self, migration: str, kind: str, ids: Sequence[bytes]) -> Mapping[bytes, Backend]:
        """
        Give the sides of those ids that have a home.
        """
        with self._entered() as homes:
            rows = homes.get((migration, kind), {})
            now = utc_now()
            return {id_: side for id_ in ids if (side := _side(rows, id_, now)) is not None}

    def rehome(self, migration: str, kind: str, ids: Sequence[bytes], keep: timedelta | None) -> Rehomed:
        """
        Put each id on NEW, as `Engine.rehome` says.
        """
        with self._entered() as homes:
            rows = homes.setdefault((migration, kind), {})
            now = utc_now()
            held = {id_: side for id_ in ids if (side := _side(rows, id_, now)) is not None}
            for id_ in ids:
                until = rows[id_].until if id_ in held else None if keep is None else now + keep
                rows[id_] = _Home(Backend.NEW, until)
        return Rehomed.of(held, ids)

    def counts(self, migration: str) -> Mapping[str, Sides]:
        """
        Count the homes of each kind.
        """
        now, counted = utc_now(), {}
        with self._entered() as homes:
            for (of, kind), rows in homes.items():
                sides = Counter(side for id_ in rows if (side := _side(rows, id_, now)) is not None)
                if of == migration and sides:
                    counted[kind] = Sides(old=sides[Backend.OLD], new=sides[Backend.NEW])
        return counted

    def close(self) -> None:
        """
        Refuse what comes later.
        """
        self._closed = True

    @contextmanager
    def _entered(self) -> Iterator["_Homes"]:
        self._check_open()
        if not self._place.is_made:
            raise Unavailable(f"{self.url} holds no homes yet", missing=True)
        with self._place.lock.get():
            yield self._place.homes

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"the homes in {self.url} were closed")


class _Home(NamedTuple):
    """
    One home, and until when it holds.
    """

    side: Backend
    until: datetime | None


_Homes = dict[tuple[str, str], dict[bytes, _Home]]


class _Place:
    """
    What lies under one name.
    """

    def __init__(self) -> None:
        self.lock = PerProcess(threading.Lock)
        self.is_made = False
        self.homes: _Homes = {}


_PLACES: dict[str, _Place] = {}


def _side(rows: Mapping[bytes, _Home], id_: bytes, now: datetime) -> Backend | None:
    home = rows.get(id_)
    return None if home is None or (home.until is not None and home.until <= now) else home.side


def opened(url: str) -> MemoryEngine:
    """
    Give what a URL names.
    """
    return MemoryEngine(f"memory:{name_in(url)}")
