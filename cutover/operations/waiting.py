"""
Whether a change has reached every router process.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import attrs

from cutover.core.checkin import InstanceState
from cutover.core.fleet import instance_state
from cutover.core.ledger import Change
from cutover.core.snapshot import Head
from cutover.stores.base import Store

__all__ = ["Confirmation", "wait_for"]

POLL: Final = 0.1  # seconds


@attrs.frozen(kw_only=True)
class Confirmation:
    """
    Which router processes run a change, each named as ``checkout-api web-3/4711``.

    Attributes:
        current: They run it, or a later one of the same chain.
        regressed: They run a version that the store does not have.
        lost: They were not heard of for longer than the lease; nobody waits for them.
    """

    change: Change
    current: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    regressed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        """
        There is nobody left to wait for.
        """
        return not self.behind and not self.regressed

    @property
    def is_complete(self) -> bool:
        """
        Every instance runs the change, and none is lost.
        """
        return self.is_settled and not self.lost

    def document(self) -> dict[str, Any]:
        """
        Give the confirmation as a JSON object.
        """
        lists = ("current", "behind", "regressed", "lost")
        return {"complete": self.is_complete, **{name: list(getattr(self, name)) for name in lists}}


def wait_for(store: Store, change: Change, *, epoch: int, timeout: float, now: Callable[[], datetime]) -> Confirmation:
    """
    Wait until every instance runs a change, or the time is over.

    Args:
        epoch: The epoch that the store is in.
        timeout: Seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        confirmation = _confirmation(store, change, epoch, now)
        left = deadline - time.monotonic()
        if confirmation.is_settled or left <= 0:
            return confirmation
        time.sleep(min(POLL, left))


def _confirmation(store: Store, change: Change, epoch: int, now: Callable[[], datetime]) -> Confirmation:
    fleet = store.fleet(change.migration)
    texts = store.history(change.migration, after=change.version - 1)
    chain = {later.version: later.hash for later in map(Change.decode, texts)}
    head = Head(epoch, change.version, change.hash)
    names: dict[InstanceState, list[str]] = {state: [] for state in InstanceState}
    for report in fleet.instances:
        names[instance_state(report, head, chain, now=now())].append(report.who)
    return Confirmation(change=change, **{state.value: tuple(sorted(found)) for state, found in names.items()})
