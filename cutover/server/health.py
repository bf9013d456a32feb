"""
Whether the process lives, and whether it has anything to serve.
"""

from starlette.requests import Request
from starlette.responses import Response

from cutover.server.answers import answer, unavailable
from cutover.server.service import Service

__all__ = ["get_health", "get_ready"]


async def get_health(service: Service, request: Request) -> Response:
    """
    Say that the process lives.
    """
    del service, request
    return answer({"status": "alive"})


async def get_ready(service: Service, request: Request) -> Response:
    """
    Say that there is something to serve, however old it is: one that is restarted would have nothing newer.
    """
    del request
    if not service.relay.has_data or service.relay.hub.closing:
        raise unavailable("the store was never reached, or the relay is ending")
    return answer({"status": "ready", "store_up": service.relay.store_up})
