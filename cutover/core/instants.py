"""
Times as text: UTC with microseconds and `Z`, the one form that ledgers and documents use.
"""

import re
from datetime import UTC, datetime
from typing import Final

__all__ = ["format_instant", "parse_instant"]

INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


def format_instant(instant: datetime) -> str:
    """
    Write an aware instant as ``2024-03-04T09:00:00.000000Z``.

    Raises:
        ValueError: If the instant is naive.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone")
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_instant(text: str) -> datetime:
    """
    Read what `format_instant` wrote.

    Raises:
        ValueError: If the text has another form.
    """
    if not INSTANT.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a time such as 2024-03-04T09:00:00.000000Z")
    return datetime.fromisoformat(text)
