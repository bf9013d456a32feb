"""
One function of two back ends: where calls go, what they count as, and what the caller sees.
"""

import asyncio
import contextvars
import functools
import gc
import inspect
import traceback
import weakref
from contextlib import nullcontext, suppress
from unittest.mock import AsyncMock, Mock, call

import pytest
from circumstances import Desk
from hypothesis import given
from hypothesis import strategies as st
from routers import events, logged, samples
from strategies import KEYS, short
from switching import NEW, OLD, Back, Place, as_async, called

import cutover
from cutover.core.bucketing import PARTS
from cutover.core.verdict import Answer
from cutover.errors import ConfigurationError
from cutover.router.calls.switch import _driven, _driven_async
from cutover.router.compiled import Circumstances
from cutover.router.current import CURRENT


class CardDeclined(Exception):
    """
    Business, and no failure.
    """


class Stop(BaseException):
    """
    What no application should catch.
    """


ENDS = {
    ValueError: "error",
    TimeoutError: "unknown",
    ConnectionResetError: "unknown",
    CardDeclined: "ok",
    StopIteration: "error",
    Stop: "cancelled",
    KeyboardInterrupt: "cancelled",
    SystemExit: "cancelled",
    GeneratorExit: "cancelled",
    asyncio.CancelledError: "cancelled",
}
KINDS = {"sync": lambda function: function, "async": as_async}
WAYS = {"short": {}, "by steps": {"failed": lambda _: False}}


@pytest.fixture(params=KINDS)
def kind(request):
    """
    What makes a function of the kind that is tested.
    """
    return KINDS[request.param]


@pytest.fixture(params=WAYS)
def way(request):
    """
    What a switch is given so that it takes the short way, or the steps.
    """
    return WAYS[request.param]


def test_each_key_goes_where_it_is_routed(kind, way):
    """
    Each call reaches the side of its key with all its arguments, and its answer is given; both are counted once.
    """
    place, old, new = Place(50_000), Back("from old"), Back("from new")
    switch = place.flow.switch(old=kind(old), new=kind(new), **way)
    sides = {key: place.flow.peek(key).backend for key in KEYS}

    for key, side in sides.items():
        assert called(switch, key, 7, order="o-1") == f"from {side.value}"

    assert old.calls == [(key, 7, {"order": "o-1"}) for key, side in sides.items() if side is OLD]
    assert new.calls == [(key, 7, {"order": "o-1"}) for key, side in sides.items() if side is NEW]
    assert place.counted("calls") == {("old", "ok"): len(old.calls), ("new", "ok"): len(new.calls)}
    assert sum(place.counted("requests").values()) == len(KEYS)
    counts = samples(place.parts.registry, "cutover_call_duration_seconds_count")
    assert counts == {("browse", "old"): len(old.calls), ("browse", "new"): len(new.calls)}


@pytest.mark.parametrize("error", ENDS)
def test_exceptions_reach_the_caller(error, way):
    """
    The caller sees the very exception of the back end, down to the line that raised it, and it counts by its kind.
    """
    raised = error("no")
    place = Place(PARTS)
    new = Back(raised)
    switch = place.flow.switch(old=Back(), new=new, ignore=CardDeclined, **way)

    with pytest.raises(error) as caught:
        switch("user-1")

    assert caught.value is raised
    assert traceback.extract_tb(raised.__traceback__)[-1].name == "__call__"
    assert raised.__context__ is None
    assert place.counted("calls") == {("new", ENDS[error]): 1}


@pytest.mark.parametrize("error", [ValueError, TimeoutError, CardDeclined, Stop, asyncio.CancelledError])
def test_exceptions_of_coroutines_reach_the_caller(error, way):
    """
    Coroutine functions raise, and count, as functions do.
    """
    raised = error("no")
    place = Place(PARTS)
    switch = place.flow.switch(old=as_async(Back()), new=as_async(Back(raised)), ignore=CardDeclined, **way)
    coroutine = switch("user-1")

    with pytest.raises(error) as caught:
        _run_by_hand(coroutine)

    assert caught.value is raised
    assert place.counted("calls") == {("new", ENDS[error]): 1}


def _run_by_hand(coroutine):
    # An event loop treats some of these exceptions as its own.
    while True:
        coroutine.send(None)


