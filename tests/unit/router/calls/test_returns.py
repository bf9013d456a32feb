"""
What the functions of a switch return: results, what is to be awaited, and what has not run at all.
"""

import asyncio
import functools
import inspect
import warnings
from concurrent.futures import Future

import pytest
from routers import events, logged
from switching import NEW, Back, Place, as_async, until_async

import cutover
from cutover.core.bucketing import PARTS
from cutover.errors import ConfigurationError

READY = Future()
READY.set_result("found")


async def find(key, *_):
    """
    Answer later.
    """
    await asyncio.sleep(0)
    return f"found {key}"


def traced(function):
    """
    Decorate as tools for tracing do: with a `def` that gives what the function gives.
    """

    @functools.wraps(function)
    def wrapper(*arguments, **named):
        return function(*arguments, **named)

    return wrapper


def run(function):
    """
    Decorate as commands do: with a `def` that runs the coroutine.
    """

    @functools.wraps(function)
    def wrapper(*arguments, **named):
        return asyncio.run(function(*arguments, **named))

    return wrapper


def hidden(function):
    """
    Stand around a function as a lambda does, which shows nothing of it.
    """

    def called(*given):
        return function(*given)

    return called


class Client:
    """
    A client whose methods are decorated.
    """

    @traced
    async def find(self, key):
        """
        Answer later.
        """
        return f"found {key}"

    @traced
    async def __call__(self, key):
        """
        Answer later.
        """
        return f"found {key}"


@functools.singledispatch
async def by_kind(key):
    """
    Answer later, by the kind of the key.
    """
    return f"found {key}"


HIDDEN = {
    "def around async def": traced(find),
    "two of them": traced(traced(find)),
    "partial": functools.partial(traced(find)),
    "around a partial": traced(functools.partial(find)),
    "method": Client().find,
    "object": Client(),
    "single dispatch": by_kind,
}
AWAITABLES = {
    "coroutine": find,
    "coroutine of a coroutine": hidden(as_async(find)),
    "task": lambda key: asyncio.get_running_loop().create_task(find(key)),
    "thread": lambda key: asyncio.to_thread(lambda: f"found {key}"),
    "future": lambda key: asyncio.ensure_future(find(key)),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_decorated_coroutine_functions(name):
    """
    A coroutine function behind a plain decorator is awaited in an event loop, and counted when it has answered.
    """
    place = Place()
    switch = place.flow.switch(old=HIDDEN[name], new=find)

    async def application():
        coroutine = switch("user-1")
        before = place.counted("calls")
        return before, await coroutine

    assert asyncio.run(application()) == ({}, "found user-1")
    assert place.counted("calls") == {("old", "ok"): 1}


@pytest.mark.parametrize("more", [{}, {"failed": lambda _: False}])
def test_decorators_that_run_the_coroutine(more):
    """
    A decorator that runs the coroutine itself makes a function, which is called as one outside of event loops.
    """
    place = Place()
    switch = place.flow.switch(old=run(find), new=run(find), **more)

    assert switch("user-1") == "found user-1"
    assert place.counted("calls") == {("old", "ok"): 1}


@pytest.mark.parametrize("name", HIDDEN)
def test_decorated_on_both_sides(name):
    """
    Where only a call can tell, it is awaited in an event loop, compared there, and an error outside of one.
    """
    place = Place(0, shadow=PARTS)
    switch = place.flow.switch(old=HIDDEN[name], new=HIDDEN[name], safe=True, noise=0)

    async def application():
        answer = await switch("user-1")
        await until_async(place.verdicts)
        return answer

    assert asyncio.run(application()) == "found user-1"
    assert place.verdicts() == {"match": 1}
    with pytest.raises(ConfigurationError, match=r"^old gave a coroutine, which has not run yet"):
        switch("user-2")
    assert place.counted("calls") == {("old", "ok"): 1, ("old", "error"): 1}


def test_decorated_methods():
    """
    A switch that a class holds binds like a method, also where only a call can tell whether it is awaited.
    """
    place = Place()

    @traced
    async def find_for(self, key):
        return f"{self.name} found {key}"

    shop = type("Shop", (), {"name": "shop", "find": place.flow.switch(old=find_for, new=find_for)})()

    async def application():
        return await shop.find("user-1")

    assert asyncio.run(application()) == "shop found user-1"


@pytest.mark.parametrize("more", [{}, {"failed": lambda _: False}])
@pytest.mark.parametrize("name", AWAITABLES)
def test_what_coroutine_functions_give(name, more):
    """
    A coroutine function that gives something to be awaited is awaited to the end.
    """
    place = Place()

    async def forgot(key):
        return AWAITABLES[name](key)

    switch = place.flow.switch(old=forgot, new=forgot, **more)

    assert asyncio.run(switch("user-1")) == "found user-1"
    assert place.counted("calls") == {("old", "ok"): 1}


def test_failures_of_what_is_awaited():
    """
    What an awaitable raises is the failure of the call: it is counted, and OLD answers for NEW.
    """
    place = Place(PARTS)

    async def lost(key):
        raise TimeoutError(key)

    @traced
    async def forgot(key):
        return lost(key)

    switch = place.flow.switch(old=traced(find), new=forgot, safe=True, fallback=TimeoutError)

    async def application():
        return await switch("user-1")

    assert asyncio.run(application()) == "found user-1"
    assert place.counted("calls") == {("new", "error"): 1, ("old", "ok"): 1}


async def numbers(_key):
    """
    Give numbers, one by one.
    """
    yield 1


NOT_RUN = {
    "coroutine": (hidden(find), "a coroutine"),
    "generator": (lambda key: (n for n in key), "a generator"),
    "async generator": (hidden(numbers), "an async generator"),
    "future": (lambda key: READY, "a future of concurrent.futures"),
}
TERMS = {
    "short": {},
    "by steps": {"failed": lambda _: False},
    "whatever is named": {"ignore": Exception, "unknown": Exception},
    "with a fallback": {"safe": True, "fallback": Exception},
}


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("name", NOT_RUN)
def test_what_has_not_run(name, terms):
    """
    A function that gives an object which has not run is an error of the call, and never ok, ignored or rescued.
    """
    function, word = NOT_RUN[name]
    place, old = Place(PARTS), Back()
    switch = place.flow.switch(old=old, new=function, **TERMS[terms])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigurationError, match=f"^new gave {word}, which has not run yet; allowed: "):
            switch("user-1")

    assert old.calls == []
    assert place.counted("calls") == {("new", "error"): 1}


