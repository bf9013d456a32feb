"""
Asking the other side too: who is asked, what it comes to, and that the user notices nothing.
"""

import asyncio
import threading
from contextlib import suppress

import pytest
from circumstances import Desk
from hypothesis import given
from hypothesis import strategies as st
from routers import events, logged
from structlog.testing import capture_logs
from switching import NEW, OLD, Back, Place, as_async, called, until_async

from cutover.core.bucketing import PARTS, key_bytes
from cutover.core.verdict import Verdict
from cutover.router.calls import findings
from cutover.router.calls import shadow as module
from cutover.router.compiled import Circumstances
from cutover.router.current import CURRENT
from cutover.router.tokens import Tokens
from cutover.testing.store_helpers import until

ANSWER = {"items": [{"id": 1, "rank": 3}], "total": 5}
QUIET = {"safe": True, "noise": 0}


@pytest.fixture(params=["threads", "tasks"])
def asked(request):
    """
    What calls a switch of two functions, waits for its comparison, and gives the answer; with threads or with tasks.
    """
    is_async = request.param == "tasks"

    def ask(place, old, new, *arguments, key="user-1", **more):
        functions = [as_async(one) if is_async else one for one in (old, new)]
        switch = place.flow.switch(old=functions[0], new=functions[1], **{**QUIET, **more})
        before = sum(place.verdicts().values())

        def came():
            return sum(place.verdicts().values()) == before + 1

        async def asked_async():
            try:
                return await switch(key, *arguments)
            finally:
                await until_async(came)

        if is_async:
            return asyncio.run(asked_async())
        try:
            return switch(key, *arguments)
        finally:
            assert until(came)

    return ask


@pytest.mark.parametrize(("dial", "side"), [(0, "old"), (PARTS, "new")])
def test_the_other_side_is_asked_too(asked, dial, side):
    """
    The user gets the answer of the side that was routed to; the other one is asked the same, and compared.
    """
    place, old, new = Place(dial, PARTS), Back({"a": 1, "by": 1}), Back({"a": 1, "by": 2})

    assert asked(place, old, new, 7)["by"] == (1 if side == "old" else 2)
    assert old.calls == new.calls == [("user-1", 7)]
    assert place.verdicts() == {"mismatch": 1}
    assert place.counted("calls") == {(side, "ok"): 1}
    assert place.counted("requests") == {(side, "percent"): 1}
    assert until(place.kept)
    assert [one.differences for one in place.kept()] == [(("by", "int", "int"),)]


