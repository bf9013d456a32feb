"""
Where lasting things live: what applications claim once, and ask days and dials later.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from cutover.claims.ids import Id, backend_in, checked_keep, id_bytes, kind_in, pieces
from cutover.claims.threads import Threads
from cutover.core.backend import Backend
from cutover.core.defined import NAME, NAME_RULE
from cutover.engines.registry import open_homes
from cutover.errors import ConfigurationError, Unavailable
from cutover.ports.homes import PIECE, Engine, Rehomed, Sides
from cutover.ports.store import Source

__all__ = ["Homes", "homes"]

T = TypeVar("T")
AnyId = TypeVar("AnyId", bound=Id)


def homes(
    url: str | None = None, *, migration: str | None = None, keep: Mapping[str, timedelta] | None = None
) -> "Homes":
    """
    Open the place where it is written down on which side lasting things live. Nothing is connected or created yet; the
    first claim creates it.

    Args:
        url: ``sqlite:///PATH``, ``postgresql://``, ``redis://`` or ``rediss://``, or ``memory:NAME`` for tests; else
            CUTOVER_HOMES. It may be that of the store.
        migration: Its name; else CUTOVER_MIGRATION, else the only one that the place has homes of or a store of.
        keep: By kind, how long a home holds from its claim on; a kind that is left out is kept for ever.

    Raises:
        ConfigurationError: For what can never work: an unknown scheme, a missing extra, a bad URL, name or time.
    """
    chosen = url if url is not None else os.environ.get("CUTOVER_HOMES")
    if not chosen:
        raise ConfigurationError("no place is given; allowed: homes(URL) or CUTOVER_HOMES, as sqlite:///homes.db")
    name = migration or os.environ.get("CUTOVER_MIGRATION") or None
    if name is not None and not (isinstance(name, str) and NAME.fullmatch(name)):
        raise ConfigurationError(f"migration is {name!r:.100}; allowed: {NAME_RULE}")
    engine, store = open_homes(chosen)
    return Homes(engine, migration=name, keep=checked_keep(keep), store=store)


class Homes:
    """
    Which side each lasting thing lives on: an order, a cart, a payment attempt.

    A kind is a name such as ``order``. An id is text, an int or a UUID, which are the same as their text, or bytes; at
    most 512 bytes. Every method does I/O and raises `ConfigurationError` for what cannot be meant, `Unavailable` within
    seconds where the place cannot be reached, and `Corrupt` where it holds something else; none ever guesses. Each has
    a twin for async code, named with a leading ``a``.

    May be used from several threads, and after a fork. A context manager that closes the place.
    """

    def __init__(
        self, engine: Engine, *, migration: str | None, keep: Mapping[str, timedelta], store: Source | None = None
    ) -> None:
        self._engine = engine
        self._store = store
        self._migration = migration
        self._keep = keep
        self._threads = Threads(engine.url)
        self._was_there = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """
        Name the place, without credentials.
        """
        return self._engine.url

    @property
    def migration(self) -> str:
        """
        The name of the migration: as given, else the only one that the place knows of.

        Raises:
            ConfigurationError: If it knows of none or of several.
        """
        if self._migration is None:
            names = sorted({*(self._read(self._engine.migrations) or ()), *self._names_in_store()})
            if len(names) != 1:
                found = f"several: {', '.join(names)}" if names else "none"
                wanted = "give homes(URL, migration=NAME), --migration or CUTOVER_MIGRATION"
                raise ConfigurationError(f"which migration is meant? {self.url} knows of {found}; {wanted}")
            self._migration = names[0]
        return self._migration

    def claim(self, kind: str, id: Id, backend: Backend | str) -> Backend:  # noqa: A002 - the word of the contract
        """
        Write down where a thing lives, unless that is known, and give the side that holds: the first claim wins.

        It is durable before this returns. Where the answer is lost, `Unavailable` says ``in_doubt``, and claiming
        again gives what holds.
        """
        data = id_bytes(id)
        return self._claimed(kind, {data: backend_in(backend)})[data]

    def find(self, kind: str, id: Id) -> Backend | None:  # noqa: A002 - the word of the contract
        """
        Give the side that a thing lives on; None where nobody claimed it.
        """
        data = id_bytes(id)
        return self._found(kind, [data]).get(data)

    def claim_many(self, kind: str, backends: Mapping[AnyId, Backend | str]) -> dict[AnyId, Backend]:
        """
        Claim many things of one kind, and give the side that holds for each.

        A thousand at a time are written together; an error may come after some of them.
        """
        wanted: dict[bytes, Backend] = {}
        for one, side in backends.items():
            wanted.setdefault(id_bytes(one), backend_in(side))
        held = self._claimed(kind, wanted)
        return {one: held[id_bytes(one)] for one in backends}

    def find_many(self, kind: str, ids: Iterable[AnyId]) -> dict[AnyId, Backend | None]:
        """
        Give the side of each of many things of one kind; None for those that nobody claimed.
        """
        asked = {one: id_bytes(one) for one in ids}
        found = self._found(kind, list(dict.fromkeys(asked.values())))
        return {one: found.get(data) for one, data in asked.items()}

    def counts(self) -> dict[str, Sides]:
        """
        Count the things of each kind by the side that they live on. What is claimed meanwhile may be counted or not.
        """
        migration = self.migration
        counted = self._read(partial(self._engine.counts, migration)) or {}
        return dict(sorted(counted.items()))

    @property
    def is_made(self) -> bool:
        """
        Whether the place was there when it was last asked; before the first claim it is not.
        """
        return self._was_there

    def rehome(self, kind: str, ids: Sequence[bytes]) -> Rehomed:
        """
        Put things on NEW, wherever they lived, and tell how it was. Operators use `Control.rehome`, which puts it on
        record too.

        Args:
            ids: As bytes, none twice.
        """
        kind, migration, keep = kind_in(kind), self.migration, self._keep.get(kind)
        total = Rehomed()
        for piece in pieces(ids, PIECE):
            total += self._write(partial(self._engine.rehome, migration, kind, piece, keep))
        return total

    def would_rehome(self, kind: str, ids: Sequence[bytes]) -> Rehomed:
        """
        Tell what `rehome` would do, and do nothing.
        """
        return Rehomed.of(self._found(kind, ids), ids)

    async def aclaim(self, kind: str, id: Id, backend: Backend | str) -> Backend:  # noqa: A002 - as `claim`
        """
        `claim`, for async code. A task that is cancelled does not know whether it claimed.
        """
        return await self._threads.run(self.claim, kind, id, backend)

    async def afind(self, kind: str, id: Id) -> Backend | None:  # noqa: A002 - as `find`
        """
        `find`, for async code.
        """
        return await self._threads.run(self.find, kind, id)

    async def aclaim_many(self, kind: str, backends: Mapping[AnyId, Backend | str]) -> dict[AnyId, Backend]:
        """
        `claim_many`, for async code.
        """
        return await self._threads.run(self.claim_many, kind, dict(backends))

    async def afind_many(self, kind: str, ids: Iterable[AnyId]) -> dict[AnyId, Backend | None]:
        """
        `find_many`, for async code.
        """
        return await self._threads.run(self.find_many, kind, tuple(ids))

    def close(self) -> None:
        """
        Let go of connections and threads; may be called twice, and from any thread.
        """
        self._threads.close()
        self._engine.close()
        if self._store is not None:
            self._store.close()

    def _claimed(self, kind: str, wanted: Mapping[bytes, Backend]) -> Mapping[bytes, Backend]:
        kind, migration, keep = kind_in(kind), self.migration, self._keep.get(kind)
        held: dict[bytes, Backend] = {}
        for piece in pieces(list(wanted), PIECE):
            given = {one: wanted[one] for one in piece}
            held |= self._write(partial(self._engine.claim, migration, kind, given, keep))
        return held

    def _found(self, kind: str, ids: Sequence[bytes]) -> Mapping[bytes, Backend]:
        kind, migration = kind_in(kind), self.migration
        found: dict[bytes, Backend] = {}
        for piece in pieces(ids, PIECE):
            found |= self._read(partial(self._engine.find, migration, kind, piece)) or {}
        return found

    def _read(self, work: Callable[[], T]) -> T | None:
        """
        Read; a place that was never made gives None, and one that this process saw and that is gone is lost.
        """
        was_there = self._was_there
        try:
            found = work()
        except Unavailable as error:
            if not error.missing or was_there:
                raise
            return None
        self._was_there = True
        return found

    def _write(self, work: Callable[[], T]) -> T:
        """
        Write; a place that was never made is made.
        """
        was_there = self._was_there  # before another thread makes the place
        try:
            done = work()
        except Unavailable as error:
            if not error.missing or was_there:
                raise
            self._engine.create()
            done = work()
        self._was_there = True
        return done

    def _names_in_store(self) -> Sequence[str]:
        try:
            return () if self._store is None else self._store.migrations()
        except Unavailable as error:
            if error.missing:
                return ()
            raise