@pytest.mark.parametrize("more", [{}, {"failed": lambda _: False}])
@pytest.mark.parametrize("make", [lambda: (n for n in "ab"), lambda: numbers("user-1")])
def test_generators_of_coroutine_functions(make, more):
    """
    A coroutine function that gives a generator has no answer either.
    """
    place = Place()
    switch = place.flow.switch(old=as_async(lambda _: make()), new=as_async(Back()), **more)

    with pytest.raises(ConfigurationError, match=r"^old gave an? .*generator, which has not run yet"):
        asyncio.run(switch("user-1"))

    assert place.counted("calls") == {("old", "error"): 1}


def test_other_side_has_not_run():
    """
    A comparison whose other side gives what has not run is no match, and the user's answer is not touched.
    """
    place = Place(0, shadow=PARTS)
    switch = place.flow.switch(old=Back("same"), new=hidden(find), safe=True, noise=0)

    async def application():
        assert switch("user-1") == "same"
        await until_async(place.verdicts)

    asyncio.run(application())

    assert place.verdicts() == {"new_error": 1}


HELPERS = {
    "home": (lambda key: "new", {}),
    "cohort": (lambda key: "staff", {}),
    "synthetic": (lambda key: True, {}),
    "failed": (lambda answer: True, {}),
    "attempt": (lambda key: key, {"homes": cutover.homes("memory:returns", migration="shop")}),
}
CAME = {
    "home": ("new", ("new", "ok")),
    "cohort": ("old", ("old", "ok")),
    "synthetic": ("old", None),
    "failed": ("old", ("old", "error")),
    "attempt": ("old", ("old", "ok")),
}


@pytest.mark.parametrize("form", [as_async, lambda function: hidden(as_async(function))])
@pytest.mark.parametrize("name", HELPERS)
def test_what_is_asked_may_be_awaited(name, form):
    """
    Where the call is awaited, so is what the functions beside the back ends give.
    """
    function, more = HELPERS[name]
    place = Place()
    switch = place.flow.switch(old=as_async(Back("old")), new=as_async(Back("new")), **{name: form(function)}, **more)
    answer, counted = CAME[name]

    assert asyncio.run(switch("user-1")) == answer
    assert place.counted("calls") == ({} if counted is None else {counted: 1})
    assert logged(place.parts.notices) == []


@pytest.mark.parametrize("name", HELPERS)
def test_what_is_asked_has_not_run(name):
    """
    Where nothing can be awaited, a function that gives a coroutine is an error: it is neither a home nor true.
    """
    function, more = HELPERS[name]
    place, old, new = Place(), Back(), Back()
    switch = place.flow.switch(old=old, new=new, **{name: hidden(as_async(function))}, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigurationError, match=f"^{name} gave a coroutine, which has not run yet"):
            switch("user-1")

    assert (old.calls, new.calls) == ([("user-1",)] if name == "failed" else [], [])
    assert place.counted("calls") == ({("old", "error"): 1} if name == "failed" else {})


