"""
Mirrored writes: one call of the application that reaches both sides, now or later.
"""

import asyncio
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import attrs

from cutover.callables import Kind, in_event_loop
from cutover.core.backend import UNSET, Backend
from cutover.core.defined import NAME, NAME_RULE
from cutover.core.parts import NotComparable
from cutover.engines.registry import can_keep_outbox, open_outbox
from cutover.errors import ConfigurationError
from cutover.forks import PerProcess
from cutover.mirror.arguments import decoded_key, encoded_arguments, encoded_key, lane_of
from cutover.mirror.functions import Functions, other_side, within
from cutover.ports.outbox import Entry, Intent, Rule, Shortfall, State
from cutover.returned import NotRun
from cutover.router.calls.checking import errors_in
from cutover.router.calls.raised import Errors, all_are
from cutover.router.current import in_shadow, inside
from cutover.router.fork_hook import look_after
from cutover.router.log import log
from cutover.router.mirrored.delivering import Mirror, error_text
from cutover.router.mirrored.work import Patience, Work
from cutover.router.visits import Visit

if TYPE_CHECKING:
    from cutover.router.flow import Flow

__all__ = ["AsyncWrite", "EitherWrite", "Write", "Writes"]

THREADS: Final = 8  # for the outbox of coroutines
UNCONFIRMABLE: Final = (
    "no confirm= or refused=: after each exception an operator has to decide, and later writes of the key wait"
)


class Writes:
    """
    The mirrored writes of one router.

    Args:
        store: The URL of the router's store, where the outbox is unless another place is named; None for no URL.
        migration: Gives the migration's name; None while it is not known.
        show: Takes backlog and lag by flow.
    """

    def __init__(
        self,
        store: str | None,
        migration: Callable[[], str | None],
        show: Callable[[str, Mapping[str, tuple[int, float]]], None],
    ) -> None:
        self._store = store
        self._migration = migration
        self._show = show
        self._mirrors: dict[str, Mirror] = {}
        self._shortfalls: dict[str, Sequence[Shortfall]] = {}
        self._is_looked_after = False

    def build(
        self,
        flow: "Flow",
        *,
        name: str,
        old: Callable[..., Any],
        new: Callable[..., Any],
        confirm: Callable[..., Any] | None,
        outbox: str | None,
        refused: object,
        allowed_backlog: int,
        patience: Patience,
    ) -> "Write | AsyncWrite | EitherWrite":
        """
        Make what `Flow.write` gives.

        Raises:
            ConfigurationError: For what can never work.
        """
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ConfigurationError(f"the write's name is {name!r:.100}; allowed: {NAME_RULE}")
        if isinstance(allowed_backlog, bool) or not isinstance(allowed_backlog, int) or allowed_backlog < 0:
            raise ConfigurationError(f"allowed_backlog is {allowed_backlog!r:.100}; allowed: a number from 0 on")
        functions, refusals = Functions.of(name, old, new, confirm), errors_in("refused", refused)
        rule = Rule(flow=flow.name, name=name, allowed_backlog=allowed_backlog, confirms=confirm is not None)
        work = Work(rule=rule, functions=functions, patience=patience)
        mirror = self._mirror(outbox)
        mirror.add(work)
        if confirm is None and not refusals:
            log.warning("cutover.write_unconfirmable", flow=flow.name, write=name, means=UNCONFIRMABLE)
        return WRITES[functions.kind](flow, mirror, work, refusals)

    def after_fork(self) -> None:
        """
        Go on in a child process.
        """
        for mirror in tuple(self._mirrors.values()):
            mirror.start()

    def close(self) -> None:
        """
        End the threads; what is under way stays in the outbox.
        """
        for mirror in tuple(self._mirrors.values()):
            mirror.close()

    def _mirror(self, outbox: str | None) -> Mirror:
        url = outbox or os.environ.get("CUTOVER_OUTBOX") or self._store
        if outbox is None and (url is None or not can_keep_outbox(url)):
            raise ConfigurationError(
                "mirrored writes need an outbox, and the router's store cannot be one; allowed: write(outbox=URL) or "
                "CUTOVER_OUTBOX, as sqlite:///outbox.db or postgresql://HOST/DATABASE"
            )
        if not self._is_looked_after:
            self._is_looked_after = True
            look_after(self)
        if url not in self._mirrors:
            self._mirrors[str(url)] = Mirror(open_outbox(url), self._migration, self._show_all)
        return self._mirrors[str(url)]

    def _show_all(self, place: str, migration: str, found: Sequence[Shortfall]) -> None:
        """
        Show backlog and lag of each flow over all outboxes, after one of them was asked.
        """
        self._shortfalls[place] = found
        gauges: dict[str, tuple[int, float]] = {}
        for one in chain.from_iterable(tuple(self._shortfalls.values())):
            backlog, lag = gauges.get(one.rule.flow, (0, 0.0))
            gauges[one.rule.flow] = (backlog + one.backlog, max(lag, one.oldest))
        self._show(migration, gauges)


