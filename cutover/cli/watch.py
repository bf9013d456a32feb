"""
`status --watch`: redrawn in place on a terminal; elsewhere, a block of lines on each change.
"""

import sys
from collections.abc import Iterator
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cutover.cli.session import Session, console
from cutover.cli.status_view import status_view
from cutover.cli.words import plain
from cutover.core.checkin import InstanceState
from cutover.core.snapshot import Head
from cutover.errors import StoreError
from cutover.operations.control import Control
from cutover.operations.status import Status

__all__ = ["watch"]

PERIOD: Final = 1.0  # seconds


def watch(session: Session, control: Control) -> None:
    """
    Show the status until interrupted.

    The first look must succeed; later, a store that cannot be reached is shown and tried again.
    """
    first = control.status()
    try:
        if session.as_json or not sys.stdout.isatty() or console().is_dumb_terminal:
            _print_changes(session, control, first)
        else:
            _redraw(control, first)
    except KeyboardInterrupt:
        return


def _redraw(control: Control, first: Status) -> None:
    out = console()

    def picture(status: Status, error: str) -> RenderableType:
        view = status_view(status, width=out.width, encoding=out.encoding)
        return Group(view, Text(error, style="bold red")) if error else view

    with Live(picture(first, ""), console=out, auto_refresh=False, vertical_overflow="crop") as live:
        for status, error in _looks(control, first):
            live.update(picture(status, error), refresh=True)


def _print_changes(session: Session, control: Control, first: Status) -> None:
    shown: object = None
    for status, error in _looks(control, first):
        if error:
            if shown != error:
                session.note(error)
            shown = error
            continue
        if _essence(status) != shown:
            shown = _essence(status)
            _print(session, status)


def _print(session: Session, status: Status) -> None:
    if session.as_json:
        session.print_json(status.document())
        return
    out = console()
    out.print(status_view(status, width=out.width, encoding=out.encoding))
    out.print()


def _looks(control: Control, first: Status) -> Iterator[tuple[Status, str]]:
    """
    Give the last status that could be taken, and why none could be taken since, if so.
    """
    status, error = first, ""
    while True:
        yield status, error
        control.store.wait(status.migration, seen=Head(status.epoch, status.version, status.head), timeout=PERIOD)
        try:
            status, error = control.status(), ""
        except StoreError as problem:
            error = plain(f"{type(problem).__name__}: {problem}")


def _essence(status: Status) -> tuple[Any, ...]:
    """
    Give what must differ for a new block: counts and ages change all the time.
    """
    states = tuple(status.count(state) for state in InstanceState)
    waiting = tuple(tuple(one.text for one in flow.waiting_for) for flow in status.flows)
    return (status.epoch, status.version, status.head, states, waiting)
