"""
The log of the library's threads, which survives forks: the application's structlog, else the standard logging.
"""

import contextlib
import json
import logging
from typing import Any, Final

import structlog

from cutover.forks import Gate

__all__ = ["LOG_GATE", "log"]

NAME: Final = "cutover"  # of the logger
NEEDS_QUOTES: Final = frozenset(' "=\\')
LOG_GATE: Final = Gate()  # a logger's lock would stay locked in a child, if a thread of ours held it at a fork


class _Log:
    """
    The application's log, entered only through the gate; one that fails, fails alone.
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
        if structlog.is_configured():  # asked for each event: an application may configure it after it has imported us
            getattr(structlog.get_logger(NAME), level)(event, **facts)
        else:
            # One template for each event, so that tools which group by template tell events apart.
            template, values = (f"{event} %s", (_logfmt(facts),)) if facts else (event, ())
            extra = {"event": event, **facts}
            getattr(logging.getLogger(NAME), level)(template, *values, extra=extra, stacklevel=3)


def _logfmt(facts: dict[str, object]) -> str:
    return " ".join(f"{name}={_value(fact)}" for name, fact in facts.items())


def _value(fact: Any) -> str:
    """
    Write a fact on one line: text that could be misread as JSON text, whatever is no text as JSON.
    """
    if isinstance(fact, str) and fact and fact.isprintable() and NEEDS_QUOTES.isdisjoint(fact):
        return str(fact)
    return json.dumps(fact, default=str)


log: Final = _Log()
