"""
Reading: which migrations there are, and what one of them is, at once or as soon as there is something new.
"""

import re
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import attrs
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from cutover.core.canonical import LARGEST_INTEGER, encode
from cutover.core.instants import format_instant
from cutover.core.snapshot import Head
from cutover.errors import StoreError
from cutover.server.access import Role
from cutover.server.answers import Problem, answer, unavailable
from cutover.server.mirror import Mirror
from cutover.server.service import Service, may

__all__ = ["LONGEST_WAIT", "etag_of", "get_migrations", "get_snapshot", "get_store", "whole_number"]

LONGEST_WAIT: Final = 30.0  # seconds; shorter than the patience of what stands between
HASH: Final = re.compile(r"[0-9a-f]{64}")
SECONDS: Final = re.compile(r"\d{1,2}(\.\d{1,6})?", re.ASCII)


@attrs.frozen(kw_only=True)
class Wanted:
    """
    What a reader says of itself.

    Attributes:
        seen: What it runs.
        floor: The flows that it holds on OLD for this relay; None if it does not say.
        tag: What it would not have again: an ETag.
    """

    seen: Head | None
    floor: tuple[str, ...] | None
    tag: str
    wait: float

    @classmethod
    def of(cls, request: Request) -> "Wanted":
        """
        Read a request.

        Raises:
            Problem: If a parameter is wrong.
        """
        query = request.query_params
        wait = query.get("wait", "0")
        if not SECONDS.fullmatch(wait) or float(wait) > LONGEST_WAIT:
            raise Problem(400, "invalid", f"wait is no number of seconds from 0 to {LONGEST_WAIT:g}")
        floor = query.get("floor")
        return cls(
            seen=_seen(query),
            floor=None if floor is None else tuple(sorted(filter(None, floor.split(",")))),
            tag=request.headers.get("if-none-match", ""),
            wait=float(wait),
        )

    def has(self, mirror: Mirror | None) -> bool:
        """
        Tell whether there is nothing new for this reader.
        """
        if mirror is None or mirror.held is None:
            return self.seen is None and not self.tag
        if self.tag:
            return self.tag == etag_of(mirror)
        return self.seen == mirror.held.head and self.floor in (None, mirror.floor)


async def get_migrations(service: Service, request: Request) -> Response:
    """
    Name the migrations.
    """
    del request
    relay = service.relay
    if not relay.has_data:
        raise unavailable("the store was never reached")
    names = sorted(name for name, mirror in tuple(relay.mirrors.items()) if mirror.held is not None)
    if relay.store_up:
        with suppress(StoreError):  # it went away just now, and what is known is still true
            names = list(await relay.call(relay.store.migrations))
    return answer({"migrations": names})


async def get_store(service: Service, request: Request) -> Response:
    """
    Describe the store behind.
    """
    del request
    relay = service.relay
    return answer(
        {
            "url": relay.store.url,
            "durability": relay.store.durability.value,
            "store_up": relay.store_up,
            "now": format_instant(relay.now()),
        }
    )


async def get_snapshot(service: Service, request: Request) -> Response:
    """
    Read one migration; wait for something new first, if that is asked.
    """
    relay, name = service.relay, request.path_params["migration"]
    wanted = Wanted.of(request)
    deadline = monotonic() + wanted.wait
    while (left := deadline - monotonic()) > 0 and not relay.hub.closing and wanted.has(relay.mirror(name)):
        if not relay.has_data:
            raise unavailable("the store was never reached")
        if not await relay.hub.wait(name, left, request.receive):
            break
    mirror = relay.mirror(name)
    if mirror is None and not relay.hub.closing:
        mirror = await relay.look(name)
    if mirror is None:
        raise Problem(404, "no_migration", "the store has no such migration")
    if wanted.tag and wanted.tag == etag_of(mirror):
        return Response(status_code=304, headers={"ETag": wanted.tag})
    body = _body(mirror, wanted.seen, with_secret=may(request, Role.ROUTER))
    headers = {"ETag": etag_of(mirror), "Cache-Control": "no-cache"}
    return Response(body, headers=headers, media_type="application/json")


def etag_of(mirror: Mirror) -> str:
    """
    Tell states apart for HTTP caches.
    """
    held = mirror.held
    if held is None:
        return '""'
    floor = "".join(f"-{flow}" for flow in mirror.floor)
    return f'"{held.head.epoch}-{held.head.version}-{held.head.hash}{floor}"'


def whole_number(query: QueryParams, name: str, *, least: int, default: str) -> int:
    """
    Read a parameter that is a number.

    Raises:
        Problem: If it is another thing.
    """
    text = query.get(name, default)
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_INTEGER)) and int(text) >= least):
        raise Problem(400, "invalid", f"{name} is no number from {least}")
    return int(text)


def _seen(query: QueryParams) -> Head | None:
    if not query.keys() & {"epoch", "version", "hash"}:
        return None
    hash_ = query.get("hash", "")
    if not HASH.fullmatch(hash_):
        raise Problem(400, "invalid", "a reader names epoch, version and hash; the hash is 64 hex digits")
    epoch, version = (whole_number(query, name, least=1, default="") for name in ("epoch", "version"))
    return Head(epoch, version, hash_)


def _body(mirror: Mirror, seen: Head | None, *, with_secret: bool) -> bytes:
    """
    Put the answer together around the document, which is encoded already.
    """
    held = mirror.held
    assert held is not None
    confirmed = mirror.confirmed_at
    small: dict[str, Any] = {
        "migration": mirror.migration,
        "head": attrs.asdict(held.head),
        "ancestor": None if seen is None else held.hash_at(seen.version),
        "floor": list(mirror.floor),
        "age_ms": round(mirror.age() * 1000),
        "confirmed_at": None if confirmed is None else format_instant(confirmed),
    }
    if with_secret and held.secret is not None:
        small["secret"] = held.secret.hex()
    text = encode(small).encode()
    return text if seen == held.head else text[:-1] + b',"document":' + held.encoded + b"}"
