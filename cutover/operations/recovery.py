"""
A damaged snapshot made anew from the ledger: it says the same, and is protected by its hashes.
"""

from typing import Any

from cutover.core.ledger import Change, verify
from cutover.core.merge import merge
from cutover.core.snapshot import Head, Snapshot
from cutover.errors import Corrupt
from cutover.ports.store import Source, Store

__all__ = ["sound_snapshot"]


def sound_snapshot(source: Source, migration: str, document: str, head: Head) -> Snapshot:
    """
    Read the snapshot that a source gave with a head; where it is damaged, merge it from the effects of all changes.

    So the next change heals what routers refuse to read.

    Raises:
        Corrupt: If it is damaged and the source keeps no ledger, or none that verifies up to the head.
    """
    try:
        return Snapshot.given(document, migration=migration, head=head, by=source.url)
    except Corrupt as error:
        if not isinstance(source, Store):
            raise
        return _merged(source, migration, head, error)


def _merged(store: Store, migration: str, head: Head, damage: Corrupt) -> Snapshot:
    texts = store.history(migration)[: head.version]
    found = verify(texts)
    if not found.ok or found.head != f"{head.version}:{head.hash}":
        raise damage
    state: dict[str, Any] = {}
    changes = [Change.decode(text) for text in texts]
    for change in changes:
        state = merge(state, change.effects)
    if state.get("epoch") != head.epoch:
        raise damage
    return Snapshot.from_state(state, head=head, at=changes[-1].at)
