"""
From ``postgresql://`` URLs to what the driver is given. What is not an option of the store is libpq's.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import attrs
import psycopg
from psycopg.conninfo import conninfo_to_dict

from cutover.errors import ConfigurationError

__all__ = ["Address", "parse"]

ALLOWED: Final = (
    "postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE, with ?schema=NAME, ?notify=off and the options of libpq; "
    "reserved characters percent-encoded"
)
SCHEMA: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
PORT: Final = re.compile(r"[0-9]{1,5}")
HIGHEST_PORT: Final = 65_535
DEFAULTS: Final[Mapping[str, object]] = {
    "connect_timeout": 2,  # seconds; the least that the driver takes
    "keepalives_idle": 10,  # a peer that is gone is noticed in half a minute, not in two hours
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "cutover",
    "client_encoding": "utf8",
}


@attrs.frozen(kw_only=True)
class Address:
    """
    Where a store is.

    Attributes:
        shown: The URL without credentials.
        parameters: What the driver connects with.
        schema: The schema that holds the tables, and the channel that changes are announced on.
        notify: Whether to listen for changes; polling alone does as well, more slowly.
    """

    shown: str
    parameters: Mapping[str, Any] = attrs.field(repr=False)
    schema: str
    notify: bool


def parse(url: str) -> Address:
    """
    Read a URL. Nothing is looked up or connected to.

    Raises:
        ConfigurationError: If it can never work. The message shows no credentials.
    """
    base, _, query = url.partition("?")
    user, at, _ = base.partition("//")[2].rpartition("@")
    if at and not {"/", "@"}.isdisjoint(user):  # libpq would take a part of the password for the host, and show it
        raise _unreadable()
    options = dict(parse_qsl(query, keep_blank_values=True))
    schema, notify = options.pop("schema", "cutover"), options.pop("notify", "on")
    if not SCHEMA.fullmatch(schema):
        raise ConfigurationError(
            f"the schema {schema!r} is not valid; allowed: a-z, 0-9 and '_', not beginning with pg_"
        )
    if notify not in {"on", "off"}:
        raise ConfigurationError(f"notify={notify!r} is not valid; allowed: on, off")
    rest = f"{base}?{urlencode(options, quote_via=quote)}" if options else base
    try:
        parameters = conninfo_to_dict(rest)
    except psycopg.Error:  # without its text, which may show a part of the password
        raise _unreadable() from None
    if not all(map(_is_port, _ports(parameters))):
        raise ConfigurationError(f"a port of the PostgreSQL URL is no number below 65536; allowed: {ALLOWED}")
    shown = _shown(parameters, schema)
    return Address(shown=shown, parameters={**DEFAULTS, **parameters}, schema=schema, notify=notify == "on")


def _unreadable() -> ConfigurationError:
    return ConfigurationError(f"the PostgreSQL URL cannot be read; allowed: {ALLOWED}")


def _ports(parameters: Mapping[str, Any]) -> list[str]:
    return str(parameters.get("port") or "").split(",")


def _is_port(text: str) -> bool:
    return not text or (PORT.fullmatch(text) is not None and 0 < int(text) <= HIGHEST_PORT)  # libpq has a default


def _shown(parameters: Mapping[str, Any], schema: str) -> str:
    hosts = str(parameters.get("host") or parameters.get("hostaddr") or "").split(",")
    ports = _ports(parameters)
    ports *= len(hosts) if len(ports) == 1 else 1
    pairs = (_pair(host, port) for host, port in zip(hosts, ports, strict=False))
    suffix = "" if schema == "cutover" else f"?schema={schema}"
    return f"postgresql://{','.join(pairs)}/{quote(str(parameters.get('dbname') or ''))}{suffix}"


def _pair(host: str, port: str) -> str:
    name = f"[{host}]" if ":" in host else quote(host, safe="")
    return f"{name}:{port}" if port else name
