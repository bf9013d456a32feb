"""
The threads that wait for async code.
"""

import asyncio
import threading

import pytest

from cutover.claims import threads
from cutover.claims.threads import WORKERS, Threads
from cutover.errors import Unavailable


@pytest.fixture
def pool():
    """
    Threads of the test's own.
    """
    made = Threads("memory:unit")
    yield made
    made.close()


def test_they_are_few_and_their_own(pool):
    """
    However many tasks wait, there are a few threads, and none of the event loop's is taken.
    """
    names = set()

    async def use():
        await asyncio.gather(*(pool.run(lambda: names.add(threading.current_thread().name)) for _ in range(200)))

    asyncio.run(use())

    assert 1 <= len(names) <= WORKERS
    assert all(name.startswith("cutover-homes") for name in names)


def test_who_waits_too_long_is_told(pool, monkeypatch):
    """
    A call whose turn does not come in time is not made, and the task is told.
    """
    monkeypatch.setattr(threads, "PATIENCE", -1.0)
    done = []

    with pytest.raises(Unavailable, match="busy") as caught:
        asyncio.run(pool.run(done.append, 1))

    assert not done
    assert not caught.value.in_doubt


def test_errors_reach_the_task(pool):
    """
    What a call raises, its task raises.
    """
    with pytest.raises(ZeroDivisionError):
        asyncio.run(pool.run(lambda: 1 // 0))


def test_a_cancelled_task_leaves_its_thread_to_others(pool):
    """
    A call that goes on after its task was cancelled does not hold up others for longer than it takes.
    """
    go = threading.Event()

    async def use():
        begun, loop = asyncio.Event(), asyncio.get_running_loop()
        task = asyncio.create_task(pool.run(lambda: loop.call_soon_threadsafe(begun.set) and go.wait(30)))
        await asyncio.wait_for(begun.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await pool.run(lambda: "served") == "served"
        go.set()

    asyncio.run(use())
