"""
What a client may see of its visit, said once more than in the product and otherwise: by the evictions that the routers
on its way had heard of, where the product compares numbers.
"""

from collections.abc import Callable, Mapping
from typing import Final

import attrs
from strategies import SECRET

from cutover.core.backend import UNSET, Backend
from cutover.core.decide import decide
from cutover.core.defined import Journey
from cutover.core.migration import Migration
from cutover.core.snapshot import Snapshot

JOURNEY: Final = "purchase"
SKEW: Final = 60  # seconds, as documented
RENEWAL: Final = 60  # seconds, as documented

Sides = Mapping[str, Backend]
OLD, NEW = Backend.OLD, Backend.NEW


class Split(AssertionError):
    """
    A client saw what the rules do not allow.
    """


@attrs.frozen(eq=False)
class Evict:
    """
    One change that ended visits on NEW.
    """

    epoch: int
    flows: frozenset[str]


@attrs.frozen(eq=False)
class Version:
    """
    One state of the store, and all evictions in its history.
    """

    snapshot: Snapshot
    evicts: frozenset[Evict] = frozenset()

    @property
    def order(self) -> tuple[int, int]:
        """
        What histories are ordered by.
        """
        return self.snapshot.head.order


@attrs.frozen(eq=False)
class Node:
    """
    One token that a client was given.

    Attributes:
        heeded: The evictions that the routers which wrote the tokens of its chain knew.
        epoch: The highest epoch of those routers; 0 where none knew anything.
        moved_by: The evictions that changed a side of the chain.
    """

    token: str
    key: str
    sides: Sides
    heeded: frozenset[Evict]
    epoch: int
    moved_by: frozenset[Evict]
    cohort: str | None
    born: int
    seen: int
    until: int
    idle: int

    def is_over(self, now: int) -> bool:
        """
        Tell whether no router may honour it.
        """
        return now > min(self.until, self.seen + self.idle) + SKEW


@attrs.frozen(kw_only=True)
class Request:
    """
    One request as a router sees it.

    Attributes:
        version: What the router runs; None where it never read anything.
        lines: The router's break-glass lines.
        now: By the router's clock.
    """

    version: Version | None
    lines: Sides
    now: int
    key: str
    was: str | None = None
    cohort: str | None = None
    home: object = UNSET

    @property
    def definition(self) -> Migration | None:
        """
        What the router has as the definition.
        """
        return None if self.version is None else self.version.snapshot.definition

    @property
    def journey(self) -> Journey | None:
        """
        What the router has as the journey.
        """
        return None if self.definition is None else self.definition.journeys.get(JOURNEY)

    @property
    def flows(self) -> tuple[str, ...]:
        """
        The flows of the journey.
        """
        return () if self.journey is None else self.journey.flows

    @property
    def together(self) -> frozenset[str]:
        """
        The flows that one visit must not have on two sides.
        """
        return frozenset(self.flows) if self.journey is not None and self.journey.together else frozenset()

    def owed(self, node: Node) -> frozenset[Evict]:
        """
        Give the evictions that the router knows and no router on the way of the token did.
        """
        known = frozenset() if self.version is None else self.version.evicts
        return frozenset(e for e in known - node.heeded if e.epoch >= node.epoch)

    def flag(self, flow: str, cohort: str | None) -> Backend:
        """
        Give the side that the flags say for a visit that begins.
        """
        snapshot = None if self.version is None else self.version.snapshot
        return decide(snapshot, flow, self.key, cohort=cohort, secret=SECRET).backend

    def line(self, flow: str) -> Backend | None:
        """
        Give the side that the break-glass lines say; where those of a `together` journey differ, OLD.
        """
        members = self.together if flow in self.together else {flow}
        in_journey = JOURNEY if flow in self.flows else ""
        said = {self.lines.get(m) or self.lines.get(in_journey) or self.lines.get("*") for m in members}
        return OLD if OLD in said else NEW if NEW in said else None


@attrs.frozen(kw_only=True)
class Outcome:
    """
    What must come of a request.

    Attributes:
        sides: Of every flow that the visit has.
        events: What is counted, each once.
        rewritten: The client is given another token.
        causes: The evictions that were met for the first time.
    """

    sides: Sides
    events: frozenset[str]
    rewritten: bool
    cohort: str | None
    resumed: Node | None
    causes: frozenset[Evict] = frozenset()


