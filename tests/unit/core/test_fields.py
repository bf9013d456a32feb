"""
Fields of stored documents are read as they are, or not at all.
"""

import pytest

from cutover.core.fields import counter, field, items, typed


@pytest.mark.parametrize(("value", "kind"), [(1, int), (True, bool), ("a", str), ({}, dict), ([], list)])
def test_typed(value, kind):
    """
    A value of the right type is given back as it is.
    """
    assert typed(value, kind) is value


@pytest.mark.parametrize(("value", "kind"), [(True, int), (1, bool), ("1", int), (1, str), (None, dict), ((), list)])
def test_typed_otherwise(value, kind):
    """
    Nothing is converted: a boolean is no integer, and text is no number.
    """
    with pytest.raises(TypeError, match=rf"^x is a \w+, not {kind.__name__}$"):
        typed(value, kind, "x")


def test_field():
    """
    A field is named in the error, whether it is missing or of another type.
    """
    assert field({"a": 1}, "a", int) == 1
    with pytest.raises(KeyError, match="'b'"):
        field({"a": 1}, "b", int)
    with pytest.raises(TypeError, match=r"^a is a int, not str$"):
        field({"a": 1}, "a", str)


def test_items():
    """
    A list has items of one type; text is no list of its characters.
    """
    assert items({"a": ["x", "y"]}, "a", str) == ("x", "y")
    for value in ("xy", ["x", 1], {"x": 1}, None):
        with pytest.raises(TypeError, match=r"\ba\b"):
            items({"a": value}, "a", str)


def test_counter():
    """
    What counts something is an integer that is not too small.
    """
    assert counter(0, "x") == 0
    assert counter(1, "x", least=1) == 1
    with pytest.raises(ValueError, match=r"^x is 0$"):
        counter(0, "x", least=1)
    with pytest.raises(ValueError, match=r"^x is -1$"):
        counter(-1, "x")
    with pytest.raises(TypeError, match=r"^x is a bool, not int$"):
        counter(True, "x")