VERDICTS = {
    "match": (ANSWER, dict(ANSWER), {}),
    "ignored": (ANSWER, {**ANSWER, "items": [{"id": 1, "rank": 9}]}, {"ignore_fields": ("items.*.rank",)}),
    "mismatch": (ANSWER, {**ANSWER, "total": 6}, {"ignore_fields": ("items.*.rank",)}),
    "old_error": (ValueError("no"), ANSWER, {}),
    "new_error": (ANSWER, SystemExit("no"), {}),
    "both_error": (ValueError("no"), KeyError("no"), {}),
    "compare_error": (ANSWER, dict(ANSWER), {"compare": lambda old, new: 1 / 0}),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_verdicts(asked, verdict):
    """
    Each verdict is counted once, and whatever the other side does, the user's call ends as without it.
    """
    old, new, more = VERDICTS[verdict]
    place = Place(0, PARTS)

    if isinstance(old, Exception):
        with pytest.raises(ValueError, match="no"):
            asked(place, Back(old), Back(new), **more)
    else:
        assert asked(place, Back(old), Back(new), **more) == old

    assert place.verdicts() == {verdict: 1}


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_a_comparison_may_even_exit(asked, error):
    """
    A `compare` that exits ends neither the process nor the pool: it is a `compare_error`, and the log tells once.
    """
    place = Place(0, PARTS)

    def exits(_old, _new):
        raise error

    for _ in range(3):
        assert asked(place, Back(1), Back(1), compare=exits, shadow_limit=1) == 1
    assert asked(place, Back(1), Back(1), shadow_limit=1) == 1

    assert place.verdicts() == {"compare_error": 3, "match": 1}
    assert events(logged(place.parts.notices)) == ["cutover.compare_raised"]


@pytest.mark.parametrize("error", [SystemExit, ValueError])
def test_a_redaction_that_raises(asked, error):
    """
    Where `redact` raises, the mismatch is kept without the values.
    """
    place = Place(0, PARTS)

    def redact(path, value):
        raise error(value)

    asked(place, Back("secret"), Back("other"), redact=redact)

    assert until(place.kept)
    assert place.kept()[0].differences == (("", f"redact raised {error.__name__}", f"redact raised {error.__name__}"),)


def test_old_with_itself(asked):
    """
    With noise, OLD is asked twice instead of NEW, to tell how far it differs from itself.
    """
    place, numbers, new = Place(0, PARTS), iter(range(10)), Back(1)

    asked(place, lambda _: next(numbers), new, noise=100)
    asked(place, lambda _: 7, new, noise=100)

    assert place.verdicts() == {"noise_mismatch": 1, "noise_match": 1}
    assert new.calls == []
    assert place.kept() == ()


def test_no_noise_from_new(asked):
    """
    A call that NEW answered is compared with OLD: that OLD differs from itself is learnt where OLD answers.
    """
    place = Place(PARTS, PARTS)

    asked(place, Back(1), Back(1), noise=100)

    assert place.verdicts() == {"match": 1}


@given(key=st.one_of(st.text(min_size=1), st.integers(), st.binary(min_size=1)), share=st.integers(1, PARTS - 1))
def test_a_key_is_asked_for_or_not(key, share):
    """
    Whether the other side is asked depends on the key alone, as often as it calls, and grows with the share.
    """
    place = Place(0, share)
    place.flow.switch(old=Back(), new=Back(), safe=True)
    shadow = place.flow.switches[0].shadow
    wanted = shadow.wants(place.flow.plan, key)

    assert shadow.wants(place.flow.plan, key_bytes(key)) is wanted
    place.move(0, min(share * 2, PARTS))
    assert shadow.wants(place.flow.plan, key) or not wanted
    place.move(0, 0)
    assert not shadow.wants(place.flow.plan, key)


def test_the_share_is_met():
    """
    About as many keys are asked for as the share says, and they are not those that go to NEW first.
    """
    place = Place(10_000, 10_000)
    place.flow.switch(old=Back(), new=Back(), safe=True)
    shadow, plan = place.flow.switches[0].shadow, place.flow.plan
    keys = [f"user-{number}" for number in range(20_000)]
    wanted = {key for key in keys if shadow.wants(plan, key)}
    both = sum(place.flow.peek(key).backend is NEW for key in wanted)

    assert 1_800 < len(wanted) < 2_200
    assert 120 < both < 290


@pytest.mark.parametrize("key", [None, "", b""])
def test_without_a_key(key):
    """
    What has no key is asked for only where every key is.
    """
    place = Place(0, PARTS)
    place.flow.switch(old=Back(), new=Back(), safe=True)
    shadow = place.flow.switches[0].shadow

    assert shadow.wants(place.flow.plan, key)
    place.move(0, PARTS - 1)
    assert not shadow.wants(place.flow.plan, key)


@pytest.mark.parametrize("more", [{"home": "old"}, {"home": lambda key: None}, {"safe": False, "noise": 10}])
def test_who_is_not_asked(more):
    """
    The other side is asked neither for what has a home nor for a call that may change something.
    """
    place, new = Place(0, PARTS), Back()
    switch = place.flow.switch(old=Back(1), new=new, **{**QUIET, **more})

    assert switch("user-1") == 1

    assert (new.calls, place.verdicts()) == ([], {})


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_a_call_that_was_cancelled_is_not_compared(error):
    """
    Without an answer there is nothing to compare.
    """
    place, new = Place(0, PARTS), Back()

    with pytest.raises(error):
        place.flow.switch(old=Back(error()), new=new, **QUIET)("user-1")

    assert (new.calls, place.verdicts()) == ([], {})


def test_break_glass_asks_one_side():
    """
    While the operators' file names a side, the other one is left alone.
    """
    place, new = Place(0, PARTS), Back()
    place.parts.holding.take_break_glass({"*": OLD})

    assert place.flow.switch(old=Back(1), new=new, **QUIET)("user-1") == 1

    assert (new.calls, place.verdicts()) == ([], {})


def test_a_thread_that_hangs():
    """
    The user waits for nothing; a shadow that hangs is a timeout, keeps its place, and what finds no place is dropped.
    """
    place, held = Place(0, PARTS), threading.Event()
    switch = place.flow.switch(
        old=Back(1), new=lambda _: held.wait(), shadow_limit=2, shadow_deadline=0.01, compare=lambda *_: True, **QUIET
    )
    try:
        assert [switch("user-1") for _ in range(5)] == [1] * 5
        assert place.verdicts()["dropped"] == 3
        assert until(lambda: place.parts.holding.expire_shadows() or place.verdicts() == {"dropped": 3, "timeout": 2})
        assert switch("user-1") == 1
        assert place.verdicts() == {"dropped": 4, "timeout": 2}
    finally:
        held.set()
    assert until(lambda: not place.flow.switches[0].shadow._threads._under_way)
    assert place.verdicts() == {"dropped": 4, "timeout": 2}


def test_a_task_that_hangs():
    """
    A task has the same limit and deadline; at its deadline it is cancelled, and its place is free again.
    """
    place, stopped = Place(0, PARTS), []

    async def hang(_key):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append(1)
            raise

    async def calls():
        terms = {"old": as_async(Back(1)), "new": hang, "shadow_limit": 2, **QUIET}
        short, long = (place.flow.switch(**terms, shadow_deadline=seconds) for seconds in (0.01, 3600))
        assert [await short("user-1") for _ in range(2)] == [1] * 2
        await until_async(lambda: place.verdicts() == {"timeout": 2})
        assert len(stopped) == 2
        await until_async(lambda: not place.flow.switches[0].shadow._tasks)
        assert await short("user-1") == 1
        await until_async(lambda: place.verdicts() == {"timeout": 3})
        assert [await long("user-1") for _ in range(5)] == [1] * 5

    asyncio.run(calls())

    assert place.verdicts() == {"timeout": 3, "dropped": 5}  # two of these five when the loop ended


def test_a_task_that_will_not_stop():
    """
    One that swallows its cancelling is a timeout all the same, counted once, whatever it answers later.
    """
    place = Place(0, PARTS)

    async def stubborn(_key):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 1

    async def calls():
        await place.flow.switch(old=as_async(Back(1)), new=stubborn, shadow_deadline=0.01, **QUIET)("user-1")
        await until_async(lambda: not place.flow.switches[0].shadow._tasks)

    asyncio.run(calls())

    assert place.verdicts() == {"timeout": 1}


def test_a_comparison_that_hangs(monkeypatch):
    """
    A comparison that does not end is given up, and is no match; its thread keeps its place until it ends.
    """
    monkeypatch.setattr(module, "LONGEST_COMPARISON", 0.01)
    place, held = Place(0, PARTS), threading.Event()
    switch = place.flow.switch(old=Back(1), new=Back(1), compare=lambda *_: held.wait(), **QUIET)
    try:
        switch("user-1")
        assert until(lambda: place.parts.holding.expire_shadows() or place.verdicts() == {"not_compared": 1})
        assert "comparing takes more than" in place.kept()[0].differences[0][1]
    finally:
        held.set()
    assert until(lambda: not place.flow.switches[0].shadow._threads._under_way)
    assert place.verdicts() == {"not_compared": 1}


class Claims:
    """
    Homes that note what is claimed in them.
    """

    def __init__(self):
        self.claimed = []

    def claim(self, kind, id, backend):  # noqa: A002 - named as homes name it
        """
        Note one.
        """
        self.claimed.append((kind, id))
        return backend

    async def aclaim(self, kind, id, backend):  # noqa: A002 - named as homes name it
        """
        Note one.
        """
        return self.claim(kind, id, backend)


def test_no_comparison_claims_an_attempt():
    """
    A comparison claims no attempt: the other side's call is refused, and is not compared.
    """
    place, claims, old = Place(0, PARTS), Claims(), Back(1)
    pay = place.parts.flow("pay").switch(old=old, new=old, attempt=lambda key: f"attempt-of-{key}", homes=claims)

    place.flow.switch(old=pay, new=pay, **QUIET)("user-1")
    assert until(place.verdicts)

    assert (len(claims.claimed), len(old.calls), place.verdicts()) == (1, 1, {"not_compared": 1})
    assert "claims an attempt of the flow 'pay'" in place.kept()[0].differences[0][1]


@pytest.mark.parametrize("dial", [0, PARTS])
def test_whoever_is_asked_first(asked, dial):
    """
    A failure is told of the side that failed, and a difference with OLD before NEW, whichever was routed to.
    """
    place = Place(dial, PARTS)
    with suppress(ValueError):
        asked(place, Back(1), Back(ValueError("broken")))
    asked(place, Back("x"), Back(2))

    assert place.verdicts() == {"new_error": 1, "mismatch": 1}
    assert until(lambda: len(place.kept()) == 2)
    failed, differs = (one.differences for one in place.kept())
    assert failed[0][:2] == ("", "answered")
    assert failed[0][2].startswith("raised ValueError at switching:")
    assert differs == (("", "text of 1", "int"),)


@pytest.mark.parametrize("error", [TimeoutError("mine"), asyncio.CancelledError()], ids=["timeout", "cancelled"])
def test_what_the_other_side_raises_by_itself_is_an_error(error):
    """
    What the other side raises by itself is its error, also where that is a TimeoutError or a CancelledError.
    """
    place = Place(0, PARTS)

    async def calls():
        switch = place.flow.switch(old=as_async(Back(1)), new=as_async(Back(error)), **QUIET)
        await switch("user-1")
        await until_async(place.verdicts)

    asyncio.run(calls())

    assert place.verdicts() == {"new_error": 1}


def test_the_end_of_the_loop():
    """
    What is under way when an event loop ends is dropped, and keeps nothing from ending.
    """
    place = Place(0, PARTS)

    async def hang(_key):
        await asyncio.Event().wait()

    async def calls():
        await place.flow.switch(old=as_async(Back(1)), new=hang, **QUIET)("user-1")
        await asyncio.sleep(0)

    asyncio.run(calls())

    assert place.verdicts() == {"dropped": 1}
    assert not place.flow.switches[0].shadow._running


def test_without_an_event_loop():
    """
    A coroutine that something else than asyncio runs is answered, and its comparison dropped.
    """
    place = Place(0, PARTS)

    async def at_once(_key):
        return 1

    coroutine = place.flow.switch(old=at_once, new=at_once, **QUIET)("user-1")
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)

    assert end.value.value == 1
    assert place.verdicts() == {"dropped": 1}


