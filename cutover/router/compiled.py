"""
A snapshot compiled for one flow: what the request path reads, in the order and form in which it reads it.

It decides exactly as `cutover.core.decide` does, which is the specification and tested against this.
"""

from collections.abc import Mapping
from typing import Any, Final

import attrs
from mmh3 import hash as hash_of_ascii  # it makes no copy; mmh3 5.3.1 ends the process on a lone surrogate
from mmh3 import mmh3_32_uintdigest as hash_of

from cutover.core.backend import Backend, Reason, side_of
from cutover.core.break_glass import broken_glass
from cutover.core.bucketing import PARTS, digest_of, key_bytes, threshold_of
from cutover.core.decide import side_names
from cutover.core.snapshot import Override, Snapshot
from cutover.router.counting import Cell, FlowCells

__all__ = ["ALL", "SLOT_BITS", "Circumstances", "Dial", "FlowPlan", "compile_flow"]

SLOT_BITS: Final = 15  # slots of 2^15 hashes are a little narrower than positions, and found without multiplying
NOBODY: Final = bytes(1 << 32 - SLOT_BITS)
ALL: Final = 1 << 32  # a threshold that every hash is below


@attrs.frozen(kw_only=True)
class Circumstances:
    """
    All that routing depends on besides the request, as one value.

    Attributes:
        snapshot: What holds; None where nothing was ever read.
        secret: What overrides are looked up with; None where it is not known.
        break_glass: The lines of the operators' file.
    """

    snapshot: Snapshot | None = None
    secret: bytes | None = attrs.field(default=None, repr=False)
    break_glass: Mapping[str, Backend] = attrs.field(factory=dict)


@attrs.frozen
class Dial:
    """
    A dial that holds, with the cells of its three ends.

    Attributes:
        threshold: NEW iff the hash is below.
        without_key: What a request without a key meets.
        overridden: By the highest bits of a hash, whether its position may have an override. Here, so that a request
            reads it and the dial as one, whatever changes meanwhile.
    """

    threshold: int
    new: Cell
    old: Cell
    without_key: Cell
    overridden: bytes = NOBODY


@attrs.frozen(kw_only=True)
class FlowPlan:
    """
    What holds for one flow under given circumstances.

    Attributes:
        migration: The name of the migration; None without a snapshot.
        version: Of the snapshot; 0 without one.
        salt: Goes before the key; None where nothing is known to bucket by.
        names: What a home may be called.
        homes: The cell of each home.
        lost: The cell of a home that nobody knows.
        visits: The cell of each side that a visit may have the flow on.
        together: The `together` journey that the flow is in, if it is in one.
        dials: What holds for each cohort; under None for everybody else. Where the break-glass file or a missing
            snapshot leaves no choice, all ends of it are one cell.
        overrides: By digest of the key.
        by_name: The cell of each side for an override.
        shadow: The other side is asked too for keys whose hash, with a salt of its own, is below.
    """

    migration: str | None
    version: int
    salt: str | None
    names: dict[object, Backend]
    homes: Mapping[Backend, Cell]
    lost: Cell
    visits: Mapping[Backend, Cell]
    together: str | None
    dials: dict[Any, Dial]
    overrides: Mapping[str, Override] = attrs.field(factory=dict)
    by_name: Mapping[Backend, Cell] = attrs.field(factory=dict)
    shadow: int = 0
    secret: bytes | None = attrs.field(default=None, repr=False)

    def at_home(self, home: object) -> Cell:
        """
        Give the cell of a thing's home, known or not.
        """
        side = side_of(home, self.names)
        return self.lost if side is None else self.homes[side]

    def resolve(self, key: Any, cohort: object) -> tuple[Cell, int | None]:
        """
        Decide; give the cell that counts and answers the request, and the key's hash, if it was needed.
        """
        if cohort is not None and type(cohort) is not str:
            # A stranger's `__hash__` and `__eq__` may raise, or say that it is a cohort.
            cohort = str.__str__(cohort) if issubclass(type(cohort), str) else None
        dial = self.dials.get(cohort) or self.dials[None]
        try:
            is_ascii = type(key) is str and key and key.isascii()
            hash_ = hash_of_ascii(self.salt + key, 0, False) if is_ascii else self.hash(key)
        except Exception:  # noqa: BLE001 - no salt
            hash_ = self.hash(key)
        if hash_ is None:
            return dial.without_key, None
        if dial.overridden[hash_ >> SLOT_BITS]:
            override = self._override(key, hash_ * PARTS >> 32)
            if override is not None:
                return self.by_name[override.backend], hash_
        return (dial.new if hash_ < dial.threshold else dial.old), hash_

    def hash(self, key: object) -> int | None:
        """
        Hash a key of any type, or give None without a key or a salt.
        """
        data = key_bytes(key)
        return None if data is None or self.salt is None else hash_of(self.salt.encode() + data)

    def _override(self, key: object, position: int) -> Override | None:
        data = key_bytes(key)
        if data is None or self.secret is None:
            return None
        override = self.overrides.get(digest_of(self.secret, data))
        return override if override is not None and override.position == position else None


