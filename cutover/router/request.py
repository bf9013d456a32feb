"""
A block around one call to a back end: decided on entry, timed, and counted by its outcome.
"""

from contextlib import suppress
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cutover.core.backend import UNSET, Backend, Decision
from cutover.router.current import CURRENT, in_shadow
from cutover.router.strangers import truth
from cutover.router.visits import is_synthetic

if TYPE_CHECKING:
    from cutover.router.flow import Flow

__all__ = ["Request"]


class Request:
    """
    What `Flow.request` gives; use it once, with ``with`` or ``async with``.

    Attributes:
        decision: Where the request goes and why; None before the block is entered.
    """

    __slots__ = ("_arguments", "_began", "_failed", "_flow", "_synthetic", "_token", "decision")

    def __init__(
        self, flow: "Flow", key: object, cohort: str | None = None, home: object = UNSET, synthetic: bool = False
    ) -> None:
        self._flow = flow
        self._arguments = (key, cohort, home)
        self._synthetic = truth(synthetic) or is_synthetic(key) or in_shadow()
        self._began = 0.0
        self._failed = ""
        self.decision: Decision | None = None

    def __repr__(self) -> str:
        side = "not decided" if self.decision is None else f"on {self.decision.backend.value}"
        return f"<{type(self).__name__} {self._flow.name!r}, {side}>"

    @property
    def backend(self) -> Backend:
        """
        Where the request goes.
        """
        if self.decision is None:
            raise RuntimeError("the request is decided when its block is entered")
        return self.decision.backend

    def fail(self, reason: str, *, unknown: bool = False) -> None:
        """
        Say that the call failed where nothing was raised, such as an answer with an error in it.

        Args:
            reason: In a few words that are the same each time; logged once for each.
            unknown: Nobody knows whether the call changed something: it broke off.
        """
        self._failed = "unknown" if unknown else "error"
        self._flow.note_failure(self.backend, reason)

    def __enter__(self) -> Self:
        self.decision = self._flow.decide(*self._arguments, self._synthetic)
        self._token = CURRENT.set((self._flow.name, self.decision.backend, self.decision.version))
        self._began = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        took = perf_counter() - self._began
        with suppress(ValueError):  # the block was entered in another context, as fixtures of test runners do
            CURRENT.reset(self._token)
        if self._synthetic:
            return
        raised = "ok" if kind is None else "error" if issubclass(kind, Exception) else "cancelled"
        self._flow.called(self.backend, self._failed or raised, took)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)
