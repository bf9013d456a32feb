"""
What a relay holds of one migration: the last that its store said, and the hashes of the chain below it.
"""

import json
from collections.abc import Sequence
from typing import Final

import attrs

from cutover.core.canonical import decode
from cutover.core.snapshot import Head
from cutover.errors import Corrupt

__all__ = ["UNKNOWN", "Held", "hashes_of"]

UNKNOWN: Final = (
    ""  # a hash of the chain that could not be read: a reader there is told nothing, rather than something wrong
)


@attrs.frozen(kw_only=True)
class Held:
    """
    One state of a migration.

    Attributes:
        document: The snapshot's document, to the letter.
        chain: The hashes of versions 1, 2, 3 ... up to the head.
        encoded: The document as a JSON string, made once for all readers.
    """

    head: Head
    document: str
    secret: bytes | None = attrs.field(repr=False)
    chain: tuple[str, ...] = attrs.field(repr=False)
    encoded: bytes = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "encoded", json.dumps(self.document, ensure_ascii=False).encode())

    def hash_at(self, version: int) -> str | None:
        """
        Give the hash that the chain has at a version; None where it has none.
        """
        if version == self.head.version:
            return self.head.hash
        return (self.chain[version - 1] or None) if 0 < version <= len(self.chain) else None


def hashes_of(texts: Sequence[str], number: int) -> tuple[str, ...]:
    """
    Read the hashes of changes, as many as there must be: a history may have grown, or be cut, while it was read.
    """
    hashes = tuple(map(_hash_of, texts[:number]))
    return (*hashes, *(UNKNOWN for _ in range(number - len(hashes))))


def _hash_of(text: str) -> str:
    try:
        hash_ = decode(text, "the change").get("hash")
    except Corrupt:
        return UNKNOWN
    return hash_ if isinstance(hash_, str) else UNKNOWN
