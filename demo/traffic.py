"""
What reaches the application: the clicks of users, and what comes later because of them, without a user.

Some answers to payments get lost, and a job tries such a payment again. The payment provider calls a web hook for each
order that was paid. Both know the order and no visit, and both reach another process than the user did.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final
from zlib import crc32

import attrs

from demo.clickstream import EVENTS_OF, PAYING, Click, clicks

__all__ = ["ATTEMPTS", "FLOW_OF", "LATER", "RETRY", "WEB_HOOK", "Step", "read_steps", "share_of"]

RETRY: Final = "payment_retry"
WEB_HOOK: Final = "payment_web_hook"
LATER: Final = frozenset({RETRY, WEB_HOOK})
ATTEMPTS: Final = PAYING | {RETRY}
FLOW_OF: Final[Mapping[str, str]] = {
    **{event: flow for flow, events in EVENTS_OF.items() for event in events},
    **dict.fromkeys(LATER, "pay"),
}
LOST_ONE_IN: Final = 4  # of the payments that worked
# What comes later comes after one part in so many of the replay. A stretch of `Replay` is a hundredth at most: so what
# it comes from is done by then, whichever process does it.
HOOK_AFTER: Final = 40
RETRY_AFTER: Final = 30


@attrs.frozen(kw_only=True)
class Step:
    """
    One request.

    Attributes:
        number: Its place in the replay, from 0.
        at: When it comes.
        session: Also the id of the order, if there is one.
        event: As in the clickstream, or `RETRY` or `WEB_HOOK`.
        payment: The idempotency key of an attempt to pay; empty for all else.
        lost: The back end does what it is asked for, and its answer never arrives.
    """

    number: int = 0
    at: str
    user: str
    session: str
    event: str
    payment: str = ""
    lost: bool = False

    @property
    def flow(self) -> str:
        """
        The flow that it belongs to.
        """
        return FLOW_OF[self.event]


def read_steps(events: int | None = None) -> list[Step]:
    """
    Give all steps in the order of the replay.

    Args:
        events: As for `clicks`.
    """
    clicked = clicks(events)
    steps = enumerate(_with_payments(clicked))
    placed = [later for place, step in steps for later in _with_consequences(place, step, clicked)]
    placed.sort(key=itemgetter(0))
    return [attrs.evolve(step, number=number) for number, (_, step) in enumerate(placed)]


def share_of(steps: Iterable[Step], worker: int, workers: int) -> list[Step]:
    """
    Give the steps of one worker. A user's clicks are all with the same one, so that they stay in order; what comes
    later is with another.
    """
    return [step for step in steps if (_scatter(step.user) + (step.event in LATER)) % workers == worker]


def _with_payments(clicked: Iterable[Click]) -> Iterator[Step]:
    """
    Give each attempt to pay the key that the client makes for it.
    """
    attempts: Counter[str] = Counter()
    for click in clicked:
        attempts[click.session] += click.event in PAYING
        payment = f"{click.session}-{attempts[click.session]}" if click.event in PAYING else ""
        yield Step(at=click.at, user=click.user, session=click.session, event=click.event, payment=payment)


def _with_consequences(place: int, step: Step, clicked: Sequence[Click]) -> Iterator[tuple[int, Step]]:
    """
    Give a step and what comes of it, each with its place among the clicks; what would come after the last is left out.
    """
    hook, retry = (place + len(clicked) // part + 2 for part in (HOOK_AFTER, RETRY_AFTER))
    is_paid = step.event == "purchase"
    is_lost = is_paid and retry < len(clicked) and _scatter(step.payment) % LOST_ONE_IN == 0
    yield place, attrs.evolve(step, lost=is_lost)
    if is_paid and hook < len(clicked):
        yield hook, attrs.evolve(step, event=WEB_HOOK, at=clicked[hook].at, payment="")
    if is_lost:
        yield retry, attrs.evolve(step, event=RETRY, at=clicked[retry].at)


def _scatter(text: str) -> int:
    return crc32(text.encode())
