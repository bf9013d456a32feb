"""
Move a running business from one back end to another, flow by flow, without its users noticing.

    router = cutover.connect("sqlite:///cutover.db")
    pay = router.flow("pay")
    pay.route("user-42")  # Backend.OLD or Backend.NEW

Applications need `connect`; operators `control`, or the command line.
"""

from typing import TYPE_CHECKING, Any

from cutover.core.backend import Backend, Decision, Reason
from cutover.core.migration import Migration
from cutover.errors import (
    ConfigurationError,
    Conflict,
    Corrupt,
    CutoverError,
    OutcomeUnknown,
    Refused,
    StoreError,
    Unavailable,
)
from cutover.router.connect import connect
from cutover.router.flow import Flow
from cutover.router.journey import Journey
from cutover.router.router import Router
from cutover.router.visits import Visit
from cutover.version import VERSION as __version__  # noqa: N811 - the name that tools look for

if TYPE_CHECKING:
    from cutover.claims.homes import Homes, homes
    from cutover.operations.control import control

__all__ = [
    "Backend",
    "ConfigurationError",
    "Conflict",
    "Corrupt",
    "CutoverError",
    "Decision",
    "Flow",
    "Homes",
    "Journey",
    "Migration",
    "OutcomeUnknown",
    "Reason",
    "Refused",
    "Router",
    "StoreError",
    "Unavailable",
    "Visit",
    "__version__",
    "connect",
    "control",
    "homes",
]


def __getattr__(name: str) -> Any:
    if name == "control":  # an application that only routes does not load the operators' side
        from cutover.operations.control import control  # noqa: PLC0415

        return control
    if name in {"Homes", "homes"}:  # nor the engines of homes
        from cutover.claims import homes  # noqa: PLC0415

        return getattr(homes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
