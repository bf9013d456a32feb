"""
What things are called.
"""

import hashlib
import subprocess
from datetime import timedelta
from enum import IntEnum, StrEnum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.local import LocalProxy

from cutover.claims.ids import LONGEST, checked_keep, digest_of, id_bytes, kind_in, parse_ids, pieces
from cutover.core.defined import NAME
from cutover.errors import ConfigurationError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=LONGEST)
IDS = st.one_of(TEXTS, st.integers(), st.uuids(), st.binary(min_size=1, max_size=LONGEST)).filter(
    lambda given: isinstance(given, bytes) or len(str(given).encode()) <= LONGEST
)
LINES = st.binary(min_size=1, max_size=20).filter(lambda line: not set(b"\r\n") & set(line) and line != b"\xef\xbb\xbf")


@given(IDS)
def test_ids(given):
    """
    What stands for an id is the UTF-8 of its text, and bytes are as they are: none stands for two texts.
    """
    data = id_bytes(given)

    assert data == (given if isinstance(given, bytes) else str(given).encode())
    assert id_bytes(data) == data


def test_kinds_of_ids():
    """
    A lazy proxy is the id that its object is, and a member of an enum is what it holds.
    """
    same = {
        b"order-1": (
            "order-1",
            b"order-1",
            bytearray(b"order-1"),
            memoryview(b"order-1"),
            LocalProxy(lambda: "order-1"),
        ),
        b"1": (1, "1", IntEnum("Number", "ONE").ONE, LocalProxy(lambda: 1)),
        b"one": (StrEnum("Word", "ONE").ONE,),
    }

    assert {data: {id_bytes(one) for one in ids} for data, ids in same.items()} == {data: {data} for data in same}


@pytest.mark.parametrize("nobody", [None, False, float("nan"), object(), len, ("a",), LocalProxy(lambda: None)])
def test_what_names_nobody(nobody):
    """
    What names nobody as a key is no id, and the error names its type and not its value.
    """
    with pytest.raises(ConfigurationError) as caught:
        id_bytes(nobody)

    name = type(nobody).__name__
    assert (
        str(caught.value)
        == f"the id is of the type {name}; allowed: text, int, UUID or bytes, of 1 to 512 bytes in UTF-8"
    )


@given(st.text(min_size=1, max_size=2 * LONGEST))
def test_texts(text):
    """
    A text is an id exactly where UTF-8 can write it in as many bytes as are allowed; an error does not show it.
    """
    size = len(text.encode(errors="surrogatepass"))
    is_id = size <= LONGEST and text.encode(errors="replace") == text.encode(errors="surrogatepass")

    if is_id:
        assert id_bytes(text) == text.encode()
    else:
        with pytest.raises(
            ConfigurationError, match=r"^the id (has \d+ bytes|holds a lone surrogate); allowed: text, int"
        ):
            id_bytes(text)


@given(st.one_of(st.text(max_size=70), st.from_regex(NAME, fullmatch=True), st.integers(), st.none()))
def test_kinds(kind):
    """
    A kind follows the rule of names, and nothing else is one.
    """
    is_kind = isinstance(kind, str) and NAME.fullmatch(kind) is not None

    try:
        assert kind_in(kind) == kind
        assert is_kind
    except ConfigurationError:
        assert not is_kind


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)), st.booleans())
def test_files(ids, windows):
    """
    A file of ids gives them in their order, each once, however its lines end and whatever stands before them.
    """
    end = "\r\n" if windows else "\n"
    content = ("\ufeff" * windows + end.join(ids) + end * 2).encode()

    assert parse_ids(content) == list(dict.fromkeys(id_.encode() for id_ in ids if id_ != "\ufeff" or not windows))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"1\n\xff\n", r"^line 2 is not UTF-8; allowed: one id a line$"),
        (b"1\n2\n" + b"x" * 513, r"^line 3: the id has 513 bytes; allowed: "),
    ],
)
def test_lines_that_are_no_ids(content, said):
    """
    A line that is no id is named by its number.
    """
    with pytest.raises(ConfigurationError, match=said):
        parse_ids(content)


@given(st.lists(LINES, max_size=8))
def test_digest(ids):
    """
    The digest does not depend on the order, nor on what stands twice.
    """
    assert digest_of(ids) == digest_of([*reversed(ids), *ids])
    assert digest_of(ids) == hashlib.sha256(b"".join(id_ + b"\n" for id_ in sorted(set(ids)))).hexdigest()


def test_digest_with_other_tools(tmp_path):
    """
    The digest is what sort and sha256sum say of the file.
    """
    file = tmp_path / "ids"
    file.write_text("b\nä\na\nb\n10\n9\n")
    command = "LC_ALL=C sort -u ids | sha256sum"

    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout.split()[0] == digest_of(parse_ids(file.read_bytes()))


@given(st.lists(st.binary(max_size=2)), st.integers(1, 5))
def test_pieces(ids, size):
    """
    Pieces hold everything in its order, and none is larger than asked for or empty.
    """
    cut = list(pieces(ids, size))

    assert [one for piece in cut for one in piece] == ids
    assert all(1 <= len(piece) <= size for piece in cut)


def test_keep():
    """
    Times are copied: what the caller changes later does not matter.
    """
    given = {"cart": timedelta(days=1)}
    kept = checked_keep(given)
    given["cart"] = timedelta(days=2)

    assert kept == {"cart": timedelta(days=1)}
    assert checked_keep(None) == {}
    with pytest.raises(ConfigurationError, match=r"^the kind is 'Cart'"):
        checked_keep({"Cart": timedelta(days=1)})


@pytest.mark.parametrize("given", [timedelta(days=1), ["cart"], "cart", 0])
def test_keep_without_kinds(given):
    """
    What gives no time by kind is refused when the homes are opened.
    """
    with pytest.raises(ConfigurationError, match=r"^keep is .*; allowed: times by kind"):
        checked_keep(given)


def test_numbers():
    """
    An int and a UUID are the same as their text; what only looks like a number is not.
    """
    assert id_bytes(7) == id_bytes("7") != id_bytes("07")
    assert id_bytes(UUID(int=7)) == id_bytes("00000000-0000-0000-0000-000000000007")
