"""
Entering emergency rollbacks into the ledger when the store is back.
"""

import attrs

from cutover.core.changes import Proposal
from cutover.core.floor import Emergency
from cutover.core.instants import format_instant
from cutover.core.ledger import Change
from cutover.core.snapshot import Snapshot
from cutover.errors import ConfigurationError, Conflict, Corrupt, OutcomeUnknown
from cutover.operations import intents
from cutover.operations.commit import commit
from cutover.operations.intents import Basis
from cutover.operations.stamp import Stamp
from cutover.ports.store import Store
from cutover.router.log import log
from cutover.server.followed import Followed

__all__ = ["enter"]

VERB = "rollback"


def enter(followed: Followed, store: Store) -> None:
    """
    Enter every rollback that the ledger does not show, with who, why and when it was given.

    Raises:
        StoreError: If the store went away again; what is missing is entered later.
    """
    for emergency in followed.floors.pending:
        try:
            change = _found(emergency, followed.migration, store) or _written(emergency, followed.migration, store)
        except (ConfigurationError, Conflict, OutcomeUnknown) as error:
            log.error("cutover.emergency_not_entered", migration=followed.migration, error=str(error))
            continue
        followed.floors.entered(emergency, change)
        log.warning("cutover.emergency_entered", migration=followed.migration, actor=emergency.actor, change=change)


def _found(emergency: Emergency, migration: str, store: Store) -> str:
    """
    Look for it in the ledger: the relay may have ended between writing it and noting that.
    """
    for text in store.history(migration, after=emergency.version):
        change = Change.decode(text)
        if (change.verb, change.actor, format_instant(change.at)) == (
            VERB,
            emergency.actor,
            format_instant(emergency.at),
        ):
            return change.hash
    return ""


def _written(emergency: Emergency, migration: str, store: Store) -> str:
    def read() -> Basis:
        reading = store.read(migration)
        if reading is None or reading.document is None:
            raise Corrupt(f"{store.url} gave no snapshot of {migration}")
        return Basis(migration=migration, snapshot=Snapshot.decode(reading.document), secret=reading.secret)

    def propose(basis: Basis) -> Proposal:
        return attrs.evolve(asked(basis), is_empty=False)  # the ledger shows it also where the dials are at 0% already

    asked = intents.rollback(emergency.target)
    stamp = Stamp(actor=emergency.actor, reason=emergency.reason, ticket=emergency.ticket)
    outcome = commit(store, read, propose, stamp, now=lambda: emergency.at)
    return outcome.change.hash
