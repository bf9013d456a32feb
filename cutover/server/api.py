"""
The endpoints of a relay, as one table that routes, roles and the OpenAPI document are made from.
"""

from collections.abc import Callable
from typing import Final

import attrs

from cutover.server import changes, checkins, health, snapshots
from cutover.server.access import Role
from cutover.server.service import Handle

__all__ = ["OPERATIONS", "Operation"]


@attrs.frozen(kw_only=True)
class Operation:
    """
    One method of one path.

    Attributes:
        role: Who may; None for everybody.
    """

    method: str
    path: str
    role: Role | None
    handle: Handle

    @property
    def summary(self) -> str:
        """
        Say what it does, in the words of the function that does it.
        """
        return (self.handle.__doc__ or "").strip().split("\n\n")[0]


def _make(method: str) -> Callable[[str, Role | None, Handle], Operation]:
    return lambda path, role, handle: Operation(method=method, path=path, role=role, handle=handle)


GET, POST, PUT, DELETE = map(_make, ("GET", "POST", "PUT", "DELETE"))
MIGRATION: Final = "/v1/migrations/{migration}"

OPERATIONS: Final = (
    GET("/v1/store", Role.VIEWER, snapshots.get_store),
    GET("/v1/migrations", Role.VIEWER, snapshots.get_migrations),
    GET(f"{MIGRATION}/snapshot", Role.VIEWER, snapshots.get_snapshot),
    GET(f"{MIGRATION}/changes", Role.VIEWER, changes.get_changes),
    POST(f"{MIGRATION}/changes", Role.OPERATOR, changes.post_change),
    GET(f"{MIGRATION}/fleet", Role.VIEWER, checkins.get_fleet),
    POST(f"{MIGRATION}/check-ins", Role.ROUTER, checkins.post_check_in),
    GET("/healthz", None, health.get_health),
    GET("/readyz", None, health.get_ready),
)
