"""
Sides and reasons are closed sets, and any home is a side or unknown.
"""

import pytest
from hypothesis import given
from strategies import Rude, hostile_keys

from cutover.core.backend import UNSET, Backend, Reason, side_of

NAMES = {None: Backend.OLD, "old": Backend.OLD, "new": Backend.NEW, "tokopedia": Backend.NEW}


def test_reasons():
    """
    The reasons are the closed set that dashboards are built on.
    """
    expected = "break_glass home home_unknown visit default override cohort percent no_key"

    assert set(expected.split()) == {str(reason) for reason in Reason}


@pytest.mark.parametrize(
    ("home", "side"),
    [
        (Backend.OLD, Backend.OLD),
        (Backend.NEW, Backend.NEW),
        ("new", Backend.NEW),
        ("tokopedia", Backend.NEW),
        (None, Backend.OLD),
        ("Tokopedia", None),
        ("", None),
        (0, None),
        ([], None),
        (Rude(), None),
    ],
)
def test_home(home, side):
    """
    A home is a side, one of its names or None; everything else is unknown and raises nothing.
    """
    assert side is side_of(home, NAMES)


@given(hostile_keys)
def test_home_never_raises(home):
    """
    No object that an application may store as a home raises.
    """
    assert side_of(home, NAMES) in (Backend.OLD, Backend.NEW, None)


def test_unset_shows_itself():
    """
    A parameter that was left out reads so in a signature.
    """
    assert repr(UNSET) == "UNSET"
