"""
Move a running business from one back end to another, flow by flow, without its users noticing.

    router = cutover.connect("sqlite:///cutover.db")
    pay = router.flow("pay")
    pay.route("user-42")  # Backend.OLD or Backend.NEW

Applications need `connect`; operators `control`, or the command line.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from cutover.core.backend import Backend, Decision, Reason
from cutover.core.migration import Migration
from cutover.core.snapshot import Snapshot
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
from cutover.router.request import Request
from cutover.router.router import Router
from cutover.router.visits import Visit
from cutover.version import VERSION as __version__  # noqa: N811 - the name that tools look for

if TYPE_CHECKING:
    from cutover.claims.homes import Homes, homes
    from cutover.core.ledger import Change
    from cutover.operations.control import Control, control

__all__ = [
    "Backend",
    "Change",
    "ConfigurationError",
    "Conflict",
    "Control",
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
    "Request",
    "Router",
    "Snapshot",
    "StoreError",
    "Unavailable",
    "Visit",
    "__version__",
    "connect",
    "control",
    "homes",
]

# Loaded on first use: an application that only routes loads neither the operators' side nor the engines of homes.
LATER: Final = {
    "Change": "cutover.core.ledger",
    "Control": "cutover.operations.control",
    "Homes": "cutover.claims.homes",
    "control": "cutover.operations.control",
    "homes": "cutover.claims.homes",
}

if not TYPE_CHECKING:  # or every misspelt name would be one of an unknown type

    def __getattr__(name: str) -> Any:
        if name in LATER:
            return getattr(import_module(LATER[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
