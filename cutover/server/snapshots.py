"""
Reading: which migrations there are, and what one of them is, at once or as soon as there is something new.
"""

import asyncio
import re
from contextlib import suppress
from functools import lru_cache
from time import monotonic
from typing import Final

import attrs
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from cutover.core.canonical import LARGEST_INTEGER
from cutover.core.instants import format_instant
from cutover.core.snapshot import Head
from cutover.errors import StoreError
from cutover.server.access import Role
from cutover.server.answers import Problem, answer, unavailable
from cutover.server.bodies import etag_of
from cutover.server.followed import Followed
from cutover.server.hub import disconnected
from cutover.server.protocol import GONE
from cutover.server.relay import Relay
from cutover.server.service import Service, may

__all__ = ["LONGEST_WAIT", "get_migrations", "get_snapshot", "get_store", "whole_number"]

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

    def has(self, followed: Followed | None) -> bool:
        """
        Tell whether there is nothing new for this reader.
        """
        if followed is None or followed.held is None:
            return self.seen is None and not self.tag
        if self.tag:
            return self.tag == etag_of(followed)
        return self.seen == followed.held.head and self.floor in (None, followed.floor)


@lru_cache(maxsize=256)
def wanted_by(query: str, tag: str) -> Wanted:
    """
    Read a request; a fleet that waits asks the same, over and over.

    Args:
        tag: The header If-None-Match.

    Raises:
        Problem: If a parameter is wrong.
    """
    parameters = QueryParams(query)
    wait = parameters.get("wait", "0")
    if not SECONDS.fullmatch(wait) or float(wait) > LONGEST_WAIT:
        raise Problem(400, "invalid", f"wait is no number of seconds from 0 to {LONGEST_WAIT:g}")
    floor = parameters.get("floor")
    return Wanted(
        seen=_seen(parameters),
        floor=None if floor is None else tuple(sorted(filter(None, floor.split(",")))),
        tag=tag,
        wait=float(wait),
    )


async def get_migrations(service: Service, request: Request) -> Response:
    """
    Name the migrations.
    """
    del request
    relay = service.relay
    if not relay.has_data:
        raise unavailable("the store was never reached")
    names = sorted(name for name, followed in tuple(relay.migrations.items()) if followed.held is not None)
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
    wanted = wanted_by(request.scope["query_string"].decode("latin-1"), request.headers.get("if-none-match", ""))
    if wanted.wait:
        await _something_new(relay, name, wanted, request)
    followed = relay.followed(name)
    if followed is None and not relay.hub.closing:
        followed = await relay.look(name)
    if followed is None:
        raise Problem(404, "no_migration", "the store has no such migration")
    if wanted.tag and wanted.tag == etag_of(followed):
        return Response(status_code=304, headers={"ETag": wanted.tag})
    return service.bodies.get(followed, wanted.seen, with_secret=may(request, Role.ROUTER))


async def _something_new(relay: Relay, name: str, wanted: Wanted, request: Request) -> None:
    """
    Wait as long as there is nothing new, the reader wants to wait and is there.
    """
    deadline = monotonic() + wanted.wait
    gone: asyncio.Future[None] = request.scope.get(GONE) or asyncio.ensure_future(disconnected(request.receive))
    try:
        while (left := deadline - monotonic()) > 0 and not relay.hub.closing and wanted.has(relay.followed(name)):
            if not relay.has_data:
                raise unavailable("the store was never reached")
            await relay.hub.wait(name, left, gone)
            if gone.done():
                return
    finally:
        if GONE not in request.scope:
            gone.cancel()


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
