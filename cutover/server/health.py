"""
Whether the process lives, whether it has anything to serve, and what there is to see and to ask.
"""

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from cutover.server.answers import answer, unavailable
from cutover.server.service import Service

__all__ = ["get_health", "get_metrics", "get_ready"]


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


async def get_metrics(service: Service, request: Request) -> Response:
    """
    Show the relay and the whole fleet, for Prometheus.
    """
    del request
    return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
