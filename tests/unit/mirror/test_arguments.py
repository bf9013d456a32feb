"""
Keys and arguments as an outbox keeps them.
"""

import enum
import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.local import LocalProxy

from cutover.core.bucketing import key_bytes
from cutover.errors import ConfigurationError
from cutover.mirror.arguments import (
    BITS,
    LARGEST,
    LONGEST_KEY,
    decoded_arguments,
    decoded_key,
    encoded_arguments,
    encoded_key,
    lane_of,
)

SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SIMPLE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
NAMES = st.text(min_size=1).filter(lambda name: name not in ("sequence", "side", "outbox", "home", "cohort"))
HOSTILE_TEXT = st.text(st.characters(exclude_categories=()), min_size=1, max_size=50)
KEYS = HOSTILE_TEXT | st.integers(-(1 << 70), 1 << 70)


class Colour(enum.StrEnum):
    """
    Text that would come back without its type.
    """

    RED = "red"


@given(st.lists(VALUES, max_size=4), st.dictionaries(NAMES, VALUES, max_size=4))
def test_arguments_come_back(args, kwargs):
    """
    Arguments come back equal and of the same types, and are kept as ASCII.
    """
    text = encoded_arguments(args, kwargs)
    back = decoded_arguments(text)

    assert back == (args, kwargs)
    assert repr(back) == repr((args, kwargs))
    assert text.isascii()


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        (1, 2),
        {1, 2},
        {1: "int as a name"},
        float("nan"),
        float("inf"),
        Colour.RED,
        {Colour.RED: 1},
        [[{"deep": object()}]],
        UUID(int=1),
    ],
)
def test_no_json_value(value):
    """
    What would not come back as it went in is refused, with its place and its type and never its value.
    """
    with pytest.raises(ConfigurationError, match=r"argument 2 holds a \w+ that is no JSON value; allowed: None, bool"):
        encoded_arguments([1, value], {})
    with pytest.raises(ConfigurationError, match="argument 'item' holds"):
        encoded_arguments([], {"item": value})


def test_depth():
    """
    What is nested without end is refused, not a crash.
    """
    endless = []
    endless.append(endless)

    with pytest.raises(ConfigurationError, match="argument 1 holds a list"):
        encoded_arguments([endless], {})


def test_size():
    """
    Arguments larger than a million characters are refused with their size.
    """
    encoded_arguments(["x" * (LARGEST - 10)], {})

    with pytest.raises(ConfigurationError, match="1,000,009 characters"):
        encoded_arguments(["x" * LARGEST], {})


@pytest.mark.parametrize("sign", [1, -1])
def test_large_numbers(sign):
    """
    A number that no process could read back is refused with its size; the largest that is taken comes back.
    """
    largest = sign * ((1 << BITS) - 1)
    assert decoded_arguments(encoded_arguments([[largest]], {})) == ([[largest]], {})

    for number in (largest + sign, sign << 100_000):
        with pytest.raises(ConfigurationError, match=r"argument 1 holds an int of [\d,]+ bits; allowed: up to 14,000"):
            encoded_arguments([[number]], {})


@pytest.mark.parametrize("name", ["sequence", "side", "outbox", "home", "cohort"])
def test_reserved(name):
    """
    Names that mean something to a write cannot be arguments of the functions.
    """
    with pytest.raises(ConfigurationError, match=f"the argument '{name}' has a meaning of its own"):
        encoded_arguments([], {name: 1})


@given(KEYS)
def test_keys_come_back(key):
    """
    A key comes back as it was given, and is kept as ASCII.
    """
    text = encoded_key(key)

    assert (decoded_key(text), type(decoded_key(text))) == (key, type(key))
    assert text.isascii()


def test_uuid():
    """
    A UUID is the same as its text, and a lazy proxy is its object.
    """
    assert decoded_key(encoded_key(UUID(int=7))) == str(UUID(int=7))
    for key in ("user-42", 42):
        assert encoded_key(LocalProxy(lambda key=key: key)) == encoded_key(key)


@pytest.mark.parametrize(
    "key",
    [
        *(None, "", True, 1.5, b"user", ("user",), "x" * (LONGEST_KEY + 1), 1 << 512, -(1 << 512)),
        *(float("nan"), object(), len, {"a"}, LocalProxy(lambda: None), LocalProxy(lambda: "")),
    ],
)
def test_no_key(key):
    """
    What has no place in an order of writes is refused, with its type and never its value.
    """
    with pytest.raises(ConfigurationError, match="the key is ") as caught:
        encoded_key(key)

    assert "xxx" not in str(caught.value)


@given(KEYS, KEYS)
def test_lanes(one, another):
    """
    Keys share a lane exactly where bucketing takes them for the same key.
    """
    assert (lane_of(one) == lane_of(another)) == (key_bytes(one) == key_bytes(another))


def test_lane_is_published():
    """
    A lane never changes: sequences are counted by it, across releases.
    """
    assert lane_of(42) == lane_of("42") == "755345b7ef54b0d592c17e04737ab3d9"


def test_subclasses_of_text():
    """
    A key of a type of its own is kept as the text that it is.
    """
    assert json.loads(encoded_key(Colour.RED)) == "red"
