"""
Canonical JSON is RFC 8785 on a subset, and nothing outside the subset is written or read.
"""

import json
from collections import OrderedDict
from contextlib import suppress
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_texts, canonical_values, json_values, short

from cutover.core.canonical import LARGEST_INTEGER, decode, encode
from cutover.errors import Corrupt


@given(st.dictionaries(st.text(st.characters(max_codepoint=127)), canonical_values, max_size=4))
def test_round_trip(value):
    """
    What is written is read back equal, from text and from its bytes, and written again to the letter.
    """
    text = encode(value)

    assert value == decode(text, "it") == decode(text.encode(), "it")
    assert text == encode(decode(text, "it"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # RFC 8785, 3.2.2.2: five short escapes, lower-case hex for the rest, everything else as it is.
        ("\b\t\n\f\r", r'"\b\t\n\f\r"'),
        ("\x00\x0f\x1f\x7f", '"\\u0000\\u000f\\u001f\x7f"'),
        ('"\\/', '"\\"\\\\/"'),
        ("€ö\u2028😀", '"€ö\u2028😀"'),
        # RFC 8785, 3.2.3: members sorted by their names, no white space.
        ({"b": 1, "a": {"d": [], "c": {}}, "A": None, "": True}, '{"":true,"A":null,"a":{"c":{},"d":[]},"b":1}'),
        ({"10": 1, "9": 2, "1": 3}, '{"1":3,"10":1,"9":2}'),
        # RFC 8785, 3.2.2.3, as far as integers go.
        ([0, -1, LARGEST_INTEGER, -LARGEST_INTEGER], "[0,-1,9007199254740991,-9007199254740991]"),
        ((1, (2,)), "[1,[2]]"),
    ],
)
def test_rfc_8785(value, text):
    """
    On the subset, the text is the one of RFC 8785.
    """
    assert text == encode(value)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        LARGEST_INTEGER + 1,
        -LARGEST_INTEGER - 1,
        "\ud800",
        {"\ud800": 1},
        {"ä": 1},
        {1: 2},
        {"a": {"b": [0.5]}},
        b"bytes",
        {1, 2},
        MappingProxyType({"a": 1}),
    ],
)
def test_not_written(value):
    """
    A value outside the subset is refused before a byte is written.
    """
    with pytest.raises(ValueError, match=r"."):
        encode(value)


def test_mappings_that_are_dicts():
    """
    The order in which members were added does not show.
    """
    assert encode(OrderedDict([("b", 1), ("a", 2)])) == '{"a":2,"b":1}'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value"),
        ("[1]", "is not a JSON object but list"),
        ("null", "is not a JSON object but NoneType"),
        ('{"a":1} x', "Extra data"),
        ('{"a":1,"b":{"c":1,"d":2,"c":3}}', "the key 'c' stands twice"),
        ('{"a":1.0}', "1.0 is not an integer"),
        ('{"a":1e2}', "1e2 is not an integer"),
        ('{"a":NaN}', "NaN is not an integer"),
        ('{"a":-Infinity}', "-Infinity is not an integer"),
        ('{"a":9007199254740992}', "9007199254740992 is not below 2^53"),
        ('{"a":-' + "9" * 100_000 + "}", "is not below 2^53"),
        ('{"a":"\\ud800"}', "surrogates not allowed"),
        ('{"a":"\ud800"}', "surrogates not allowed"),
        ('{"\\uDC00":1}', "is not ASCII text"),
        ('{"\\u00e9":1}', "is not ASCII text"),
        ('{"é":1}', "is not ASCII text"),
        ("\ufeff{}", "BOM"),
        ('{"a":"\n"}', "Invalid control character"),
        (b'{"a":"\xff"}', "can't decode byte"),
        ('{"a":1}'.encode("utf-16"), "can't decode byte"),
        ('{"a":1}'.encode("utf-16-be"), "Expecting"),
        ('{"a":' + "[" * 33 + "]" * 33 + "}", "nested more than 32 deep"),
        ('{"a":' * 100_000, "is not valid JSON"),
        ("[" * 100_000 + "]" * 100_000, "is not valid JSON"),
    ],
    ids=short,
)
def test_not_read(text, problem):
    """
    Text outside the subset is `Corrupt`, with what is wrong.
    """
    with pytest.raises(Corrupt) as caught:
        decode(text, "the document")

    assert str(caught.value).startswith("the document is not ")
    assert problem in str(caught.value)


def test_many_members_and_one_twice():
    """
    A document of 100,000 members, the last of them a second time, is refused as fast as it is read.
    """
    members = ",".join(f'"{number}":0' for number in range(100_000))

    with pytest.raises(Corrupt, match="the key '99999' stands twice"):
        decode(f'{{{members},"99999":0}}', "the document")


@given(json_values)
def test_whatever_is_read_can_be_written(value):
    """
    Any JSON is `Corrupt`, or read into a value that has a canonical form.
    """
    with suppress(Corrupt):
        read = decode(json.dumps({"a": value}), "it")
        assert read == decode(encode(read), "it")


@given(st.binary() | any_texts)
def test_raises_nothing_else(text):
    """
    Any bytes and any text are an object or `Corrupt`.
    """
    with suppress(Corrupt):
        assert isinstance(decode(text, "it"), dict)
