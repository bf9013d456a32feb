"""
What a write is given, as it is kept: keys and arguments as JSON, so that a later process can make the same call.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from cutover.core.bucketing import well_formed
from cutover.errors import ConfigurationError

__all__ = ["decoded_arguments", "decoded_key", "encoded_arguments", "encoded_key", "lane_of"]

LANE_BYTES: Final = 16
LONGEST_KEY: Final = 1000
LARGEST: Final = 1_000_000  # characters of arguments
DEEPEST: Final = 100
BITS: Final = 14_000  # of an int; Python reads no more than 4,300 digits
KEYS: Final = f"text of 1 to {LONGEST_KEY} characters, an int or a UUID"
RESERVED: Final = ("sequence", "side", "outbox", "home", "cohort")


def encoded_key(key: object) -> str:
    """
    Give a key as JSON; a UUID is the same as its text.

    Raises:
        ConfigurationError: If it is none by which writes can be put in order.
    """
    if isinstance(key, str | UUID) and not issubclass(type(key), str):
        key = str(key)  # also of a lazy proxy, which says that it is text
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise ConfigurationError(f"the key is of the type {type(key).__name__}; allowed: {KEYS}")
    if (
        key == ""
        or (isinstance(key, str) and len(key) > LONGEST_KEY)
        or (isinstance(key, int) and abs(key) >= 1 << 512)
    ):
        raise ConfigurationError(f"the key is empty or too long; allowed: {KEYS}")
    return json.dumps(str.__str__(key) if isinstance(key, str) else int(key))


def decoded_key(text: str) -> str | int:
    """
    Give back a key.
    """
    key: str | int = json.loads(text)
    return key


def lane_of(key: str | int) -> str:
    """
    Give the digest of a key by which its writes are kept in order: an int is the same as its text, as in bucketing.
    """
    return blake2b(well_formed(str(key)), digest_size=LANE_BYTES).hexdigest()


def encoded_arguments(args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    """
    Give a call's arguments as JSON. Read back they are equal: what would come back as something else is refused.

    Raises:
        ConfigurationError: If one is no JSON value: which one, and of what type. Its value is not shown.
    """
    for name in RESERVED:
        if name in kwargs:
            raise ConfigurationError(f"the argument {name!r} has a meaning of its own; give it another name")
    for place, value in (*enumerate(args, 1), *kwargs.items()):
        _check(value, f"argument {place!r}" if isinstance(place, str) else f"argument {place}", DEEPEST)
    text = json.dumps([list(args), dict(kwargs)], allow_nan=False, separators=(",", ":"))
    if len(text) > LARGEST:
        raise ConfigurationError(f"the arguments have {len(text):,} characters as JSON; allowed: up to {LARGEST:,}")
    return text


def decoded_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """
    Give back a call's arguments.
    """
    args, kwargs = json.loads(text)
    return args, kwargs


def _check(value: object, place: str, deep: int) -> None:
    # By exact type: a str enum or a named tuple would come back as something else than it went in.
    if value is None or type(value) in (str, bool):
        return
    if type(value) is int:
        if value.bit_length() > BITS:
            raise ConfigurationError(f"{place} holds an int of {value.bit_length():,} bits; allowed: up to {BITS:,}")
        return
    if type(value) is float and value - value == 0:
        return
    if deep and type(value) is list:
        for item in value:
            _check(item, place, deep - 1)
        return
    if deep and type(value) is dict and all(type(name) is str for name in value):
        for item in value.values():
            _check(item, place, deep - 1)
        return
    allowed = "None, bool, int, finite float, str, list, and dict with str keys"
    raise ConfigurationError(f"{place} holds a {type(value).__name__} that is no JSON value; allowed: {allowed}")