def test_the_shadow_knows_where_it_is(asked):
    """
    In the background the context tells the side that is asked, and the caller's tells what it told before.
    """
    place, seen = Place(0, PARTS), []

    asked(place, Back(1), lambda _: seen.append(CURRENT.get()) or 1)

    assert seen == [("browse", NEW, place.flow.plan.version)]
    assert CURRENT.get() is None


def test_a_visit_is_asked_for_by_its_key(asked):
    """
    For a visit both functions get its key.
    """
    place = Place(0, PARTS)
    visit = _visit(place)
    old, new = Back(1), Back(1)

    asked(place, old, new, key=visit)

    assert old.calls == new.calls == [("user-1",)]


def _visit(place):
    return Desk(Circumstances(snapshot=place.parts.holding.snapshot)).journey("purchase").enter("user-1")


def test_no_comparison_after_a_fallback():
    """
    Where OLD answered for NEW, both were asked already.
    """
    place, old = Place(PARTS, PARTS), Back(1)
    switch = place.flow.switch(old=old, new=Back(TimeoutError()), fallback=TimeoutError, **QUIET)

    assert switch("user-1") == 1

    assert (len(old.calls), place.verdicts()) == (1, {})


def test_the_first_mismatches_are_kept():
    """
    So many mismatches of a switch are kept, those that came first, and no more.
    """
    place, numbers = Place(0, PARTS), iter(range(100))
    switch = place.flow.switch(
        old=Back(-1), new=lambda _: next(numbers), redact=lambda path, value: value, shadow_limit=1, **QUIET
    )
    for number in range(findings.MOST_KEPT + 5):
        assert until(lambda: not place.flow.switches[0].shadow._threads._under_way)
        switch("user-1")
        assert until(lambda number=number: place.verdicts().get("mismatch") == number + 1)
    assert until(lambda: not place.flow.switches[0].shadow._threads._under_way)

    assert [one.differences for one in place.kept()] == [(("", "-1", str(n)),) for n in range(findings.MOST_KEPT)]


