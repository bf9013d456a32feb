"""
Canonical JSON: the subset of values on which Python's encoder and RFC 8785 agree.

Objects with ASCII keys, arrays, text without lone surrogates, booleans, null, integers below 2^53. No floats: a
percentage is an integer of parts, a time is text.
"""

import json
from collections import Counter
from typing import Any, Final

from cutover.errors import Corrupt

__all__ = ["LARGEST_INTEGER", "decode", "encode"]

LARGEST_INTEGER: Final = 2**53 - 1
DEEPEST: Final = 32  # what this library writes is 6 deep; whoever walks a document need not fear its depth


def encode(value: object) -> str:
    """
    Write a value as canonical JSON.

    Raises:
        ValueError: If *value* lies outside the subset.
    """
    _check(value, "$")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def decode(text: str | bytes, what: str) -> dict[str, Any]:
    """
    Read one JSON object strictly.

    Args:
        what: What the text is, for the error message.

    Raises:
        Corrupt: If it is no JSON object in UTF-8, is nested too deep, or holds a duplicate key, a float, a large
            integer, a lone surrogate or a key that is not ASCII.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_float=_no_float,
            parse_constant=_no_float,
            parse_int=_small_integer,
        )
        if text.count("[") + text.count("{") > DEEPEST:  # or it cannot be nested deeper
            _check_depth(value)
        if "\\u" in text or not text.isascii():
            _check(value, "$")
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{what} is not valid JSON of this library: {error}") from error
    if not isinstance(value, dict):
        raise Corrupt(f"{what} is not a JSON object but {type(value).__name__}")
    return value


def _check(value: object, where: str) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        value.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
    elif isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise ValueError(f"{where}: {value} is not below 2^53")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise ValueError(f"{where}: the key {key!r} is not ASCII text")
            _check(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{where}[{index}]")
    else:
        raise ValueError(f"{where}: a {type(value).__name__} has no canonical form")


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(DEEPEST):
        parts = (part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list))
        level = [item for part in parts for item in part if isinstance(item, dict | list)]
        if not level:
            return
    raise ValueError(f"it is nested more than {DEEPEST} deep")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {name!r} stands twice")
    return result


def _no_float(text: str) -> float:
    raise ValueError(f"{text} is not an integer")


def _small_integer(text: str) -> int:
    if len(text.lstrip("-")) > len(str(LARGEST_INTEGER)) or abs(int(text)) > LARGEST_INTEGER:
        raise ValueError(f"{text[:24]} is not below 2^53")
    return int(text)
