"""
Waiting until a snapshot holds.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cutover.router.readiness import Readiness

PATIENCE = 30  # seconds


@pytest.fixture
def readiness():
    """
    Of a router that has read nothing yet.
    """
    return Readiness()


def test_threads_wait(readiness):
    """
    Threads wait until it is set, and then no more.
    """
    assert (readiness.is_set(), readiness.wait(0)) == (False, False)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(readiness.wait, PATIENCE)
        readiness.set()

        assert waiting.result() is True
    assert (readiness.is_set(), readiness.wait(0)) == (True, True)


def test_coroutines_wait_without_threads(readiness):
    """
    A thousand coroutines wait on their loop, which goes on meanwhile, and no thread is started for them.
    """

    async def wait():
        before = threading.active_count()
        waiting = [asyncio.ensure_future(readiness.wait_async(PATIENCE)) for _ in range(1000)]
        await asyncio.sleep(0)
        assert (threading.active_count(), any(one.done() for one in waiting)) == (before, False)
        await asyncio.to_thread(readiness.set)
        return set(await asyncio.gather(*waiting))

    assert asyncio.run(wait()) == {True}
    assert asyncio.run(readiness.wait_async(0)) is True


def test_several_loops(readiness):
    """
    Coroutines of several loops, each in a thread of its own, wait for one router.
    """
    begun = threading.Barrier(4)

    async def wait():
        waiting = asyncio.ensure_future(readiness.wait_async(PATIENCE))
        await asyncio.sleep(0)
        await asyncio.to_thread(begun.wait)
        return await waiting

    with ThreadPoolExecutor(3) as pool:
        loops = [pool.submit(asyncio.run, wait()) for _ in range(3)]
        begun.wait(PATIENCE)
        readiness.set()

        assert [loop.result() for loop in loops] == [True] * 3


@pytest.mark.parametrize("seconds", [-1, 0, 0.01])
def test_time_is_over(readiness, seconds):
    """
    A coroutine waits no longer than it was told, and nothing is kept of it.
    """
    assert asyncio.run(readiness.wait_async(seconds)) is False
    assert readiness._wakers == {}


def test_cancelled(readiness):
    """
    A coroutine that is cancelled while it waits ends at once as cancelled, and nothing is kept of it.
    """

    async def wait():
        waiting = asyncio.ensure_future(readiness.wait_async(PATIENCE))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(wait())
    assert readiness._wakers == {}


def test_a_loop_that_is_closed(readiness):
    """
    A loop that was closed under its waiting coroutine holds up nobody.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(readiness.wait_async(PATIENCE))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    task._log_destroy_pending = False

    readiness.set()

    assert readiness.is_set()