@pytest.mark.parametrize("form", [as_async, lambda function: function])
@pytest.mark.parametrize("name", HELPERS)
def test_what_is_asked_gives_a_function(name, form):
    """
    A method without its parentheses is no answer: it would always count as true.
    """
    _, more = HELPERS[name]
    place = Place()
    backs = {"old": form(Back("old")), "new": form(Back("new"))}
    switch = place.flow.switch(**backs, **{name: lambda *_: "text".isupper}, **more)

    with pytest.raises(ConfigurationError, match=f"^{name} gave a builtin_function_or_method, which was not called"):
        asyncio.run(switch("user-1")) if form is as_async else switch("user-1")


def test_claims_that_have_not_run():
    """
    Homes of another make are looked at too: a claim that has not run holds no side.
    """

    class Claims:
        async def aclaim(self, kind, attempt, backend):
            return backend

        claim = aclaim

    place = Place()
    switch = place.flow.switch(old=Back("old"), new=Back("new"), attempt=lambda key: key, homes=Claims())

    with pytest.raises(ConfigurationError, match=r"^homes gave a coroutine, which has not run yet"):
        switch("user-1")
    assert place.counted("calls") == {}


@pytest.mark.parametrize("name", ["home", "cohort", "synthetic", "failed", "attempt"])
def test_what_is_asked_later_and_raises(name):
    """
    What such a function raises when it is awaited is treated as what it raises at once.
    """
    _, more = HELPERS[name]
    place = Place()

    async def raising(*_):
        raise LookupError(name)

    switch = place.flow.switch(old=as_async(Back("old")), new=as_async(Back()), **{name: raising}, **more)
    told = {"cohort": "cohort_of_failed", "synthetic": "synthetic_failed", "failed": "failed_raised"}
    if name in told:
        assert asyncio.run(switch("user-1")) == "old"
        assert events(logged(place.parts.notices)) == [f"cutover.{told[name]}"]
    else:
        with pytest.raises(LookupError, match=name):
            asyncio.run(switch("user-1"))
        assert place.counted("calls") == {}


@pytest.mark.parametrize("name", ["compare", "redact"])
def test_comparing_is_never_awaited(name):
    """
    A coroutine says neither that answers are the same nor how they are shown.
    """
    place = Place(0, shadow=PARTS)
    later = hidden(as_async(lambda *_: True))
    switch = place.flow.switch(old=Back(1), new=Back(2), safe=True, noise=0, **{name: later})
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        async def application():
            switch("user-1")
            await until_async(lambda: place.verdicts() and (name == "compare" or place.kept()))

        asyncio.run(application())

    assert place.verdicts() == {"compare_error" if name == "compare" else "mismatch": 1}
    if name == "compare":
        (line,) = logged(place.parts.notices)
        assert line["error"].startswith("compare gave a coroutine, which has not run yet")


def test_a_group_is_rescued():
    """
    OLD answers for NEW after a group in which everything is named, and not after one in which something is not.
    """
    place = Place(PARTS)
    named, mixed = ExceptionGroup("of", [TimeoutError()]), ExceptionGroup("of", [TimeoutError(), ValueError()])
    for error, answer in ((named, "old"), (mixed, None)):
        switch = place.flow.switch(old=Back("old"), new=Back(error), safe=True, fallback=TimeoutError)
        if answer is None:
            with pytest.raises(ExceptionGroup):
                switch("user-1")
        else:
            assert switch("user-1") == answer


def test_outcomes_of_groups():
    """
    A group is business if all of it is, and leaves the outcome open if any of it does.
    """
    place = Place()
    groups = [
        ExceptionGroup("of", [KeyError(), KeyError()]),
        ExceptionGroup("of", [KeyError(), ExceptionGroup("of", [TimeoutError()])]),
        ExceptionGroup("of", [KeyError(), ValueError()]),
        BaseExceptionGroup("of", [KeyError(), KeyboardInterrupt()]),
    ]
    for group in groups:
        with pytest.raises(BaseExceptionGroup):
            place.flow.switch(old=Back(group), new=Back(), ignore=LookupError)("user-1")

    assert place.counted("calls") == {("old", outcome): 1 for outcome in ("ok", "unknown", "error", "cancelled")}


def test_a_switch_shows_its_kind():
    """
    A switch is a coroutine function where both sides are, and none where only a call can tell.
    """
    place = Place()

    assert inspect.iscoroutinefunction(place.flow.switch(old=find, new=traced(find)))
    assert not inspect.iscoroutinefunction(place.flow.switch(old=traced(find), new=traced(find)))
    assert place.flow.peek("user-1", home="new").backend is NEW
