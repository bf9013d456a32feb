"""
Closing what a comparison was answered: an open stream or cursor would keep a connection of the application.
"""

import inspect
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from cutover.core.comparison import Answer
from cutover.core.parts import closable

__all__ = ["close", "close_async"]


def close(second: Answer, first: Answer) -> None:
    """
    Close what is open in the second answer, and not in the first one, which belongs to the caller.
    """
    with suppress(Exception):  # whatever it is, it was not asked to be compared
        for one in _open(second, first):
            _close(one, "close")


async def close_async(second: Answer, first: Answer) -> None:
    """
    Do the same, and await what has to be awaited.
    """
    with suppress(Exception):
        for one in _open(second, first):
            closing = _close(one, "aclose", "close")
            if inspect.isawaitable(closing):
                with suppress(Exception):
                    await closing


def _open(second: Answer, first: Answer) -> Iterator[Any]:
    of_caller = {id(one) for one in (*closable(first.value), *closable(first.error))}
    return (one for one in (*closable(second.value), *closable(second.error)) if id(one) not in of_caller)


def _close(one: Any, *names: str) -> Any:
    """
    Call the first method that closes, and go on to the next one where it fails.
    """
    for name in names:
        with suppress(Exception):
            closing = getattr(one, name)()
            if inspect.iscoroutine(closing) and len(names) == 1:
                closing.close()  # nobody can await it here
            return closing
    return None
