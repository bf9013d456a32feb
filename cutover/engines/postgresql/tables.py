"""
Tables of ours in a schema beside the store's: those of homes, or of an outbox. Several threads use them at once.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import attrs

from cutover.engines.postgresql.errors import NoTables, OtherLayout
from cutover.engines.postgresql.place import Place, Queries
from cutover.engines.postgresql.pool import Pool
from cutover.engines.postgresql.session import Rows, Session, Transaction
from cutover.engines.postgresql.url import parse
from cutover.errors import Corrupt, Unavailable

__all__ = ["Tables"]

LAYOUT: Final = 1
# Before a statement of the same round trip and transaction: durable whatever the database's default; stronger settings
# are left alone.
DURABLY: Final = (
    "SELECT CASE WHEN current_setting('synchronous_commit') = 'off' "
    "THEN set_config('synchronous_commit', 'on', true) END; "
)


class Tables:
    """
    The tables, whose layout each statement checks in its own round trip: a later library may have changed them.

    Args:
        queries: `create`, `places` and `layout` among them; `layout` gives the layout first.
        suffix: What comes after the name of the store's schema.
        what: What the tables hold, for errors.
        missing: Gives the error where the tables were never made.
        parameters: What the driver connects with, beside the URL.

    Attributes:
        place: The schema.
        queries: As they run in the schema.
    """

    def __init__(
        self,
        url: str,
        queries: Queries,
        suffix: str,
        *,
        what: str,
        missing: Callable[[str], Unavailable],
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        address = parse(url)
        self.place: Place = Place(address, queries, suffix)
        self.queries: Queries = self.place.queries
        self._pool = Pool(attrs.evolve(address, notify=False, parameters={**address.parameters, **(parameters or {})}))
        self._what = what
        self._missing = missing
        # The server divides by the number of rows that have this layout: by 0, and refuses, where there is none.
        layout = self.queries["layout"].rstrip(";")
        self._guard = f"SELECT 1 / count(*) FROM ({layout}) AS l (layout) WHERE layout = {LAYOUT}; "  # noqa: S608 - ours

    @property
    def url(self) -> str:
        """
        Name the place, without credentials.
        """
        return self.place.address.shown

    def create(self) -> None:
        """
        Make the schema and the tables; nothing where they are.

        Raises:
            Corrupt: If the schema holds the tables of another program.
        """
        with self._pool.taken() as session, session.transaction() as transaction:
            if not self.place.make(transaction):
                transaction.run_script(self.queries["create"])

    def read(self, query: str, values: Mapping[str, Any]) -> Rows:
        """
        Run one query that writes nothing.

        Raises:
            Unavailable: If the tables were never made (`missing`), or the database cannot be reached.
            Corrupt: If the tables have another layout, or are damaged.
        """
        with self._entered() as session:
            return session.run(self._guard + self.queries[query], values)

    def write(self, query: str, values: Mapping[str, Any]) -> Rows:
        """
        Run one query that writes; durable when this returns. The errors are those of `read`.
        """
        with self._entered() as session:
            return session.run(self._guard + DURABLY + self.queries[query], values, writes=True)

    def run_text(self, text: str, *, writes: bool) -> list[bytes | None]:
        """
        Run a finished statement, as `Session.run_text` says. The errors are those of `read`.
        """
        with self._entered() as session:
            return session.run_text(self._guard + text, writes=writes)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """
        Run statements in one transaction. The errors are those of `read`.
        """
        with self._entered() as session, session.transaction(first=self._guard) as transaction:
            yield transaction

    def close(self) -> None:
        """
        Let go of the connections; may be called twice, and from any thread.
        """
        self._pool.close()

    @contextmanager
    def _entered(self) -> Iterator[Session]:
        with self._pool.taken() as session:
            try:
                yield session
            except NoTables as missing:
                raise self.place.explained(session, self._missing(self.place.schema)) from missing
            except OtherLayout as error:
                layouts = [str(layout) for layout, *_ in session.run(self.queries["layout"])]
                shown = ", ".join(layouts) or "none"
                raise Corrupt(
                    f"{self.url} has {self._what} of the layout {shown}; this version reads {LAYOUT}"
                ) from error
