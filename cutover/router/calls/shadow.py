"""
Asking the other side too, behind the user's back: sampled, bounded, with a deadline, and compared.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, Final

import attrs
from mmh3 import mmh3_32_uintdigest as hash_of

from cutover.chance import CHANCE
from cutover.clock import utc_now
from cutover.core.backend import Backend
from cutover.core.bucketing import key_bytes
from cutover.core.comparison import (
    Answer,
    Compare,
    Comparison,
    Difference,
    Mismatch,
    Redact,
    Verdict,
    compare_answers,
    shown,
    structure_of,
)
from cutover.router.calls.judging import Judge
from cutover.router.calls.shadow_threads import ShadowThreads
from cutover.router.compiled import ALL, FlowPlan
from cutover.router.counting import FlowCells
from cutover.router.current import CURRENT
from cutover.router.log import log
from cutover.router.strangers import kind_of

__all__ = ["Shadow", "ShadowTerms"]

MOST_KEPT: Final = 10  # mismatches of a switch that are kept for operators
LOG_EVERY: Final = 60.0  # seconds between log lines about mismatches
SALT: Final = b"/shadow/"  # other keys than those that go to NEW first
PLAIN_NAME: Final = re.compile(r"[A-Za-z_*][\w-]{0,39}|\d{1,9}")

Function = Callable[..., Any]


@attrs.frozen(kw_only=True)
class ShadowTerms:
    """
    How answers are compared, and what may be spent on it.

    Attributes:
        compare: Gives whether two values are the same; None for `==`, part by part.
        ignore_fields: Fields that may differ; see `core.comparison.is_ignored`.
        redact: Shows a value of a mismatch to operators, given its path.
        deadline: Seconds that the other side has.
        limit: How many may be under way in this process; further ones are dropped.
        noise: Percentage of the comparisons that ask OLD again instead of NEW, to learn how far it differs from itself.
    """

    compare: Compare | None = None
    ignore_fields: tuple[str, ...] = ()
    redact: Redact = structure_of
    deadline: float = 2.0
    limit: int = 8
    noise: float = 10.0


@attrs.frozen(kw_only=True, eq=False)
class Job:
    """
    One call that the other side is asked for, too.

    Attributes:
        side: Who is asked.
        first: What the side answered that was routed to.
        is_noise: It is OLD, which answered already.
        until: When the deadline is over, on the monotonic clock.
        version: Of the snapshot that routed.
    """

    function: Function
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    side: Backend
    first: Answer
    is_noise: bool
    until: float
    version: int


class Shadow:
    """
    The comparisons of one switch.

    Attributes:
        kept: The first mismatches, for operators.
    """

    def __init__(
        self,
        flow: str,
        cells: Callable[[], FlowCells],
        judge: Judge,
        old: Function,
        new: Function,
        terms: ShadowTerms,
        *,
        is_async: bool,
        noted: Callable[[str, BaseException], None],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._flow = flow
        self._cells = cells
        self._judge = judge
        self._functions = {Backend.OLD: old, Backend.NEW: new}
        self._terms = terms
        self._is_async = is_async
        self._noted = noted
        self._now = now
        self._logged = -LOG_EVERY
        self.after_fork()

    def after_fork(self) -> None:
        """
        Begin without work or findings: those are the parent's.
        """
        self._unlogged = 0
        self.kept: list[Mismatch] = []
        self._running: dict[Job, None] = {}  # whoever takes a job out of it says what came of it
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads = ShadowThreads(self._terms.limit, f"cutover-shadow-{self._flow}")

    def wants(self, plan: FlowPlan, key: object) -> bool:
        """
        Tell whether the other side is asked for this key, too.
        """
        if not plan.shadow:
            return False
        data = key_bytes(key)
        if data is None or plan.salt is None:
            return plan.shadow == ALL
        return hash_of(plan.salt.encode() + SALT + data) < plan.shadow

    def offer(
        self,
        side: Backend,
        version: int,
        first: Answer,
        arguments: tuple[Any, ...],
        named: dict[str, Any],
        bound: tuple[Any, ...] = (),
    ) -> None:
        """
        Ask the other side in the background; never waits, never raises.

        Args:
            arguments: From the key on.
            bound: The object before the key, where the call was that of a method.
        """
        if first.error is not None and not isinstance(first.error, Exception):
            return  # cancelled: there is no answer that could be compared
        is_noise = side is Backend.OLD and CHANCE.random() * 100 < self._terms.noise
        asked = Backend.NEW if side is Backend.OLD and not is_noise else Backend.OLD
        job = Job(
            function=partial(self._functions[asked], *bound) if bound else self._functions[asked],
            arguments=arguments,
            named=named,
            side=asked,
            first=first,
            is_noise=is_noise,
            until=monotonic() + self._terms.deadline,
            version=version,
        )
        self.expire()
        self._running[job] = None
        if not (self._begin_task(job) if self._is_async else self._threads.begin(lambda: self._ask(job))):
            self._settle(job, Verdict.DROPPED)

    def expire(self) -> None:
        """
        Give up on what is under way for longer than the deadline; a thread cannot be stopped, and keeps its place.
        """
        now = monotonic()
        for job in self._running.copy():  # other threads change it
            if now > job.until:
                self._settle(job, Verdict.TIMEOUT)

    def _begin_task(self, job: Job) -> bool:
        if len(self._tasks) >= self._terms.limit:
            return False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the coroutine is run by something else than asyncio
            return False
        task = loop.create_task(self._ask_async(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _ask(self, job: Job) -> None:
        self._mark(job)
        try:
            second = self._judge.returned(job.function(*job.arguments, **job.named))
        except BaseException as error:  # noqa: BLE001 - a shadow that exits must not end anything but itself
            second = self._judge.raised(error)
        self._compare(job, second)

    async def _ask_async(self, job: Job) -> None:
        self._mark(job)
        try:
            async with asyncio.timeout(self._terms.deadline) as deadline:
                second = await self._judge.returned_later(await job.function(*job.arguments, **job.named))
        except BaseException as error:
            if _ends_the_task(error):
                self._settle(job, Verdict.DROPPED)
                raise
            if deadline.expired():
                self._settle(job, Verdict.TIMEOUT)
                return
            second = self._judge.raised(error)
        self._compare(job, second)

    def _mark(self, job: Job) -> None:
        # A thread has a context of its own, and a task a copy: neither needs it back.
        CURRENT.set((self._flow, job.side, job.version))

    def _compare(self, job: Job, second: Answer) -> None:
        if monotonic() > job.until:
            self._settle(job, Verdict.TIMEOUT)
            return
        old, new = (second, job.first) if job.side is Backend.OLD and not job.is_noise else (job.first, second)
        try:
            found = compare_answers(old, new, self._terms.compare, self._terms.ignore_fields)
        except BaseException as error:  # noqa: BLE001 - the application's comparison may even exit
            self._noted("cutover.compare_raised", error)
            self._settle(job, Verdict.COMPARE_ERROR)
            return
        verdict = found.verdict
        if job.is_noise:
            verdict = _noise(verdict)
        if self._settle(job, verdict) and verdict is Verdict.MISMATCH:
            self._keep(found, (key_bytes(job.arguments[0]) or b"").decode("utf-8", "replace"))

    def _settle(self, job: Job, verdict: Verdict) -> bool:
        """
        Count what came of a job, once.
        """
        try:
            del self._running[job]
        except KeyError:
            return False
        next(self._cells().shadows[verdict].ticks)
        return True

    def _keep(self, found: Comparison, key: str) -> None:
        differences = tuple(self._redacted(difference, key) for difference in found.differences)
        if len(self.kept) < MOST_KEPT:
            self.kept.append(Mismatch(flow=self._flow, at=self._now(), differences=differences))
        self._unlogged += 1
        if monotonic() - self._logged >= LOG_EVERY:
            self._logged = monotonic()
            places = [path for path, _, _ in differences]
            log.warning("cutover.shadow_mismatch", flow=self._flow, places=places, since_last=self._unlogged)
            self._unlogged = 0

    def _redacted(self, difference: Difference, key: str) -> tuple[str, str, str]:
        try:
            old, new = (shown(self._terms.redact(difference.path, v)) for v in (difference.old, difference.new))
        except BaseException as error:  # noqa: BLE001 - the application's function may even exit
            old = new = f"redact raised {kind_of(error)}"
        path = difference.path
        if key:  # a mapping may have users' keys for names
            path = re.sub(rf"(?<=\.){re.escape(key)}(?=\.)", "?", f".{path}.")[1:-1]
        names = path.split(".") if path else []
        return ".".join(name if PLAIN_NAME.fullmatch(name) else "?" for name in names), old, new


def _ends_the_task(error: BaseException) -> bool:
    """
    Tell an end of the task from a `CancelledError` that the other side raised by itself: its answer, like any other.
    """
    if isinstance(error, GeneratorExit):
        return True
    task = asyncio.current_task() if isinstance(error, asyncio.CancelledError) else None
    return task is not None and task.cancelling() > 0


def _noise(verdict: Verdict) -> Verdict:
    alike = (Verdict.MATCH, Verdict.IGNORED, Verdict.BOTH_ERROR)
    return Verdict.NOISE_MATCH if verdict in alike else Verdict.NOISE_MISMATCH
