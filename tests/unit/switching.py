"""
What the tests of switches share: a flow at a dial, two back ends that note their calls, and waiting for what happens in
the background.
"""

import asyncio
import inspect
import time

from routers import Parts, ScriptedStore, after, reading, totals

from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS

OLD, NEW = Backend.OLD, Backend.NEW
PATIENCE = 20.0  # seconds, for what should take none


class Place:
    """
    The parts of a router that has one flow at a dial, with comparisons for a share of the keys.
    """

    def __init__(self, dial: int = 0, shadow: int = 0, flow: str = "browse") -> None:
        self.name = flow
        self.store = ScriptedStore(reading(snapshot_at(dial, shadow, flow)))
        self.parts = Parts(self.store)
        self.parts.follower.step()
        self.flow = self.parts.flow(flow)

    def move(self, dial: int, shadow: int = 0) -> None:
        """
        Turn the dial.
        """
        self.parts.holding.take_snapshot(snapshot_at(dial, shadow, self.name), None)

    def counted(self, kind: str) -> dict[tuple[str, str], int]:
        """
        Give what was counted of one kind, by side and detail.
        """
        found = totals(self.flow).items()
        return {(side, detail): n for (one, _, side, detail), n in found if one == kind}

    def verdicts(self) -> dict[str, int]:
        """
        Give what comparisons came to.
        """
        return {verdict: n for (_, verdict), n in self.counted("shadows").items()}

    def kept(self) -> tuple:
        """
        Give the mismatches that are kept.
        """
        return self.parts.holding.mismatches()


def snapshot_at(dial: int, shadow: int, flow: str = "browse"):
    """
    Give a snapshot with a flow at a dial, and the other side asked too for some keys.
    """
    return after(lambda s: changes.set_dial(s, flow, dial, shadow=shadow))


class Back:
    """
    A back end as a function: it notes its calls, and raises what it is told to, or answers.
    """

    def __init__(self, answer: object = None) -> None:
        self.answer = answer
        self.calls: list[tuple] = []

    def __call__(self, *arguments, **named):
        """
        Answer.
        """
        self.calls.append((*arguments, named) if named else arguments)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def as_async(function):
    """
    Give a coroutine function that does what a function does, after it has let others run.
    """

    async def called(*arguments, **named):
        await asyncio.sleep(0)
        return function(*arguments, **named)

    return called


def called(function, *arguments, **named):
    """
    Call a function, or run a coroutine function to its end.
    """
    result = function(*arguments, **named)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


async def until_async(holds) -> None:
    """
    Wait for a condition while others run.
    """
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.001)


EVERY = PARTS
