"""
The scheme `murmur3/1`: from a key to its position in 0..99,999.

    hash = MurmurHash3 x86 32-bit, seed 0, unsigned, of utf8(salt + key)
    position = (hash * 100000) >> 32

It equals flagd's `fractional` of the generation that hashes raw UTF-8 (its Go, Java and JavaScript providers).
Test vectors: `docs/reference/bucketing.md`.
"""

from hashlib import blake2b
from typing import Any, Final

from mmh3 import mmh3_32_uintdigest

__all__ = [
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
        UTF-8 of text, bytes as they are, UTF-8 of `str(key)` for everything else. None where there is nothing to
        bucket: None, empty text or bytes, and an object whose `__str__` raises.
    """
    if key is None:
        return None
    try:
        # Not `isinstance`: a lazy proxy of text says that it is text, and only its `str` is.
        if issubclass(type(key), bytes):
            return bytes.__getitem__(key, slice(None)) or None  # a subclass is what it holds, whatever its methods say
        return well_formed(key if issubclass(type(key), str) else str(key)) or None
    except Exception:  # noqa: BLE001 - a stranger's methods may raise anything
        return None


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
