"""
How values read in a terminal.
"""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.cli.words import age, ago, asked, count, moment, percent, plain, span


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand  spaces", "two lines and spaces"),
        ("\x1b[31mred", "�[31mred"),
        ("right\u202eleft", "right�left"),
        ("минимум 🚦", "минимум 🚦"),
    ],
)
def test_a_strangers_text_cannot_steer_the_terminal(text, shown):
    """
    Control and direction characters are replaced, and a text stays on its line.
    """
    assert plain(text) == shown


@given(st.text())
def test_plain_text_is_one_printable_line(text):
    """
    Whatever a text holds, one line without control characters is left.
    """
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in plain(text))


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (None, "-"),
        (Fraction(0), "0%"),
        (Fraction(1), "100%"),
        (Fraction(1, 3), "33.3%"),
        (Fraction(99_999, 100_000), "99.9%"),
        (Fraction(1, 100_000), "0.1%"),
    ],
)
def test_almost_is_not_all(ratio, shown):
    """
    Only all is written as 100%, and only nothing as 0%.
    """
    assert percent(ratio) == shown


@given(st.integers(0, 10**18))
def test_counts_stay_short(number):
    """
    However much was counted, its column does not grow.
    """
    assert len(count(number)) <= 5


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0"), (9_999, "9999"), (10_000, "10.0k"), (98_412, "98.4k"), (1_234_567, "1.2M")]
)
def test_counts_are_rounded_from_ten_thousand(number, shown):
    """
    Small counts are exact, large ones have a unit.
    """
    assert count(number) == shown


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=-4), "0s"),
        (timedelta(seconds=59.9), "59s"),
        (timedelta(minutes=10), "10m"),
        (timedelta(hours=47), "1d"),
    ],
)
def test_ages_have_one_unit(span, shown):
    """
    An age is written with its largest unit, and a clock that runs ahead makes none.
    """
    assert age(span) == shown


def test_how_long_ago():
    """
    How long ago something was has its largest unit, as a word that is not taken for metres.
    """
    assert [ago(timedelta(seconds=s)) for s in (-1, 2, 600, 7200, 90_000)] == [
        "0 s ago",
        "2 s ago",
        "10 min ago",
        "2 h ago",
        "1 d ago",
    ]


@pytest.mark.parametrize(
    ("left", "shown"),
    [
        (timedelta(hours=2, minutes=10), "2h 10m"),
        (timedelta(hours=2, minutes=9, microseconds=1), "2h 10m"),
        (timedelta(hours=1, minutes=59, seconds=59), "2h"),
        (timedelta(minutes=3, seconds=4), "3m 4s"),
        (timedelta(seconds=45), "45s"),
        (timedelta(microseconds=1), "1s"),
        (timedelta(days=1, hours=4, minutes=5), "1d 5h"),
        (timedelta(hours=23, minutes=59, seconds=1), "1d"),
        (timedelta(0), "0s"),
        (timedelta(seconds=-5), "0s"),
    ],
)
def test_spans_have_two_units(left, shown):
    """
    What is left of a time is written with its two largest units.
    """
    assert span(left) == shown


def test_a_moment_of_today_needs_no_date():
    """
    Whether it is today is asked in the zone that the moment is shown in.
    """
    zone = ZoneInfo("Asia/Jakarta")
    now = datetime(2026, 1, 11, 18, tzinfo=UTC)

    assert moment(datetime(2026, 1, 11, 17, 0, 1, tzinfo=UTC), now=now, zone=zone) == "00:00:01"
    assert moment(datetime(2026, 1, 11, 16, 59, tzinfo=UTC), now=now, zone=zone) == "2026-01-11 23:59"


@pytest.mark.parametrize(
    ("verb", "arguments", "shown"),
    [
        ("set", {"target": "pay", "parts": 12_345}, "set pay 12.345%"),
        ("set", {"target": "pay", "cohort": "staff"}, "set pay inherit for staff"),
        ("set", {"target": "pay", "parts": 0, "evict": True, "all_cohorts": True}, "set pay 0% evict all cohorts"),
        ("set", {"target": "pay", "parts": 0, "shadow": 5_000}, "set pay 0% shadow 5%"),
        ("set", {"target": "pay", "shadow": 0}, "set pay shadow 0%"),
        ("set", {"target": "pay", "cohort": "staff", "shadow": 0}, "set pay inherit for staff shadow 0%"),
        ("rollback", {"target": "pay"}, "rollback pay"),
        ("rollback", {}, "rollback every flow"),
        ("override", {"target": "pay", "position": 7, "side": "new"}, "override pay, the user at 0.007%: to NEW"),
        ("override", {"target": "pay", "position": 7}, "override pay, the user at 0.007%: taken back"),
        ("work", {"item": "texts", "parts": 40_000}, "work texts 40%"),
        ("adopt", {"epoch": 2}, "adopt epoch 2"),
        ("dead", {"instance": "0123456789abcdef", "who": "checkout-api web-3/4711"}, "dead checkout-api web-3/4711"),
        ("dead", {"instance": "0123456789abcdef"}, "dead 01234567"),
        ("a later verb", {"x": 1}, "a later verb"),
    ],
)
def test_changes_in_words(verb, arguments, shown):
    """
    A change reads like the command that made it, also one of a verb that this version does not know.
    """
    assert asked(verb, arguments) == shown