def compile_flow(flow: str, given: Circumstances, cells: FlowCells) -> FlowPlan:
    """
    Compile what holds for one flow.

    Args:
        flow: The name that the application asks for, which may be one that the flow had before.
    """
    snapshot, decisions = given.snapshot, cells.decisions
    definition = None if snapshot is None else snapshot.definition
    flow = flow if definition is None else definition.current(flow)
    forced = broken_glass(given.break_glass, definition, flow)
    known = snapshot is not None and flow in snapshot.definition.flows
    fixed = decisions[Backend.OLD, Reason.DEFAULT]
    visits = {side: decisions[side, Reason.VISIT] for side in Backend}
    if forced is not None:
        fixed = decisions[forced, Reason.BREAK_GLASS]
        visits = dict.fromkeys(Backend, fixed)
    journey = None if definition is None else definition.journey_of(flow)
    plan = FlowPlan(
        migration=None if definition is None else definition.name,
        version=0 if snapshot is None else snapshot.version,
        salt=None if definition is None else definition.salt,
        names=side_names(snapshot),
        homes={side: decisions[side, Reason.HOME] for side in Backend},
        lost=decisions[Backend.OLD, Reason.HOME_UNKNOWN],
        visits=visits,
        together=journey.name if journey is not None and journey.together else None,
        dials={None: Dial(ALL if fixed.backend is Backend.NEW else 0, fixed, fixed, fixed)},
    )
    if snapshot is None or not known or forced is not None:
        return plan
    return _with_dials(plan, snapshot, flow, given.secret, cells)


def _with_dials(plan: FlowPlan, snapshot: Snapshot, flow: str, secret: bytes | None, cells: FlowCells) -> FlowPlan:
    overrides = {} if secret is None else snapshot.effective_overrides(flow)
    slots = _slots(overrides) if overrides else NOBODY
    cohorts = (None, *snapshot.definition.cohorts)
    return attrs.evolve(
        plan,
        dials={cohort: _dial_of(snapshot, flow, cohort, slots, cells) for cohort in cohorts},
        overrides=overrides,
        by_name={side: cells.decisions[side, Reason.OVERRIDE] for side in Backend},
        secret=secret,
        shadow=threshold_of(snapshot.shadows.get(flow, 0)),
    )


def _dial_of(snapshot: Snapshot, flow: str, cohort: str | None, slots: bytes, cells: FlowCells) -> Dial:
    reason = Reason.COHORT if snapshot.has_cohort_dial(flow, cohort) else Reason.PERCENT
    parts = snapshot.effective_parts(flow, cohort)
    new, old = cells.decisions[Backend.NEW, reason], cells.decisions[Backend.OLD, reason]
    without_key = cells.decisions[Backend.OLD, Reason.NO_KEY]
    if parts in (0, PARTS):
        without_key = new if parts else old
    return Dial(threshold_of(parts), new, old, without_key, slots)


def _slots(overrides: Mapping[str, Override]) -> bytes:
    slots = bytearray(len(NOBODY))
    for override in overrides.values():
        first = threshold_of(override.position) >> SLOT_BITS
        last = (threshold_of(override.position + 1) - 1) >> SLOT_BITS
        for slot in range(first, last + 1):
            slots[slot] = 1
    return bytes(slots)