def outcome(node: Node | None, request: Request) -> Outcome:
    """
    Say what must come of a request that brings a token, or none.
    """
    refusal = None if node is None else _refusal(node, request)
    if node is None or refusal is not None:
        cohort = _cohort(request, None)
        sides = _placed({flow: request.flag(flow, cohort) for flow in request.flows}, request)
        events = {"entered", *filter(None, (refusal,))}
        return Outcome(sides=sides, events=frozenset(events), rewritten=True, cohort=cohort, resumed=None)
    cohort = _cohort(request, node)
    causes = frozenset(e for e in request.owed(node) if _reach(e, node, request))
    kept = _after_evictions(node, request, cohort)
    sides = _placed(kept | _newcomers(node, kept, request, cohort), request)
    facts = {"evicted": bool(causes), "renamed": node.key != request.key}
    is_due = request.now - node.seen > min(RENEWAL, node.idle // 4)
    return Outcome(
        sides=sides,
        events=frozenset({"resumed", *(name for name, holds in facts.items() if holds)}),
        rewritten=any(facts.values()) or is_due or cohort != node.cohort or sides != node.sides,
        cohort=cohort,
        resumed=node,
        causes=causes,
    )


def written(outcome: Outcome, request: Request, token: str) -> Node:
    """
    Give what a token stands for that was written by this request.
    """
    node = outcome.resumed
    evicts = frozenset() if request.version is None else request.version.evicts
    epoch = 0 if request.version is None else request.version.snapshot.epoch
    if node is None:
        journey = request.journey or Journey(name=JOURNEY, flows=("any",))
        born, heeded, moved_by = request.now, frozenset(), frozenset()
        until, idle = born + int(journey.ttl.total_seconds()), int(journey.idle.total_seconds())
    else:
        born, heeded, moved_by = node.born, node.heeded, node.moved_by
        until, idle, epoch = node.until, node.idle, max(node.epoch, epoch)
    return Node(
        token=token,
        key=request.key,
        sides=outcome.sides,
        heeded=heeded | evicts,
        epoch=epoch,
        moved_by=moved_by | outcome.causes,
        cohort=outcome.cohort,
        born=born,
        seen=request.now if node is None else max(node.seen, request.now),
        until=until,
        idle=idle,
    )


def check_chain(outcome: Outcome, request: Request, served: Callable[[str], Backend]) -> None:
    """
    Check what is promised of a chain of tokens, whatever the rules in between are.

    A flow changes side only by a home, a break-glass line or an eviction; by the last towards where the flags say, and
    once for each; and the flows of a `together` journey are not on two sides, unless they were.
    """
    node = outcome.resumed
    before = {} if node is None else node.sides
    owed = frozenset() if node is None else request.owed(node)
    for flow in sorted(before):
        side = served(flow)
        if side is before[flow] or request.home is not UNSET or _placed(before, request)[flow] is side:
            continue
        if not owed or owed <= node.moved_by:
            raise Split(f"{flow} went from {before[flow]} to {side} without a cause")
        if before[flow] is OLD or side is not request.flag(flow, outcome.cohort):
            raise Split(f"{flow} was evicted from {before[flow]} to {side}, and that is not where the flags say")
    sides = {served(flow) for flow in request.together}
    if len(sides) > 1 and len({before[flow] for flow in request.together if flow in before}) <= 1:
        raise Split(f"a together journey is on two sides: {sorted(request.together)}")


def _refusal(node: Node, request: Request) -> str | None:
    if node.key not in (request.key, request.was):
        return "rejected"
    return "expired" if node.is_over(request.now) else None


def _cohort(request: Request, node: Node | None) -> str | None:
    if request.cohort is None:
        return None if node is None else node.cohort
    known = () if request.definition is None else request.definition.cohorts
    return request.cohort if request.cohort in known else None


def _reach(evict: Evict, node: Node, request: Request) -> bool:
    on_new = {flow for flow, side in node.sides.items() if side is NEW}
    if evict.flows & (node.sides.keys() | request.together) and request.together:
        return bool(on_new)
    return bool(evict.flows & on_new)


def _after_evictions(node: Node, request: Request, cohort: str | None) -> dict[str, Backend]:
    owed = frozenset[str]().union(*(evict.flows for evict in request.owed(node)))
    hits_all = bool(request.together) and bool(owed & (node.sides.keys() | request.together))
    kept = {}
    for flow, side in node.sides.items():
        if side is OLD or not (hits_all or flow in owed):
            kept[flow] = side
        elif flow in request.flows:
            kept[flow] = request.flag(flow, cohort)
    return kept


def _newcomers(node: Node, kept: Sides, request: Request, cohort: str | None) -> Sides:
    others = {kept[flow] for flow in request.together if flow in kept}
    came = [flow for flow in request.flows if flow not in kept]
    if node.epoch == 0 or OLD in others:
        return dict.fromkeys(came, OLD)
    return dict.fromkeys(came, NEW) if others else {flow: request.flag(flow, cohort) for flow in came}


def _placed(sides: Sides, request: Request) -> Sides:
    if request.home is not UNSET:
        return dict.fromkeys(sides, Backend(request.home))
    if request.version is None:
        return _placed_blindly(sides, request)
    return {flow: request.line(flow) or side for flow, side in sides.items()}


def _placed_blindly(sides: Sides, request: Request) -> Sides:
    said = {flow: request.lines.get(flow) or request.lines.get("*") or request.lines.get(JOURNEY) for flow in sides}
    if len(set(sides.values())) == 1 and set(said.values()) in ({OLD}, {NEW}, {OLD, None}, {NEW, None}):
        return {flow: OLD if OLD in said.values() else NEW for flow in sides}
    return {flow: said[flow] or side for flow, side in sides.items()}
