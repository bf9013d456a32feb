"""
One function made of two: each call goes to the back end that its key is routed to, is timed, and counted by outcome.

`steps` says what is called in which order, for functions and coroutine functions alike; two short drivers make the
calls. Answers travel as values, because an exception that is thrown into a generator may become another one.
"""

from collections.abc import Callable, Generator, Mapping
from functools import partial
from time import perf_counter
from types import CoroutineType
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import attrs

from cutover.callables import Kind, in_event_loop, parameter_at
from cutover.core.backend import UNSET, Backend, Decision
from cutover.core.comparison import NotComparable, structure_of
from cutover.core.verdict import Answer
from cutover.errors import ConfigurationError
from cutover.protocols import Checked
from cutover.returned import RESULTS, NotRun, finished, finishing, settled, settling
from cutover.router.calls.attempts import ATTEMPT, attempt_id
from cutover.router.calls.binding import Switched, switched_of
from cutover.router.calls.checking import PERCENT, check_helpers, check_shadow, errors_in, is_number, kind_of_all
from cutover.router.calls.judging import Budget, Judge
from cutover.router.calls.raised import all_are
from cutover.router.calls.shadow import Shadow, ShadowTerms
from cutover.router.current import CURRENT, HAS_COMPARED, in_shadow, inside
from cutover.router.flow import Flow, Notices
from cutover.router.strangers import kind_of, truth
from cutover.router.visits import Visit, is_synthetic

__all__ = ["Claiming", "Switch", "build", "switches_of"]

NEW: Final = Backend.NEW  # a global is found faster than a member
WAYS: Final[Mapping[Kind, tuple[bool, ...]]] = {
    Kind.PLAIN: (False,),
    Kind.ASYNC: (True,),
    Kind.EITHER: (False, True),
}  # whether a call is awaited

Function = Callable[..., Any]


@runtime_checkable
class Claiming(Protocol, metaclass=Checked):
    """
    What a switch needs of `cutover.homes`: the first claim of an attempt wins.
    """

    def claim(self, kind: str, id: str, backend: Backend) -> Backend:  # noqa: A002 - named as homes name it
        """
        Give the side that holds.
        """
        ...

    async def aclaim(self, kind: str, id: str, backend: Backend) -> Backend:  # noqa: A002 - named as homes name it
        """
        Give the side that holds.
        """
        ...


class Step(NamedTuple):
    """
    A call that a driver shall make.
    """

    function: Function
    arguments: tuple[Any, ...]
    named: dict[str, Any]


Steps = Generator[Step, Answer, Answer]


