"""
One change of a store: read, propose, seal, compare-and-swap; and what becomes of it when the answer is lost.
"""

import secrets
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

import attrs

from cutover.chance import CHANCE
from cutover.core.changes import Proposal
from cutover.core.ledger import Change, Expectation, seal
from cutover.core.schema import WRITES, major_to_write
from cutover.core.snapshot import LARGEST_DOCUMENT, Snapshot
from cutover.errors import Conflict, Corrupt, OutcomeUnknown, Refused, StoreError, Unavailable
from cutover.operations.intents import Basis, Intent
from cutover.operations.stamp import Stamp
from cutover.ports.store import Store

__all__ = ["Expect", "Outcome", "commit", "expected", "proposed"]

ATTEMPTS: Final = 100  # each lost race means that somebody else's change went in
LONGEST_PAUSE: Final = 0.2  # seconds
LOOK_UPS: Final = 4
SECRET_BYTES: Final = 32

Read = Callable[[], Basis]
Confirm = Callable[[Proposal], bool]
Expect = str | int | Expectation | None


@attrs.frozen(kw_only=True)
class Outcome:
    """
    What became of an intent.

    Attributes:
        change: The change that holds now: the new one, or the last one where nothing was to be changed.
        after: The snapshot that holds now.
        is_written: Whether there is a new version.
    """

    proposal: Proposal
    change: Change
    after: Snapshot
    is_written: bool


def commit(
    store: Store,
    read: Read,
    intent: Intent,
    stamp: Stamp,
    *,
    expect: Expectation | None = None,
    now: Callable[[], datetime],
    confirm: Confirm = lambda _: False,
) -> Outcome:
    """
    Carry an intent out.

    Without *expect*, an intent that lost a race is computed again on what the store holds then.

    Args:
        confirm: Gets each proposal before it is written, and raises where nobody agrees to it. It tells whether
            somebody was asked: what was agreed to is done on that very state, or not at all.

    Raises:
        Conflict: If the store is not at *expect*, or too many races were lost.
        OutcomeUnknown: If the answer was lost and the change could not be looked up.
    """
    for attempt in range(ATTEMPTS):
        basis = read()
        proposal = proposed(basis, intent, expect)
        if proposal.is_empty:
            return _unchanged(store, basis, proposal)
        was_asked = confirm(proposal)
        at, schema = now(), _schema(store, basis.migration, now)
        change, after = seal(
            proposal, at=at, actor=stamp.actor, reason=stamp.reason, ticket=stamp.ticket, schema=schema
        )
        try:
            _append(store, basis, change, after)
        except Conflict:
            if expect is not None or was_asked:
                raise
            time.sleep(CHANCE.uniform(0, min(LONGEST_PAUSE, 0.005 * 2**attempt)))
            continue
        return Outcome(proposal=proposal, change=change, after=after, is_written=True)
    raise Conflict(f"{ATTEMPTS} attempts lost to other writers; nothing was written")


def proposed(basis: Basis, intent: Intent, expect: Expectation | None = None) -> Proposal:
    """
    Compute what an intent would make of the state, which must be the expected one.

    Raises:
        Conflict: If it is not.
    """
    if expect is not None:
        expected(basis.snapshot, expect)
    return intent(basis)


def expected(snapshot: Snapshot | None, expect: Expectation) -> None:
    """
    Check that a snapshot is the expected one; version 0 stands for a migration that is not there yet.

    Raises:
        Conflict: If it is not.
    """
    version, hash_ = (0, "") if snapshot is None else (snapshot.version, snapshot.head.hash)
    if not expect.holds_for(version, hash_):
        actual = "0" if snapshot is None else f"{version}:{hash_}"
        shown = "no migration yet" if snapshot is None else str(snapshot.head)
        raise Conflict(
            f"expected {expect}, the store is at {shown}; nothing was written",
            expected=str(expect),
            actual=actual,
        )


def _schema(store: Store, migration: str, now: Callable[[], datetime]) -> str:
    """
    Choose the schema that the live part of the fleet reads; where only one can be written, nobody need be asked.
    """
    if len(WRITES) == 1:
        return next(iter(WRITES.values()))
    fleet, instant = store.fleet(migration), now()
    live = [report.majors for report in fleet.instances if not report.is_lost(instant)]
    return WRITES[major_to_write(live, tuple(WRITES))]


def _append(store: Store, basis: Basis, change: Change, after: Snapshot) -> None:
    before = basis.snapshot
    try:
        store.append(
            change.migration,
            expect=None if before is None else before.head,
            head=after.head,
            change=change.encode(),
            snapshot=_document(after, change.schema),
            secret=secrets.token_bytes(SECRET_BYTES) if before is None else None,
        )
    except Unavailable as error:
        _look_up(store, change, error)


def _document(after: Snapshot, schema: str) -> str:
    document = after.encode(schema)
    if len(document) > LARGEST_DOCUMENT:
        raise Refused(
            f"the snapshot would have {len(document):,} characters; routers read {LARGEST_DOCUMENT:,} at most: "
            "take overrides back that are not needed any more"
        )
    return document


def _look_up(store: Store, change: Change, error: Unavailable) -> None:
    """
    Find out whether a change went in whose answer was lost.

    Raises:
        Conflict: If another change has its version.
        Unavailable: If the version is vacant, or the store had said that nothing was written.
        OutcomeUnknown: If nobody tells.
    """
    for attempt in range(LOOK_UPS):
        try:
            later = store.history(change.migration, after=change.version - 1)
        except StoreError:
            time.sleep(CHANCE.uniform(0.5, 1) * 0.1 * 2**attempt)
            continue
        if not later:
            if error.in_doubt:  # it may be under way still
                break
            raise error
        found = Change.decode(later[0])
        if found.hash != change.hash:
            raise Conflict("another change took the version; nothing was written") from error
        return
    if not error.in_doubt:
        raise error
    raise OutcomeUnknown(
        f"the answer was lost ({error}), and change {change.hash} could not be looked up; it may be in force",
        hash=change.hash,
    ) from error


def _unchanged(store: Store, basis: Basis, proposal: Proposal) -> Outcome:
    current = basis.current
    later = store.history(basis.migration, after=current.version - 1)
    if not later:
        raise Corrupt(f"the snapshot is at {current.head}, and the ledger ends before it")
    return Outcome(proposal=proposal, change=Change.decode(later[0]), after=current, is_written=False)
