"""
``postgresql://``: homes for many machines. Durable once acknowledged, and the first of several claims wins anywhere.

They lie in a schema beside that of a store, ``cutover_homes``: an application that claims homes need not be allowed to
turn dials.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any, Final

from cutover.core.backend import Backend
from cutover.core.defined import NAME, NAME_RULE
from cutover.engines.postgresql.session import Rows
from cutover.engines.postgresql.tables import Tables
from cutover.engines.queries import load_queries
from cutover.errors import ConfigurationError, StoreError, Unavailable
from cutover.ports.homes import Rehomed, Sides, side_in

__all__ = ["PostgresqlEngine", "opened"]

SUFFIX: Final = "_homes"
QUERIES: Final = load_queries(__package__, "homes.sql")
ATTEMPTS: Final = 10  # each lost one means that another claim went in, or that a home's time was over
COUNTED_AT_ONCE: Final = 100_000
FORGET_EVERY: Final = 60.0  # seconds
FORGOTTEN_AT_ONCE: Final = 1000


class PostgresqlEngine:
    """
    Homes in one schema of a PostgreSQL database.
    """

    def __init__(self, url: str) -> None:
        # A replica may lack a claim, and to say that nobody claimed it would be a guess. It is enough to ask when it is
        # connected: a primary does not become a replica without ending its connections.
        primary = {"target_session_attrs": "primary"}
        self._tables = Tables(url, QUERIES, SUFFIX, what="homes", missing=self._missing, parameters=primary)
        self._forgot_at = monotonic()

    @property
    def url(self) -> str:
        """
        Name the place, without credentials.
        """
        return self._tables.url

    def create(self) -> None:
        """
        Make the schema and its tables; nothing where they are.

        Raises:
            Corrupt: If the schema holds the tables of another program.
        """
        self._tables.create()

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that there are homes of.
        """
        return tuple(name for (name,) in self._tables.read("migrations", {}))

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
            held |= self._sides(self._tables.write("claim", values))
        raise Unavailable(f"{self.url}: others claim and drop the same homes all the time", in_doubt=True)

    def find(self, migration: str, kind: str, ids: Sequence[bytes]) -> Mapping[bytes, Backend]:
        """
        Give the sides of those ids that have a home.
        """
        if len(ids) == 1:
            return self._one("find_one", migration, kind, ids[0])
        return self._sides(self._tables.read("find", {"migration": migration, "kind": kind, "ids": list(ids)}))

    def rehome(self, migration: str, kind: str, ids: Sequence[bytes], keep: timedelta | None) -> Rehomed:
        """
        Put each id on NEW, as `Engine.rehome` says, in one transaction.
        """
        of = {"migration": migration, "kind": kind, "keep": keep, "ids": list(ids)}
        return Rehomed.of(self._sides(self._tables.write("rehome", of)), ids)

    def counts(self, migration: str) -> Mapping[str, Sides]:
        """
        Count the homes of each kind; a statement for each piece, so that each answers soon.
        """
        counted: dict[str, Sides] = {}
        of: dict[str, Any] = {"migration": migration, "kind": "", "id": b"", "limit": COUNTED_AT_ONCE}
        while rows := self._tables.read("count", of):
            for kind, _, old, new in rows:
                counted[kind] = counted.get(kind, Sides()) + Sides(old=old, new=new)
            of |= {"kind": rows[-1][0], "id": rows[-1][1]}
        return {kind: sides for kind, sides in counted.items() if sides != Sides()}

    def close(self) -> None:
        """
        Let go of the connections; may be called twice, and from any thread.
        """
        self._tables.close()

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
        text = self._tables.queries[query].format(migration=migration, kind=kind, id=id_.hex(), **more)
        sides = self._tables.run_text(text, writes=bool(more))
        return {id_: side_in(self.url, str(sides[0] or b"", "utf-8", "replace"))} if sides else {}

    def _missing(self, schema: str) -> Unavailable:
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
            self._tables.write("forget", {"limit": FORGOTTEN_AT_ONCE})
        except StoreError:
            return


opened = PostgresqlEngine
