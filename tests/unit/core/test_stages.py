"""
The stages of a move of data.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.core.bucketing import PARTS
from cutover.core.stages import Stage, stage_of

DIALS = st.lists(st.sampled_from([0, 1, 50_000, PARTS - 1, PARTS]), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("dial", "shadow", "is_mirrored", "stage"),
    [
        (0, 0, False, Stage.OFF),
        (0, 0, True, Stage.MIRROR),
        (0, 5_000, True, Stage.SHADOW),
        (0, 5_000, False, Stage.SHADOW),
        (1, 0, True, Stage.LIVE),
        (PARTS - 1, 5_000, False, Stage.LIVE),
        (PARTS, 0, True, Stage.RAMP_DOWN),
        (PARTS, 0, False, Stage.COMPLETE),
    ],
)
def test_stages(dial, shadow, is_mirrored, stage):
    """
    Each stage is what the page on moving data says.
    """
    assert stage_of([dial], shadow=shadow, is_mirrored=is_mirrored) is stage


@given(DIALS, st.sampled_from([0, 1, PARTS]), st.booleans())
def test_cohorts(dials, shadow, is_mirrored):
    """
    Users are on both sides unless every dial is at the same end; only then do mirrored writes and shadows decide.
    """
    stage = stage_of(dials, shadow=shadow, is_mirrored=is_mirrored)

    assert (stage is Stage.LIVE) == (set(dials) not in ({0}, {PARTS}))
    assert (stage in (Stage.RAMP_DOWN, Stage.COMPLETE)) == (set(dials) == {PARTS})
