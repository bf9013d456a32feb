"""
The functions that an application gives for a write: checked when it is built, called here and later.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs

from cutover.callables import Kind, common_kind, is_generator_function, kind_of_call, not_taken, parameter_at
from cutover.core.backend import Backend
from cutover.errors import ConfigurationError
from cutover.mirror.arguments import decoded_arguments, decoded_key
from cutover.ports.outbox import Entry, Intent
from cutover.returned import finished, settled, told, unfinished

__all__ = ["Functions", "other_side", "within"]

LOOK: Final = 0.2  # seconds between looks whether the loop of the application still runs
WORDS: Final = {
    Kind.PLAIN: "a function",
    Kind.ASYNC: "a coroutine function",
    Kind.EITHER: "a function around a coroutine function",
}


@attrs.frozen(kw_only=True)
class Functions:
    """
    The functions of one write, all of one kind.

    Attributes:
        sides: Writes, on each side.
        confirm: Tells whether the authoritative side has a write; None where it cannot be asked.
        kind: Their common kind.
    """

    sides: dict[Backend, Callable[..., Any]]
    confirm: Callable[..., Any] | None
    kind: Kind

    @classmethod
    def of(cls, write: str, old: object, new: object, confirm: object = None) -> "Functions":
        """
        Check what an application gives.

        Raises:
            ConfigurationError: If one cannot be called, is a generator, is of another kind than the others, or does not
                take what it will be told.
        """
        given = {"old": old, "new": new, **({} if confirm is None else {"confirm": confirm})}
        kinds = {name: _kind(write, name, function) for name, function in given.items()}
        kind = common_kind(kinds.values())
        if kind is None:
            shown = ", ".join(f"{name} is {WORDS[one]}" for name, one in kinds.items())
            raise ConfigurationError(f"write {write}: {shown}; allowed: all functions, or all coroutine functions")
        for name, function in given.items():
            _check_told(write, name, function)
        return cls(
            sides={Backend.OLD: given["old"], Backend.NEW: given["new"]},  # type: ignore[dict-item]  # checked above
            confirm=given.get("confirm"),  # type: ignore[arg-type]  # checked above
            kind=kind,
        )

    def call(self, function: Callable[..., Any], intent: Intent, **more: Backend) -> Any:
        """
        Call one of them for an intent.

        Raises:
            NotRun: If it gives no result.
        """
        return finished(self._called(function, intent, **more), self._name(function, intent))

    async def await_call(self, function: Callable[..., Any], intent: Intent, **more: Backend) -> Any:
        """
        Call one of them for an intent, and await its result.
        """
        return await settled(self._called(function, intent, **more), self._name(function, intent))

    def asked(self, intent: Intent, loop: asyncio.AbstractEventLoop | None, deadline: float | None = None) -> bool:
        """
        Ask the authoritative side whether it has a write. Told which one that is: the flow may have moved since.
        """
        if self.confirm is None:
            raise ValueError(f"write {intent.entry.write} has no confirm")
        answer = self.call_here(self.confirm, intent, loop, deadline, side=intent.entry.side)
        return bool(told(answer, self._name(self.confirm, intent)))

    def call_here(
        self,
        function: Callable[..., Any],
        intent: Intent,
        loop: asyncio.AbstractEventLoop | None,
        deadline: float | None = None,
        **more: Backend,
    ) -> Any:
        """
        Call one of them from a thread of ours.

        Args:
            loop: Where coroutines run as long as it does, because what they use may belong to it; else in a loop of
                their own.
            deadline: Seconds after which a coroutine is cancelled; what a function does cannot be broken off.
        """
        if self.kind is Kind.PLAIN:
            return self.call(function, intent, **more)
        if loop is None or not loop.is_running():
            if self.kind is Kind.ASYNC:
                return asyncio.run(within(deadline, self.await_call(function, intent, **more)))
            result = self._called(function, intent, **more)
            if not unfinished(result):  # a decorator has run it
                return result
            return asyncio.run(within(deadline, settled(result, self._name(function, intent))))
        call = within(deadline, self.await_call(function, intent, **more))
        future = asyncio.run_coroutine_threadsafe(call, loop)
        while True:
            try:
                return future.result(LOOK)
            except TimeoutError:
                if future.done():
                    return future.result()
                if not loop.is_running():
                    raise ConnectionError("the event loop ended before the write did") from None

    def _called(self, function: Callable[..., Any], intent: Intent, **more: Backend) -> Any:
        args, kwargs = decoded_arguments(intent.entry.arguments)
        return function(decoded_key(intent.entry.key), *args, sequence=intent.sequence, **more, **kwargs)

    def _name(self, function: Callable[..., Any], intent: Intent) -> str:
        named = ((self.confirm, "confirm"), *((given, side.value) for side, given in self.sides.items()))
        name = next((name for given, name in named if given is function), "a function")
        return f"write {intent.entry.write}: {name}"


async def within(deadline: float | None, result: Awaitable[Any]) -> Any:
    """
    Await something for at most so many seconds, then cancel it.

    Raises:
        TimeoutError: If it had to be cancelled, and ended.
    """
    try:
        async with asyncio.timeout(deadline) as timeout:
            return await result
    except TimeoutError as error:
        if timeout.expired():
            raise TimeoutError(f"it did not end within {deadline:g} s, and was cancelled") from error
        raise


def other_side(entry: Entry) -> Backend:
    """
    Give the side that is not the authoritative one.
    """
    return Backend.OLD if entry.side is Backend.NEW else Backend.NEW


def _kind(write: str, name: str, function: object) -> Kind:
    if not callable(function):
        raise ConfigurationError(f"write {write}: {name} is a {type(function).__name__}; allowed: a function")
    if is_generator_function(function):
        raise ConfigurationError(
            f"write {write}: {name} is a generator function, of which a call does nothing yet; allowed: a function "
            "that writes and returns"
        )
    return kind_of_call(function)


def _check_told(write: str, name: str, function: Any) -> None:
    if parameter_at(function, 0) == "self":
        raise ConfigurationError(
            f"write {write}: {name} takes an object first, self, and a write is also made later, where no object is; "
            "allowed: a function, a staticmethod, or a method of one object"
        )
    told = ("sequence", "side") if name == "confirm" else ("sequence",)
    if untaken := not_taken(function, *told):
        raise ConfigurationError(
            f"write {write}: {name} takes no argument named {' or '.join(untaken)}; allowed: a function that takes "
            f"{' and '.join(told)} besides what the write is called with"
        )
