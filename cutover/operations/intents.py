"""
What an operator asks for, before any state is known: it can be computed again on whatever the store turns out to hold.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import attrs

from cutover.core import changes
from cutover.core.backend import Backend, side_of
from cutover.core.changes import FIRST_EPOCH, Proposal
from cutover.core.checkin import CheckIn
from cutover.core.migration import Migration
from cutover.core.percent import parse_percent
from cutover.core.snapshot import NO_HASH, Head, Snapshot
from cutover.errors import ConfigurationError

__all__ = [
    "INHERIT",
    "Basis",
    "Intent",
    "adopt",
    "apply",
    "declare_dead",
    "freeze",
    "override",
    "rehome",
    "rollback",
    "set_dial",
    "set_work",
    "unfreeze",
]

INHERIT: Final = "inherit"
EPOCH_ZERO: Final = datetime.fromtimestamp(0, UTC)


@attrs.frozen(kw_only=True)
class Basis:
    """
    What a store holds of a migration at the moment of a change.

    Attributes:
        snapshot: None where the migration is new.
        secret: What overrides are looked up with; None where the store does not know it.
    """

    migration: str
    snapshot: Snapshot | None
    secret: bytes | None = attrs.field(default=None, repr=False)

    @property
    def current(self) -> Snapshot:
        """
        The snapshot.

        Raises:
            ConfigurationError: If there is none.
        """
        if self.snapshot is None:
            raise ConfigurationError(
                f"there is no migration {self.migration!r} in the store; apply its definition first"
            )
        return self.snapshot


Intent = Callable[[Basis], Proposal]


def apply(definition: Migration) -> Intent:
    """
    Store a definition.
    """
    first = Snapshot(
        definition=definition,
        head=Head(FIRST_EPOCH, 0, NO_HASH),
        at=EPOCH_ZERO,
        dials=dict.fromkeys(definition.flows, 0),
        work=dict.fromkeys(definition.work, 0),
    )
    return lambda basis: changes.apply(basis.snapshot, definition, first)


def set_dial(
    target: str,
    percent: object,
    *,
    cohort: str | None = None,
    evict: bool = False,
    all_cohorts: bool = False,
    shadow: object = None,
) -> Intent:
    """
    Set a dial.

    Args:
        percent: A percentage, or "inherit" or None for a cohort that shall follow the flow again; None with *shadow*
            leaves the flow's dial as it is.
        shadow: A percentage; None leaves it as it is.
    """
    if percent == INHERIT and cohort is None:
        raise ConfigurationError("inherit is for a cohort: name one")
    parts = None if percent is None or percent == INHERIT else parse_percent(percent)
    compared = None if shadow is None else parse_percent(shadow, "shadow")
    return lambda basis: changes.set_dial(
        basis.current, target, parts, cohort=cohort, evict=evict, all_cohorts=all_cohorts, shadow=compared
    )


def rollback(target: str | None) -> Intent:
    """
    Send a flow or a journey back to OLD; None means every flow.
    """
    return lambda basis: changes.rollback(basis.current, target)


def freeze() -> Intent:
    """
    Refuse changes towards NEW.
    """
    return lambda basis: changes.freeze(basis.current)


def unfreeze() -> Intent:
    """
    Allow changes towards NEW again.
    """
    return lambda basis: changes.unfreeze(basis.current)


def override(target: str, key: object, side: object) -> Intent:
    """
    Put one key on a side by name.

    Args:
        side: A `Backend`, "old", "new" or a side's own name; None takes the override back.
    """

    def propose(basis: Basis) -> Proposal:
        if basis.secret is None:
            raise ConfigurationError("this store does not give the secret that overrides are written with")
        backend = _backend(basis.current.definition, side)
        return changes.override(basis.current, target, key, backend, secret=basis.secret)

    return propose


def set_work(item: str, percent: object) -> Intent:
    """
    Say how far a work item has come.
    """
    parts = parse_percent(percent)
    return lambda basis: changes.set_work(basis.current, item, parts)


def adopt(seen: Iterable[int]) -> Intent:
    """
    Declare the store's history the surviving one.

    Args:
        seen: The epochs that routers were seen to run.
    """
    epochs = tuple(seen)
    return lambda basis: changes.adopt(basis.current, epochs)


def declare_dead(report: CheckIn) -> Intent:
    """
    Put on record that a router process will never come back.

    Args:
        report: The last that was heard of it.
    """
    return lambda basis: changes.declare_dead(basis.current, report.instance, report.at, who=report.who)


def rehome(kind: str, counts: Mapping[str, int], digest: str, *, is_done: bool = False) -> Intent:
    """
    Put on record that things were copied and live on NEW now.

    Args:
        counts: As in `changes.rehome`.
        is_done: The homes are written already.
    """
    return lambda basis: changes.rehome(basis.current, kind, counts, digest, is_done=is_done)


def _backend(definition: Migration, side: object) -> Backend | None:
    if side is None or side == "none":
        return None
    backend = side_of(side, definition.sides())
    if backend is None:
        raise ConfigurationError(f"the side is {side!r}; allowed: old, new, or none to take an override back")
    return backend