def test_a_safe_call_that_broke_off_is_an_error(kind, way):
    """
    Where a call changes nothing, a timeout leaves nothing unknown: it is an error.
    """
    place = Place()
    switch = place.flow.switch(old=kind(Back(TimeoutError("late"))), new=kind(Back()), safe=True, **way)

    with pytest.raises(TimeoutError):
        called(switch, "user-1")

    assert place.counted("calls") == {("old", "error"): 1}


def test_unknown_is_what_the_application_says(kind):
    """
    With `unknown` the application names what leaves the outcome open; business in `ignore` comes first.
    """
    place = Place()
    switch = place.flow.switch(
        old=kind(Back(LookupError("lost"))), new=kind(Back()), unknown=(LookupError, KeyError), ignore=KeyError
    )

    with pytest.raises(LookupError):
        called(switch, "user-1")
    place.flow.switches.clear()
    other = place.flow.switch(
        old=kind(Back(KeyError("none"))), new=kind(Back()), unknown=(LookupError, KeyError), ignore=KeyError
    )
    with pytest.raises(KeyError):
        called(other, "user-1")

    assert place.counted("calls") == {("old", "unknown"): 1, ("old", "ok"): 1}


def test_failures_that_raise_nothing(kind):
    """
    What `failed` says of an answer counts, and the answer is given all the same; one that raises says nothing.
    """
    place = Place()
    failed = {"ok": False, "declined": True, "odd": 1 / 3}
    switch = place.flow.switch(old=kind(lambda key: key), new=kind(Back()), failed=lambda answer: failed[answer])

    for answer in ("ok", "declined", "odd", "not known"):
        assert called(switch, answer) == answer

    assert place.counted("calls") == {("old", "ok"): 2, ("old", "error"): 2}
    assert events(logged(place.parts.notices)) == ["cutover.failed_raised"]


def test_a_visit_stands_for_its_key(kind, way):
    """
    A visit decides, and the functions get its key.
    """
    place = Place(PARTS, flow="pay")
    desk = Desk(Circumstances(snapshot=place.parts.holding.snapshot))
    visit = desk.journey("purchase").enter("user-1", home="new")
    new = Back("paid")
    place.move(0)

    assert called(place.flow.switch(old=kind(Back()), new=kind(new), **way), visit, 5) == "paid"
    assert new.calls == [("user-1", 5)]


def test_home_and_cohort_of_the_call(kind):
    """
    `home` and `cohort` may be functions of the call's own arguments, key first.
    """
    place, asked = Place(), []

    def home(key, order, *, rush=False):
        asked.append((key, order, rush))
        return order

    switch = place.flow.switch(old=kind(Back("old")), new=kind(Back("new")), home=home, cohort=lambda *_, **__: "staff")

    assert called(switch, "user-1", "new", rush=True) == "new"
    assert called(switch, "user-1", "old") == "old"
    assert asked == [("user-1", "new", True), ("user-1", "old", False)]
    assert place.counted("requests") == {("new", "home"): 1, ("old", "home"): 1}


def test_a_home_that_raises_stops_the_call(kind):
    """
    Where the home cannot be told, no back end is called, and the caller learns why.
    """
    place, old, new = Place(), Back(), Back()
    switch = place.flow.switch(old=kind(old), new=kind(new), home=Mock(side_effect=OSError("away")))

    with pytest.raises(OSError, match="away"):
        called(switch, "user-1")

    assert old.calls == new.calls == []
    assert place.counted("requests") == {}


def test_a_cohort_that_raises_is_none(kind):
    """
    A `cohort` that raises gives no cohort, as `cohort_of` of a router does, and the log tells once.
    """
    place = Place()
    switch = place.flow.switch(old=kind(Back(1)), new=kind(Back(2)), cohort=Mock(side_effect=KeyError("x")))

    assert (called(switch, "user-1"), called(switch, "user-2")) == (1, 1)
    assert events(logged(place.parts.notices)) == ["cutover.cohort_of_failed"]


