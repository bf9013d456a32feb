"""
The judge: what clients and operators recorded, held against the chain of changes that survived.

Pure: a history in, a list of problems out; no problem means that every promise was kept.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

import attrs

__all__ = ["ACKNOWLEDGED", "UNKNOWN", "Attempt", "History", "Link", "Request", "judge"]

ACKNOWLEDGED: Final = "acknowledged"
UNKNOWN: Final = "OutcomeUnknown"
DURABLE: Final = ("durable", "durable on this node")
LEAST_BLOCK: Final = 2.0  # seconds; less may be other threads, on a busy machine
NORMAL_TIMES: Final = 20  # and a client may take that many times what its slowest request took before the fault
CONVERGES_WITHIN: Final = 5.0  # seconds after the repair, or after a later acknowledgement
INTERVAL: Final = 6.0  # seconds; what a process that is killed may lose: one check-in, and its way to the store

Position = tuple[int, int]


@attrs.frozen(kw_only=True)
class Request:
    """
    One routed request, as its client recorded it.

    Attributes:
        at: When it began, on the machine's monotonic clock.
        took: Seconds that `route` took.
        epoch: Of the head that holds afterwards; 0 where nothing does, as `version`, with an empty hash.
        backend: Where it went.
        position: Of its key; -1 where the version changed meanwhile.
        regressed: What the router says of itself.
        up: The metric ``cutover_store_up``; None where it was not looked at.
        ran: Seconds that its thread had run until then, or waited for a processor, since it began: what other programs
            do to a busy machine is not held against this one.
        error: What `route` raised.
    """

    at: float
    took: float
    epoch: int
    version: int
    hash: str
    backend: str
    position: int = -1
    regressed: bool = False
    up: float | None = None
    ran: float = 0.0
    error: str = ""

    @property
    def order(self) -> Position:
        """
        What states are ordered by.
        """
        return (self.epoch, self.version)


@attrs.frozen(kw_only=True)
class Attempt:
    """
    One change that an operator asked for.

    Attributes:
        reason: Its name, which no other attempt has.
        outcome: "acknowledged", or the name of the error.
        durability: The word that came with the acknowledgement.
    """

    asked: float
    answered: float
    reason: str
    outcome: str
    version: int = 0
    hash: str = ""
    durability: str = ""


@attrs.frozen(kw_only=True)
class Link:
    """
    One change of the surviving chain, and what the dial was after it.
    """

    version: int
    hash: str
    epoch: int
    verb: str
    reason: str
    parts: int


@attrs.frozen(kw_only=True)
class History:
    """
    All that is known afterwards.

    Attributes:
        clients: What each client recorded, in its order.
        broken: When the fault began.
        repaired: When the store was whole again.
        pauses: By client, from when to when it was stopped on purpose.
        killed: By client, when it was killed; it has no say in what holds at the end.
        lost: The reasons of changes that an operator gave up by restoring an older state.
        totals: By back end, what the store's fleet counted.
        exact: Whether the totals must be what was routed; they must never be more.
        alarms: Whether a client may say that it is regressed.
    """

    clients: Mapping[str, tuple[Request, ...]]
    attempts: tuple[Attempt, ...]
    chain: tuple[Link, ...]
    broken: float
    repaired: float
    pauses: Mapping[str, tuple[tuple[float, float], ...]] = attrs.field(factory=dict)
    killed: Mapping[str, float] = attrs.field(factory=dict)
    lost: frozenset[str] = frozenset()
    totals: Mapping[str, int] = attrs.field(factory=dict)
    exact: bool = True
    alarms: bool = False


def judge(history: History) -> list[str]:
    """
    Give every promise that a history breaks, as one line each.
    """
    problems: list[str] = []
    for name, requests in history.clients.items():
        found = [
            *_errors(requests),
            *_blocks(history, name, requests),
            *_order(history, requests),
            *_strangers(history, requests),
            *_sides(history, requests),
            *_alarms(history, requests),
        ]
        if name not in history.killed:
            found += _convergence(history, name, requests)
        problems += [f"{name}: {problem}" for problem in dict.fromkeys(found)]
    return [*problems, *_attempts(history), *_counts(history)]


def _errors(requests: tuple[Request, ...]) -> Iterator[str]:
    if not requests:
        yield "recorded nothing"
    for request in requests:
        if request.error:
            yield f"route raised {request.error}"


def _blocks(history: History, name: str, requests: tuple[Request, ...]) -> Iterator[str]:
    """
    Find requests, and gaps between them, that are much longer than before the fault.
    """
    before = [request.took for request in requests if request.at < history.broken]
    bound = max(LEAST_BLOCK, NORMAL_TIMES * max(before, default=0.0))
    pauses = history.pauses.get(name, ())
    spans = [(one.at, two.at, two.at - one.at - (two.ran - one.ran)) for one, two in pairwise(requests)]
    spans += [(one.at, one.at + one.took, one.took) for one in requests[-1:]]
    for begin, end, idle in spans:
        if idle > bound and not any(begin <= until and since <= end for since, until in pauses):
            yield f"a request or its successor waited for {idle:.1f} s"


def _order(history: History, requests: tuple[Request, ...]) -> Iterator[str]:
    adopted = {link.epoch for link in history.chain if link.verb == "adopt"}
    for one, two in pairwise(requests):
        if two.order < one.order:
            yield f"ran {two.order} after {one.order}"
        elif two.order == one.order and two.hash != one.hash:
            yield f"ran two states as {two.order}"
        elif one.epoch and two.epoch > one.epoch and two.epoch not in adopted:
            yield f"rose to epoch {two.epoch}, which no adopt made"


def _strangers(history: History, requests: tuple[Request, ...]) -> Iterator[str]:
    """
    Find states that are not on the surviving chain and were left, or kept, without the client saying "regressed".
    """
    hashes = {link.version: link.hash for link in history.chain}
    ran: dict[str, tuple[Request, bool]] = {}
    for request in requests:
        _, admitted = ran.get(request.hash, (request, False))
        ran[request.hash] = (request, admitted or request.regressed)
    strange = [(one, admitted) for one, admitted in ran.values() if one.hash and hashes.get(one.version) != one.hash]
    # The states before the last one were left while they still were on the chain of their time.
    for request, admitted in strange[-1:]:
        if not admitted:
            yield f"ran {request.version}:{request.hash[:12]}, which is not on the chain, and did not say so"


def _sides(history: History, requests: tuple[Request, ...]) -> Iterator[str]:
    parts = {link.hash: link.parts for link in history.chain}
    for request in requests:
        if request.hash not in parts or request.position < 0:
            continue
        expected = "new" if request.position < parts[request.hash] else "old"
        if request.backend != expected:
            yield f"went {request.backend} at position {request.position} in version {request.version}"


def _alarms(history: History, requests: tuple[Request, ...]) -> Iterator[str]:
    if not history.alarms and any(request.regressed for request in requests):
        yield "said regressed, and nothing was lost"


def _convergence(history: History, name: str, requests: tuple[Request, ...]) -> Iterator[str]:
    if not requests:
        return
    last, end = history.chain[-1], requests[-1]
    if (end.epoch, end.hash, end.regressed) != (last.epoch, last.hash, False):
        yield f"never came to {last.version}:{last.hash[:12]}"
    links = {link.reason: link for link in history.chain}
    awake = max((until for _, until in history.pauses.get(name, ())), default=0.0)
    for attempt in history.attempts:
        link = links.get(attempt.reason)
        if link is None or attempt.outcome != ACKNOWLEDGED:
            continue
        ran = next((request for request in requests if request.order >= (link.epoch, link.version)), None)
        possible = max(history.repaired, attempt.answered, awake, requests[0].at)
        if ran is not None and ran.at - possible > CONVERGES_WITHIN:
            before = next(request for request in requests if request.at >= possible)
            late = ran.at - possible - (ran.ran - before.ran)
            if late > CONVERGES_WITHIN:
                yield f"came to version {link.version} {late:.1f} s after it could"


def _attempts(history: History) -> Iterator[str]:
    chain = {link.reason: link for link in history.chain}
    for attempt in history.attempts:
        link = chain.pop(attempt.reason, None)
        if attempt.outcome == ACKNOWLEDGED:
            if link is not None and (link.version, link.hash) != (attempt.version, attempt.hash):
                yield f"{attempt.reason} was acknowledged as {attempt.version}, and is {link.version}"
            elif link is None and attempt.durability in DURABLE and attempt.reason not in history.lost:
                yield f"{attempt.reason} was acknowledged as {attempt.durability}, and is lost"
        elif link is not None and attempt.outcome != UNKNOWN:
            yield f"{attempt.reason} failed with {attempt.outcome}, and is on the chain"
    for reason in chain:
        yield f"{reason!r} is on the chain, and nobody asked for it"


def _counts(history: History) -> Iterator[str]:
    for backend in ("old", "new"):
        counted = history.totals.get(backend, 0)
        least = most = 0
        for name, requests in history.clients.items():
            routed = [request.at for request in requests if request.backend == backend]
            most += len(routed) + (name in history.killed)  # one request may have ended it before it was recorded
            until = history.killed.get(name)
            least += len(routed) if until is None else sum(at < until - INTERVAL for at in routed)
        if counted > most:
            yield f"the store counted {counted} requests on {backend}, and {most} were routed"
        if history.exact and counted < least:
            yield f"the store counted {counted} requests on {backend}, of {least}"
