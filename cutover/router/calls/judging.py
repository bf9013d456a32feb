"""
What a call to a back end came to, and how often OLD may answer for NEW.
"""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import attrs

from cutover.core.verdict import Answer
from cutover.returned import NotRun, finished, settled, told
from cutover.router.calls.raised import Errors, all_are, any_is, broke_off

__all__ = ["Budget", "Judge"]

MINUTE: Final = 60.0  # seconds


@attrs.frozen(kw_only=True)
class Judge:
    """
    Tells how a call ended: ok, error, cancelled or unknown.

    Attributes:
        safe: The call changes nothing, so that one that broke off was an error and no more.
        failed: Tells failures that raise nothing from what was returned.
        ignore: Exceptions that are business, such as a card that is declined.
        unknown: Exceptions after which nobody knows whether a change was made; None for the list of `broke_off`.
        noted: Takes what `failed` raises.
    """

    safe: bool = False
    failed: Callable[[Any], object] | None = None
    ignore: Errors = ()
    unknown: Errors | None = None
    noted: Callable[[str, BaseException], None]

    def outcome(self, answer: Answer) -> str:
        """
        Name the outcome, one of `counting.OUTCOMES`.
        """
        error = answer.error
        if error is None:
            return "error" if answer.failed else "ok"
        if self._is_business(error):
            return "ok"
        if not self.safe and self._broke_off(error):
            return "unknown"
        return "error" if isinstance(error, Exception) else "cancelled"

    def returned(self, value: Any) -> Answer:
        """
        Judge what a call returned.
        """
        if self.failed is None:
            return Answer(value)
        try:
            return Answer(value, None, bool(told(finished(self.failed(value), "failed"), "failed")))
        except Exception as error:  # noqa: BLE001 - the application's function may raise anything
            return self._unjudged(value, error)

    async def returned_later(self, value: Any) -> Answer:
        """
        Judge what a call returned, and await what `failed` gives.
        """
        if self.failed is None:
            return Answer(value)
        try:
            return Answer(value, None, bool(told(await settled(self.failed(value), "failed"), "failed")))
        except Exception as error:  # noqa: BLE001 - the application's function may raise anything
            return self._unjudged(value, error)

    def raised(self, error: BaseException) -> Answer:
        """
        Judge what a call raised.
        """
        return Answer(None, error, not self._is_business(error))

    def _unjudged(self, value: Any, error: Exception) -> Answer:
        if isinstance(error, NotRun):
            return Answer(None, error, failed=True)
        self.noted("cutover.failed_raised", error)
        return Answer(value)

    def _is_business(self, error: BaseException) -> bool:
        return not isinstance(error, NotRun) and all_are(error, self.ignore)

    def _broke_off(self, error: BaseException) -> bool:
        if isinstance(error, NotRun):
            return False
        return broke_off(error) if self.unknown is None else any_is(error, self.unknown)


class Budget:
    """
    Allows fallbacks up to a share of the calls of each minute, so that a NEW that is down does not take OLD with it.

    Args:
        percent: Of the calls in a minute; one fallback is allowed in any case.
        calls: Counts the calls so far.
    """

    def __init__(self, percent: float, calls: Callable[[], int], now: Callable[[], float] = monotonic) -> None:
        self._share = percent / 100
        self._calls = calls
        self._now = now
        self._lock = threading.RLock()  # a signal's handler may call inside of `take`
        self._begin()

    def take(self) -> bool:
        """
        Take one fallback, if there is one left in this minute.
        """
        with self._lock:
            if self._now() - self._began >= MINUTE:
                self._begin()
            allowed = max(1.0, self._share * (self._calls() - self._base))
            if self._taken + 1 > allowed:
                return False
            self._taken += 1
            return True

    def after_fork(self) -> None:
        """
        Begin anew, with a lock that no other thread held.
        """
        self._lock = threading.RLock()
        self._begin()

    def _begin(self) -> None:
        self._began = self._now()
        self._base = self._calls()
        self._taken = 0
