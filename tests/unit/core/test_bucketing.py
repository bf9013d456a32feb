"""
The published scheme `murmur3/1`, against a second implementation of the hash and the published vectors.
"""

import json
import re
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import BOUNDARIES, Liar, Rude, Unmasked, any_parts, any_texts, hostile_keys, short

from cutover.core.bucketing import PARTS, SCHEME, digest_of, key_bytes, position_of, threshold_of, well_formed
from cutover.core.percent import parse_percent

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "bucketing.md").read_text()
WORD = 0xFFFFFFFF


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


@pytest.mark.parametrize(
    ("key", "data"),
    [
        (None, None),
        ("", None),
        (b"", None),
        (b"\xff\0", b"\xff\0"),
        (42, b"42"),
        (0, b"0"),
        (-7, b"-7"),
        (True, b"True"),
        (UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
        (Rude(), None),
        (Unmasked(), None),
        (Liar("user-42"), b"user-42"),
        (Liar(""), None),
    ],
    ids=short,
)
def test_kinds_of_keys(key, data):
    """
    Text and bytes are themselves, everything else is its `str`, and nothing to bucket is None.
    """
    assert data == key_bytes(key)


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
