"""
What a URL of a Redis or Valkey server says.
"""

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

import attrs
from redis.connection import Connection, parse_url
from redis.exceptions import RedisError

from cutover.engines.redaction import redacted
from cutover.errors import ConfigurationError

__all__ = ["Link", "Target"]

PREFIX: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
DATABASE: Final = re.compile(r"/?|/[0-9]{1,5}")
DEFAULT_PREFIX: Final = "cutover"
DEFAULT_PORT: Final = 6379
TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
ALLOWED: Final = (
    "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE][?prefix=NAME], with '@', '/', '?' and '%' in a password escaped "
    f"as %40, %2F, %3F and %25; with rediss:// also {', '.join(sorted(TLS_OPTIONS))}"
)

Link: TypeAlias = Any  # the driver's connection, whose methods have no types

DRIVERS_PARSER: Final[Callable[[str], dict[str, Any]]] = parse_url


@attrs.frozen(kw_only=True)
class Target:
    """
    Where a store is and how it is reached.

    Attributes:
        url: Without credentials and options, apart from a prefix of its own.
        kind: What a connection is made with.
    """

    url: str
    prefix: str
    kind: Callable[..., Link] = attrs.field(repr=False)
    options: dict[str, Any] = attrs.field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "Target":
        """
        Read a URL. Nothing is connected.

        Raises:
            ConfigurationError: If it can never work.
        """
        try:
            return cls._parse(url)
        except (ValueError, TypeError, RedisError) as error:
            wrong = f"the store {redacted(url)!r} cannot be opened"
            raise ConfigurationError(f"{wrong}: {error}; allowed: {ALLOWED}") from None

    @classmethod
    def _parse(cls, url: str) -> "Target":
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        prefix = given.pop("prefix", DEFAULT_PREFIX)
        _check(parts, prefix)
        unknown = given.keys() - (TLS_OPTIONS if parts.scheme == "rediss" else set())
        if unknown:
            raise ValueError(f"unknown options {', '.join(sorted(unknown))}")
        options = DRIVERS_PARSER(urlunsplit(parts._replace(query=urlencode(given))))
        kind = options.pop("connection_class", Connection)
        if parts.scheme == "rediss":  # older drivers do not compare the name unless they are told to
            options.setdefault("ssl_check_hostname", given.get("ssl_cert_reqs") != "none")
        kind(**options)  # a wrong value shows here, not at the first use
        return cls(url=_shown(parts, prefix), prefix=prefix, kind=kind, options=options)


def _check(parts: SplitResult, prefix: str) -> None:
    if not parts.hostname or parts.fragment:
        raise ValueError("it has a fragment" if parts.hostname else "it names no host")
    parts.hostname.encode("idna")
    if not DATABASE.fullmatch(parts.path):
        raise ValueError("the database is no number")
    if not _has_port(parts):
        raise ValueError("the port is no number below 65536")
    if not PREFIX.fullmatch(prefix):
        raise ValueError("the prefix is not made of 1 to 64 letters, digits, '.', '_', ':' and '-'")


def _has_port(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:  # its message would show what may be a part of a password
        return False


def _shown(parts: SplitResult, prefix: str) -> str:
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    database = parts.path.strip("/") or "0"
    option = "" if prefix == DEFAULT_PREFIX else f"?prefix={prefix}"
    return f"{parts.scheme}://{host}:{parts.port or DEFAULT_PORT}/{database}{option}"
