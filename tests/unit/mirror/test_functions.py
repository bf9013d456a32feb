"""
Functions of the application: checked when a write is built, called here and later.
"""

import asyncio
import functools
import threading
from contextlib import suppress

import pytest

from cutover.callables import Kind
from cutover.core.backend import Backend
from cutover.errors import ConfigurationError
from cutover.mirror.functions import Functions, other_side, within
from cutover.ports.outbox import Entry, Intent, State


def plain(key, *args, sequence, **kwargs):
    """
    Give what it was called with.
    """
    return (key, args, sequence, kwargs)


async def coroutine(key, *args, sequence, **kwargs):
    """
    Give what it was called with, and where.
    """
    return (key, args, sequence, kwargs, asyncio.get_running_loop())


def generator(key, *, sequence):
    """
    Do nothing when it is called.
    """
    yield key, sequence


async def async_generator(key, *, sequence):
    """
    Do nothing either.
    """
    yield key, sequence


class Callable:
    """
    An object that can be called.
    """

    async def __call__(self, key, *, sequence):
        """
        Give the key.
        """
        return key, sequence


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"new": lambda key, item: key}, "new takes no argument named sequence; allowed: a function that takes "),
        ({"confirm": lambda key, *, sequence: True}, "confirm takes no argument named side; allowed: .* and side "),
        ({"confirm": lambda key: True}, "confirm takes no argument named sequence or side"),
        (
            {"new": lambda self, key, *, sequence: key},
            "new takes an object first, self, and a write is also made later",
        ),
    ],
    ids=["new", "side", "both", "self"],
)
def test_what_they_are_told(given, wrong):
    """
    A function that cannot be told the sequence, or which side is asked, or that needs an object, is refused when the
    write is built.
    """
    with pytest.raises(ConfigurationError, match=f"^write cart.add: {wrong}"):
        Functions.of("cart.add", **{"old": plain, "new": plain, **given})


def intent(side=Backend.OLD):
    """
    Give an intent with arguments.
    """
    entry = Entry(
        migration="shop",
        flow="cart",
        write="cart.add",
        lane="lane",
        key='"user-1"',
        side=side,
        arguments='[[1],{"colour":"red"}]',
    )
    return Intent(id=1, entry=entry, sequence=7, state=State.PENDING)


@pytest.mark.parametrize(
    ("old", "new", "confirm"), [(plain, coroutine, None), (coroutine, plain, None), (plain, plain, coroutine)]
)
def test_mixed(old, new, confirm):
    """
    Functions and coroutine functions are not mixed: an error when the write is built.
    """
    with pytest.raises(ConfigurationError, match="allowed: all functions, or all coroutine functions"):
        Functions.of("cart.add", old, new, confirm)


@pytest.mark.parametrize("function", [generator, async_generator, functools.partial(generator, 1)])
def test_generators(function):
    """
    A generator function is refused: calling it would write nothing.
    """
    with pytest.raises(ConfigurationError, match=r"write cart\.add: new is a generator function"):
        Functions.of("cart.add", plain, function)


def test_not_callable():
    """
    What cannot be called is refused with its type.
    """
    with pytest.raises(ConfigurationError, match=r"write cart\.add: old is a str; allowed: a function"):
        Functions.of("cart.add", "add", plain)


@pytest.mark.parametrize("function", [coroutine, functools.partial(coroutine), Callable()])
def test_kinds_of_coroutine_functions(function):
    """
    Partials and objects are coroutine functions where what they run is one.
    """
    assert Functions.of("cart.add", function, function).kind is Kind.ASYNC


@pytest.mark.parametrize("function", [plain, functools.partial(plain), dict])
def test_kinds_of_functions(function):
    """
    Whatever else can be called is a function.
    """
    assert Functions.of("cart.add", function, function).kind is Kind.PLAIN


def test_call():
    """
    A function gets the key, the arguments and the sequence.
    """
    functions = Functions.of("cart.add", plain, plain)

    assert functions.call_here(plain, intent(), None) == ("user-1", (1,), 7, {"colour": "red"})


