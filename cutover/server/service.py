"""
What every endpoint works with.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from cutover.operations.mirroring import Mirrors
from cutover.server.access import Access, Role, Token
from cutover.server.answers import Problem
from cutover.server.bodies import Bodies
from cutover.server.metrics import RelayMetrics
from cutover.server.relay import Relay

__all__ = ["Handle", "Service", "holder_of", "read_body"]

BODY_PATIENCE: Final = 30.0  # seconds


@attrs.frozen(kw_only=True)
class Service:
    """
    The parts of one application.

    Attributes:
        mirrors: What either side lacks of mirrored writes, which changes have to wait for.
    """

    relay: Relay
    access: Access
    metrics: RelayMetrics
    mirrors: Mirrors
    bodies: Bodies = attrs.field(factory=Bodies)


Handle = Callable[[Service, Request], Awaitable[Response]]


def holder_of(request: Request) -> Token:
    """
    Give the token that a request was admitted with.
    """
    holder: Token = request.scope["cutover.holder"]
    return holder


def may(request: Request, role: Role) -> bool:
    """
    Tell whether a request's token allows what a role may do.
    """
    return holder_of(request).role >= role


async def read_body(request: Request, most: int) -> bytes:
    """
    Read a whole body of at most so many bytes, in a time that a slow line needs.

    Raises:
        Problem: If it is larger, or takes longer.
    """
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            return await _read(request, most)
    except TimeoutError as error:
        raise Problem(408, "too_slow", "the body did not come in time", headers={"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise Problem(400, "invalid", "the client went away") from error


async def _read(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def _too_large(most: int) -> Problem:
    text = f"the body is too large; allowed: {most} bytes"
    return Problem(413, "too_large", text, headers={"Connection": "close"})
