"""
What one process knows of a mirrored write, and the calls for it that are under way: how many, and which of them hang.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

import attrs

from cutover.chance import CHANCE
from cutover.core.backend import Backend
from cutover.errors import ConfigurationError
from cutover.mirror.functions import Functions
from cutover.ports.outbox import Intent, Rule
from cutover.router.log import log

__all__ = ["Patience", "UnderWay", "Work"]

AT_ONCE: Final = 8  # deliveries of a process that do not hang
AT_MOST: Final = 64  # with those that hang: each has a thread, which nobody can end
FIRST_PAUSE: Final = 0.5  # seconds after the first failure; doubled after each
GRACE: Final = 1.0  # seconds that a coroutine which is cancelled has to end


@attrs.frozen(kw_only=True)
class Patience:
    """
    How long a write is tried for.

    Attributes:
        attempts: How often, until it is a dead letter.
        longest_pause: Seconds between two attempts, at most.
        lease: Seconds after which another process takes over what one has left behind.
        deadline: Seconds that a call may take whose result nobody needs.
    """

    attempts: int = 20
    longest_pause: float = 60.0
    lease: float = 30.0
    deadline: float = 30.0

    def __attrs_post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:
            raise ConfigurationError(f"attempts is {self.attempts!r:.100}; allowed: a number from 1 on")
        for name in ("longest_pause", "lease", "deadline"):
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 86400:  # noqa: PLR2004 - a day
                raise ConfigurationError(f"{name} is {seconds!r:.100}; allowed: seconds above 0, up to a day")

    def pause(self, failures: int) -> float:
        """
        Give the seconds to wait after so many failures: doubled after each, with jitter so that not all come at once.
        """
        most: float = min(self.longest_pause, FIRST_PAUSE * 2 ** min(failures - 1, 30))
        return most * CHANCE.uniform(0.5, 1)


@attrs.define(kw_only=True, eq=False)
class Work:
    """
    What is known here of one write.

    Attributes:
        loop: Where its coroutines were last awaited.
        hanging: The sides whose last call did not end within its deadline: nobody is made to wait for the next one.
        silent: The sides that did not answer `confirm` within it, which says nothing of how they write.
        told: What the log was told of functions that give no result.
    """

    rule: Rule
    functions: Functions
    patience: Patience
    loop: asyncio.AbstractEventLoop | None = None
    hanging: set[Backend] = attrs.field(factory=set)
    silent: set[Backend] = attrs.field(factory=set)
    told: set[str] = attrs.field(factory=set)

    @property
    def place(self) -> str:
        """
        Name it as outboxes do.
        """
        return f"{self.rule.flow} {self.rule.name}"


@attrs.define(eq=False)
class _Call:
    """
    One call of a function of the application.

    Attributes:
        late: The sides whose last call of this kind was late.
        until: When it should have ended, on the monotonic clock.
        is_delivery: It is made by a thread of ours.
        is_late: It was found to hang.
    """

    late: set[Backend]
    intent: Intent
    side: Backend
    until: float
    is_delivery: bool
    is_late: bool = False


class UnderWay:
    """
    The calls of one process whose results nobody needs: deliveries, and second calls of writes.
    """

    def __init__(self) -> None:
        self._calls: set[_Call] = set()

    @contextmanager
    def calling(
        self, work: Work, intent: Intent, side: Backend, *, is_delivery: bool, asks: bool = False
    ) -> Iterator[None]:
        """
        Keep an eye on a call: one that writes, or one that asks.
        """
        late = work.silent if asks else work.hanging
        call = _Call(late, intent, side, monotonic() + work.patience.deadline, is_delivery)
        self._calls.add(call)
        try:
            yield
        finally:
            self._calls.discard(call)
            if monotonic() < call.until:
                late.discard(side)
            elif side not in late:
                late.add(side)
                if not call.is_late:  # or it was told while it hung
                    self._tell(call)

    def look(self) -> None:
        """
        Find the calls that hang, and tell of each once.
        """
        now = monotonic()
        for call in self._calls.copy():  # other threads change it
            if now > call.until + GRACE and not call.is_late:
                call.is_late = True
                call.late.add(call.side)
                self._tell(call)

    def free(self, deliveries: int) -> int:
        """
        Give how many deliveries may begin beside so many: those that hang keep their threads, and not their places.
        """
        return max(0, min(AT_ONCE - deliveries + self._hung(), AT_MOST - deliveries))

    def _hung(self) -> int:
        return sum(call.is_delivery and call.is_late for call in self._calls.copy())

    def _tell(self, call: _Call) -> None:
        entry, hung = call.intent.entry, self._hung()
        log.warning(
            "cutover.mirror_hangs",
            flow=entry.flow,
            write=entry.write,
            id=call.intent.id,
            side=call.side.value,
            deliveries=f"{hung} of {AT_MOST}",
        )
