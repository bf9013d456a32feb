"""
What a relay's URL says: ``https://:TOKEN@host:port/prefix``.
"""

import os
import re
from typing import Final, Self
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

from cutover.errors import ConfigurationError

__all__ = ["ALLOWED", "RelayAddress"]

ALLOWED: Final = "http://HOST:PORT or https://HOST:PORT, with the token in CUTOVER_TOKEN or as https://:TOKEN@HOST"
TOKEN: Final = re.compile(r"[\x21-\x7e]*")
PORTS: Final = {"http": 80, "https": 443}


@attrs.frozen(kw_only=True)
class RelayAddress:
    """
    Where a relay is, and who asks it.

    Attributes:
        prefix: What stands before each path; empty or such as ``/relay``.
        token: Empty for none.
        authorities: A file of the certificates that sign the relay's; empty for the system's.
    """

    is_secure: bool
    host: str
    port: int
    prefix: str
    token: str = attrs.field(repr=False)
    authorities: str

    @property
    def url(self) -> str:
        """
        Name it without the token.
        """
        scheme = "https" if self.is_secure else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[scheme] else f":{self.port}"
        return f"{scheme}://{host}{port}{self.prefix}"

    @classmethod
    def parse(cls, url: str) -> Self:
        """
        Read a URL; what it leaves out comes from CUTOVER_TOKEN and CUTOVER_TLS_CA.

        Raises:
            ConfigurationError: If it can never work; the message does not show the token.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigurationError(f"the relay's URL cannot be read; allowed: {ALLOWED}") from error
        token = unquote(parts.password or "") or os.environ.get("CUTOVER_TOKEN", "")
        problem = _problem(parts, token)
        if problem or not host:
            raise ConfigurationError(f"the relay's URL {problem or 'names no host'}; allowed: {ALLOWED}")
        return cls(
            is_secure=parts.scheme == "https",
            host=host,
            port=port or PORTS[parts.scheme],
            prefix=parts.path.rstrip("/"),
            token=token,
            authorities=os.environ.get("CUTOVER_TLS_CA", ""),
        )


def _problem(parts: SplitResult, token: str) -> str:
    if parts.query or parts.fragment:
        return "has options, which it does not take"
    if parts.username:
        return "names a user, and a relay knows only tokens"
    if not TOKEN.fullmatch(token):
        return "has a token with characters that no token has"
    return ""
