"""
The log of the router's threads, which survives forks.
"""

from typing import Final

import structlog

from cutover.forks import Gate

__all__ = ["LOG_GATE", "log"]

LOG_GATE: Final = Gate()  # a logger's lock would stay locked in a child, if a thread of ours held it at a fork


class _Log:
    """
    The application's structlog logger, entered only through the gate.
    """

    def info(self, event: str, **facts: object) -> None:
        with LOG_GATE.held():
            structlog.get_logger("cutover").info(event, **facts)

    def warning(self, event: str, **facts: object) -> None:
        with LOG_GATE.held():
            structlog.get_logger("cutover").warning(event, **facts)

    def error(self, event: str, **facts: object) -> None:
        with LOG_GATE.held():
            structlog.get_logger("cutover").error(event, **facts)


log: Final = _Log()
