"""
Whether a router may follow what a store offers: states are ordered by (epoch, version), and a chain must not fork.
"""

from enum import StrEnum

from cutover.core.snapshot import Head

__all__ = ["Standing", "standing"]


class Standing(StrEnum):
    """
    How a store stands to a reader.
    """

    SAME = "same"  # the store is where the reader is
    NEWER = "newer"  # the reader takes what the store has
    OLDER = "older"  # a replica that is a moment behind, or a restored backup: time will tell
    FORKED = "forked"  # another history: never followed without `adopt`


def standing(mine: Head | None, theirs: Head, ancestor: str | None) -> Standing:
    """
    Compare a reader's head with a store's.

    Args:
        mine: What the reader runs; None if it runs nothing yet.
        ancestor: The hash that the store's chain has at the reader's version; None where the store keeps no chain.
    """
    if mine is None or theirs.epoch > mine.epoch:
        return Standing.NEWER
    if theirs.epoch < mine.epoch:
        return Standing.OLDER
    if theirs.version == mine.version:
        return Standing.SAME if theirs.hash == mine.hash else Standing.FORKED
    if theirs.version < mine.version:
        return Standing.OLDER
    return Standing.NEWER if ancestor in (None, mine.hash) else Standing.FORKED
