"""
Emergency rollbacks: given to the relay itself, whatever its store does.
"""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cutover.core import changes
from cutover.core.canonical import decode
from cutover.core.fields import field
from cutover.core.floor import Emergency
from cutover.core.snapshot import Snapshot
from cutover.errors import ConfigurationError, Corrupt
from cutover.operations.stamp import Stamp, actor_of
from cutover.router.log import log
from cutover.server.answers import Problem, answer
from cutover.server.followed import Followed
from cutover.server.service import Service, holder_of, read_body

__all__ = ["delete_emergencies", "get_emergencies", "put_emergency"]

LARGEST: Final = 64 * 1024  # bytes


async def get_emergencies(service: Service, request: Request) -> Response:
    """
    List the emergency rollbacks that hold.
    """
    return answer(_document(_known(service, request)))


async def put_emergency(service: Service, request: Request) -> Response:
    """
    Hold a flow or journey on OLD at once, until it is lifted; the ledger shows it when the store can be reached.
    """
    relay = service.relay
    body = await read_body(request, LARGEST)
    followed = _known(service, request)
    snapshot = followed.snapshot()
    if snapshot is None:
        raise Problem(422, "refused", "what the relay holds cannot be read by it", details=[])
    try:
        emergency = _emergency(body, snapshot, service)
    except (Corrupt, ConfigurationError, KeyError, TypeError, ValueError) as error:
        raise Problem(400, "invalid", f"the body is no emergency: {error}") from error
    await relay.aside(lambda: followed.give(emergency))
    return answer(_document(followed))


async def delete_emergencies(service: Service, request: Request) -> Response:
    """
    Lift the floor: from then on the dials hold again.

    What the ledger does not show yet would be lost, and is only lifted with ``discard=true``.
    """
    followed = _known(service, request)
    discard = request.query_params.get("discard", "false")
    if discard not in ("true", "false"):
        raise Problem(400, "invalid", "discard is true or false")
    if followed.floors.pending and discard == "false":
        text = "the ledger does not show the rollback yet; when it does, the dials are at 0%, and it can be lifted"
        raise Problem(409, "pending", text)
    log.warning("cutover.floor_lifted", migration=followed.migration, by=holder_of(request).name)
    await service.relay.aside(followed.lift)
    return answer(_document(followed))


def _known(service: Service, request: Request) -> Followed:
    followed = service.relay.followed(request.path_params["migration"])
    if followed is None:
        raise Problem(404, "no_migration", "the relay knows no such migration")
    return followed


def _emergency(body: bytes, snapshot: Snapshot, service: Service) -> Emergency:
    document = decode(body, "the body")
    target = None if document["target"] is None else field(document, "target", str)
    stamp = Stamp.make(
        actor=actor_of(field(document, "actor", str)),
        reason=field(document, "reason", str),
        ticket=document.get("ticket", ""),
    )
    proposal = changes.rollback(snapshot, target)
    return Emergency(
        target=target,
        flows=tuple(proposal.arguments["flows"]),
        actor=stamp.actor,
        reason=stamp.reason,
        ticket=stamp.ticket,
        at=service.relay.now(),
        version=snapshot.version,
    )


def _document(followed: Followed) -> dict[str, Any]:
    return {
        "emergencies": [one.document() for one in followed.floors.emergencies],
        "floor": list(followed.floor),
        "kept": followed.floors.kept,
    }
