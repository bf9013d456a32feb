"""
Sides and reasons are closed sets, and any home is a side or unknown.
"""

from enum import Enum, IntEnum, StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Rude, hostile_keys
from werkzeug.local import LocalProxy

from cutover.core.backend import NAMED, UNSET, Backend, Reason, home_text, side_of

Stored = Enum("Stored", {"OLD": "tiktok", "NEW": "TOKOPEDIA", "NEITHER": "lazada"})
Numbered = IntEnum("Numbered", {"OLD": 0, "NEW": 1, "NEITHER": 2})
Word = StrEnum("Word", {"SHOP": "new"})
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
        ("Tokopedia", Backend.NEW),
        ("NEW", Backend.NEW),
        ("old   ", Backend.OLD),
        (b"new\0\0", Backend.NEW),
        (bytearray(b"new "), Backend.NEW),
        (memoryview(b"Tokopedia"), Backend.NEW),
        (Stored.NEW, Backend.NEW),
        (Stored.OLD, Backend.OLD),
        (Stored.NEITHER, None),
        (Numbered.NEW, Backend.NEW),
        (Numbered.NEITHER, None),
        (Word.SHOP, Backend.NEW),
        (Enum("Crossed", {"OLD": "new"}).OLD, Backend.NEW),
        (Enum("Unmarked", {"NEITHER": None}).NEITHER, None),
        (LocalProxy(lambda: "New"), Backend.NEW),
        ("", None),
        ("   ", None),
        ("None", None),
        ("ne w", None),
        (b"\xff", None),
        (Backend, None),
        (0, None),
        (1, None),
        (True, None),
        ([], None),
        (Rude(), None),
    ],
)
def test_home(home, side):
    """
    A home is a side, one of its names as a column gives it back, or None; everything else is unknown and raises
    nothing.
    """
    assert side is side_of(home, NAMES)


@given(st.sampled_from([name for name in NAMES if name]), st.text(" \t\r\n\0"), st.text(" \t\r\n\0"), st.randoms())
def test_padding_and_case(name, before, after, chance):
    """
    A name is the same side with any case and any padding, as text, as bytes, and on the way through a task's header.
    """
    home = before + "".join(chance.choice((letter, letter.upper())) for letter in name) + after

    assert side_of(home, NAMES) is side_of(home.encode(), NAMES) is NAMES[name]
    assert side_of(home_text(home), NAMES) is side_of(home_text(home.encode()), NAMES) is NAMES[name]


@pytest.mark.parametrize("home", [*NAMED, *Numbered, *Stored, *Backend, *Word, memoryview(b"NEW "), "lazada", 7])
def test_home_text(home):
    """
    A home that travels as text is the same side on arrival, or unknown as before.
    """
    assert home is None or side_of(home_text(home), NAMES) is side_of(home, NAMES)


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
