"""
Asking the other side too, behind the user's back: sampled, bounded, with a deadline, and compared.
"""

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from time import monotonic, sleep
from typing import Any, Final

import attrs
from mmh3 import mmh3_32_uintdigest as hash_of

from cutover.chance import CHANCE
from cutover.clock import utc_now
from cutover.core.backend import Backend
from cutover.core.bucketing import key_bytes
from cutover.core.comparison import Budget, Comparison, NotComparable, compare_answers, structure_of
from cutover.core.parts import why_open
from cutover.core.verdict import Answer, Compare, Mismatch, Redact, Verdict
from cutover.router.calls.closing import close, close_async, open_ones
from cutover.router.calls.copies import copied
from cutover.router.calls.findings import Findings
from cutover.router.calls.judging import Judge
from cutover.router.calls.shadow_threads import ShadowThreads
from cutover.router.compiled import ALL, FlowPlan
from cutover.router.counting import FlowCells
from cutover.router.current import CURRENT, enter_shadow, move_here
from cutover.router.flow import Notices

__all__ = ["Asking", "Shadow", "ShadowTerms"]

SALT: Final = b"/shadow/"  # other keys than those that go to NEW first
LONGEST_COMPARISON: Final = 2.0  # seconds
TOO_LONG: Final = f"comparing takes more than {LONGEST_COMPARISON:g} s"
PAUSE: Final = 0.00005  # seconds in which the other threads of the process, and an event loop among them, go on

Function = Callable[..., Any]


