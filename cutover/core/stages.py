"""
How far the data of a flow have been moved: derived from dials, so that there is nothing else to keep in step.
"""

from collections.abc import Iterable
from enum import StrEnum

from cutover.core.bucketing import PARTS

__all__ = ["Stage", "stage_of"]


class Stage(StrEnum):
    """
    A stage of a move; a closed set.
    """

    OFF = "off"  # OLD alone
    MIRROR = "mirror"  # NEW gets the writes too
    SHADOW = "shadow"  # and is asked for reads, to compare
    LIVE = "live"  # users are on both sides
    RAMP_DOWN = "ramp-down"  # users are on NEW, and OLD gets the writes still
    COMPLETE = "complete"  # NEW alone


def stage_of(dials: Iterable[int], *, shadow: int, is_mirrored: bool) -> Stage:
    """
    Name the stage of a flow.

    Args:
        dials: The effective parts of 100,000 of the flow and of every cohort with a dial of its own; at least one.
        shadow: For how many parts of the keys the other side is asked too.
        is_mirrored: Some process makes mirrored writes.
    """
    parts = tuple(dials)
    if max(parts) == 0:
        idle = Stage.MIRROR if is_mirrored else Stage.OFF
        return Stage.SHADOW if shadow else idle
    if min(parts) == PARTS:
        return Stage.RAMP_DOWN if is_mirrored else Stage.COMPLETE
    return Stage.LIVE
