"""
What stores check before they write.
"""

from datetime import UTC, datetime, timedelta

import pytest

from cutover.core.checkin import FOLD_AFTER, minute_of
from cutover.engines.writing import add_documents, hour_of, oldest_open

MINUTE = datetime(2024, 3, 4, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(("later", "is_open"), [(0, True), (-1, True), (1, False)])
def test_oldest_open(later, is_open):
    """
    A minute is open until exactly `FOLD_AFTER` after its beginning.
    """
    now = MINUTE + FOLD_AFTER + timedelta(microseconds=later)

    assert (minute_of(MINUTE) >= oldest_open(now)) is is_open


def test_hour_of():
    """
    The last minute of an hour lies in it, the next one does not.
    """
    assert [hour_of(minute) for minute in (59, 60, 119, 120)] == [0, 1, 1, 2]


def test_add_documents():
    """
    Documents are added up number by number, also kinds that only a later library knows; neither argument changes.
    """
    total = {"requests": {"pay": {"new": {"percent": 3}}}}
    more = {"requests": {"pay": {"new": {"percent": 4, "cohort": 1}}}, "refunds": {"pay": 2}}

    assert add_documents(total, more) == {
        "requests": {"pay": {"new": {"percent": 7, "cohort": 1}}},
        "refunds": {"pay": 2},
    }
    assert total == {"requests": {"pay": {"new": {"percent": 3}}}}
