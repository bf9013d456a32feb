"""
The published scheme `murmur3/1`, against a second implementation of the hash and the published vectors.
"""

import ast
import json
import os
import re
import subprocess
import sys
import weakref
from collections import Counter, UserString
from collections.abc import Callable
from ctypes import c_int
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from functools import partial
from hashlib import blake2b
from io import StringIO
from ipaddress import ip_address
from itertools import count
from pathlib import Path, PurePosixPath
from threading import Lock
from types import SimpleNamespace
from typing import NamedTuple
from unittest.mock import ANY, MagicMock, Mock
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from strategies import BOUNDARIES, Liar, Rude, Unmasked, any_parts, any_texts, hostile_keys, short
from werkzeug.local import LocalProxy

from cutover.core.bucketing import PARTS, SCHEME, digest_of, key_bytes, position_of, threshold_of, well_formed
from cutover.core.percent import parse_percent

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "bucketing.md").read_text()
WORD = 0xFFFFFFFF


class Ulid:
    """
    An id as libraries have them: its class says what its text is.
    """

    def __str__(self) -> str:
        return "01HV"


class Row:
    """
    A row of an ORM: the class says nothing.
    """

    def find(self) -> None:
        """
        Be a method.
        """


class Shown(Row):
    """
    A row that shows its fields to developers.
    """

    def __repr__(self) -> str:
        return "Shown(name='Rina')"


@dataclass
class Record:
    """
    Fields that change.
    """

    number: int = 42


class Model(BaseModel):
    """
    Fields that change, of a library that makes a text of them.
    """

    number: int = 42


class Named(Model):
    """
    Fields that change, and a text that does not.
    """

    def __str__(self) -> str:
        return str(self.number)


