"""
Calls that block.
"""

import asyncio
import threading

import pytest

from cutover.errors import Unavailable
from cutover.server import calls as module
from cutover.server.calls import Calls

PATIENCE = 10


def test_results_and_errors():
    """
    What a call gives or raises comes back to where it was made.
    """

    async def main():
        calls = Calls("test", threads=2)
        with pytest.raises(ZeroDivisionError):
            await calls.call(lambda: 1 // 0, patience=PATIENCE)
        return await asyncio.gather(*(calls.call(lambda n=n: n * n, patience=PATIENCE) for n in range(20)))

    assert asyncio.run(main()) == [n * n for n in range(20)]


def test_late_and_too_many(monkeypatch):
    """
    A call that hangs is given up, and goes on taking its place: beyond the limit calls are refused at once.
    """
    monkeypatch.setattr(module, "QUEUE", 1)
    released = threading.Event()

    async def main():
        calls = Calls("test", threads=1)
        with pytest.raises(TimeoutError):
            await calls.call(released.wait, patience=0.05)
        waiting = asyncio.create_task(calls.call(lambda: "after", patience=PATIENCE))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="too many"):
            await calls.call(lambda: "refused", patience=PATIENCE)
        released.set()
        return await waiting

    assert asyncio.run(main()) == "after"


def test_the_end_of_the_loop():
    """
    A loop ends while a call hangs, and what the call then gives is nobody's.
    """
    released, ended = threading.Event(), threading.Event()

    def hang():
        released.wait(PATIENCE)
        ended.set()

    async def main():
        with pytest.raises(TimeoutError):
            await Calls("test", threads=1).call(hang, patience=0.05)

    asyncio.run(main())
    released.set()
    assert ended.wait(PATIENCE)