@attrs.frozen(kw_only=True)
class Switch:
    """
    What a switch was told; its `build` gives the function that the application calls.

    Attributes:
        sides: `old` and `new`, which raise where they return no result; coroutine functions where the call is awaited.
            So are the other functions.
        home: As in `Flow.route`, or a function of the call's own arguments.
        cohort: As in `Flow.route`, or a function of the call's own arguments.
        attempt: Gives the idempotency key of a call; its side is claimed before the back end is called.
        claim: Claims it, a coroutine function where the back ends' are.
        fallback: Exceptions after which OLD answers for NEW.
        budget: How often.
        synthetic: Tells of a call's own arguments whether it is counted apart.
        shadow: Asks the other side, too; None where a call may change something.
    """

    flow: Flow
    old: Function
    new: Function
    sides: Mapping[Backend, Function]
    is_async: bool
    judge: Judge
    home: object = UNSET
    cohort: Any = None
    attempt: Function | None = None
    claim: Function | None = None
    fallback: tuple[type[Exception], ...] = ()
    budget: Budget | None = None
    synthetic: Function | None = None
    shadow: Shadow | None = None

    def build(self) -> Switched:
        """
        Give the function of the two.
        """
        by_arguments = callable(self.home) or callable(self.cohort)
        is_plain = not (by_arguments or self.attempt or self.fallback or self.judge.failed or self.synthetic)
        made = _asynchronous if self.is_async else _synchronous
        return switched_of(made(self, is_plain, 0), made(self, is_plain, 1), name=self.flow.name, old=self.old)

    def is_shadowed(self) -> bool:
        """
        Tell whether the other side is asked too for some keys now.
        """
        return self.shadow is not None and self.flow.plan.shadow > 0

    def broke(self, key: object, side: Backend, error: BaseException, seconds: float) -> None:
        """
        Count a call that raised.
        """
        self.flow.called(side, self.judge.outcome(self.judge.raised(error)), seconds, key)

    def after_fork(self) -> None:
        """
        Begin anew in a child process.
        """
        if self.budget is not None:
            self.budget.after_fork()
        if self.shadow is not None:
            self.shadow.after_fork()

    def with_key(self, arguments: tuple[Any, ...], named: dict[str, Any], at: int) -> tuple[Any, ...]:
        """
        Put the key in its place, where a call gave it by its name.

        Raises:
            TypeError: If the call has no key.
        """
        name = parameter_at(self.old, at)
        if len(arguments) != at or name not in named:
            after = " after the object" if at else ""
            raise TypeError(f"{self.flow.name}() got no key; allowed: the key as the first argument{after}")
        return (*arguments, named.pop(name))

    def steps(self, arguments: tuple[Any, ...], named: dict[str, Any], at: int = 0) -> Steps:
        """
        Make one call, step by step; gives its answer.

        Args:
            at: The place of the key among the arguments: after the object, where there is one.
        """
        key = arguments[at]
        arguments = _without_visit(arguments, at)
        plain = arguments[at]
        told = yield from self._told(arguments, named)
        if told.error is not None:
            return told
        home, cohort, synthetic = told.value
        # What lives on one side is not on the other, whatever that would answer.
        lives_there = home is not UNSET or (type(key) is Visit and key.home is not UNSET)
        apart = is_synthetic(key) or in_shadow() or truth(synthetic)
        if self.attempt is None:
            side = self.flow.route(key, cohort, home, apart)
        else:
            decision = self.flow.peek(key, cohort, home)
            claimed = yield from self._claimed(decision, arguments, named, apart=apart)
            if claimed.error is not None:
                return claimed
            side = claimed.value
        asking = None
        if self.shadow is not None and not lives_there and not apart:
            asking = self.shadow.prepare(self.flow.plan, arguments, named, at)
        answer = yield from self._timed(side, arguments, named, apart=apart)
        if lives_there or apart or isinstance(answer.error, NotRun):
            return answer
        if self._falls_back(side, answer):
            next(self.flow.cells.fallbacks.ticks)
            return (yield from self._timed(Backend.OLD, arguments, named))
        if self.shadow is not None and asking is not None and self.shadow.wants(self.flow.plan, plain):
            self.shadow.offer(asking, side, self.flow.plan.version, answer)
        return answer

    def _timed(self, side: Backend, arguments: tuple[Any, ...], named: dict[str, Any], *, apart: bool = False) -> Steps:
        with inside((self.flow.name, side, self.flow.version)):
            began = perf_counter()
            answer = yield Step(self.sides[side], arguments, named)
            took = perf_counter() - began
        if answer.error is None and self.judge.failed is not None:
            judge = self.judge.returned_later if self.is_async else self.judge.returned
            judged = yield Step(judge, (answer.value,), {})
            answer = judged if judged.error is not None else judged.value
        if answer.error is not None:
            answer = self.judge.raised(answer.error)
        if not apart:
            self.flow.called(side, self.judge.outcome(answer), took)
        return answer

    def _claimed(self, decision: Decision, arguments: tuple[Any, ...], named: dict[str, Any], *, apart: bool) -> Steps:
        """
        Claim the side of an attempt, or learn where an earlier one went; a call without an idempotency key claims none.
        """
        attempt = Answer() if self.attempt is None else (yield Step(self.attempt, arguments, named))
        if attempt.error is not None:
            return attempt
        id_ = attempt_id(self.flow.name, attempt.value)
        if id_ is None or self.claim is None:
            self.flow.take(decision, synthetic=apart)
            return Answer(decision.backend)
        if in_shadow():
            why = NotComparable(f"the call claims an attempt of the flow {self.flow.name!r}, and so is not safe=True")
            return Answer(None, why, failed=True)
        answer = yield Step(self.claim, (ATTEMPT, id_, decision.backend), {})
        if answer.error is None:
            self.flow.take(decision, held=answer.value, synthetic=apart)
        return answer

    def _falls_back(self, side: Backend, answer: Answer) -> bool:
        if self.budget is None or side is Backend.OLD or not answer.failed:
            return False
        if answer.error is None or not all_are(answer.error, self.fallback):
            return False
        is_left = self.budget.take()
        if not is_left:
            self.judge.noted("cutover.fallbacks_used_up", answer.error)
        return is_left

    def _told(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Steps:
        """
        Ask the functions of the application for home, cohort, and whether the call is synthetic.
        """
        found = []
        for given, event in (
            (self.home, ""),
            (self.cohort, "cutover.cohort_of_failed"),
            (self.synthetic, "cutover.synthetic_failed"),
        ):
            answer = (yield Step(given, arguments, named)) if callable(given) else Answer(given)
            if answer.error is not None:
                if not event or isinstance(answer.error, NotRun) or not isinstance(answer.error, Exception):
                    return answer
                self.judge.noted(event, answer.error)
            found.append(answer.value)
        return Answer(found)


def build(switches: tuple[Switch, ...]) -> Function:
    """
    Give the function that the application calls.

    Args:
        switches: One; or one of functions and one of coroutine functions, where only the call can tell which they are.
    """
    made = [switch.build() for switch in switches]
    if len(made) == 1:
        return made[0]
    direct, method = _either(*(one.func for one in made)), _either(*(one.method for one in made))
    return switched_of(direct, method, name=made[0].__name__, old=switches[0].old)


def _either(plain: Function, coroutine: Function) -> Function:
    def switched(*arguments: Any, **named: Any) -> Any:
        return (coroutine if in_event_loop() else plain)(*arguments, **named)

    return switched


def _without_visit(arguments: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    """
    Put the key of a visit in its place.
    """
    key = arguments[at]
    return (*arguments[:at], key.key, *arguments[at + 1 :]) if type(key) is Visit else arguments


def _synchronous(switch: Switch, is_plain: bool, at: int) -> Function:
    """
    Build the function of two functions, with the key at a place among the arguments. Where nothing but routing, timing
    and counting was asked for, that is done here as `Switch.steps` would, without its steps.
    """
    flow, old, new, home, cohort = switch.flow, switch.old, switch.new, switch.home, switch.cohort
    name, route, is_safe = flow.name, flow.route, switch.shadow is not None
    enter, leave = CURRENT.set, CURRENT.reset

    def switched(*arguments: Any, **named: Any) -> Any:
        try:
            key = arguments[at]
        except IndexError:
            arguments = switch.with_key(arguments, named, at)
            key = arguments[at]
        if not is_plain or (is_safe and switch.is_shadowed()) or (HAS_COMPARED and in_shadow()):
            return _driven(switch.steps(arguments, named, at))
        side = route(key, cohort, home)
        function = new if side is NEW else old
        token = enter((name, side, flow.version))
        began = perf_counter()
        try:
            value = function(*(_without_visit(arguments, at) if type(key) is Visit else arguments), **named)
            if type(value) not in RESULTS:
                finished(value, side)
        except BaseException as error:
            switch.broke(key, side, error, perf_counter() - began)
            raise
        finally:
            leave(token)
        if type(key) is not Visit or not key.synthetic:
            flow.went_well(side, perf_counter() - began)
        return value

    return switched


def _asynchronous(switch: Switch, is_plain: bool, at: int) -> Function:
    """
    Build the coroutine function of two, as `_synchronous` does.
    """
    flow, old, new, home, cohort = switch.flow, switch.old, switch.new, switch.home, switch.cohort
    name, route, is_safe = flow.name, flow.route, switch.shadow is not None
    enter, leave = CURRENT.set, CURRENT.reset

    async def switched(*arguments: Any, **named: Any) -> Any:
        try:
            key = arguments[at]
        except IndexError:
            arguments = switch.with_key(arguments, named, at)
            key = arguments[at]
        if not is_plain or (is_safe and switch.is_shadowed()) or (HAS_COMPARED and in_shadow()):
            return await _driven_async(switch.steps(arguments, named, at))
        side = route(key, cohort, home)
        function = new if side is NEW else old
        token = enter((name, side, flow.version))
        began = perf_counter()
        try:
            value = function(*(_without_visit(arguments, at) if type(key) is Visit else arguments), **named)
            if type(value) is CoroutineType:
                value = await value
            if type(value) not in RESULTS:
                value = await settled(value, side)
        except BaseException as error:
            switch.broke(key, side, error, perf_counter() - began)
            raise
        finally:
            try:  # noqa: SIM105 - each call comes here, and `suppress` takes longer than all the rest of it
                leave(token)
            except ValueError:  # a coroutine that is thrown away is closed in another context
                pass
        if type(key) is not Visit or not key.synthetic:
            flow.went_well(side, perf_counter() - began)
        return value

    return switched


def switches_of(
    flow: Flow,
    notices: Notices,
    *,
    old: Function,
    new: Function,
    home: object,
    cohort: object,
    safe: bool,
    failed: Function | None,
    ignore: object,
    unknown: object,
    fallback: object,
    fallback_percent: float,
    attempt: Function | None,
    homes: Claiming | None,
    synthetic: Function | None,
    shadow: ShadowTerms,
) -> tuple[Switch, ...]:
    """
    Check what `Flow.switch` was given, and put a switch together; two where only a call can tell whether it is awaited.

    Raises:
        ConfigurationError: If something cannot be meant: the parameter, what it is, and what is allowed.
    """
    kind = kind_of_all(old=old, new=new)
    helpers: dict[str, Any] = {"home": home, "cohort": cohort, "attempt": attempt, "synthetic": synthetic}
    asked = {name: function for name, function in helpers.items() if callable(function)}
    judging = {"failed": failed, "attempt": attempt, "synthetic": synthetic}
    check_helpers(**{**asked, **judging}, can_await=kind is not Kind.PLAIN)
    check_helpers(compare=shadow.compare, redact=shadow.redact, can_await=False)
    noted = partial(_note, notices, flow.name)
    ignored, rescued = errors_in("ignore", ignore), errors_in("fallback", fallback)
    broke_off = None if unknown is None else errors_in("unknown", unknown)
    judge = Judge(safe=safe, failed=failed, ignore=ignored, unknown=broke_off, noted=noted)
    _check_safe(safe, rescued=rescued, attempt=attempt, homes=homes)
    check_shadow(shadow, safe=safe)
    if not is_number(fallback_percent) or not 0 < fallback_percent <= PERCENT:
        raise ConfigurationError(f"fallback_percent is {fallback_percent!r}; allowed: above 0, up to 100")

    def switch(*, is_async: bool) -> Switch:
        checked = settling if is_async else finishing
        called = (checked(old, "old"), checked(new, "new"))
        comparing = partial(Shadow, flow.name, lambda: flow.cells, judge, *called, _checked(shadow))
        return Switch(
            flow=flow,
            old=old,
            new=new,
            sides=dict(zip(Backend, called, strict=True)),
            is_async=is_async,
            judge=judge,
            **helpers | {name: checked(function, name, is_asked=True) for name, function in asked.items()},
            claim=None if homes is None else checked(homes.aclaim if is_async else homes.claim, "homes"),
            fallback=rescued,
            budget=Budget(fallback_percent, flow.count_calls) if rescued else None,
            shadow=comparing(is_async=is_async, notices=notices) if safe else None,
        )

    return tuple(switch(is_async=is_async) for is_async in WAYS[kind])


def _checked(terms: ShadowTerms) -> ShadowTerms:
    compare = None if terms.compare is None else finishing(terms.compare, "compare", is_asked=True)
    redact = terms.redact if terms.redact is structure_of else finishing(terms.redact, "redact")
    return attrs.evolve(terms, compare=compare, redact=redact)


def _note(notices: Notices, flow: str, event: str, error: BaseException) -> None:
    notices.note(event, flow=flow, error=str(error) if isinstance(error, NotRun) else kind_of(error))


def _check_safe(safe: object, *, rescued: tuple[type[Exception], ...], attempt: object, homes: object) -> None:
    """
    Check what goes only with a call that changes nothing, or only with one that changes something.
    """
    if not isinstance(safe, bool):  # a setting's "no" would have calls that change something made twice
        raise ConfigurationError(f"safe is {safe!r:.100}; allowed: True or False")
    if rescued and not safe:
        raise ConfigurationError("fallback is for a call that changes nothing; allowed: with safe=True")
    if (attempt is None) is not (homes is None):
        raise ConfigurationError("attempt and homes go together: the side of an attempt is claimed in homes")
    if not isinstance(homes, Claiming | None):
        raise ConfigurationError(f"homes is a {kind_of(homes)}; allowed: what cutover.homes(URL) gives")
    if attempt is not None and safe:
        raise ConfigurationError("attempt is for a call that changes something; allowed: without safe=True")


def _driven(steps: Steps) -> Any:
    try:
        step = next(steps)
        while True:
            try:
                answer = Answer(step.function(*step.arguments, **step.named))
            except BaseException as error:  # noqa: BLE001 - it is raised again, when it was counted
                answer = Answer(None, error)
            step = steps.send(answer)
    except StopIteration as end:
        answer = end.value
    try:
        return _given(answer)
    finally:
        del answer  # or the exception and this frame would keep each other


async def _driven_async(steps: Steps) -> Any:
    try:
        step = next(steps)
        while True:
            try:
                answer = Answer(await step.function(*step.arguments, **step.named))
            except BaseException as error:  # noqa: BLE001 - it is raised again, when it was counted
                answer = Answer(None, error)
            step = steps.send(answer)
    except StopIteration as end:
        answer = end.value
    try:
        return _given(answer)
    finally:
        del answer


def _given(answer: Answer) -> Any:
    if answer.error is None:
        return answer.value
    try:
        raise answer.error
    finally:
        del answer
