"""
Which responses a cache may give to several people: those must not carry one person's token.
"""

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Final

from cutover.clock import utc_now
from cutover.integrations.carriers import Pair

__all__ = ["NOT_MODIFIED", "is_silent", "may_be_shared"]

NOT_MODIFIED: Final = 304
FOR_CACHES: Final = ("cdn-cache-control", "surrogate-control", "edge-control")


def may_be_shared(status: int, headers: Iterable[Pair]) -> bool:
    """
    Tell whether a response says that caches between server and client may store it (RFC 9111, RFC 9213).

    That is `public`, `s-maxage`, or a lifetime (`max-age`, `Expires`) that is not `private`; the same in headers for
    content delivery networks; and any 304, whose headers replace those of what is stored. A response that says nothing
    counts as not shared: `is_silent`.
    """
    if status == NOT_MODIFIED:
        return True
    own: list[str] = []
    expires = ""
    for name, value in headers:
        small = name.lower()
        if small == "cache-control":
            own.append(value)
        elif small == "expires":
            expires = value
        elif _tells_caches(small, value):
            return True
    return _allows(_directives(",".join(own))) if own else _lies_ahead(expires)


def is_silent(headers: Iterable[Pair]) -> bool:
    """
    Tell whether a response leaves it to the caches whether to store it.
    """
    return not any(name.lower() == "cache-control" for name, _ in headers)


def _tells_caches(name: str, value: str) -> bool:
    if name == "x-accel-expires":
        return value.strip() not in {"0", ""}
    return name.endswith(FOR_CACHES) and _allows(_directives(value))


def _directives(value: str) -> dict[str, str]:
    parts = (part.partition("=") for part in value.lower().split(","))
    return {name.strip(): given.strip().strip('"') for name, _, given in parts}


def _allows(directives: dict[str, str]) -> bool:
    if "no-store" in directives or directives.get("private") == "":  # private="set-cookie" forbids that alone
        return False
    if "public" in directives or "s-maxage" in directives:
        return True
    return directives.get("max-age", "0") != "0" and directives.get("no-cache") != ""  # no-cache="x-name": as private


def _lies_ahead(expires: str) -> bool:
    try:
        return parsedate_to_datetime(expires) > utc_now()
    except (ValueError, TypeError):  # "0" and "-1" are usual, and mean the past; TypeError: a date without a zone
        return False
