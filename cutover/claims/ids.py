"""
What things are called: their kinds and ids, and a digest that stands for many of them.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final, cast
from uuid import UUID

from cutover.core.backend import Backend, side_of
from cutover.core.defined import NAME, NAME_RULE
from cutover.errors import ConfigurationError

__all__ = ["Id", "backend_in", "checked_keep", "digest_of", "id_bytes", "kind_in", "parse_ids", "pieces"]

Id = str | int | UUID | bytes

LONGEST: Final = 512  # bytes
ALLOWED: Final = f"text, int, UUID or bytes, of 1 to {LONGEST} bytes in UTF-8"
SIDES: Final[Mapping[object, Backend]] = {side.value: side for side in Backend}
SHORTEST_KEEP: Final = timedelta(milliseconds=1)
LONGEST_KEEP: Final = timedelta(days=36_525)
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def kind_in(kind: object) -> str:
    """
    Check the name of a kind.

    Raises:
        ConfigurationError: If it is none.
    """
    if not isinstance(kind, str) or not NAME.fullmatch(kind):
        raise ConfigurationError(f"the kind is {kind!r:.100}; allowed: {NAME_RULE}, such as order")
    return kind


def id_bytes(given: object) -> bytes:
    """
    Give what stands for an id: an int and a UUID are the same as their text, bytes are as they are.

    Raises:
        ConfigurationError: If it is no id. The message does not show it.
    """
    data = _bytes_of(given)
    if not 1 <= len(data) <= LONGEST:
        raise ConfigurationError(f"the id has {len(data)} bytes; allowed: {ALLOWED}")
    return data


def backend_in(given: object) -> Backend:
    """
    Read a side.

    Raises:
        ConfigurationError: If it is none.
    """
    side = side_of(given, SIDES)
    if side is None:
        raise ConfigurationError(f"the side is {given!r:.100}; allowed: a Backend, 'old' or 'new'")
    return side


def checked_keep(keep: Mapping[str, timedelta] | None) -> dict[str, timedelta]:
    """
    Check how long homes of each kind hold, and copy it.

    Raises:
        ConfigurationError: If a kind or a time is none.
    """
    if not isinstance(keep, Mapping | None):
        raise ConfigurationError(f"keep is {keep!r:.100}; allowed: times by kind, as {{'cart': timedelta(days=30)}}")
    kept = dict(keep or {})
    for kind, time in kept.items():
        kind_in(kind)
        if not isinstance(time, timedelta) or not SHORTEST_KEEP <= time <= LONGEST_KEEP:
            wrong = f"homes of the kind {kind} are kept for {time!r:.100}"
            raise ConfigurationError(f"{wrong}; allowed: a timedelta from a millisecond to a hundred years")
    return kept


def parse_ids(content: bytes) -> list[bytes]:
    """
    Read ids, one a line; empty lines are passed over, and what stands twice counts once.

    Raises:
        ConfigurationError: If a line is no id: which one. The message does not show it.
    """
    ids: dict[bytes, None] = {}
    for number, line in enumerate(content.removeprefix(BYTE_ORDER_MARK).split(b"\n"), 1):
        data = line.removesuffix(b"\r")
        if data:
            ids[_checked_line(number, data)] = None
    return list(ids)


def digest_of(ids: Iterable[bytes]) -> str:
    """
    Give the SHA-256 of ids, sorted by their bytes, each with a line feed behind it: what ``LC_ALL=C sort -u`` makes of
    a file of them.
    """
    return hashlib.sha256(b"".join(id_ + b"\n" for id_ in sorted(set(ids)))).hexdigest()


def pieces(ids: Sequence[bytes], size: int) -> Iterable[Sequence[bytes]]:
    """
    Cut ids into pieces, in their order.
    """
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _checked_line(number: int, data: bytes) -> bytes:
    try:
        return id_bytes(data.decode())
    except UnicodeDecodeError:
        raise ConfigurationError(f"line {number} is not UTF-8; allowed: one id a line") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"line {number}: {error}") from None


def _bytes_of(given: object) -> bytes:
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, bool) or not isinstance(given, str | int | UUID):
        raise ConfigurationError(f"the id is of the type {type(given).__name__}; allowed: {ALLOWED}")
    try:
        # A lazy proxy of text says that it is text, and only its `str` is.
        return str.encode(cast("str", given) if issubclass(type(given), str) else str(given))
    except UnicodeEncodeError:
        raise ConfigurationError(f"the id holds a lone surrogate; allowed: {ALLOWED}") from None
    except ValueError:  # an int with more digits than Python writes
        raise ConfigurationError(f"the id is too long; allowed: {ALLOWED}") from None
