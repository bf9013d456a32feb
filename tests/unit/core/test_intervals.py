"""
Intervals of shares, against published examples and by their rules.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.core.intervals import Share, difference

# R. G. Newcombe, Stat. Med. 17 (1998): "Two-sided confidence intervals for the single proportion", table I, method 3.
SINGLE = [
    ((81, 263), (0.2553, 0.3662)),
    ((15, 148), (0.0624, 0.1605)),
    ((0, 20), (0, 0.1611)),
    ((1, 29), (0.0061, 0.1718)),
]
# The same, "Interval estimation for the difference between independent proportions", table II, method 10.
PAIRS = [
    ((56, 70), (48, 80), (0.0524, 0.3339)),
    ((9, 10), (3, 10), (0.1705, 0.8090)),
    ((5, 56), (0, 29), (-0.0381, 0.1926)),
    ((0, 10), (0, 20), (-0.1611, 0.2775)),
    ((10, 10), (0, 20), (0.6791, 1.0)),
]
shares = st.integers(0, 10**6).flatmap(lambda cases: st.builds(Share, st.integers(0, cases), st.just(cases)))


@pytest.mark.parametrize(("share", "interval"), SINGLE)
def test_published_intervals(share, interval):
    """
    The interval of a share is that of the published examples.
    """
    assert Share(*share).interval == pytest.approx(interval, abs=5e-5)


@pytest.mark.parametrize(("one", "other", "interval"), PAIRS)
def test_published_differences(one, other, interval):
    """
    The interval of a difference is that of the published examples.
    """
    assert difference(Share(*one), Share(*other)) == pytest.approx(interval, abs=5e-5)


@given(shares)
def test_an_interval_holds_what_was_found(share):
    """
    An interval lies in 0 to 1, holds the share that was found, and is that of the opposite share turned round.
    """
    low, high = share.interval
    turned = Share(share.cases - share.found, share.cases).interval

    assert 0 <= low <= high <= 1
    assert share.ratio is None or low <= share.ratio <= high
    assert turned == pytest.approx((1 - high, 1 - low))


@given(shares.filter(lambda share: share.cases), st.integers(2, 50))
def test_more_cases_tell_more(share, times):
    """
    The same share among more cases has a narrower interval, inside of the wider one.
    """
    (low, high), (nearer_low, nearer_high) = share.interval, Share(share.found * times, share.cases * times).interval

    assert low <= nearer_low + 1e-12
    assert nearer_high <= high + 1e-12


@given(shares, shares)
def test_a_difference_and_its_opposite(one, other):
    """
    The difference the other way round has the opposite interval, and a share is never told apart from itself.
    """
    low, high = difference(one, other)
    turned = difference(other, one)

    assert -1 - 1e-9 <= low <= high <= 1 + 1e-9
    assert turned == pytest.approx((-high, -low))
    assert difference(one, one)[0] <= 0


def test_without_cases():
    """
    Where nothing was measured, the share may be anything.
    """
    assert Share(0, 0).ratio is None
    assert Share(0, 0).interval == (0, 1)
    assert difference(Share(9, 9), Share(0, 0))[0] <= 0
