"""
``postgresql://``: homes for many machines. Durable once acknowledged, and the first of several claims wins anywhere.

They lie in a schema beside that of a store, ``cutover_homes``: an application that claims homes need not be allowed to
turn dials.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Any, Final

import attrs

from cutover.core.backend import Backend
from cutover.core.migration import NAME, NAME_RULE
from cutover.engines.postgresql.errors import NoTables
from cutover.engines.postgresql.place import Place
from cutover.engines.postgresql.pool import DURABLY, Pool
from cutover.engines.postgresql.session import Rows, Session
from cutover.engines.postgresql.url import parse
from cutover.engines.queries import load_queries
from cutover.errors import ConfigurationError, Corrupt, StoreError, Unavailable
from cutover.ports.homes import Rehomed, Sides, side_in

__all__ = ["PostgresqlEngine", "opened"]

LAYOUT: Final = 1
SUFFIX: Final = "_homes"
QUERIES: Final = load_queries(__package__, "homes.sql")
ATTEMPTS: Final = 10  # each lost one means that another claim went in, or that a home's time was over
COUNTED_AT_ONCE: Final = 100_000
FORGET_EVERY: Final = 60.0  # seconds
LOOK_EVERY: Final = 60.0  # seconds
FORGOTTEN_AT_ONCE: Final = 1000


class PostgresqlEngine:
    """
    Homes in one schema of a PostgreSQL database.
    """

    def __init__(self, url: str) -> None:
        address = parse(url)
        self._place = Place(address, QUERIES, SUFFIX)
        self._queries = self._place.queries
        # A replica may lack a claim, and to say that nobody claimed it would be a guess. It is enough to ask when it is
        # connected: a primary does not become a replica without ending its connections.
        parameters = {**address.parameters, "target_session_attrs": "primary"}
        self._pool = Pool(attrs.evolve(address, notify=False, parameters=parameters))
        self._forgot_at = monotonic()
        self._looked_at = -LOOK_EVERY

    @property
    def url(self) -> str:
        """
        Name the place, without credentials.
        """
        return self._pool.address.shown

    def create(self) -> None:
        """
        Make the schema and its tables; nothing where they are.

        Raises:
            Corrupt: If the schema holds the tables of another program.
        """
        with self._pool.taken() as session, session.transaction() as transaction:
            if not self._place.make(transaction):
                transaction.run_script(self._queries["create"])

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that there are homes of.
        """
        return tuple(name for (name,) in self._rows("migrations", {}, writes=False))

    def claim(
        self, migration: str, kind: str, wanted: Mapping[bytes, Backend], keep: timedelta | None
    ) -> Mapping[bytes, Backend]:
        """
        Claim, as `Engine.claim` says. A single one that is new takes one round trip.
        """
        of = {"migration": migration, "kind": kind, "keep": keep}
        held = self._claimed_one(migration, kind, wanted, keep) if len(wanted) == 1 else {}
        for _ in range(ATTEMPTS):
            left = {id_: side.value for id_, side in wanted.items() if id_ not in held}
            if not left:
                self._forget(keep)
                return held
            values = {**of, "ids": list(left), "sides": list(left.values())}
            held |= self._sides(self._rows("claim", values, prefix=DURABLY))
        raise Unavailable(f"{self.url}: others claim and drop the same homes all the time", in_doubt=True)

    def find(self, migration: str, kind: str, ids: Sequence[bytes]) -> Mapping[bytes, Backend]:
        """
        Give the sides of those ids that have a home.
        """
        if len(ids) == 1:
            return self._one("find_one", migration, kind, ids[0])
        return self._sides(self._rows("find", {"migration": migration, "kind": kind, "ids": list(ids)}, writes=False))

    def rehome(self, migration: str, kind: str, ids: Sequence[bytes], keep: timedelta | None) -> Rehomed:
        """
        Put each id on NEW, as `Engine.rehome` says, in one transaction.
        """
        of = {"migration": migration, "kind": kind, "keep": keep, "ids": list(ids)}
        return Rehomed.of(self._sides(self._rows("rehome", of, prefix=DURABLY)), ids)

    def counts(self, migration: str) -> Mapping[str, Sides]:
        """
        Count the homes of each kind; a statement for each piece, so that each answers soon.
        """
        counted: dict[str, Sides] = {}
        of: dict[str, Any] = {"migration": migration, "kind": "", "id": b"", "limit": COUNTED_AT_ONCE}
        while rows := self._rows("count", of, writes=False):
            for kind, _, old, new in rows:
                counted[kind] = counted.get(kind, Sides()) + Sides(old=old, new=new)
            of |= {"kind": rows[-1][0], "id": rows[-1][1]}
        return {kind: sides for kind, sides in counted.items() if sides != Sides()}

    def close(self) -> None:
        """
        Let go of the connections; may be called twice, and from any thread.
        """
        self._pool.close()

    def _claimed_one(
        self, migration: str, kind: str, wanted: Mapping[bytes, Backend], keep: timedelta | None
    ) -> dict[bytes, Backend]:
        ((id_, side),) = wanted.items()
        length = "NULL" if keep is None else f"now() + {keep // timedelta(milliseconds=1)} * interval '1 millisecond'"
        won = self._one("claim_one", migration, kind, id_, side=side.value, until=length)
        return won or self._one("find_one", migration, kind, id_)

    def _one(self, query: str, migration: str, kind: str, id_: bytes, **more: str) -> dict[bytes, Backend]:
        """
        Run a query about one id that gives its side. What stands in it needs no escaping.
        """
        if not NAME.fullmatch(migration) or not NAME.fullmatch(kind):
            raise ConfigurationError(f"migration is {migration!r:.100}, kind {kind!r:.100}; allowed: {NAME_RULE}")
        text = self._queries[query].format(migration=migration, kind=kind, id=id_.hex(), **more)
        with self._entered() as session:
            sides = session.run_text(text, writes=bool(more))
        return {id_: side_in(self.url, str(sides[0] or b"", "utf-8", "replace"))} if sides else {}

    def _rows(self, query: str, values: Mapping[str, Any], *, prefix: str = "", writes: bool = True) -> Rows:
        with self._entered() as session:
            return session.run(prefix + self._queries[query], values, writes=writes)

    @contextmanager
    def _entered(self) -> Iterator[Session]:
        with self._pool.taken() as session:
            try:
                self._check_layout(session)
                yield session
            except NoTables as missing:
                raise self._explained(session) from missing

    def _check_layout(self, session: Session) -> None:
        """
        Look now and then whether the tables are those that this library knows: a later one may change them.
        """
        if monotonic() - self._looked_at < LOOK_EVERY:
            return
        rows = session.run(self._queries["layout"])
        if rows != [(LAYOUT,)]:
            layout = rows[0][0] if rows else "none"
            raise Corrupt(f"{self.url} has homes of the layout {layout}; this version reads {LAYOUT}")
        self._looked_at = monotonic()

    def _explained(self, session: Session) -> StoreError:
        """
        Say what there is where a table was missing: nothing yet, something else, or homes that lost one.
        """
        schema = self._place.schema
        ((is_ours, _, is_filled, is_whole),) = session.run(self._queries["places"], {"name": schema})
        if is_ours and not is_whole:
            return Corrupt(f"{self.url} is damaged: tables are missing in schema {schema}")
        if is_filled and not is_ours:
            return self._place.foreign()
        # Whole means that another process has made it since.
        return Unavailable(f"{self.url} has no schema {schema} yet: it holds no homes", missing=True)

    def _sides(self, rows: Rows) -> dict[bytes, Backend]:
        return {bytes(id_): side_in(self.url, side) for id_, side in rows}

    def _forget(self, keep: timedelta | None) -> None:
        """
        Now and then take away what is over: only its space is won, so that nobody need wait or know if it fails.
        """
        if keep is None or monotonic() - self._forgot_at < FORGET_EVERY:
            return
        self._forgot_at = monotonic()
        try:
            with self._pool.taken() as session:
                session.run(self._queries["forget"], {"limit": FORGOTTEN_AT_ONCE})
        except StoreError:
            return


opened = PostgresqlEngine
