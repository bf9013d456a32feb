"""
The endpoints of a relay, as one table that routes, roles and the OpenAPI document are made from.
"""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from cutover.server import changes, checkins, emergencies, events, health, snapshots
from cutover.server.access import Role
from cutover.server.schemas import Schema
from cutover.server.service import Handle

__all__ = ["OPERATIONS", "Operation", "Parameter"]

MIGRATION: Final = "/v1/migrations/{migration}"
WHOLE: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}
FROM_ONE: Final[Schema] = {**WHOLE, "minimum": 1}
HASH: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
TAG: Final[Schema] = {"type": "string"}
FLOWS: Final[Schema] = {"type": "string", "pattern": "^[a-z0-9._,-]*$"}
DISCARD: Final[Schema] = {"type": "string", "enum": ["true", "false"]}
WAIT: Final[Schema] = {"type": "number", "minimum": 0, "maximum": snapshots.LONGEST_WAIT, "multipleOf": 0.001}


@attrs.frozen(kw_only=True)
class Parameter:
    """
    One parameter besides the path's.

    Attributes:
        schema: As in JSON Schema.
        place: query or header.
    """

    name: str
    text: str
    schema: Mapping[str, Any]
    place: str = "query"


@attrs.frozen(kw_only=True)
class Operation:
    """
    One method of one path.

    Attributes:
        role: Who may; None for everybody.
        result: The name of the answer's schema, where that is an object; else its media type, or empty for no body.
        body: The name of the body's schema; empty for none.
        success: The status of a success.
        failures: Other statuses than 401, 403 and those of a path that names a migration.
    """

    method: str = "GET"
    path: str
    role: Role | None
    handle: Handle
    result: str
    body: str = ""
    success: int = 200
    parameters: tuple[Parameter, ...] = ()
    failures: tuple[int, ...] = ()

    @property
    def summary(self) -> str:
        """
        Say what it does, in the words of the function that does it.
        """
        return " ".join((self.handle.__doc__ or "").strip().split("\n\n")[0].split())


OPERATIONS: Final = (  # what is asked most stands first: routes are looked through in this order
    Operation(
        path=f"{MIGRATION}/snapshot",
        role=Role.VIEWER,
        handle=snapshots.get_snapshot,
        result="Snapshot",
        parameters=(
            Parameter(name="epoch", text="What the reader runs; with version and hash", schema=FROM_ONE),
            Parameter(name="version", text="What the reader runs; with epoch and hash", schema=FROM_ONE),
            Parameter(name="hash", text="What the reader runs; with epoch and version", schema=HASH),
            Parameter(name="floor", text="The flows that the reader holds on OLD, with commas", schema=FLOWS),
            Parameter(name="wait", text="Seconds to wait for something new", schema=WAIT),
            Parameter(name="If-None-Match", text="An ETag that was answered", schema=TAG, place="header"),
        ),
        failures=(304, 400, 503),
    ),
    Operation(path="/v1/store", role=Role.VIEWER, handle=snapshots.get_store, result="Store"),
    Operation(
        path="/v1/migrations",
        role=Role.VIEWER,
        handle=snapshots.get_migrations,
        result="Migrations",
        failures=(503,),
    ),
    Operation(
        path=f"{MIGRATION}/changes",
        role=Role.VIEWER,
        handle=changes.get_changes,
        result="Changes",
        parameters=(Parameter(name="after", text="Only versions above this", schema=WHOLE),),
        failures=(400, 503),
    ),
    Operation(
        method="POST",
        path=f"{MIGRATION}/changes",
        role=Role.OPERATOR,
        handle=changes.post_change,
        body="Write",
        result="Written",
        success=201,
        failures=(400, 408, 409, 413, 422, 503),
    ),
    Operation(path=f"{MIGRATION}/fleet", role=Role.VIEWER, handle=checkins.get_fleet, result="Fleet", failures=(503,)),
    Operation(
        method="POST",
        path=f"{MIGRATION}/check-ins",
        role=Role.ROUTER,
        handle=checkins.post_check_in,
        body="CheckIn",
        result="",
        success=204,
        failures=(400, 408, 413, 503),
    ),
    Operation(
        path=f"{MIGRATION}/emergency", role=Role.VIEWER, handle=emergencies.get_emergencies, result="Emergencies"
    ),
    Operation(
        method="PUT",
        path=f"{MIGRATION}/emergency",
        role=Role.OPERATOR,
        handle=emergencies.put_emergency,
        body="Emergency",
        result="Emergencies",
        failures=(400, 408, 413, 422, 503),
    ),
    Operation(
        method="DELETE",
        path=f"{MIGRATION}/emergency",
        role=Role.ADMIN,
        handle=emergencies.delete_emergencies,
        result="Emergencies",
        parameters=(Parameter(name="discard", text="Also what the ledger does not show yet", schema=DISCARD),),
        failures=(400, 409),
    ),
    Operation(path="/v1/events", role=Role.VIEWER, handle=events.get_events, result="text/event-stream"),
    Operation(path="/metrics", role=Role.VIEWER, handle=health.get_metrics, result="text/plain"),
    Operation(path="/healthz", role=None, handle=health.get_health, result="Health"),
    Operation(path="/readyz", role=None, handle=health.get_ready, result="Health", failures=(503,)),
)
