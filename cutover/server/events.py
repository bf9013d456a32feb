"""
Server-sent events for dashboards: how each migration stands, whenever that changes.

Routers use the long poll. A client that reads slowly gets the latest state and none of those before it.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import attrs
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from cutover.core.fleet import states
from cutover.server.followed import Followed
from cutover.server.hub import EVERYTHING
from cutover.server.relay import Relay
from cutover.server.service import Service

__all__ = ["get_events"]

HEARTBEAT: Final = 10.0  # seconds; also finds out who is gone
HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def get_events(service: Service, request: Request) -> Response:
    """
    Stream how each migration stands, for dashboards.
    """
    del request
    return StreamingResponse(_stream(service.relay), headers=HEADERS, media_type="text/event-stream")


async def _stream(relay: Relay) -> AsyncIterator[str]:
    sent: dict[str, dict[str, Any]] = {}
    yield "retry: 2000\n\n"
    while not relay.hub.closing:
        for name, followed in sorted(relay.migrations.items()):
            state = _state(relay, followed)
            if state is not None and state != sent.get(name):
                sent[name] = state
                yield f"event: state\ndata: {json.dumps(state, ensure_ascii=False)}\n\n"
        if not await relay.hub.wait(EVERYTHING, HEARTBEAT):
            yield ": heartbeat\n\n"


def _state(relay: Relay, followed: Followed) -> dict[str, Any] | None:
    held, fleet = followed.held, followed.fleet
    if held is None:
        return None
    found = {} if fleet is None else states(fleet, held.head, now=relay.now())
    return {
        "migration": followed.migration,
        "head": attrs.asdict(held.head),
        "floor": list(followed.floor),
        "store_up": followed.store_up,
        "instances": dict(sorted(Counter(state.value for state in found.values()).items())),
    }
