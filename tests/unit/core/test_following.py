"""
Whether a router follows a store.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.core.following import Standing, standing
from cutover.core.snapshot import Head

A, B = "a" * 64, "b" * 64
heads = st.builds(Head, st.integers(1, 3), st.integers(1, 3), st.sampled_from((A, B)))


@pytest.mark.parametrize(
    ("mine", "theirs", "ancestor", "expected"),
    [
        # A reader that runs nothing takes whatever there is.
        (None, Head(1, 1, A), None, Standing.NEWER),
        # The same epoch: one chain is followed, a fork is not.
        (Head(1, 5, A), Head(1, 5, A), A, Standing.SAME),
        (Head(1, 5, A), Head(1, 5, B), B, Standing.FORKED),
        (Head(1, 5, A), Head(1, 6, B), A, Standing.NEWER),
        (Head(1, 5, A), Head(1, 99, B), A, Standing.NEWER),
        (Head(1, 5, A), Head(1, 6, B), B, Standing.FORKED),
        (Head(1, 5, A), Head(1, 4, B), None, Standing.OLDER),
        # A source without a chain is believed.
        (Head(1, 5, A), Head(1, 6, B), None, Standing.NEWER),
        # A higher epoch is followed, whatever its version and chain; a lower one never.
        (Head(1, 5, A), Head(2, 1, B), B, Standing.NEWER),
        (Head(1, 5, A), Head(2, 5, B), None, Standing.NEWER),
        (Head(2, 5, A), Head(1, 99, B), A, Standing.OLDER),
    ],
)
def test_standing(mine, theirs, ancestor, expected):
    """
    States are ordered by (epoch, version), and in one epoch only one chain is followed.
    """
    assert standing(mine, theirs, ancestor) is expected


@given(heads, heads, st.sampled_from((None, A, B)))
def test_never_back(mine, theirs, ancestor):
    """
    What is followed is always newer: a router never goes back to an older state.
    """
    if standing(mine, theirs, ancestor) is Standing.NEWER:
        assert theirs.order > mine.order


@given(heads, heads, st.sampled_from((None, A, B)))
def test_same_is_equal(mine, theirs, ancestor):
    """
    A store is where the reader is exactly if the heads are equal.
    """
    assert (standing(mine, theirs, ancestor) is Standing.SAME) is (mine == theirs)