@attrs.frozen
class _Outcome:
    """
    How one step ended.

    Attributes:
        cancelled: What ends the call beside that: the task was cancelled while the step went on to its end, or a step
            with the outbox was interrupted.
    """

    value: Any = None
    error: BaseException | None = None
    cancelled: BaseException | None = None


@attrs.frozen
class _Tell:
    """
    A step that does I/O with the outbox.
    """

    work: Callable[[], Any]


@attrs.frozen
class _Call:
    """
    A step that calls a function of the application.

    Attributes:
        deadline: Seconds after which a coroutine is cancelled; None for never.
    """

    side: Backend
    intent: Intent
    deadline: float | None = None


_Steps = Generator["_Tell | _Call", _Outcome, _Outcome]


class _Mirrored:
    """
    What writes have in common: the order of the steps, whoever takes them.
    """

    def __init__(self, flow: "Flow", mirror: Mirror, work: Work, refused: Errors) -> None:
        self._flow = flow
        self._mirror = mirror
        self._work = work
        self._refused = refused

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._work.rule.name!r} of the flow {self._flow.name!r}>"

    def _check_caller(self) -> None:
        """
        Refuse a call that a comparison makes: the user's own call has written already.
        """
        if in_shadow():
            raise NotComparable(f"the call makes the mirrored write {self._work.rule.name!r}, and so is not safe=True")

    def _entry(self, key: object, side_of: Callable[[], Backend], args: Any, kwargs: Any) -> Entry:
        encoded = encoded_key(key.key if type(key) is Visit else key)
        arguments = encoded_arguments(args, kwargs)
        return Entry(
            migration=self._mirror.migration,
            flow=self._flow.name,
            write=self._work.rule.name,
            lane=lane_of(decoded_key(encoded)),
            key=encoded,
            side=side_of(),
            arguments=arguments,
        )

    def _steps(self, entry: Entry) -> _Steps:
        mirror, lease = self._mirror, self._work.patience.lease
        recorded = yield _Tell(lambda: mirror.record(entry, lease))
        if recorded.error is not None:
            return recorded if recorded.cancelled is None else _Outcome(error=recorded.cancelled)
        intent: Intent = recorded.value
        if recorded.cancelled is not None:
            yield _Tell(lambda: mirror.done(intent))
            return _Outcome(error=recorded.cancelled)
        first = yield from self._call(_Call(entry.side, intent))
        error = first.error
        if error is not None:
            told = yield _Tell(lambda: self._after(intent, error))
            return first if told.cancelled is None else _Outcome(error=told.cancelled)
        intent = attrs.evolve(intent, state=State.PENDING)
        other = other_side(entry)
        if intent.is_behind or other in self._work.hanging or not mirror.holds(intent):
            told = yield _Tell(lambda: mirror.put_back(intent))
            return first if told.cancelled is None else _Outcome(error=told.cancelled)
        with mirror.second_call(self._work, intent):
            second = yield from self._call(_Call(other, intent, self._work.patience.deadline))
        told = yield _Tell(lambda: self._after_other(intent, second.error))
        is_hidden = isinstance(second.error, Exception) and not isinstance(second.error, NotRun)
        interrupted = told.cancelled or (None if is_hidden else second.error)
        return first if interrupted is None else _Outcome(error=interrupted)

    def _call(self, call: _Call) -> _Steps:
        try:
            return (yield call)
        except GeneratorExit:  # thrown away: as after a crash, whoever takes the intent over asks what came of it
            self._mirror.let_go(call.intent)
            raise

    def _after(self, intent: Intent, error: BaseException) -> None:
        """
        Say what became of an intent whose authoritative side raised.
        """
        left = self._left(intent, error)
        if left is None:
            self._mirror.done(intent)
        else:
            self._mirror.put_back(left)

    def _left(self, intent: Intent, error: BaseException) -> Intent | None:
        """
        Give an intent as an exception of its authoritative side leaves it; None where that refused.
        """
        if self._is_refusal(error):
            return None
        return attrs.evolve(intent, state=State.UNKNOWN, error=error_text(error))

    def _is_refusal(self, error: BaseException) -> bool:
        return not isinstance(error, NotRun) and all_are(error, self._refused)

    def _after_other(self, intent: Intent, error: BaseException | None) -> None:
        if error is None:
            self._mirror.done(intent)
        else:
            self._mirror.failed(self._work, intent, error, State.UNDELIVERED, is_mine=False)

    def _counted(self, key: object, intent: Intent, began: float, error: BaseException | None) -> None:
        """
        Count a call to the authoritative side; the other's are counted as backlog.
        """
        self._flow.called(intent.entry.side, self._outcome_of(error), perf_counter() - began, key)

    def _outcome_of(self, error: BaseException | None) -> str:
        if error is None:
            return "ok"
        if not isinstance(error, Exception):
            return "cancelled"
        return "error" if isinstance(error, NotRun) or self._is_refusal(error) else "unknown"

    def _inside(self, side: Backend) -> AbstractContextManager[None]:
        return inside((self._flow.name, side, self._flow.version))

    def _connection(self, given: Any, side: Backend) -> Any:
        return given.get(side) if isinstance(given, Mapping) else given


