"""
What every store checks before it writes, so that all of them say the same.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from cutover.core.canonical import decode
from cutover.core.checkin import FOLD_AFTER, TOO_LATE, Totals, add, read_totals
from cutover.core.snapshot import Head
from cutover.errors import Conflict

__all__ = ["add_documents", "check_append", "check_expected", "hour_of", "oldest_open", "oldest_taken", "sums"]

MINUTES_PER_HOUR: Final = 60
SECONDS_PER_MINUTE: Final = 60


def check_append(expect: Head | None, head: Head, secret: bytes | None) -> None:
    """
    Refuse a call that no store could take.

    Raises:
        ValueError: If the versions do not follow on each other, or the first change comes without a secret.
    """
    before = 0 if expect is None else expect.version
    if head.version != before + 1:
        raise ValueError(f"version {head.version} does not follow on {before}")
    if expect is None and not secret:
        raise ValueError("the first change of a migration needs a secret")


def check_expected(migration: str, expect: Head | None, actual: Head | None) -> None:
    """
    Compare what a writer expects with what the store holds.

    Raises:
        Conflict: If they differ.
    """
    if actual != expect:
        wanted = "nothing yet" if expect is None else str(expect)
        found = "nothing" if actual is None else str(actual)
        raise Conflict(
            f"{migration} was expected at {wanted}, the store has {found}",
            expected="" if expect is None else str(expect),
            actual="" if actual is None else str(actual),
        )


def oldest_open(now: datetime) -> int:
    """
    Number the oldest UTC minute that is not folded: one that began at most `FOLD_AFTER` before *now*.
    """
    return _first_from(now - FOLD_AFTER)


def oldest_taken(now: datetime) -> int:
    """
    Number the oldest UTC minute that a report may bring: one that began at most `TOO_LATE` before *now*.
    """
    return _first_from(now - TOO_LATE)


def _first_from(instant: datetime) -> int:
    return math.ceil(instant.timestamp() / SECONDS_PER_MINUTE)


def hour_of(minute: int) -> int:
    """
    Number the UTC hour that a minute lies in, from the epoch.
    """
    return minute // MINUTES_PER_HOUR


def add_documents(total: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """
    Add two nested documents of totals up, number by number.

    On documents rather than on totals, because a newer library may have counted kinds that this one does not know.
    """
    result = dict(total)
    for name, value in more.items():
        if isinstance(value, Mapping):
            result[name] = add_documents(result.get(name, {}), value)
        else:
            result[name] = result.get(name, 0) + value
    return result


def sums(rows: Iterable[tuple[int, str | bytes]]) -> dict[int, Totals]:
    """
    Add stored totals up by the number of their minute or hour.
    """
    result: dict[int, Totals] = {}
    for number, text in rows:
        result[number] = add((result.get(number, {}), read_totals(decode(text, "the totals"))))
    return result
