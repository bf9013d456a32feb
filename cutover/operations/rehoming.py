"""
Things that were copied and live on NEW from now on: first their homes, durable, and then the ledger.

Broken off anywhere, it can be done again with the same ids.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import attrs

from cutover.claims.homes import Homes, homes
from cutover.claims.ids import Id, digest_of, id_bytes, kind_in, pieces
from cutover.errors import ConfigurationError, Conflict, OutcomeUnknown, StoreError, Unavailable
from cutover.operations import intents
from cutover.operations.intents import Intent
from cutover.ports.homes import PIECE, Rehomed

__all__ = ["Place", "Things", "on_record", "opened"]

Place = str | Homes | None


@attrs.frozen(kw_only=True)
class Things:
    """
    Things of one kind, by their ids.
    """

    kind: str
    ids: Sequence[bytes] = attrs.field(repr=False)

    @classmethod
    def named(cls, kind: object, ids: Iterable[Id]) -> "Things":
        """
        Check kind and ids; what is named twice counts once.

        Raises:
            ConfigurationError: If the kind or an id is none, or no id is given.
        """
        checked = list(dict.fromkeys(map(id_bytes, ids)))
        if not checked:
            raise ConfigurationError("no id is given; allowed: one or more")
        return cls(kind=kind_in(kind), ids=checked)

    def intent(self, counts: Rehomed, *, is_done: bool = False) -> Intent:
        """
        Give the intent that puts it on record.
        """
        return intents.rehome(self.kind, attrs.asdict(counts), digest_of(self.ids), is_done=is_done)

    def would_move(self, place: Homes) -> Intent:
        """
        Look what would become of them, and write nothing.
        """
        return self.intent(place.would_rehome(self.kind, self.ids))

    def move(self, place: Homes) -> Intent:
        """
        Put them on NEW, and give the intent that puts it on record.

        Raises:
            OutcomeUnknown: If it broke off in the middle.
        """
        counts = Rehomed()
        for number, piece in enumerate(pieces(self.ids, PIECE)):
            try:
                counts += place.rehome(self.kind, piece)
            except StoreError as error:
                if not number and not (isinstance(error, Unavailable) and error.in_doubt):
                    raise
                raise OutcomeUnknown(
                    f"some of the homes may be moved ({error}); do it again with the same ids"
                ) from error
        return self.intent(counts, is_done=True)


@contextmanager
def opened(place: Place, migration: str) -> Iterator[Homes]:
    """
    Open the homes of a migration for a block; those that somebody else opened stay open.

    Raises:
        ConfigurationError: If they are those of another migration.
    """
    if not isinstance(place, Homes):
        with homes(place, migration=migration) as own:
            yield own
        return
    if place.migration != migration:
        raise ConfigurationError(f"the homes are of {place.migration!r}, and the ledger is of {migration!r}")
    yield place


@contextmanager
def on_record() -> Iterator[None]:
    """
    Write what was done into the ledger in a block.

    Raises:
        OutcomeUnknown: If the ledger does not have it.
    """
    try:
        yield
    except (StoreError, Conflict) as error:
        raise OutcomeUnknown(
            f"the homes are moved, and the ledger does not show it ({error}); do it again with the same ids"
        ) from error
