"""
Check-ins of routers, and what the store made of them.
"""

import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cutover.core.canonical import decode, encode
from cutover.core.checkin import CheckIn, Fleet, totals_document
from cutover.core.fields import field
from cutover.core.instants import parse_instant
from cutover.errors import Corrupt
from cutover.server.answers import Problem, answer, unavailable
from cutover.server.service import Service, read_body

__all__ = ["LARGEST_CHECK_IN", "fleet_document", "get_fleet", "post_check_in"]

LARGEST_CHECK_IN: Final = 1024 * 1024  # bytes
INSTANCE: Final = re.compile(r"[0-9a-f]{32}")


async def post_check_in(service: Service, request: Request) -> Response:
    """
    Take a report, dated by the store's clock.

    While the store is away it is refused at once: the router keeps its totals, and sends them again.
    """
    relay, name = service.relay, request.path_params["migration"]
    body = await read_body(request, LARGEST_CHECK_IN)
    try:
        document = decode(body, "the body")
        report = CheckIn.decode(encode(field(document, "report", dict)))
        now = parse_instant(field(document, "now", str)) if relay.trusting else relay.now()
    except (Corrupt, KeyError, TypeError, ValueError) as error:
        raise Problem(400, "invalid", f"the body is no check-in: {error}") from error
    if not relay.trusting and not INSTANCE.fullmatch(report.instance):
        raise Problem(400, "invalid", "the instance is not 128 bits in hex")
    followed = relay.followed(name)
    if followed is None and not relay.trusting:
        raise Problem(404, "no_migration", "the relay knows no such migration")
    if followed is not None and not followed.store_up:
        raise unavailable("the store is away; nothing was booked")
    await relay.call(lambda: relay.store.check_in(name, report, now=now), writes=True)
    return Response(status_code=204)


async def get_fleet(service: Service, request: Request) -> Response:
    """
    Give what is known of the processes of a migration.
    """
    relay, name = service.relay, request.path_params["migration"]
    fleet = await relay.call(lambda: relay.store.fleet(name))
    return answer(fleet_document(fleet))


def fleet_document(fleet: Fleet) -> dict[str, Any]:
    """
    Give a fleet as one JSON object.
    """
    return {
        "instances": [decode(report.encode(), "the check-in") for report in fleet.instances],
        "minutes": {str(number): totals_document(totals) for number, totals in fleet.minutes.items()},
        "hours": {str(number): totals_document(totals) for number, totals in fleet.hours.items()},
    }
