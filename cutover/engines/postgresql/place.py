"""
A schema of our own in a PostgreSQL database: that of a store, or one beside it.
"""

from collections.abc import Mapping
from typing import Final

from cutover.engines.postgresql.session import Session, Transaction
from cutover.engines.postgresql.url import Address
from cutover.errors import ConfigurationError, Corrupt, StoreError, Unavailable

__all__ = ["Place", "Queries"]

Queries = Mapping[str, str]

LONGEST: Final = 63  # PostgreSQL would cut a longer name short
HERE: Final = "cutover."  # how the queries are written down
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%(lock)s, 0))"


class Place:
    """
    A schema, and the queries about what is in it.

    Args:
        address: Of a store.
        queries: As they are written down. One is ``places``, which tells whether our tables are there, whether the
            schema is, and whether any table is in it.
        suffix: What comes after the name of the store's schema, where it is one beside it.

    Raises:
        ConfigurationError: If the name is too long.
    """

    def __init__(self, address: Address, queries: Queries, suffix: str = "") -> None:
        self.address = address
        self.schema: str = address.schema + suffix
        if len(self.schema) > LONGEST:
            raise ConfigurationError(
                f"the schema {address.schema!r} is too long, because {self.schema!r} lies beside it; "
                f"allowed: up to {LONGEST - len(suffix)} characters"
            )
        # The name needs no escaping: the URL's parser lets no others through.
        self.queries: dict[str, str] = {name: text.replace(HERE, f'"{self.schema}".') for name, text in queries.items()}
        self._suffix = suffix

    def make(self, transaction: Transaction) -> bool:
        """
        Make the schema where there is none, and tell whether our tables are in it.

        One process does it at a time, until the end of the caller's transaction.

        Raises:
            Corrupt: If it holds the tables of another program.
        """
        transaction.run(LOCK, {"lock": f"cutover {self.schema}"})
        ((is_ours, is_present, is_filled, *_),) = transaction.run(self.queries["places"], {"name": self.schema})
        if is_filled and not is_ours:
            raise self.foreign()
        if not is_present:
            transaction.run(f'CREATE SCHEMA "{self.schema}"')
        return bool(is_ours)

    def explained(self, session: Session, missing: Unavailable) -> StoreError:
        """
        Say what there is where a table was missing: nothing yet, another program's, or tables that lost one.

        Args:
            missing: The error where there is nothing yet.
        """
        ((is_ours, _, is_filled, is_whole),) = session.run(self.queries["places"], {"name": self.schema})
        if is_ours and not is_whole:
            return Corrupt(f"{self.address.shown} is damaged: tables are missing in schema {self.schema}")
        if is_filled and not is_ours:
            return self.foreign()
        return missing  # whole means that another process has made it since

    def foreign(self) -> Corrupt:
        """
        Say that the schema is another program's.
        """
        becomes = f", which makes it NAME{self._suffix}" if self._suffix else ""
        return Corrupt(
            f"{self.address.shown} has a schema {self.schema} of another program; choose another one with "
            f"?schema=NAME{becomes}"
        )
