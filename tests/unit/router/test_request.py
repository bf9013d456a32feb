"""
Blocks around one call: decided on entry, counted by outcome, invisible to what happens inside.
"""

import asyncio

import pytest
from routers import FIRST, Parts, ScriptedStore, after, at, reading, samples, totals

from cutover.core.bucketing import PARTS


@pytest.fixture
def parts():
    """
    The parts of a router that has browse on NEW.
    """
    parts = Parts(ScriptedStore(reading(after(at("browse", PARTS)))))
    parts.follower.step()
    return parts


@pytest.fixture
def browse(parts):
    """
    A flow that goes to NEW.
    """
    return parts.flow("browse")


def outcomes(flow) -> dict[tuple[str, str], int]:
    """
    Give the calls of a flow by side and outcome.
    """
    return {(side, detail): n for (kind, _, side, detail), n in totals(flow).items() if kind == "calls"}


def test_ok(browse, parts):
    """
    A block that ends is `ok`; its request is counted once, and its duration on the side that it went to.
    """
    with browse.request("user-1") as request:
        assert request.backend is request.decision.backend
        assert request.decision == browse.peek("user-1")

    assert totals(browse) == {("requests", "browse", "new", "percent"): 1, ("calls", "browse", "new", "ok"): 1}
    assert samples(parts.registry, "cutover_call_duration_seconds_count") == {("browse", "new"): 1}
    assert samples(parts.registry, "cutover_calls_total") == {("browse", "new", "ok"): 1}


ENDS = {
    ValueError: "error",
    TimeoutError: "error",
    asyncio.CancelledError: "cancelled",
    KeyboardInterrupt: "cancelled",
    GeneratorExit: "cancelled",
}


@pytest.mark.parametrize("kind", ENDS)
def test_exceptions_pass_through(browse, kind):
    """
    An exception leaves the block as it was raised, and counts as an error, or as cancelled where it is none.
    """
    error = kind("no")

    def fail():
        raise error

    with pytest.raises(kind) as caught, browse.request("user-1"):
        fail()

    assert caught.value is error
    assert caught.traceback[-1].name == "fail"
    assert outcomes(browse) == {("new", ENDS[kind]): 1}


def test_async(browse):
    """
    The same block may be entered with `async with`.
    """

    async def serve():
        async with browse.request("user-1") as request:
            await asyncio.sleep(0)
            return request.backend

    assert asyncio.run(serve()) == "new"
    assert outcomes(browse) == {("new", "ok"): 1}


def test_a_cancelled_task(browse):
    """
    A task that is cancelled inside its block counts as cancelled, and stays cancelled.
    """

    async def serve(entered):
        async with browse.request("user-1"):
            entered.set()
            await asyncio.Event().wait()

    async def run():
        entered = asyncio.Event()
        task = asyncio.create_task(serve(entered))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(run())
    assert outcomes(browse) == {("new", "cancelled"): 1}


def test_load_tests_are_no_calls(browse, parts):
    """
    A block of a load test is counted as one, and neither as a call nor in the durations.
    """
    with browse.request("user-1", synthetic=True) as request:
        assert request.backend == "new"

    assert totals(browse) == {("synthetic", "browse", "new", ""): 1}
    assert samples(parts.registry, "cutover_call_duration_seconds_count") == {}


def test_home_and_cohort(browse):
    """
    A block takes the same facts as `route`.
    """
    with browse.request("user-1", "staff", home="old") as request:
        assert (request.backend, request.decision.reason) == ("old", "home")


def test_the_side_is_that_of_the_entry(browse, parts):
    """
    A dial that moves inside the block does not change where its call is counted.
    """
    with browse.request("user-1"):
        parts.holding.take_snapshot(FIRST, None)

    assert outcomes(browse) == {("new", "ok"): 1}


def test_before_the_block(browse):
    """
    A request that was not entered is not decided, and counts nothing.
    """
    request = browse.request("user-1")
    with pytest.raises(RuntimeError):
        _ = request.backend

    assert totals(browse) == {}
