"""
Percentages are read exactly, or not at all.
"""

from contextlib import suppress
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_parts, any_texts

from cutover.core.bucketing import PARTS
from cutover.core.percent import format_percent, parse_percent
from cutover.errors import ConfigurationError

ALLOWED = "allowed: 0 to 100 in steps of 0.001"


@given(any_parts)
def test_round_trip(parts):
    """
    What is written is read back as the same parts, as text and as a number.
    """
    text = format_percent(parts)

    assert parts == parse_percent(text) == parse_percent(float(text[:-1])) == parse_percent(Decimal(text[:-1]))


@pytest.mark.parametrize(
    ("value", "parts"),
    [(0, 0), (100, PARTS), ("25%", 25_000), (" 12.345 % ", 12_345), (0.1, 100), ("1e1", 10_000), ("-0", 0)],
)
def test_forms(value, parts):
    """
    Numbers and text mean the percentage that a reader would take them for.
    """
    assert parts == parse_percent(value)


@pytest.mark.parametrize(("parts", "text"), [(0, "0%"), (1, "0.001%"), (12_340, "12.34%"), (PARTS, "100%")])
def test_written_without_trailing_zeros(parts, text):
    """
    A percentage is written as short as it can be.
    """
    assert text == format_percent(parts)


@pytest.mark.parametrize(
    "value", ["", "half", "25 50", "nan", "sNaN", "inf", -1, "-0.001", 100.001, "101", True, None, b"25", []]
)
def test_out_of_range(value):
    """
    What is no number from 0 to 100 is refused with what is allowed.
    """
    with pytest.raises(ConfigurationError, match=rf"^dial is .*; {ALLOWED}$"):
        parse_percent(value, "dial")


def test_thousands_of_digits():
    """
    A number that Python itself does not print is refused like any other.
    """
    with pytest.raises(ConfigurationError, match=ALLOWED):
        parse_percent(10**5000)


@pytest.mark.parametrize("value", ["0.0001", 1e-9, "25.0000000000000000000000000000000000001", "1e-999999"])
def test_too_fine(value):
    """
    A percentage is never rounded, however little it is off.
    """
    with pytest.raises(ConfigurationError, match=rf"^percent is .*, finer than 0\.001; {ALLOWED}$"):
        parse_percent(value)


def test_precision_of_the_application():
    """
    An application that computes with few decimal digits gets the same parts.
    """
    with localcontext(prec=2):
        assert parse_percent("12.345") == 12_345


@given(any_texts | st.floats() | st.integers() | st.decimals())
def test_raises_nothing_else(value):
    """
    Whatever is given, the answer is parts or a `ConfigurationError`.
    """
    with suppress(ConfigurationError):
        assert 0 <= parse_percent(value) <= PARTS
