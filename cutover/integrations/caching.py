"""
Which responses a cache may give to several people: those must not carry one person's token.
"""

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Final

from cutover.clock import utc_now
from cutover.integrations.carriers import Pair

__all__ = ["NOT_MODIFIED", "is_private", "may_be_shared"]

NOT_MODIFIED: Final = 304
FOR_CACHES: Final = ("cdn-cache-control", "surrogate-control", "edge-control")
LIFETIMES: Final = ("max-age", "stale-while-revalidate", "stale-if-error")  # the others: RFC 5861


def may_be_shared(status: int, headers: Iterable[Pair]) -> bool:
    """
    Tell whether a response says that caches between server and client may give it to others (RFC 9111, RFC 9213).

    That is `public`, `s-maxage`, or a lifetime (`max-age`, `Expires`, `stale-while-revalidate`) that is not `private`;
    the same in headers for content delivery networks; and any 304, whose headers replace those of what is stored. A
    response that says nothing of the kind counts as not shared, and may be stored all the same: `is_private`.
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
    return _allows(_directives(",".join(own)), expires)


def is_private(headers: Iterable[Pair]) -> bool:
    """
    Tell whether a response forbids caches between server and client to store it.

    Any other may be stored, one with `no-cache` too: it is given to others, with its cookies, as soon as the server has
    answered the cache with a 304.
    """
    return _forbids(_directives(",".join(value for name, value in headers if name.lower() == "cache-control")))


def _tells_caches(name: str, value: str) -> bool:
    if name == "x-accel-expires":
        return value.strip() not in {"0", ""}
    return name.endswith(FOR_CACHES) and _allows(_directives(value))


def _directives(value: str) -> dict[str, str]:
    parts = (part.partition("=") for part in value.lower().split(","))
    return {name.strip(): given.strip().strip('"') for name, _, given in parts}


def _forbids(directives: dict[str, str]) -> bool:
    return "no-store" in directives or directives.get("private") == ""  # private="set-cookie" forbids that alone


def _allows(directives: dict[str, str], expires: str = "") -> bool:
    if _forbids(directives):
        return False
    if "public" in directives or "s-maxage" in directives:
        return True
    if directives.get("no-cache") == "":  # no-cache="x-name": as private
        return False
    if any(directives.get(name, "0") != "0" for name in LIFETIMES):
        return True
    return "max-age" not in directives and _lies_ahead(expires)  # max-age counts before Expires


def _lies_ahead(expires: str) -> bool:
    try:
        return parsedate_to_datetime(expires) > utc_now()
    except (ValueError, TypeError):  # "0" and "-1" are usual, and mean the past; TypeError: a date without a zone
        return False
