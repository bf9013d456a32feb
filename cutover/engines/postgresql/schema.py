"""
The tables of a PostgreSQL store: what is there, and how they come to be there.
"""

from collections.abc import Sequence
from typing import Any, Final

from cutover.engines.postgresql.place import Place, Queries
from cutover.engines.postgresql.session import Rows, Transaction
from cutover.engines.postgresql.url import Address
from cutover.engines.queries import load_queries
from cutover.errors import Corrupt

__all__ = ["checked", "own_version", "place_at", "set_up"]

#: What leads from each version of the tables to the next. A new place runs all: it looks like one brought up to date.
STEPS: Final[Sequence[str]] = ("schema_1",)
QUERIES: Final[Queries] = load_queries(__package__, "store.sql")


def place_at(address: Address) -> Place:
    """
    Give the schema of the store that has an address.
    """
    return Place(address, QUERIES)


def own_version() -> int:
    """
    Number the tables that this library writes.
    """
    return len(STEPS)


def checked(address: Address, rows: Rows) -> Rows:
    """
    Check the version of the tables, which every query gives first, and take it off the rows.

    Raises:
        Corrupt: If the tables are those of a later library, or the row that says so is gone.
    """
    if not rows:
        raise Corrupt(f"{address.shown} is damaged: the table store in schema {address.schema} is empty")
    version = rows[0][0]
    if version > own_version():
        raise Corrupt(f"{address.shown} has the store schema {version}; this version reads {own_version()}")
    return [row[1:] for row in rows]


def set_up(transaction: Transaction, place: Place) -> None:
    """
    Create the tables, or bring those of an earlier library up to date; nothing where they are.

    One process does it at a time, and all of it happens in the caller's transaction.

    Raises:
        Corrupt: If the schema holds the tables of another program, or those of a later library.
    """
    version = _version(transaction, place) if place.make(transaction) else 0
    checked(place.address, [(version,)])
    for step in STEPS[version:]:
        transaction.run_script(place.queries[step])
    if version < own_version():
        transaction.run(place.queries["set_schema"], {"schema": own_version()})


def _version(transaction: Transaction, place: Place) -> int:
    rows = transaction.run(place.queries["schema"])
    value: Any = rows[0][0] if rows else 0
    return int(value)
