"""
The rule, to be read: where one request goes and why. The router's compiled path is tested against it.
"""

from collections.abc import Mapping
from typing import Final

from cutover.core.backend import NAMED, UNSET, Backend, Decision, Reason, Unset, side_of
from cutover.core.break_glass import broken_glass
from cutover.core.bucketing import PARTS, digest_of, key_bytes, position_of
from cutover.core.snapshot import Override, Snapshot

__all__ = ["decide", "side_names"]

NO_LINES: Final[Mapping[str, Backend]] = {}


def decide(
    snapshot: Snapshot | None,
    flow: str,
    key: object,
    *,
    cohort: str | None = None,
    home: object | Unset = UNSET,
    visit: Backend | None = None,
    break_glass: Mapping[str, Backend] = NO_LINES,
    secret: bytes | None = None,
) -> Decision:
    """
    Decide where a request goes; the first rule that applies wins.

    Args:
        snapshot: What holds, or None where nothing was ever read.
        flow: The name that the application asks for, which may be one that the flow had before.
        key: Of any type; see `key_bytes`.
        cohort: The key's cohort; one without a dial of its own counts as none.
        home: Where the thing already lives, if it does.
        visit: Where the visit that the key is on has the flow; None without a visit, or where it does not have it.
        break_glass: The lines of the operators' file.
        secret: What overrides are looked up with; without it they are ignored.

    Source: `docs/explanation/order-of-rules.md`.
    """
    definition = None if snapshot is None else snapshot.definition
    asked, flow = flow, flow if definition is None else definition.current(flow)
    data = key_bytes(key)
    position = None
    if definition is not None and data is not None:
        position = position_of(definition.salt.encode(), data)

    def because(reason: Reason, backend: Backend) -> Decision:
        version = 0 if snapshot is None else snapshot.version
        return Decision(asked, backend, reason, version, position)

    if home is not UNSET:
        side = side_of(home, side_names(snapshot))
        if side is None:
            return because(Reason.HOME_UNKNOWN, Backend.OLD)
        return because(Reason.HOME, side)

    forced = broken_glass(break_glass, definition, flow)
    if forced is not None:
        return because(Reason.BREAK_GLASS, forced)

    if visit is not None:
        return because(Reason.VISIT, visit)

    if snapshot is None or flow not in snapshot.definition.flows:
        return because(Reason.DEFAULT, Backend.OLD)

    override = _override(snapshot, flow, data, position, secret)
    if override is not None:
        return because(Reason.OVERRIDE, override.backend)

    # Not `isinstance`, nor the object itself: a stranger's `__class__` and `__hash__` may raise.
    cohort = str.__str__(cohort) if issubclass(type(cohort), str) else None
    by_cohort = snapshot.has_cohort_dial(flow, cohort)
    parts = snapshot.effective_parts(flow, cohort)
    if position is None and 0 < parts < PARTS:
        return because(Reason.NO_KEY, Backend.OLD)
    is_new = parts == PARTS or (position is not None and position < parts)
    return because(Reason.COHORT if by_cohort else Reason.PERCENT, Backend.NEW if is_new else Backend.OLD)


def _override(
    snapshot: Snapshot, flow: str, data: bytes | None, position: int | None, secret: bytes | None
) -> Override | None:
    if secret is None or data is None:
        return None
    override = snapshot.effective_overrides(flow).get(digest_of(secret, data))
    return override if override is not None and override.position == position else None


def side_names(snapshot: Snapshot | None) -> dict[object, Backend]:
    """
    Give every name that a home may have, None for unmarked things among them.
    """
    return dict(NAMED) if snapshot is None else snapshot.definition.sides()
