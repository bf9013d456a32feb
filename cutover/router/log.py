"""
The log of the router's threads, which survives forks.
"""

import contextlib
from typing import Final

import structlog

from cutover.forks import Gate

__all__ = ["LOG_GATE", "log"]

LOG_GATE: Final = Gate()  # a logger's lock would stay locked in a child, if a thread of ours held it at a fork


class _Log:
    """
    The application's structlog logger, entered only through the gate; one that fails, fails alone.
    """

    def info(self, event: str, **facts: object) -> None:
        _emit("info", event, facts)

    def warning(self, event: str, **facts: object) -> None:
        _emit("warning", event, facts)

    def error(self, event: str, **facts: object) -> None:
        _emit("error", event, facts)


def _emit(level: str, event: str, facts: dict[str, object]) -> None:
    # A daemon whose standard output is closed must still follow its store.
    with LOG_GATE.held(), contextlib.suppress(Exception):
        getattr(structlog.get_logger("cutover"), level)(event, **facts)


log: Final = _Log()
