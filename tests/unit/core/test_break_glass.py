"""
The break-glass file: what it may say, and whom it reaches.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_texts, definition_of, short

from cutover.core.backend import Backend
from cutover.core.break_glass import (
    EVERY_FLOW,
    broken_glass,
    broken_glass_unread,
    parse_break_glass,
    unknown_lines,
)
from cutover.core.defined import Journey
from cutover.errors import ConfigurationError

OLD, NEW = Backend.OLD, Backend.NEW
SHOP = definition_of(
    "browse",
    "cart",
    "pay",
    journeys={
        "purchase": Journey(name="purchase", flows=("cart", "pay"), together=True),
        "look": Journey(name="look", flows=("browse",), together=False),
    },
)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", {}),
        ("# nothing yet\n", {}),
        ('pay = "old"\n"*" = "new"\n', {"pay": OLD, EVERY_FLOW: NEW}),
        (b'\xef\xbb\xbfpay = "old"\r\n', {"pay": OLD}),
        ('\ufeffpay = "old"', {"pay": OLD}),
        ('"pay.v2" = "old"', {"pay.v2": OLD}),
    ],
    ids=short,
)
def test_lines(text, lines):
    """
    Each line is a flow, or the star for every one, with a side; an empty file sets nothing.
    """
    assert parse_break_glass(text, "glass.toml") == lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pay = old", "glass.toml is not TOML: "),
        ('pay = "old', "glass.toml is not TOML: "),
        (b"\xff", "glass.toml is not TOML: "),
        ("pay = " + "[" * 5000, "glass.toml is not TOML: "),
        ("pay = " + "9" * 5000, "glass.toml is not TOML: "),
        ('pay = "OLD"', 'glass.toml: pay is \'OLD\'; allowed: "old" or "new"'),
        ("pay = 0", 'glass.toml: pay is 0; allowed: "old" or "new"'),
        ('pay = ["old"]', 'glass.toml: pay is [\'old\']; allowed: "old" or "new"'),
        ('pay.v2 = "old"', "glass.toml: pay is {'v2': 'old'}; allowed: \"old\" or \"new\""),
    ],
    ids=short,
)
def test_mistake(text, message):
    """
    A file that is wrong is one error that names the file and what is allowed; no line of it counts.
    """
    with pytest.raises(ConfigurationError) as caught:
        parse_break_glass(text, "glass.toml")

    assert str(caught.value).startswith(message)


@given(any_texts | st.binary())
def test_raises_nothing_else(text):
    """
    Any file is lines or a `ConfigurationError`.
    """
    try:
        lines = parse_break_glass(text, "glass.toml")
    except ConfigurationError:
        return
    assert set(lines.values()) <= {OLD, NEW}


@pytest.mark.parametrize(
    ("lines", "flow", "side"),
    [
        ({}, "pay", None),
        ({"pay": NEW}, "browse", None),
        ({"pay": NEW}, "pay", NEW),
        ({"pay": NEW}, "cart", NEW),
        ({"pay": NEW, "cart": OLD}, "pay", OLD),
        ({"pay": NEW, "*": OLD}, "pay", OLD),
        ({"pay": OLD, "cart": NEW}, "cart", OLD),
        ({"browse": NEW, "*": OLD}, "browse", NEW),
        ({"*": OLD}, "fly", OLD),
        ({"fly": NEW, "*": OLD}, "fly", NEW),
        ({"purchase": OLD}, "pay", OLD),
        ({"purchase": OLD}, "browse", None),
        ({"purchase": NEW, "*": OLD}, "cart", NEW),
        ({"purchase": NEW, "pay": OLD}, "cart", OLD),
    ],
)
def test_whom_it_reaches(lines, flow, side):
    """
    A flow's own line goes before its journey's, and that before the star; those that go together share lines, OLD wins.
    """
    assert broken_glass(lines, SHOP, flow) is side


def test_unknown_lines():
    """
    A line that names neither a flow nor a journey nor every flow stands for nothing.
    """
    assert unknown_lines({"pay": OLD, "purchase": OLD, "*": OLD, "fly": OLD, "pya": NEW}, SHOP) == ("fly", "pya")


def test_without_a_definition():
    """
    Before anything was read, a line holds for its flow alone.
    """
    assert broken_glass({"pay": OLD}, None, "pay") is OLD
    assert broken_glass({"pay": OLD}, None, "cart") is None


@given(
    st.dictionaries(st.sampled_from(("cart", "pay", "browse", "purchase", "*")), st.sampled_from(Backend)),
    st.dictionaries(st.sampled_from(("cart", "pay")), st.sampled_from(Backend)),
)
def test_a_visit_without_a_definition(lines, sides):
    """
    Before anything was read, each flow that a line speaks of goes there, and a visit is split by contrary lines only.
    """
    moved = broken_glass_unread(lines, "purchase", sides)
    said = {flow: lines.get(flow, lines.get("*", lines.get("purchase"))) for flow in sides}

    assert moved.keys() == sides.keys()
    assert all(moved[flow] is side for flow, side in said.items() if side is not None)
    if not any(said.values()):
        assert moved == sides
    if len(set(sides.values())) == 1 and set(said.values()) != {OLD, NEW}:
        assert len(set(moved.values())) == 1
