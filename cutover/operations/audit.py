"""
Checking what a store holds: the ledger against itself, and against the snapshot that is stored beside it.
"""

from collections.abc import Sequence
from typing import Final

import attrs

from cutover.core.ledger import Change, Expectation, Problem, Verification, verify
from cutover.core.snapshot import Head, Snapshot
from cutover.errors import ConfigurationError, Corrupt
from cutover.ports.store import Store

__all__ = ["audited"]

ASKED: Final = 100  # versions that a router may run still
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
    found = verify(texts[: snapshot.version], snapshot, expect=expect, migration=migration)
    found = _beside(found, store, migration, texts)
    if len(texts) > snapshot.version and _stored_snapshot(store, migration).version < len(texts):
        text = f"the snapshot is at {snapshot.head}, and the ledger goes on to version {len(texts)}"
        return _with(found, "snapshot_differs", text)
    return found


def _stored_snapshot(store: Store, migration: str) -> Snapshot:
    reading = store.read(migration)
    if reading is None:
        raise ConfigurationError(f"there is no migration {migration!r} in {store.url}")
    return Snapshot.given(reading.document, migration=migration, head=reading.head, by=store.url)


def _ledger_alone(store: Store, migration: str, expect: Expectation | None) -> Verification:
    try:
        return verify(store.history(migration), expect=expect, migration=migration)
    except Corrupt as error:
        return _with(NOTHING, "unreadable", str(error))


def _beside(found: Verification, store: Store, migration: str, texts: Sequence[str]) -> Verification:
    """
    Compare what routers are told of the chain with the chain: the hash at each of the last versions.
    """
    for text in texts[-ASKED:]:
        try:
            change = Change.decode(text)
        except Corrupt:
            continue  # found already
        reading = store.read(migration, seen=Head(1, change.version, change.hash))
        if reading is not None and reading.ancestor != change.hash:
            told = f"routers are told {reading.ancestor}, the change has {change.hash}"
            found = _with(found, "index_differs", told, change.version)
    return found


def _with(found: Verification, code: str, text: str, version: int | None = None) -> Verification:
    problem = Problem(code=code, version=found.versions if version is None else version, text=text)
    return attrs.evolve(found, ok=False, problems=(*found.problems, problem))
