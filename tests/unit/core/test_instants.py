"""
Times have one form as text.
"""

from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from strategies import any_texts, instants

from cutover.core.instants import format_instant, parse_instant


@given(instants)
def test_round_trip(instant):
    """
    Every instant is read back as it was written, to the microsecond.
    """
    assert instant == parse_instant(format_instant(instant))


def test_other_zones_become_utc():
    """
    An instant is written in UTC, whatever zone it came in.
    """
    jakarta = timezone(timedelta(hours=7))

    assert format_instant(datetime(2024, 3, 4, 16, tzinfo=jakarta)) == "2024-03-04T09:00:00.000000Z"


def test_naive_is_refused():
    """
    A time without a zone is no instant.
    """
    with pytest.raises(ValueError, match="has no time zone"):
        format_instant(datetime(2024, 3, 4))  # noqa: DTZ001 - what the rule is about


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-04T09:00:00Z",
        "2024-3-4T9:0:0.5Z",
        "2024-03-04T09:00:00.000000+00:00",
        "2024-03-04 09:00:00.000000Z",
        "2024-02-30T09:00:00.000000Z",
        "2024-03-04T09:00:00.000000Z\n",
        "٢٠٢٤-03-04T09:00:00.000000Z",
        "0001-01-01T00:00:00.000000+01:00",
    ],
)
def test_other_forms_are_refused(text):
    """
    Only the one form is read, so that equal times are equal text.
    """
    with pytest.raises(ValueError, match=r"."):
        parse_instant(text)


@given(any_texts)
def test_raises_nothing_else(text):
    """
    Text is an instant of the one form, or a `ValueError`.
    """
    with suppress(ValueError):
        assert text == format_instant(parse_instant(text))