class Write(_Mirrored):
    """
    A write that reaches both sides; what `Flow.write` gives for functions.
    """

    def __call__(
        self,
        key: object,
        /,
        *args: Any,
        outbox: Any = None,
        home: object = UNSET,
        cohort: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """
        Write: first the intent, then the side that the key is routed to, then the other one.

        Args:
            key: Of the thing that is written, or a `Visit`; its writes reach the other side in order.
            args: JSON values, as are those of *kwargs*; the functions get them, and ``sequence``.
            outbox: A connection of the application to the outbox's database with its transaction open: the intent is
                part of it. Or a mapping from `Backend` to such connections.
            home: Where the thing lives, as in `Flow.route`.

        Returns:
            What the authoritative side returned. What it raised is raised.

        Raises:
            ConfigurationError: If a key or an argument cannot be kept; nothing was written.
            Unavailable: If the outbox cannot be reached; no side was called.
        """
        self._check_caller()
        entry = self._entry(key, lambda: self._flow.route(key, cohort, home), args, kwargs)
        connection = self._connection(outbox, entry.side)
        if connection is not None:
            return self._in_transaction(key, connection, entry)
        steps = self._steps(entry)
        step = next(steps)
        while True:
            outcome = self._take(key, step)
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return _result(end.value)

    def _take(self, key: object, step: _Tell | _Call) -> _Outcome:
        began = perf_counter()
        try:
            value = step.work() if isinstance(step, _Tell) else self._called(step.side, step.intent)
        except BaseException as error:  # noqa: BLE001 - it is told to the outbox, and raised at the end
            is_interrupt = isinstance(step, _Tell) and not isinstance(error, Exception)
            outcome = _Outcome(error=error, cancelled=error if is_interrupt else None)
        else:
            outcome = _Outcome(value)
        if isinstance(step, _Call) and step.intent.state is State.CALLING:
            self._counted(key, step.intent, began, outcome.error)
        return outcome

    def _called(self, side: Backend, intent: Intent) -> Any:
        with self._inside(side):
            return self._work.functions.call(self._work.functions.sides[side], intent)

    def _in_transaction(self, key: object, connection: Any, entry: Entry) -> Any:
        statements = self._mirror.statements()
        intent = statements.record(connection, entry)
        began = perf_counter()
        try:
            result = self._called(entry.side, intent)
        except BaseException as error:
            self._counted(key, intent, began, error)
            with suppress(Exception):  # the transaction has failed already, and takes the intent with it
                left = self._left(intent, error)
                if left is None:
                    statements.withdraw(connection, intent)
                else:
                    statements.put_back(connection, left)
            raise
        self._counted(key, intent, began, None)
        return result


class AsyncWrite(_Mirrored):
    """
    A write that reaches both sides; what `Flow.write` gives for coroutine functions.
    """

    _threads = PerProcess(lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="cutover-outbox"))

    async def __call__(
        self,
        key: object,
        /,
        *args: Any,
        outbox: Any = None,
        home: object = UNSET,
        cohort: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """
        Write, as `Write.__call__` does.

        Args:
            outbox: Of psycopg, an `AsyncConnection`.
        """
        self._work.loop = asyncio.get_running_loop()
        self._check_caller()
        entry = self._entry(key, lambda: self._flow.route(key, cohort, home), args, kwargs)
        connection = self._connection(outbox, entry.side)
        if connection is not None:
            return await self._in_transaction(key, connection, entry)
        steps = self._steps(entry)
        step = next(steps)
        while True:
            outcome = await (self._told(step) if isinstance(step, _Tell) else self._made(key, step))
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return _result(end.value)

    async def _told(self, step: _Tell) -> _Outcome:
        """
        Do I/O with the outbox in a thread, to its end also where the task is cancelled: it takes milliseconds.
        """
        future = asyncio.get_running_loop().run_in_executor(self._threads.get(), _tried, step.work)
        cancelled: BaseException | None = None
        while not future.done():
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError as error:
                cancelled = error
        return attrs.evolve(future.result(), cancelled=cancelled)

    async def _made(self, key: object, step: _Call) -> _Outcome:
        began = perf_counter()
        try:
            outcome = _Outcome(await self._called(step.side, step.intent, step.deadline))
        except BaseException as error:  # noqa: BLE001 - it is told to the outbox, and raised at the end
            outcome = _Outcome(error=error)
        if step.intent.state is State.CALLING:
            self._counted(key, step.intent, began, outcome.error)
        return outcome

    async def _called(self, side: Backend, intent: Intent, deadline: float | None = None) -> Any:
        with self._inside(side):
            call = self._work.functions.await_call(self._work.functions.sides[side], intent)
            return await (call if deadline is None else within(deadline, call))

    async def _in_transaction(self, key: object, connection: Any, entry: Entry) -> Any:
        prepared = _result(await self._told(_Tell(self._mirror.statements)))
        is_async = hasattr(prepared, "arecord")
        intent = await prepared.arecord(connection, entry) if is_async else prepared.record(connection, entry)
        began = perf_counter()
        try:
            result = await self._called(entry.side, intent)
        except BaseException as error:
            self._counted(key, intent, began, error)
            with suppress(Exception):  # the transaction has failed already, and takes the intent with it
                left = self._left(intent, error)
                name = ("a" if is_async else "") + ("withdraw" if left is None else "put_back")
                told = getattr(prepared, name)(connection, left or intent)
                await told if is_async else None
            raise
        self._counted(key, intent, began, None)
        return result


class EitherWrite:
    """
    A write of functions around coroutine functions: only the call can tell which of the two they give.

    Called in an event loop it is an `AsyncWrite`, because a function that runs a coroutine itself cannot do so there;
    elsewhere it is a `Write`.
    """

    def __init__(self, *given: Any) -> None:
        self._plain = Write(*given)
        self._coroutine = AsyncWrite(*given)

    def __repr__(self) -> str:
        return repr(self._plain)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """
        Write, as `Write.__call__` does; in an event loop this gives what is to be awaited.
        """
        return (self._coroutine if in_event_loop() else self._plain)(*args, **kwargs)


Built = type[Write | AsyncWrite | EitherWrite]
WRITES: Final[dict[Kind, Built]] = {Kind.PLAIN: Write, Kind.ASYNC: AsyncWrite, Kind.EITHER: EitherWrite}


def _tried(work: Callable[[], Any]) -> _Outcome:
    try:
        return _Outcome(work())
    except Exception as error:  # noqa: BLE001 - raised where the caller waits
        return _Outcome(error=error)


def _result(outcome: _Outcome) -> Any:
    if outcome.error is not None:
        raise outcome.error
    return outcome.value
