"""
What the ledger says about the present: who froze the migration, when each dial last changed, and what may drain.

Read once and then only what is new: a ledger of years has many thousands of changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs

from cutover.core.drain_book import DrainBook
from cutover.core.ledger import Change
from cutover.core.migration import Migration
from cutover.core.renames import rename_keys, renames_told
from cutover.ports.store import Store

__all__ = ["Trail", "definition_after", "followed"]

KEPT: Final = 20


@attrs.frozen(kw_only=True)
class Trail:
    """
    What was learnt from the changes up to one version.

    Attributes:
        began: When the migration was first applied.
        frozen: The change that froze the migration; None while it is not frozen.
        moved: By flow, when its own dial or those of its cohorts last changed.
        drains: The changes after which visits may go on.
        last: The last changes, oldest first; at most 20.
        before: The definition as it was before the first of these.
    """

    began: datetime | None = None
    frozen: Change | None = None
    moved: Mapping[str, datetime] = attrs.field(factory=dict)
    drains: DrainBook = attrs.field(factory=DrainBook, eq=False)
    last: tuple[Change, ...] = ()
    before: Mapping[str, Any] = attrs.field(factory=dict, eq=False)

    @property
    def version(self) -> int:
        """
        The last version that is known; 0 for none.
        """
        return self.last[-1].version if self.last else 0

    def changed_at(self, definition: Migration, flow: str) -> datetime | None:
        """
        Tell when the dial that holds for a flow last may have changed: its own or one that goes together with it.
        """
        instants = (self.moved.get(member) for member in definition.together_with(flow))
        return max((instant for instant in instants if instant is not None), default=None)

    def extended(self, changes: Sequence[Change]) -> "Trail":
        """
        Learn what later changes say.
        """
        if not changes:
            return self
        began, frozen, moved = self.began, self.frozen, dict(self.moved)
        definition = definition_after(self.last, self.before)
        for change in changes:
            earlier, definition = definition, definition_after([change], definition)
            names = renames_told(earlier, definition) if definition is not earlier else {}
            moved = rename_keys(moved, names)
            same = {*names, *names.values()}  # the new name has the dial of the old one
            began = began or change.at
            if "frozen" in change.effects:
                frozen = change if change.effects["frozen"] else None
            for flow in {**change.effects.get("dials", {}), **change.effects.get("cohorts", {})}.keys() - same:
                moved[flow] = change.at
        known = (*self.last, *changes)
        return Trail(
            began=began,
            frozen=frozen,
            moved=moved,
            drains=self.drains.extended(changes),
            last=known[-KEPT:],
            before=definition_after(known[:-KEPT], self.before),
        )


def definition_after(changes: Iterable[Change], before: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Give the document of the definition that holds after changes.

    Args:
        before: The one that held before the first of them; empty where there was none.
    """
    for change in changes:
        before = change.arguments.get("definition", before)
    return before


def followed(trail: Trail, store: Store, migration: str) -> Trail:
    """
    Read what is new in the ledger; all of it, where the ledger is no longer the one that the trail was read from.
    """
    known = trail.last[-1] if trail.last else None
    changes = _changes(store, migration, after=trail.version - 1 if known else 0)
    if known is None:
        return trail.extended(changes)
    if changes and changes[0].hash == known.hash:
        return trail.extended(changes[1:])
    return Trail().extended(_changes(store, migration, after=0))


def _changes(store: Store, migration: str, *, after: int) -> list[Change]:
    return [Change.decode(text) for text in store.history(migration, after=after)]
