"""
The scheme `murmur3/1`: from a key to its position in 0..99,999.

    hash = MurmurHash3 x86 32-bit, seed 0, unsigned, of utf8(salt + key)
    position = (hash * 100000) >> 32

It equals flagd's `fractional` of the generation that hashes raw UTF-8 (its Go, Java and JavaScript providers).
Test vectors: `docs/reference/bucketing.md`.
"""

import re
from hashlib import blake2b
from typing import Any, Final

from mmh3 import mmh3_32_uintdigest

__all__ = [
    "BUFFERS",
    "PARTS",
    "SCHEME",
    "digest_of",
    "key_bytes",
    "position_of",
    "threshold_of",
    "well_formed",
]

SCHEME: Final = "murmur3/1"
PARTS: Final = 100_000  # a dial of 100% is this many parts

BUFFERS: Final = (bytes, bytearray, memoryview)
COMPOUND: Final = (tuple, list, dict)
#: The texts of objects that name nobody. Only the text shows that, because a proxy hides its object.
NOBODY: Final = re.compile(
    r"""(?:
    | None | True | False | NaT | --                        # no text, a missing or masked value, a truth value
    | [+-]?(?: s?NaN\d* | nan | Infinity | inf )            # no finite number
    | Undefined | NULL | \w+\.(?i: unset | undefined | missing | nothing )
    | \[\] | \(\) | \{\} | \[(?:nan|None)\] | \{\{.*\}\}  # empty, or a template that was not filled
    | (?: b' )? \*+ '?                                      # hidden
    | AnonymousUser | <\w+> | \w+\ object(?:\ \(None\))?   # the class alone, or a row that is not saved yet
    | <\w+\W+ (?:\w+=)? None\W*>
    | <\w*Mock\ .* | <\w+\ .*\bid='\d{12,16}'>                  # an address, as a number
    )\Z""",
    re.VERBOSE | re.DOTALL,
)
ADDRESS: Final = " at 0x"
LISTS_FIELDS: Final = ("BaseModel.__str__", "Representation.__str__")  # pydantic's own, of the versions 2 and 1


def well_formed(text: str) -> bytes:
    """
    Encode text as WHATWG's UTF-8 encoder does: surrogate pairs are joined, lone ones become U+FFFD.
    """
    try:
        return str.encode(text)  # a subclass is what it holds, whatever its methods say
    except UnicodeEncodeError:
        # mmh3 5.3.1 ends the process on such a str, and JSON of a request can carry one.
        return str.encode(text, "utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def key_bytes(key: Any) -> bytes | None:
    """
    Turn a key of any type into the bytes that are hashed.

    Returns:
        UTF-8 of text, the bytes of bytes, a bytearray and a memoryview, and UTF-8 of `str(key)` for another object that
        names somebody. None for a key that names nobody: None, empty text or bytes, and an object without such a text.

    Source: `docs/reference/bucketing.md`.
    """
    if key is None:
        return None
    kind = type(key)
    try:
        # Not `isinstance`: a lazy proxy of text says that it is text, and only its `str` is.
        if issubclass(kind, str):
            return well_formed(key) or None
        if issubclass(kind, bytes):
            return bytes.__getitem__(key, slice(None)) or None  # the methods of a subclass may say anything
        return well_formed(str(key)) if kind is int else _named_by(key)
    except Exception:  # noqa: BLE001 - a stranger's methods may raise anything
        return None


def _named_by(key: Any) -> bytes | None:
    """
    Give the bytes by which an object names somebody, or None where it names nobody.

    The class must say what its text is: the text that Python gives to every object shows an address, fields that
    change, or nothing but the class.
    """
    kind = key.__class__  # a proxy gives the class of its object
    if issubclass(kind, BUFFERS):
        return bytes(key) or None
    says = kind.__str__
    if says is not object.__str__:
        is_of_a_class = issubclass(kind, type) or hasattr(kind, "__get__")
        is_named = not is_of_a_class and getattr(says, "__qualname__", "") not in LISTS_FIELDS
    elif issubclass(kind, COMPOUND):
        parts = (*key, *key.values()) if issubclass(kind, dict) else key
        is_named = len(key) > 0 and all(key_bytes(part) is not None for part in parts)
    else:
        is_named = issubclass(kind, (int, float))
    text = str(key) if is_named else ""
    return None if ADDRESS in text or NOBODY.match(text) else well_formed(text)


def position_of(salt: bytes, key: bytes) -> int:
    """
    Give the position of a key, in 0..99,999.
    """
    return (mmh3_32_uintdigest(salt + key) * PARTS) >> 32


def threshold_of(parts: int) -> int:
    """
    Give the smallest hash that a dial of so many parts leaves on OLD.

    `position < parts` and `hash < threshold_of(parts)` say the same: the hot path needs no multiplication.
    """
    return -(-(parts << 32) // PARTS)


def digest_of(secret: bytes, key: bytes) -> str:
    """
    Name a key without telling it: 128 bits of keyed BLAKE2b, as hex.

    Args:
        secret: The migration's own secret, at most 64 bytes. It never stands in a ledger or an export.
    """
    return blake2b(key, key=secret, digest_size=16).hexdigest()
