"""
Blocks around one call: decided on entry, counted by outcome, invisible to what happens inside.
"""

import asyncio
from time import perf_counter

import pytest
from circumstances import Desk
from routers import FIRST, Parts, ScriptedStore, after, logged, reading, samples, totals
from strategies import at

from cutover.core.bucketing import PARTS
from cutover.router.compiled import Circumstances
from cutover.router.current import CURRENT
from cutover.testing import router as router_for_tests


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


def test_a_visit_of_a_load_test_is_no_call(parts):
    """
    A block of a visit that a load test is on is counted as the load test's.
    """
    desk = Desk(Circumstances(snapshot=after(at("purchase", PARTS))))
    pay = desk.flow("pay")
    with pay.request(desk.journey().enter("user-1", synthetic=True)) as request:
        assert request.backend == "new"

    assert totals(pay) == {("synthetic", "pay", "new", ""): 1}


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


def test_failures_that_raise_nothing(browse, parts):
    """
    A block that was told that its call failed counts as an error, or as unknown; the log tells each reason once.
    """
    for unknown in (False, False, True):
        with browse.request("user-1") as request:
            request.fail("answered 503", unknown=unknown)

    assert outcomes(browse) == {("new", "error"): 2, ("new", "unknown"): 1}
    assert logged(parts.notices) == [
        {
            "event": "cutover.call_failed",
            "flow": "browse",
            "backend": "new",
            "reason": "answered 503",
            "log_level": "warning",
        }
    ]


@pytest.mark.parametrize("reason", ["", None, 503, ValueError("no"), "\ud800", "x" * 10_000, b"\xff"])
def test_any_reason(browse, parts, reason):
    """
    Whatever a reason is, saying it raises nothing, and what is logged of it is short text that can be encoded.
    """
    with browse.request("user-1") as request:
        request.fail(reason)

    (entry,) = logged(parts.notices)
    assert 0 < len(entry["reason"].encode()) <= 80 * 4
    assert outcomes(browse) == {("new", "error"): 1}


def test_a_failure_and_an_exception(browse):
    """
    What the block was told counts, also where an exception leaves it later.
    """

    def told_and_raised(request):
        request.fail("broke off", unknown=True)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), browse.request("user-1") as request:
        told_and_raised(request)

    assert outcomes(browse) == {("new", "unknown"): 1}


def test_a_failure_before_the_block(browse):
    """
    A request that was not entered cannot have failed.
    """
    with pytest.raises(RuntimeError, match="entered"):
        browse.request("user-1").fail("too early")

    assert totals(browse) == {}


def test_what_a_block_leaves_behind():
    """
    A block counts the time since it was entered, and log lines after it are no longer said to be with its back end.
    """
    testing = router_for_tests(pay="new")
    began = perf_counter()
    with testing.flow("pay").request("user-1"):
        inside = CURRENT.get()
    labels = {"migration": "test", "flow": "pay", "backend": "new"}
    seconds = testing.registry.get_sample_value("cutover_call_duration_seconds_sum", labels)

    assert 0 < seconds <= perf_counter() - began
    assert (inside, CURRENT.get()) == (("pay", "new", 1), None)
