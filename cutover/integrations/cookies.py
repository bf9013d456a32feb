"""
Cookies as they stand in headers (RFC 6265): every value of a name, and one line that sets or takes one away.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

__all__ = ["NAME", "cookie_line", "cookies_named"]

NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token of RFC 9110
MOST: Final = 8  # values of one name; a browser sends one for each path and domain that it was set for


def cookies_named(name: str, headers: Iterable[str]) -> list[str]:
    """
    Give the values that a client sent under one name, as they came; at most `MOST` of them.

    Args:
        headers: The values of all `Cookie` headers. Proxies join several by ``;`` or ``,``; both part cookies.
    """
    found: list[str] = []
    for header in headers:
        if name in header:
            found += (match[1] for match in _pattern(name).finditer(header))
    return found[:MOST]


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf'(?:^|[;,])[ \t]*{re.escape(name)}="?([^;,"]*)')


def cookie_line(name: str, value: str, max_age: int, attributes: str) -> str:
    """
    Give the value of a `Set-Cookie` header.

    Args:
        value: Of characters that need no quotes, as a token's are.
        max_age: Seconds; 0 takes the cookie away.
        attributes: Such as ``"; Path=/; Secure"``.
    """
    return f"{name}={value}; Max-Age={max_age}{attributes}"