def test_what_is_shown_of_a_mismatch(asked):
    """
    Neither values nor keys are shown: not the call's own key, also where it is a name in the answer, nor odd names.
    """
    place = Place(0, PARTS)
    old = {"user-1": {"mail": "a@b.example"}, "c@d.example": 1, "u.ser": {"user-1": {"user-1": 1}}, "items": [1]}
    new = {"user-1": {"mail": "x@y.example!"}, "c@d.example": 2, "u.ser": {"user-1": {"user-1": 2}}, "items": []}

    asked(place, Back(old), Back(new))

    assert until(place.kept)
    assert place.kept()[0].differences == (
        ("?.mail", "text of 11", "text of 12"),
        ("?.example", "int", "int"),
        ("u.ser.?.?", "int", "int"),
        ("items.0", "int", "absent"),
    )


def test_a_mismatch_without_a_key(asked):
    """
    A call without a key is compared like others, and the place where the answers differ stays what it is.
    """
    place = Place(0, PARTS)

    asked(place, Back(1), Back("two"), key=None)

    assert until(place.kept)
    assert place.kept()[0].differences == (("", "int", "text of 3"),)


def test_the_log_tells_at_a_limited_rate():
    """
    The first mismatch is logged, with the places and no values; further ones of the same minute are counted for later.
    """
    place = Place(0, PARTS)
    with capture_logs() as logs:
        switch = place.flow.switch(old=Back({"a": 1}), new=Back({"a": 2}), **QUIET)
        shadow = place.flow.switches[0].shadow
        for number in (1, 2, 3, 4):
            assert until(lambda: not shadow._threads._under_way)
            shadow._findings._logged -= findings.LOG_EVERY if number == 4 else 0
            switch("user-1")
            assert until(lambda number=number: len(place.kept()) == number)
        assert until(lambda: not shadow._threads._under_way)

    line = {"event": "cutover.shadow_mismatch", "flow": "browse", "places": ["a"], "log_level": "warning"}
    assert logs == [{**line, "since_last": 1}, {**line, "since_last": 3}]