class Unsaved:
    """
    What ORMs show of a row that has no id yet, and of every row.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class Titled(type):
    """
    A class whose objects are classes, and have a text.
    """

    def __str__(cls) -> str:
        return cls.__name__


class Attribute(Ulid):
    """
    What a class shows in place of a row's field.
    """

    def __get__(self, row: object, owner: type) -> object:
        return self


class Pair(NamedTuple):
    """
    A compound key.
    """

    shop: str
    user: int


Colour = Enum("Colour", "RED")
NAMES = {
    "text": ("user-42", b"user-42"),
    "text of words": ("None", b"None"),
    "bytes": (b"\xff\0", b"\xff\0"),
    "bytearray": (bytearray(b"user"), b"user"),
    "memoryview": (memoryview(b"-user-")[1:-1], b"user"),
    "int": (42, b"42"),
    "zero": (0, b"0"),
    "negative": (-7, b"-7"),
    "float": (1.5, b"1.5"),
    "Decimal": (Decimal("1.50"), b"1.50"),
    "Fraction": (Fraction(1, 2), b"1/2"),
    "date": (date(2024, 3, 4), b"2024-03-04"),
    "UUID": (UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
    "path": (PurePosixPath("a/b"), b"a/b"),
    "address of a host": (ip_address("10.0.0.1"), b"10.0.0.1"),
    "text of another class": (Liar("user-42"), b"user-42"),
    "UserString": (UserString("user-42"), b"user-42"),
    "IntEnum": (IntEnum("Number", "ONE").ONE, b"1"),
    "StrEnum": (StrEnum("Word", "ONE").ONE, b"one"),
    "Enum": (Colour.RED, b"Colour.RED"),
    "own text": (Ulid(), b"01HV"),
    "own text beside fields": (Named(), b"42"),
    "tuple": (("shop", 42), b"('shop', 42)"),
    "named tuple": (Pair("shop", 42), b"Pair(shop='shop', user=42)"),
    "list": (["shop", 42], b"['shop', 42]"),
    "dict": ({"shop": 42}, b"{'shop': 42}"),
    "nested": ((("shop", 1), "user"), b"(('shop', 1), 'user')"),
}
NOBODY: dict[str, Callable[[], object]] = {
    **{repr(value): lambda value=value: value for value in (None, True, False, "", b"", (), [], {}, 1j)},
    **{repr(value): lambda value=value: value for value in (NotImplemented, ..., int, Colour, len, range(3), ANY)},
    **{f"float {text}": lambda text=text: float(text) for text in ("nan", "-nan", "inf", "-inf")},
    **{f"Decimal {text}": lambda text=text: Decimal(text) for text in ("nan", "-sNaN12", "Infinity")},
    **{
        text: lambda text=text: Unsaved(text)
        for text in ("<NA>", "NaT", "<User>", "User object", "Cart object (None)", "AnonymousUser", "**********")
    },
    **{
        text: lambda text=text: Unsaved(text)
        for text in ("--", "b'**********'", "Undefined", "Unset.UNSET", "_Nothing.NOTHING", "NULL", "[nan]", "[None]")
    },
    **{
        text: lambda text=text: Unsaved(text)
        for text in ("{{ user_id }}", "<User None>", "<User: None>", "<User(id=None)>", "<Fake id='140377233583696'>")
    },
    "class of a class that has a text": lambda: Titled("Shop", (), {}),
    "bytearray": bytearray,
    "object": Row,
    "row with a repr": Shown,
    "method": lambda: Row().find,
    "method of C": lambda: "user".upper,
    "function": lambda: lambda: 42,
    "partial": lambda: partial(int, "42"),
    "generator": lambda: (number for number in [42]),
    "iterator": lambda: iter([42]),
    "counter": count,
    "module": lambda: ast,
    "file": lambda: StringIO("42"),
    "lock": Lock,
    "set": lambda: {"a", "b"},
    "frozenset": lambda: frozenset("ab"),
    "namespace": lambda: SimpleNamespace(number=42),
    "dataclass": Record,
    "model": Model,
    "field of a class": Attribute,
    "proxy of a row": lambda: weakref.proxy(NOBODY_LIVES[0]),
    "mock": Mock,
    "mock of text": lambda: MagicMock(spec=str),
    "int of C": lambda: c_int(42),
    "raises": Rude,
    "raises as a proxy": Unmasked,
    "empty text of another class": lambda: Liar(""),
}
NOBODY_LIVES = [Row()]
NOBODYS_WORD = re.compile("None|True|False|NaT|s?NaN\\d*|nan|inf|Infinity|NULL|Undefined|AnonymousUser")


def murmur3(data: bytes) -> int:
    """
    MurmurHash3 x86 32-bit with seed 0, written from Austin Appleby's description and nothing else.
    """

    def rotated(word: int, bits: int) -> int:
        return (word << bits | word >> 32 - bits) & WORD

    def mixed(block: bytes) -> int:
        word = int.from_bytes(block, "little") * 0xCC9E2D51 & WORD
        return rotated(word, 15) * 0x1B873593 & WORD

    whole = len(data) // 4 * 4
    value = 0
    for start in range(0, whole, 4):
        value = rotated(value ^ mixed(data[start : start + 4]), 13) * 5 + 0xE6546B64 & WORD
    if whole < len(data):
        value ^= mixed(data[whole:])
    value ^= len(data)
    for bits, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        value = (value ^ value >> bits) * factor & WORD
    return value


def key_of(vector: dict[str, str]) -> object:
    """
    Give the key of a published vector as a Python object.
    """
    readers = {"text": json.loads, "integer": int, "bytes": bytes.fromhex, "uuid": UUID}
    return readers[vector["kind"]](vector["key"])


@pytest.mark.parametrize(
    ("data", "value"),
    [
        # The vectors that implementations of MurmurHash3 x86 32-bit are compared by.
        (b"", 0),
        (b"\0\0\0\0", 0x2362F9DE),
        (b"\xff\xff\xff\xff", 0x76293B50),
        (b"\x21\x43\x65\x87", 0xF55B516B),
        (b"\x21\x43\x65", 0x7E4A8634),
        (b"\x21\x43", 0xA0F7B07A),
        (b"\x21", 0x72661CF4),
        (b"hello, world", 0x149BBB7F),
        (b"The quick brown fox jumps over the lazy dog", 0x2E4FF723),
    ],
)
def test_second_implementation(data, value):
    """
    The implementation that the vectors were computed with is MurmurHash3.
    """
    assert value == murmur3(data)


@given(st.binary(max_size=70), st.binary(max_size=70))
def test_position(salt, key):
    """
    The position is the hash of salt and key, scaled to 100,000.
    """
    assert murmur3(salt + key) * 100_000 >> 32 == position_of(salt, key)


@pytest.mark.parametrize("vector", VECTORS["positions"], ids=lambda vector: short(vector["key"]))
def test_vectors(vector):
    """
    Each published vector holds in the library and in the second implementation.
    """
    key = key_bytes(key_of(vector))
    salt = vector["salt"].encode()

    assert vector["hashed"] == (salt + key).hex()
    assert vector["hash"] == murmur3(salt + key)
    assert vector["position"] == vector["hash"] * 100_000 >> 32 == position_of(salt, key)


@pytest.mark.parametrize("vector", VECTORS["thresholds"], ids=lambda vector: vector["percent"])
def test_threshold_vectors(vector):
    """
    Each published threshold is the number of hashes that its dial sends to NEW.
    """
    threshold = vector["threshold"]

    assert vector["parts"] == parse_percent(vector["percent"])
    assert threshold == threshold_of(vector["parts"])
    assert threshold == 0 or (threshold - 1) * 100_000 >> 32 < vector["parts"]
    assert threshold * 100_000 >> 32 >= vector["parts"]


def test_page():
    """
    The page of the documentation has the published vectors, all of them and no others.
    """
    rows = [f"| {v['percent']}% | {v['parts']} | {v['threshold']} |" for v in VECTORS["thresholds"]]
    rows += [
        f"| `{v['salt']}` | {v['kind']} | `{v['key']}` | `{v['hashed']}` | {v['hash']} | {v['position']} |"
        for v in VECTORS["positions"]
    ]
    shown = [line for line in PAGE.splitlines() if re.search(r"\| \d+ \|$", line)]

    assert rows == shown
    assert f"`{VECTORS['scheme']}`" in PAGE
    assert VECTORS["scheme"] == SCHEME


@given(any_parts, st.integers(0, WORD))
def test_threshold(parts, value):
    """
    Comparing a hash with the threshold says the same as comparing a position with the dial.
    """
    assert (value * PARTS >> 32 < parts) is (value < threshold_of(parts))


@given(st.binary(), any_parts, any_parts)
def test_nested(key, one, other):
    """
    Who is in at a percentage is in at every higher one.
    """
    lower, higher = sorted((one, other))

    assert position_of(b"shop", key) >= lower or position_of(b"shop", key) < higher


def test_uniform_over_a_million_keys():
    """
    A million keys spread evenly over the positions, neither worse nor better than chance.
    """
    seen = Counter(position_of(b"shop", b"user-%d" % number) // 100 for number in range(1_000_000))
    chi_square = sum((seen[cell] - 1000) ** 2 for cell in range(1000)) / 1000

    # 999 degrees of freedom: mean 999, standard deviation sqrt(2 * 999); five of them either way.
    assert abs(chi_square - 999) < 5 * (2 * 999) ** 0.5


@pytest.mark.parametrize("parts", BOUNDARIES)
def test_share_of_a_dial(parts):
    """
    The share of keys below a dial is the dial's, within chance.
    """
    keys = 100_000
    new = sum(position_of(b"shop", UUID(int=number << 64 | number).bytes) < parts for number in range(keys))
    share = parts / PARTS

    assert abs(new - keys * share) <= 5 * (keys * share * (1 - share)) ** 0.5 + 1e-9


@given(any_texts)
def test_well_formed(text):
    """
    Text becomes valid UTF-8: pairs of surrogates are joined, lone ones replaced one by one.
    """
    units = text.encode("utf-16-le", "surrogatepass")
    expected = units.decode("utf-16-le", "replace")

    assert expected == well_formed(text).decode()
    assert len(expected.encode("utf-16-le")) == len(units)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("\ud83d\ude00", "😀".encode()),
        ("\ud800", "\ufffd".encode()),
        ("\udc00\ud800", "\ufffd\ufffd".encode()),
        ("a\ud83d", "a\ufffd".encode()),
        ("\ud83d\ud83d\ude00", "\ufffd😀".encode()),
        ("\0", b"\0"),
        ("é", b"\xc3\xa9"),
        ("e\u0301", b"e\xcc\x81"),
    ],
    ids=short,
)
def test_surrogates(text, data):
    """
    What WHATWG's UTF-8 encoder writes is what is hashed; nothing is normalised.
    """
    assert data == well_formed(text) == key_bytes(text)


@pytest.mark.parametrize("name", NAMES)
def test_kinds_of_keys(name):
    """
    Text and bytes are themselves, and an object whose class says what its text is has that text, also behind a proxy.
    """
    key, data = NAMES[name]

    assert data == key_bytes(key)
    assert data == key_bytes(LocalProxy(lambda: key)) or key == "None"


@pytest.mark.parametrize("name", NOBODY)
def test_what_names_nobody(name):
    """
    An address, a missing or a truth value, no number, nothing at all, and fields that change are no key, also behind a
    proxy and inside of a tuple, a list or a dict.
    """
    make = NOBODY[name]

    assert key_bytes(make()) is None
    assert key_bytes(LocalProxy(make)) is None
    assert [key_bytes(one) for one in (("shop", make()), ["shop", make()], {"shop": make()}, [(make(),)])] == [None] * 4


@given(st.recursive(any_texts | st.integers(), lambda inner: st.tuples(inner, inner) | st.lists(inner, min_size=1)))
def test_compound_keys(key):
    """
    A tuple or a list is a key if each of its parts is one, and then it is its text.
    """

    def is_key(one):
        return all(map(is_key, one)) if isinstance(one, tuple | list) else one != ""

    assert key_bytes(key) == (well_formed(str(key)) if is_key(key) else None)


@given(any_texts)
def test_a_class_says_what_its_text_is(text):
    """
    Text of a user's own class is hashed as the same text is, except for the texts that objects show who name nobody.
    """

    class Name:
        def __str__(self):
            return text

    assert key_bytes(Name()) in (key_bytes(text), None)
    assert key_bytes(Name()) is not None or not text.isalnum() or NOBODYS_WORD.fullmatch(text)


def test_same_in_every_process():
    """
    A key is the same bytes in a process with other addresses and another order of sets, or it is none.
    """
    program = "import test_bucketing as it; print({name: it.key_bytes(key) for name, (key, _) in it.NAMES.items()})"
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)

    assert ast.literal_eval(done.stdout) == {name: key_bytes(key) for name, (key, _) in NAMES.items()}


@given(hostile_keys)
def test_no_key_raises(key):
    """
    Whatever an application takes for a key is bytes to hash, or None, and has a position if it is bytes.
    """
    data = key_bytes(key)

    assert data is None or (data and 0 <= position_of(b"shop", data) < PARTS)


def test_ten_megabytes():
    """
    A key of ten megabytes is a key like any other.
    """
    key = "é" * 5_000_000

    assert position_of(b"shop", key_bytes(key)) == position_of(b"shop", key.encode())


def test_digest():
    """
    A key's name is 128 bits of BLAKE2b under the migration's secret, and another under another secret.
    """
    assert digest_of(b"secret", b"user-42") == blake2b(b"user-42", key=b"secret", digest_size=16).hexdigest()
    assert digest_of(b"secret", b"user-42") != digest_of(b"other", b"user-42")
