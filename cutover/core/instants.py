"""
Times as text: UTC with microseconds and `Z`, the one form that ledgers and documents use.
"""

from datetime import UTC, datetime

__all__ = ["format_instant", "parse_instant"]


def format_instant(instant: datetime) -> str:
    """
    Write an aware instant as ``2024-03-04T09:00:00.000000Z``.

    Raises:
        ValueError: If the instant is naive.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone")
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_instant(text: str) -> datetime:
    """
    Read what `format_instant` wrote.

    Raises:
        ValueError: If the text has another form.
    """
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
