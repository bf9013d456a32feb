"""
What a call came to, and how often OLD may answer for NEW.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routers import events, logged
from switching import NEW, Back, Place, as_async, called

from cutover.core.bucketing import PARTS
from cutover.core.verdict import Answer
from cutover.router.calls.judging import MINUTE, Budget, Judge
from cutover.router.counting import OUTCOMES

ERRORS = (ValueError, KeyError, TimeoutError, ConnectionError, KeyboardInterrupt, GeneratorExit)
errors = st.sampled_from(ERRORS)
some_errors = st.lists(st.sampled_from([*ERRORS[:4], LookupError, Exception]), max_size=3).map(tuple)


def _nothing(event, error):
    raise AssertionError((event, error))


@given(error=errors, ignore=some_errors, unknown=some_errors, safe=st.booleans())
def test_outcomes_of_exceptions(error, ignore, unknown, safe):
    """
    Business is ok; then what breaks off is unknown unless the call is safe; other exceptions are errors; the rest is
    cancelled.
    """
    judge = Judge(safe=safe, ignore=ignore, unknown=unknown, noted=_nothing)
    answer = judge.raised(error("no"))

    outcome = judge.outcome(answer)

    assert outcome in OUTCOMES
    assert (outcome == "ok") is issubclass(error, ignore) is not answer.failed
    if outcome != "ok":
        assert (outcome == "unknown") is (not safe and issubclass(error, unknown))
        assert (outcome == "cancelled") is not issubclass(error, Exception)


@given(said=st.one_of(st.booleans(), st.integers(), st.text(), st.none()))
def test_outcomes_of_answers(said):
    """
    An answer is an error exactly where `failed` says something true of it.
    """
    judge = Judge(failed=lambda answer: answer, noted=_nothing)

    answer = judge.returned(said)

    assert answer == Answer(said, None, bool(said))
    assert judge.outcome(answer) == ("error" if said else "ok")


class Odd:
    """
    What cannot say whether it is true.
    """

    def __bool__(self):
        raise ValueError("neither")


def test_failed_may_say_anything():
    """
    Where what `failed` says is neither true nor false, the call counts as ok, and that is noted.
    """
    noted = []
    judge = Judge(failed=lambda _: Odd(), noted=lambda event, error: noted.append((event, type(error))))

    assert judge.outcome(judge.returned(1)) == "ok"
    assert noted == [("cutover.failed_raised", ValueError)]


steps = st.lists(st.tuples(st.floats(0, 90), st.integers(0, 40), st.booleans()), max_size=60)


@given(percent=st.floats(0.001, 100), steps=steps)
def test_fallbacks_stay_below_their_share(percent, steps):
    """
    In no minute are more fallbacks allowed than the share of its calls, but for a first one; below it none is refused.
    """
    now, calls, taken, base, began = 0.0, 0, 0, 0, 0.0
    budget = Budget(percent, lambda: calls, lambda: now)
    for passed, more, wants in steps:
        now, calls = now + passed, calls + more
        if not wants:
            continue
        if now - began >= MINUTE:
            began, base, taken = now, calls, 0
        allowed = max(1.0, percent / 100 * (calls - base))
        assert budget.take() is (taken + 1 <= allowed)
        taken += taken + 1 <= allowed
        assert taken <= allowed


@pytest.fixture(params=["sync", "async"])
def kind(request):
    """
    What makes a function of the kind that is tested.
    """
    return as_async if request.param == "async" else lambda function: function


def test_old_answers_for_new(kind):
    """
    After such an exception of NEW, OLD answers; both calls are counted, and that it fell back.
    """
    place, old = Place(PARTS), Back("from old")
    new = Back(TimeoutError("late"))
    switch = place.flow.switch(old=kind(old), new=kind(new), safe=True, fallback=(TimeoutError,))

    assert called(switch, "user-1", 3) == "from old"
    assert old.calls == new.calls == [("user-1", 3)]
    assert place.counted("calls") == {("new", "error"): 1, ("old", "ok"): 1}
    assert place.counted("fallbacks") == {("", ""): 1}
    assert place.counted("requests") == {("new", "percent"): 1}


@pytest.mark.parametrize("percent", [10, 50])
def test_above_the_budget_errors_surface(kind, percent):
    """
    Beyond its share of a minute's calls, the exception of NEW reaches the caller, and OLD is left alone. What OLD
    answers for NEW is no further call, or at 50% all would fall back.
    """
    place, old = Place(PARTS), Back("from old")
    switch = place.flow.switch(
        old=kind(old), new=kind(Back(TimeoutError("late"))), safe=True, fallback=TimeoutError, fallback_percent=percent
    )
    surfaced = 0
    for _ in range(50):
        try:
            called(switch, "user-1")
        except TimeoutError:
            surfaced += 1

    assert len(old.calls) + surfaced == 50
    assert len(old.calls) == 50 * percent / 100
    assert place.counted("fallbacks") == {("", ""): len(old.calls)}
    assert events(logged(place.parts.notices)) == ["cutover.fallbacks_used_up"]


NEVER = {
    "another exception": (PARTS, ValueError("no"), {}),
    "business": (PARTS, TimeoutError("late"), {"ignore": TimeoutError}),
    "an answer that failed": (PARTS, "declined", {"failed": lambda answer: True}),
    "what lives on NEW": (0, TimeoutError("late"), {"home": "new"}),
    "what lives on NEW as the call says": (0, TimeoutError("late"), {"home": lambda key: NEW}),
    "what ends the program": (PARTS, KeyboardInterrupt(), {}),
}


@pytest.mark.parametrize("name", NEVER)
def test_old_is_left_alone(name):
    """
    OLD answers for NEW only after the exceptions that were named, and never for what has a home.
    """
    dial, answer, more = NEVER[name]
    place, old = Place(dial), Back("from old")
    switch = place.flow.switch(old=old, new=Back(answer), safe=True, fallback=TimeoutError, **more)

    if isinstance(answer, BaseException):
        with pytest.raises(type(answer)):
            switch("user-1")
    else:
        assert switch("user-1") == answer

    assert old.calls == []
    assert place.counted("fallbacks") == {}


@given(
    old=st.sampled_from([ValueError, TimeoutError, None]),
    new=st.sampled_from([ValueError, TimeoutError, None]),
    dial=st.sampled_from([0, PARTS]),
    safe=st.booleans(),
)
def test_never_from_old_to_new(old, new, dial, safe):
    """
    What OLD raises reaches the caller: NEW is never asked for OLD, nor is anybody asked twice for a change.
    """
    place = Place(dial)
    backs = Back(old and old("old")), Back(new and new("new"))
    more = {"safe": True, "fallback": TimeoutError} if safe else {}
    switch = place.flow.switch(old=backs[0], new=backs[1], **more)

    try:
        switch("user-1")
    except (ValueError, TimeoutError) as error:
        raised = str(error)
    else:
        raised = ""

    falls = bool(dial) and safe and new is TimeoutError
    assert [len(back.calls) for back in backs] == [int(not dial or falls), int(bool(dial))]
    assert raised == (("old" if old else "") if not dial or falls else "new" if new else "")


def test_the_second_exception_surfaces():
    """
    Where OLD fails too, its exception reaches the caller as OLD raised it.
    """
    place, late = Place(PARTS), LookupError("old has none")
    switch = place.flow.switch(old=Back(late), new=Back(TimeoutError()), safe=True, fallback=TimeoutError)

    with pytest.raises(LookupError) as caught:
        switch("user-1")

    assert caught.value is late
    assert place.counted("calls") == {("new", "error"): 1, ("old", "error"): 1}
