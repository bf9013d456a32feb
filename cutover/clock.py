"""
The wall clock, as every part outside the core reads it.
"""

from datetime import UTC, datetime

__all__ = ["utc_now"]


def utc_now() -> datetime:
    """
    Read the clock; aware, UTC.
    """
    return datetime.now(UTC)