@attrs.frozen(kw_only=True)
class ShadowTerms:
    """
    How answers are compared, and what may be spent on it.

    Attributes:
        compare: Gives whether two values are the same; None for the rule of `core.comparison`.
        ignore_fields: Fields that may differ; see `core.differing.is_ignored`.
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
class Asking:
    """
    What the other side is to be asked, taken before the first side is called and may change it.

    Attributes:
        arguments: Copies, as in *named*; the object of a method before them is the caller's.
        context: A copy of the caller's context.
        refused: Why the other side is not asked; None where it is.
    """

    key: Any
    arguments: tuple[Any, ...] = ()
    named: dict[str, Any] = attrs.field(factory=dict)
    context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    refused: NotComparable | None = None
    finds_no_place: bool = False


@attrs.define(kw_only=True, eq=False)
class Job:
    """
    One call that the other side is asked for, too.

    Attributes:
        side: Who is asked.
        first: What the side answered that was routed to.
        is_noise: It is OLD, which answered already.
        until: When the time is over for what is done now, on the monotonic clock.
        is_compared: The other side has answered.
        version: Of the snapshot that routed.
    """

    function: Function
    asking: Asking
    side: Backend
    first: Answer
    is_noise: bool
    until: float
    is_compared: bool = False
    version: int


class Shadow:
    """
    The comparisons of one switch.
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
        notices: Notices,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._flow = flow
        self._cells = cells
        self._judge = judge
        self._functions = {Backend.OLD: old, Backend.NEW: new}
        self._terms = terms
        self._is_async = is_async
        self._findings = Findings(flow, terms.redact, notices, now)
        self.after_fork()

    @property
    def kept(self) -> list[Mismatch]:
        """
        The first mismatches, and the first failure of each kind, for operators.
        """
        return self._findings.kept

    def after_fork(self) -> None:
        """
        Begin without work or findings: those are the parent's.
        """
        self._findings.forget()
        self._running: dict[Job, None] = {}  # whoever takes a job out of it says what came of it
        self._tasks: dict[asyncio.Task[None], Job] = {}
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

    def prepare(self, plan: FlowPlan, arguments: tuple[Any, ...], named: dict[str, Any], at: int) -> Asking | None:
        """
        Copy what the other side is to be asked, before the first side is called; None where it is not asked.

        Args:
            at: The place of the key; the object before it is that of a method, and is not copied.
        """
        key = arguments[at]
        if not self.wants(plan, key):
            return None
        if self._is_full():
            return Asking(key=key, finds_no_place=True)
        try:
            own, own_named = copied(arguments[at:], named)
        except NotComparable as why:
            return Asking(key=key, refused=why)
        return Asking(key=key, arguments=(*arguments[:at], *own), named=own_named)

    def offer(self, asking: Asking, side: Backend, version: int, first: Answer) -> None:
        """
        Ask the other side in the background; never waits, never raises.
        """
        if first.error is not None and not isinstance(first.error, Exception):
            return  # cancelled: there is no answer that could be compared
        is_noise = side is Backend.OLD and CHANCE.random() * 100 < self._terms.noise
        asked = Backend.NEW if side is Backend.OLD and not is_noise else Backend.OLD
        job = Job(
            function=self._functions[asked],
            asking=asking,
            side=asked,
            first=first,
            is_noise=is_noise,
            until=monotonic() + self._terms.deadline,
            version=version,
        )
        self.expire()
        self._running[job] = None
        if why := asking.refused or self._why_not(first):
            self._refuse(job, why)
        elif asking.finds_no_place or not (self._begin_task(job) if self._is_async else self._begin_thread(job)):
            self._settle(job, Verdict.DROPPED)

    def expire(self) -> None:
        """
        Give up on what is under way for longer than the deadline; a thread cannot be stopped, and keeps its place.
        """
        now = monotonic()
        for job in self._running.copy():  # other threads change it
            if now > job.until and job.is_compared:
                self._refuse(job, NotComparable(TOO_LONG))
            elif now > job.until:
                self._settle(job, Verdict.TIMEOUT)

    def _why_not(self, first: Answer) -> NotComparable | None:
        """
        Say why the other side is not asked at all: its answer would be compared with one that only the caller may read.
        """
        if self._terms.compare is not None or first.error is not None:
            return None
        try:
            reason = why_open(first.value)
        except Exception:  # noqa: BLE001 - a stranger's type; the comparison says so
            return None
        return NotComparable(reason) if reason else None

    def _is_full(self) -> bool:
        if not self._is_async:
            return self._threads.is_full()
        for task, job in self._tasks.copy().items():
            if task.get_loop().is_closed():  # it will never end
                self._tasks.pop(task, None)
                self._settle(job, Verdict.DROPPED)
        return len(self._tasks) >= self._terms.limit

    def _begin_thread(self, job: Job) -> bool:
        return self._threads.begin(partial(job.asking.context.run, self._ask, job))

    def _begin_task(self, job: Job) -> bool:
        if self._is_full():
            return False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the coroutine is run by something else than asyncio
            return False
        task = loop.create_task(self._ask_async(job), context=job.asking.context)
        self._tasks[task] = job
        task.add_done_callback(lambda task: self._tasks.pop(task, None))
        return True

    def _ask(self, job: Job) -> None:
        move_here()
        self._mark(job)
        try:
            second = self._judge.returned(job.function(*job.asking.arguments, **job.asking.named))
        except BaseException as error:  # noqa: BLE001 - a shadow that exits must not end anything but itself
            second = self._judge.raised(error)
        self._compare(job, second)
        close(open_ones(second, job.first))

    async def _ask_async(self, job: Job) -> None:
        self._mark(job)
        try:
            async with asyncio.timeout(self._terms.deadline) as deadline:
                second = await self._judge.returned_later(await job.function(*job.asking.arguments, **job.asking.named))
        except BaseException as error:
            if _ends_the_task(error):
                self._settle(job, Verdict.DROPPED)
                raise
            if deadline.expired():
                self._settle(job, Verdict.TIMEOUT)
                return
            second = self._judge.raised(error)
        await self._compare_in_thread(job, second)

    async def _compare_in_thread(self, job: Job, second: Answer) -> None:
        """
        Compare beside the event loop, which would stand still meanwhile, and close in it what the other side returned.
        """
        loop = asyncio.get_running_loop()
        opened: list[Any] = []
        compared = loop.create_future()

        def tell() -> None:
            if not compared.done():
                compared.set_result(None)

        def work() -> None:
            try:
                move_here()
                self._compare(job, second)
                opened.extend(open_ones(second, job.first))
            finally:
                with suppress(RuntimeError):  # the loop was closed
                    loop.call_soon_threadsafe(tell)

        if self._threads.begin(partial(contextvars.copy_context().run, work)):
            await compared
        else:
            self._settle(job, Verdict.DROPPED)
            opened = open_ones(second, job.first)
        await close_async(opened)

    def _mark(self, job: Job) -> None:
        # A job has a copy of the caller's context: it needs nothing back.
        CURRENT.set((self._flow, job.side, job.version))
        enter_shadow()

    def _compare(self, job: Job, second: Answer) -> None:
        if monotonic() > job.until:
            self._settle(job, Verdict.TIMEOUT)
            return
        if isinstance(second.error, NotComparable):
            self._refuse(job, second.error)
            return
        job.until, job.is_compared = monotonic() + LONGEST_COMPARISON, True
        old, new = (second, job.first) if job.side is Backend.OLD and not job.is_noise else (job.first, second)
        budget = Budget(pause=partial(_pause, job.until))
        try:
            found = compare_answers(old, new, self._terms.compare, self._terms.ignore_fields, budget)
        except NotComparable as why:
            self._refuse(job, why)
            return
        except BaseException as error:  # noqa: BLE001 - the application's comparison may even exit
            if self._settle(job, Verdict.COMPARE_ERROR):
                self._findings.compare_raised(error)
            return
        self._found(job, found, old, new)

    def _found(self, job: Job, found: Comparison, old: Answer, new: Answer) -> None:
        verdict = found.verdict
        if not self._settle(job, _noise(verdict) if job.is_noise else verdict):
            return
        if old.failed or new.failed:
            self._findings.failed(verdict, old, new)
        elif verdict is Verdict.MISMATCH and not job.is_noise:
            self._findings.differ(found, _text_of(job.asking.key))

    def _refuse(self, job: Job, why: NotComparable) -> None:
        if self._settle(job, Verdict.NOT_COMPARED):
            self._findings.not_compared(why, _text_of(job.asking.key))

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


def _pause(until: float) -> None:
    """
    Let the other threads go on, or end a comparison whose time is over.
    """
    sleep(PAUSE)
    if monotonic() > until:
        raise NotComparable(TOO_LONG)


def _text_of(key: object) -> str:
    return (key_bytes(key) or b"").decode("utf-8", "replace")


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