def test_coroutines_without_a_loop():
    """
    A coroutine that is due when the application's loop does not run gets a loop of its own.
    """
    functions = Functions.of("cart.add", coroutine, coroutine)
    ended = asyncio.new_event_loop()
    ended.close()

    for loop in (None, ended):
        assert functions.call_here(coroutine, intent(), loop)[:4] == ("user-1", (1,), 7, {"colour": "red"})


def test_coroutines_in_the_application():
    """
    While the application's loop runs, its coroutines run there: what they use may belong to it.
    """
    functions = Functions.of("cart.add", coroutine, coroutine)

    async def application():
        loop = asyncio.get_running_loop()
        result = await asyncio.to_thread(functions.call_here, coroutine, intent(), loop)
        return result[-1] is loop

    assert asyncio.run(application())


def test_loop_that_ends():
    """
    A loop that ends before the write does is a failure of the write, not a wait without end.
    """
    begun = threading.Event()

    async def endless(key, *args, sequence, **kwargs):
        begun.set()
        await asyncio.Event().wait()

    functions = Functions.of("cart.add", endless, endless)
    loop = asyncio.new_event_loop()
    runner = threading.Thread(target=loop.run_forever)
    runner.start()
    stopper = threading.Thread(target=lambda: (begun.wait(30), loop.call_soon_threadsafe(loop.stop)))
    stopper.start()
    try:
        with pytest.raises(ConnectionError, match="the event loop ended"):
            functions.call_here(endless, intent(), loop)
    finally:
        stopper.join()
        runner.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_failures():
    """
    What a function raises is raised to whoever called it, a timeout too.
    """

    async def failing(key, *args, sequence, **kwargs):
        raise TimeoutError("of the back end")

    functions = Functions.of("cart.add", failing, failing)

    async def application():
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError, match="of the back end"):
            await asyncio.to_thread(functions.call_here, failing, intent(), loop)

    asyncio.run(application())


async def never():
    """
    Wait for ever.
    """
    await asyncio.Event().wait()


async def ended_all_the_same():
    """
    Take a cancellation for the end of a wait.
    """
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "done"


async def failing():
    """
    Raise a timeout of one's own.
    """
    raise TimeoutError("of the back end")


def test_deadline():
    """
    What awaits for too long is cancelled and says so; what ends all the same gives its result, and a timeout of its own
    stays what it is.
    """
    with pytest.raises(TimeoutError, match=r"it did not end within 0\.01 s, and was cancelled"):
        asyncio.run(within(0.01, never()))
    with pytest.raises(TimeoutError, match="of the back end"):
        asyncio.run(within(60, failing()))

    assert asyncio.run(within(0.01, ended_all_the_same())) == "done"


def test_cancelled_before_the_deadline():
    """
    A task that is cancelled while it awaits something with a deadline is cancelled.
    """

    async def application():
        task = asyncio.create_task(within(60, never()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,), timeout=30)
        return task.cancelled()

    assert asyncio.run(application())


@pytest.mark.parametrize("is_running", [True, False])
def test_deadline_of_a_call(is_running):
    """
    A deadline holds in the application's loop and in one of the call's own.
    """

    async def hanging(key, *args, sequence, **kwargs):
        await never()

    functions = Functions.of("cart.add", hanging, hanging, hanging)

    async def application():
        loop = asyncio.get_running_loop() if is_running else None
        with pytest.raises(TimeoutError, match="was cancelled"):
            await asyncio.to_thread(functions.call_here, hanging, intent(), loop, 0.01)
        with pytest.raises(TimeoutError, match="was cancelled"):
            await asyncio.to_thread(functions.asked, intent(), loop, 0.01)

    asyncio.run(application())


@pytest.mark.parametrize(("side", "other"), [(Backend.OLD, Backend.NEW), (Backend.NEW, Backend.OLD)])
def test_other_side(side, other):
    """
    The other side is the one that the key was not routed to.
    """
    assert other_side(intent(side).entry) is other
