"""
The tables of a PostgreSQL store: what is there, and how they come to be there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cutover.errors import Corrupt, StoreError, Unavailable
from cutover.stores.postgresql_session import Rows, Session, Transaction
from cutover.stores.postgresql_url import Address
from cutover.stores.queries import load_queries

__all__ = ["Queries", "checked", "explained", "for_schema", "own_version", "set_up"]

Queries = Mapping[str, str]

#: What leads from each version of the tables to the next. A new place runs all: it looks like one brought up to date.
STEPS: Final[Sequence[str]] = ("schema_1",)
HERE: Final = "cutover."  # how the queries are written down
QUERIES: Final = load_queries("postgresql.sql")


def for_schema(schema: str) -> Queries:
    """
    Give the queries for a schema of that name, which must need no escaping.
    """
    return {name: text.replace(HERE, f'"{schema}".') for name, text in QUERIES.items()}


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


def explained(session: Session, queries: Queries, missing: Unavailable) -> StoreError:
    """
    Say what there is where a table was missing: nothing yet, something else, or a store that lost one.
    """
    address = session.address
    ((is_ours, _, is_filled),) = session.run(queries["places"], {"name": address.schema})
    if is_ours:
        return Corrupt(f"{address.shown} is damaged: tables are missing in schema {address.schema}")
    if is_filled:
        return _foreign(address)
    return missing


def set_up(transaction: Transaction, queries: Queries, address: Address) -> None:
    """
    Create the tables, or bring those of an earlier library up to date; nothing where they are.

    One process does it at a time, and all of it happens in the caller's transaction.

    Raises:
        Corrupt: If the schema holds the tables of another program, or those of a later library.
    """
    transaction.run(
        "SELECT pg_advisory_xact_lock(hashtextextended(%(lock)s, 0))", {"lock": f"cutover {address.schema}"}
    )
    ((is_ours, is_present, is_filled),) = transaction.run(queries["places"], {"name": address.schema})
    if is_filled and not is_ours:
        raise _foreign(address)
    if not is_present:
        transaction.run(f'CREATE SCHEMA "{address.schema}"')
    version = _version(transaction, queries) if is_ours else 0
    checked(address, [(version,)])
    for step in STEPS[version:]:
        transaction.run_script(queries[step])
    if version < own_version():
        transaction.run(queries["set_schema"], {"schema": own_version()})


def _version(transaction: Transaction, queries: Queries) -> int:
    rows = transaction.run(queries["schema"])
    value: Any = rows[0][0] if rows else 0
    return int(value)


def _foreign(address: Address) -> Corrupt:
    return Corrupt(
        f"{address.shown} has a schema {address.schema} of another program; choose another one with ?schema=NAME"
    )