def test_load_tests_are_no_calls(kind):
    """
    What `synthetic` tells of a call's own arguments has it routed as usual and counted apart.
    """
    place, old, new = Place(50_000), Back("old"), Back("new")
    asked = Mock(side_effect=lambda key, agent, **_: agent == "load-test")
    switch = place.flow.switch(old=kind(old), new=kind(new), synthetic=asked)
    sides = {key: place.flow.peek(key).backend for key in KEYS}

    assert [called(switch, key, "load-test", order=7) for key in KEYS] == [side.value for side in sides.values()]
    assert place.counted("requests") == place.counted("calls") == {}
    assert sum(place.counted("synthetic").values()) == len(KEYS)
    called(switch, "user-1", "browser")
    assert sum(place.counted("requests").values()) == sum(place.counted("calls").values()) == 1
    assert asked.call_args_list[0] == call(KEYS[0], "load-test", order=7)


@pytest.mark.parametrize("broken", [None, ValueError("no")], ids=short)
def test_a_visit_of_a_load_test_makes_no_calls(kind, way, broken):
    """
    A visit that a load test is on makes calls that are counted apart, however they end.
    """
    place = Place(PARTS, flow="pay")
    desk = Desk(Circumstances(snapshot=place.parts.holding.snapshot))
    visit = desk.journey("purchase").enter("user-1", home="new", synthetic=True)
    switch = place.flow.switch(old=kind(Back()), new=kind(Back(broken)), **way)

    with nullcontext() if broken is None else pytest.raises(ValueError, match="no"):
        called(switch, visit)

    assert place.counted("requests") == place.counted("calls") == {}
    assert place.counted("synthetic") == {("new", ""): 1}


def test_load_tests_are_compared_with_nothing(kind):
    """
    A call of a load test asks one side, also where comparisons are on and where OLD would answer for NEW.
    """
    place, old, new = Place(PARTS, shadow=PARTS), Back(), Back(OSError("no"))
    switch = place.flow.switch(
        old=kind(old), new=kind(new), safe=True, fallback=OSError, fallback_percent=100, synthetic=lambda _: True
    )

    with pytest.raises(OSError, match="no"):
        called(switch, "user-1")

    assert (old.calls, new.calls) == ([], [("user-1",)])
    assert place.counted("fallbacks") == place.counted("shadows") == {}


def test_attempts_of_load_tests_are_claimed(kind):
    """
    An attempt of a load test keeps its side as any other does, and is counted apart.
    """
    place, homes = Place(PARTS), cutover.homes("memory:load-tests", migration="shop")
    terms = {"attempt": lambda key: key, "homes": homes, "synthetic": lambda _: True}
    switch = place.flow.switch(old=kind(Back("old")), new=kind(Back("new")), **terms)
    homes.claim("attempt", "browse:user-2", OLD)

    assert [called(switch, "user-1"), called(switch, "user-2")] == ["new", "old"]
    assert homes.find("attempt", "browse:user-1") is NEW
    assert place.counted("requests") == place.counted("calls") == {}
    assert place.counted("synthetic") == {("new", ""): 1, ("old", ""): 1}


def test_a_synthetic_that_raises_tells_no(kind):
    """
    A `synthetic` that raises leaves the call a user's, and the log tells once.
    """
    place = Place()
    switch = place.flow.switch(old=kind(Back(1)), new=kind(Back(2)), synthetic=Mock(side_effect=KeyError("x")))

    assert (called(switch, "user-1"), called(switch, "user-2")) == (1, 1)
    assert events(logged(place.parts.notices)) == ["cutover.synthetic_failed"]
    assert place.counted("calls") == {("old", "ok"): 2}


class Service:
    """
    A back end as a class.
    """

    def find(self, key):
        """
        Answer.
        """
        return f"found {key}"

    async def find_later(self, key):
        """
        Answer.
        """
        return f"found {key}"


class AsyncCallable:
    """
    A back end as an object whose call is a coroutine function.
    """

    async def __call__(self, key):
        """
        Answer.
        """
        return f"found {key}"