def test_a_child_begins_anew():
    """
    After a fork nothing is under way, every place is free, and the mismatches are those of the child.
    """
    place, held = Place(0, PARTS), threading.Event()
    switch = place.flow.switch(old=Back(1), new=Back(2), shadow_limit=1, **QUIET)
    switch("user-1")
    assert until(place.kept)
    assert until(lambda: not place.flow.switches[0].shadow._threads._under_way)
    hanging = place.flow.switch(old=Back(1), new=lambda _: held.wait(), shadow_limit=1, **QUIET)
    hanging("user-1")
    try:
        place.parts.holding.after_fork()

        assert (place.kept(), place.verdicts()) == ((), {})
        assert switch("user-1") == 1
        assert until(lambda: place.verdicts() == {"mismatch": 1})
        hanging("user-1")
        assert place.verdicts() == {"mismatch": 1}
    finally:
        held.set()


def test_off_nothing_of_it_runs():
    """
    With the share at 0 no other side is asked, no thread is started, and nothing is counted.
    """
    place, new = Place(0, 0), Back()
    switch = place.flow.switch(old=Back(1), new=new, **QUIET)
    before = set(threading.enumerate())

    assert [called(switch, f"user-{number}") for number in range(50)] == [1] * 50
    assert (new.calls, place.verdicts()) == ([], {})
    assert set(threading.enumerate()) <= before


@given(st.sampled_from(Verdict))
def test_noise_has_two_verdicts(verdict):
    """
    What OLD with itself comes to is told apart from what OLD with NEW comes to.
    """
    assert module._noise(verdict) in (Verdict.NOISE_MATCH, Verdict.NOISE_MISMATCH)


def test_what_a_compared_function_routes_itself(asked):
    """
    A key or a visit that a compared function routes by hand is counted as synthetic, and not as a user's.
    """
    place = Place(0, PARTS)
    journey = place.parts.holding.journey("purchase", Tokens(("secret",)), None)
    visit = journey.enter("user-1")
    cart = place.parts.flow("cart")

    def routes(key):
        return [place.flow.route(key), place.flow.decide(key), cart.route(visit), str(journey.enter(key))]

    asked(place, Back(1), routes)

    assert place.counted("requests") == {("old", "percent"): 1}
    assert place.counted("synthetic") == {("old", ""): 2}
    assert journey.cells.entered.total == 1
    assert cart.cells.synthetic[OLD].total == 1
