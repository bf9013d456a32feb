"""
Closing what a comparison was answered: an open stream or cursor would keep a connection of the application.
"""

import inspect
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from cutover.core.parts import closable
from cutover.core.verdict import Answer

__all__ = ["close", "close_async", "open_ones"]


def open_ones(second: Answer, first: Answer) -> list[Any]:
    """
    Find the open objects in the second answer that are not in the first one, which belongs to the caller.
    """
    with suppress(Exception):  # a stranger's container
        if found := [*closable(second.value), *closable(second.error)]:
            of_caller = {id(one) for one in (*closable(first.value), *closable(first.error))}
            return [one for one in found if id(one) not in of_caller]
    return []


def close(opened: Iterable[Any]) -> None:
    """
    Close open objects.
    """
    for one in opened:
        _close(one, "close")


async def close_async(opened: Iterable[Any]) -> None:
    """
    Close open objects, and await each that is closed by a coroutine.
    """
    for one in opened:
        closing = _close(one, "aclose", "close")
        if inspect.isawaitable(closing):
            with suppress(Exception):
                await closing


def _close(one: Any, *names: str) -> Any:
    """
    Call the first method that closes, and go on to the next one where it fails.
    """
    for name in names:
        with suppress(Exception):
            closing = getattr(one, name)()
            if callable(release := getattr(one, "release_conn", None)):  # of urllib3, which closes and yet keeps it
                release()
            if inspect.iscoroutine(closing) and len(names) == 1:
                closing.close()  # nobody can await it here
            return closing
    return None