FUNCTIONS = {
    "bound method": (Service().find, False),
    "bound coroutine method": (Service().find_later, True),
    "partial": (functools.partial(lambda prefix, key: f"{prefix} {key}", "found"), False),
    "partial of a coroutine method": (functools.partial(Service().find_later), True),
    "async __call__": (AsyncCallable(), True),
    "partial of async __call__": (functools.partial(AsyncCallable()), True),
    "class": ("found {}".format, False),
    "mock": (Mock(side_effect=lambda key: f"found {key}"), False),
    "async mock": (AsyncMock(side_effect=lambda key: f"found {key}"), True),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_may_be_a_back_end(name):
    """
    Whatever can be called may be a back end, and whether it is a coroutine function is told right.
    """
    function, is_async = FUNCTIONS[name]
    place = Place()
    switch = place.flow.switch(old=function, new=function)

    assert inspect.iscoroutinefunction(switch) is is_async
    assert called(switch, "user-1") == "found user-1"
    assert place.counted("calls") == {("old", "ok"): 1}


def _numbers(key):
    yield key


async def _later_numbers(key):
    yield key


class GeneratorCallable:
    """
    An object whose call gives a generator.
    """

    def __call__(self, key):
        """
        Give one number.
        """
        yield key


async def _later(*_):
    return None


WRONG = {
    "mixed": ({"new": _later}, "old is def, new is async def; allowed: all of them def"),
    "generator": ({"new": _numbers}, "new is a generator"),
    "async generator": ({"old": _later_numbers}, "old is a generator"),
    "generator __call__": ({"old": GeneratorCallable()}, "old is a generator"),
    "partial of a generator": ({"old": functools.partial(_numbers)}, "old is a generator"),
    "no function": ({"old": "charge"}, "old is a str; allowed: a function"),
    "safe as text": ({"safe": "no"}, "safe is 'no'; allowed: True or False"),
    "fallback of a change": ({"fallback": TimeoutError}, "allowed: with safe=True"),
    "comparison of a change": ({"ignore_fields": ("at",)}, "allowed: with safe=True"),
    "attempt without homes": ({"attempt": lambda _: "a"}, "attempt and homes go together"),
    "homes without attempt": ({"homes": Mock()}, "attempt and homes go together"),
    "a URL for homes": ({"attempt": lambda _: "a", "homes": "sqlite:///x"}, "homes is a str; allowed: what cutover.h"),
    "safe attempt": ({"attempt": lambda _: "a", "homes": Mock(), "safe": True}, "allowed: without safe=True"),
    "ignore": ({"ignore": "CardDeclined"}, "ignore holds 'CardDeclined'"),
    "unknown": ({"unknown": (TimeoutError, BaseException)}, "unknown holds <class 'BaseException'>"),
    "fallback": ({"fallback": [TimeoutError], "safe": True}, "fallback holds"),
    "percent 0": ({"fallback_percent": 0}, "fallback_percent is 0; allowed: above 0"),
    "percent text": ({"fallback_percent": "10"}, "fallback_percent is '10'"),
    "percent nan": ({"fallback_percent": float("nan")}, "fallback_percent is nan"),
    "deadline": ({"shadow_deadline": 0, "safe": True}, "shadow_deadline is 0"),
    "deadline text": ({"shadow_deadline": "2s", "safe": True}, "shadow_deadline is '2s'"),
    "limit": ({"shadow_limit": 0, "safe": True}, "shadow_limit is 0"),
    "limit of a kind": ({"shadow_limit": 2.5, "safe": True}, "shadow_limit is 2.5"),
    "noise": ({"noise": 101, "safe": True}, "noise is 101"),
    "one field": ({"ignore_fields": "updated_at", "safe": True}, "ignore_fields is 'updated_at'; allowed: a tuple"),
    "compare": ({"compare": "==", "safe": True}, "compare is a str"),
    "async compare": ({"compare": _later, "safe": True}, "compare is an async def; allowed: a function made with def"),
    "async home": ({"home": _later}, "home is an async def"),
    "async cohort": ({"cohort": _later}, "cohort is an async def"),
    "async failed": ({"failed": _later}, "failed is an async def"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_meant_is_refused(name):
    """
    A switch that cannot work is refused when it is built, with what is allowed.
    """
    more, said = WRONG[name]

    with pytest.raises(ConfigurationError) as caught:
        Place().flow.switch(**{"old": Back(), "new": Back(), **more})

    assert said in str(caught.value)


def test_the_call_knows_where_it_is(kind, way):
    """
    While a back end is called, the context tells flow, side and version; afterwards it tells what it told before.
    """
    place, seen = Place(PARTS), []
    switch = place.flow.switch(old=kind(Back()), new=kind(lambda _: seen.append(CURRENT.get())), **way)

    called(switch, "user-1")

    assert seen == [("browse", NEW, place.flow.plan.version)]
    assert CURRENT.get() is None


def test_a_coroutine_that_is_thrown_away(way):
    """
    A call whose coroutine is closed in another context, as garbage is, counts as cancelled and raises nothing.
    """
    place = Place(PARTS)

    async def hang(_key):
        await asyncio.Event().wait()

    coroutine = place.flow.switch(old=hang, new=hang, **way)("user-1")
    contextvars.copy_context().run(_started, coroutine)
    coroutine.close()

    assert place.counted("calls") == {("new", "cancelled"): 1}


def _started(coroutine):
    loop = asyncio.new_event_loop()
    try:
        asyncio.events._set_running_loop(loop)
        coroutine.send(None)
    finally:
        asyncio.events._set_running_loop(None)
        loop.close()


def test_cancelling_a_call(way):
    """
    Cancelling reaches the back end, passes through, and counts as cancelled.
    """
    place, began = Place(PARTS), asyncio.Event()

    async def hang(_key):
        began.set()
        await asyncio.Event().wait()

    switch = place.flow.switch(old=hang, new=hang, **way)

    async def cancelled():
        task = asyncio.get_running_loop().create_task(switch("user-1"))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())

    assert place.counted("calls") == {("new", "cancelled"): 1}


def test_an_exception_is_not_kept(way):
    """
    What a call raised is let go of as soon as the caller lets go of it: no cycle keeps it, and its frames, alive.
    """
    raised = []

    class Failure(Exception):
        """
        An exception of this test alone.
        """

    def fail(_key):
        error = Failure()
        raised.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error  # or its own frame would keep it

    switch = Place().flow.switch(old=fail, new=Back(), **way)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            with suppress(Failure):
                switch("user-1")
        left = [error() for error in raised]
    finally:
        gc.enable()

    assert left == [None] * 3


ANSWERS = st.one_of(
    st.integers(),
    st.none(),
    st.sampled_from([ValueError, TimeoutError, CardDeclined, Stop, StopIteration, KeyboardInterrupt]).map(
        lambda error: error("no")
    ),
)


@given(
    dial=st.sampled_from([0, 25_000, PARTS]),
    calls=st.lists(st.tuples(st.sampled_from([*KEYS, "", None, 7, b"\xff", "\ud800"]), ANSWERS, ANSWERS), max_size=6),
    safe=st.booleans(),
    home=st.sampled_from([None, "old", "new", "nowhere"]),
    is_async=st.booleans(),
)
def test_the_short_way_does_what_the_steps_do(dial, calls, safe, home, is_async):
    """
    Whatever a call comes to, the short way and the steps call the same side, answer and count alike.
    """
    seen = []
    for is_short in (True, False):
        place, back = Place(dial), {OLD: Back(), NEW: Back()}
        kind = as_async if is_async else KINDS["sync"]
        built = {"old": kind(back[OLD]), "new": kind(back[NEW]), "safe": safe, "ignore": CardDeclined, "home": home}
        short = place.flow.switch(**built)
        switch = short if is_short else _by_steps(place.flow.switches[0], is_async)
        came = [_came(switch, key, back, answers) for key, *answers in calls]
        seen.append((came, back[OLD].calls, back[NEW].calls, place.counted("calls"), place.counted("requests")))

    assert seen[0] == seen[1]


def _by_steps(switch, is_async):
    if is_async:

        async def call(key):
            return await _driven_async(switch.steps((key,), {}))

        return call
    return lambda key: _driven(switch.steps((key,), {}))


def _came(switch, key, back, answers):
    back[OLD].answer, back[NEW].answer = answers
    try:
        result = switch(key)
        return ("gave", _ran(result) if inspect.iscoroutine(result) else result)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is compared
        return ("raised", type(error), str(error))


def _ran(coroutine):
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value


def test_steps_give_an_answer():
    """
    The steps of a call end with its answer as a value, also where that is an exception.
    """
    place = Place()
    place.flow.switch(old=Back(), new=Back())
    steps = place.flow.switches[0].steps(("user-1",), {})
    step = next(steps)

    with pytest.raises(StopIteration) as end:
        steps.send(Answer(None, LookupError("no")))

    assert (step.arguments, step.named) == (("user-1",), {})
    assert isinstance(end.value.value.error, LookupError)
