"""
A processor for structlog that says, in the application's own log lines, which back end a call is with.

    structlog.configure(processors=[..., add_backend, ...])
"""

from collections.abc import MutableMapping
from typing import Any

from cutover.router.current import CURRENT

__all__ = ["add_backend"]


def add_backend(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """
    Add ``flow``, ``backend`` and ``version`` to what is logged inside a call to a back end.

    That is inside a switch, a mirrored write, a request of the httpx transports or a block of `Flow.request`. A line
    that has one of the three already keeps it; elsewhere, and where a mirrored write is delivered later, nothing is
    added.
    """
    del logger, method
    current = CURRENT.get()
    if current is not None:
        flow, backend, version = current
        for name, value in (("flow", flow), ("backend", backend.value), ("version", version)):
            event.setdefault(name, value)
    return event
