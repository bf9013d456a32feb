"""
Checking what a store holds: the ledger against itself, and against the snapshot that is stored beside it.
"""

from typing import Final

import attrs

from cutover.core.ledger import Expectation, Problem, Verification, verify
from cutover.core.snapshot import Snapshot
from cutover.errors import ConfigurationError, Corrupt
from cutover.stores.base import Store

__all__ = ["audited"]

NOTHING: Final = Verification(ok=True, versions=0, head="", problems=())


def audited(store: Store, migration: str, *, expect: Expectation | None = None) -> Verification:
    """
    Check a migration while others may write: what comes after the first look at the snapshot is left to the next check.

    Raises:
        ConfigurationError: If there is no such migration.
    """
    try:
        snapshot = _stored_snapshot(store, migration)
    except Corrupt as error:
        return _with(_ledger_alone(store, migration, expect), "unreadable", str(error))
    try:
        texts = store.history(migration)
    except Corrupt as error:
        return _with(NOTHING, "unreadable", str(error))
    found = verify(texts[: snapshot.version], snapshot, expect=expect)
    if len(texts) > snapshot.version and _stored_snapshot(store, migration).version < len(texts):
        text = f"the snapshot is at {snapshot.head}, and the ledger goes on to version {len(texts)}"
        return _with(found, "snapshot_differs", text)
    return found


def _stored_snapshot(store: Store, migration: str) -> Snapshot:
    reading = store.read(migration)
    if reading is None:
        raise ConfigurationError(f"there is no migration {migration!r} in {store.url}")
    if reading.document is None:
        raise Corrupt(f"{store.url} gave no snapshot for {reading.head}")
    return Snapshot.decode(reading.document)


def _ledger_alone(store: Store, migration: str, expect: Expectation | None) -> Verification:
    try:
        return verify(store.history(migration), expect=expect)
    except Corrupt as error:
        return _with(NOTHING, "unreadable", str(error))


def _with(found: Verification, code: str, text: str) -> Verification:
    problem = Problem(code=code, version=found.versions, text=text)
    return attrs.evolve(found, ok=False, problems=(*found.problems, problem))
