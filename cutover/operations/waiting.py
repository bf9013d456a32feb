"""
Whether a change has reached every router process.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import attrs

from cutover.core.backend import Backend
from cutover.core.checkin import InstanceState
from cutover.core.fleet import instance_state, may_be_new
from cutover.core.lacking import Lacking, lacking
from cutover.core.ledger import Change
from cutover.core.names import NameKind
from cutover.core.snapshot import Head, Snapshot
from cutover.ports.store import Store

__all__ = ["Confirmation", "wait_for"]

POLL: Final = 0.1  # seconds
RAISING: Final = ("apply", "set", "override")


@attrs.frozen(kw_only=True)
class Confirmation:
    """
    Which router processes run a change, each named as ``checkout-api web-3/4711``.

    Attributes:
        current: They run it, or a later one of the same chain.
        regressed: They run a version that the store does not have.
        lost: They were not heard of for longer than the lease; nobody waits for them.
        unknown: The names that a process asked for during the wait, and the definition lacks.
        confirmed: It is agreed that some names are unknown, or they do not matter to the change.
    """

    change: Change
    current: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    regressed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    unknown: tuple[Lacking, ...] = ()
    confirmed: bool = True

    @property
    def is_settled(self) -> bool:
        """
        There is nobody left to wait for.
        """
        return not self.behind and not self.regressed

    @property
    def is_complete(self) -> bool:
        """
        Every instance runs the change, none is lost, and none splits users by a name that the definition lacks.
        """
        return self.is_settled and not self.lost and (self.confirmed or not self.splitting)

    @property
    def splitting(self) -> tuple[Lacking, ...]:
        """
        The unknown flows and journeys: users of one visit may be on both sides for them.
        """
        return tuple(one for one in self.unknown if one.splits)

    def document(self) -> dict[str, Any]:
        """
        Give the confirmation as a JSON object.
        """
        lists = ("current", "behind", "regressed", "lost")
        return {
            "complete": self.is_complete,
            **{name: list(getattr(self, name)) for name in lists},
            "unknown": [one.document() for one in self.unknown],
        }


def wait_for(
    store: Store,
    change: Change,
    snapshot: Snapshot,
    *,
    timeout: float,
    now: Callable[[], datetime],
    confirmed: bool = False,
) -> Confirmation:
    """
    Wait until every instance runs a change, or the time is over.

    Args:
        snapshot: What the store holds.
        timeout: Seconds.
        confirmed: As in `Confirmation`.
    """
    deadline = time.monotonic() + timeout
    confirmed = confirmed or not _may_split(change, snapshot)
    unknown: dict[tuple[NameKind, str], Lacking] = {}
    while True:
        confirmation = _confirmation(store, change, snapshot, now)
        unknown |= {(one.kind, one.name): one for one in confirmation.unknown}
        left = deadline - time.monotonic()
        if confirmation.is_settled or left <= 0:
            return attrs.evolve(confirmation, unknown=tuple(unknown.values()), confirmed=confirmed)
        time.sleep(min(POLL, left))


def _may_split(change: Change, snapshot: Snapshot) -> bool:
    """
    Tell whether a change may have sent users to NEW whose other flows stay on OLD.
    """
    arguments = change.arguments
    lowers = arguments.get("parts") == 0 or arguments.get("side") == Backend.OLD
    return change.verb in RAISING and not lowers and any(may_be_new(snapshot, f) for f in snapshot.definition.flows)


def _confirmation(store: Store, change: Change, snapshot: Snapshot, now: Callable[[], datetime]) -> Confirmation:
    fleet = store.fleet(change.migration)
    texts = store.history(change.migration, after=change.version - 1)
    chain = {later.version: later.hash for later in map(Change.decode, texts)}
    head = Head(snapshot.epoch, change.version, change.hash)
    names: dict[InstanceState, list[str]] = {state: [] for state in InstanceState}
    for report in fleet.instances:
        names[instance_state(report, head, chain, now=now())].append(report.who)
    by_state: dict[str, Any] = {state.value: tuple(sorted(found)) for state, found in names.items()}
    return Confirmation(change=change, unknown=lacking(fleet.instances, snapshot.definition, now=now()), **by_state)
