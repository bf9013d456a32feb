"""
Clients, routers that lag, and operators who change everything: what hypothesis searches for a split user.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import count

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from strategies import COHORTS, FLOWS, NAME, SECRET, Verb, begun, definition_of, empty
from visit_model import JOURNEY, Evict, Node, Outcome, Request, Split, Version, check_chain, outcome, written

from cutover.claims.homes import homes
from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS, position_of
from cutover.core.defined import Cohort, Journey
from cutover.core.ledger import seal
from cutover.core.migration import Migration
from cutover.core.snapshot import Snapshot
from cutover.errors import ConfigurationError, Refused
from cutover.router.holding import Holding
from cutover.router.notices import NoticeBoard
from cutover.router.tokens import Tokens
from cutover.router.visits import Visit

TOKENS = Tokens(("of the tests, and long enough for them",))
START = 1_700_000_000
CLOCKS = (0, 30, -30)  # seconds; no two routers are further apart than tokens allow
DIALS = (0, 25_000, 50_000, PARTS)
LIFETIMES = ((30, 240), (3, 5))  # minutes: idle, ttl
WAITS = (5, 61, 130, 200, 1900)  # seconds


def _keys(prefix: str, number: int) -> Iterator[str]:
    """
    Give keys whose positions are spread over those between two dials.
    """
    for least, most in zip(DIALS * number, DIALS[1:] * number, strict=False):
        if least < most:
            yield next(
                key for n in count() if least <= position_of(NAME.encode(), (key := f"{prefix}-{n}").encode()) < most
            )


USERS = tuple(_keys("user", 1))[:2]
GUESTS = tuple(_keys("guest", 2))[1:5]
PLACES = (f"memory:visits-{n}" for n in count())


@attrs.define(eq=False)
class Device:
    """
    One browser or application of a user.

    Attributes:
        key: Whom its requests are from: the guest that it is, or the user who is logged in.
        wallet: The tokens that it was given, the last used last; those before may be sent again.
    """

    user: int
    guest: str
    key: str
    wallet: list[Node] = attrs.field(factory=list)

    def token(self, age: int) -> Node | None:
        """
        Give the token used last, or one before; none where nothing is left.
        """
        return self.wallet[-1 - min(age, len(self.wallet) - 1)] if self.wallet else None


class Place:
    """
    One router process.
    """

    def __init__(self, clock: int) -> None:
        self.clock = clock
        self.now = START
        self.known: list[Version] = []
        self.lines: dict[str, Backend] = {}
        self.start(None)

    @property
    def version(self) -> Version | None:
        """
        What it runs.
        """
        return self._version

    def start(self, version: Version | None) -> None:
        """
        Begin as a new process does, with a cached copy or nothing.
        """
        self._version = None
        holding = Holding(NoticeBoard(), None, lambda: self.now + self.clock)
        self.flows = {name: holding.flow(name) for name in FLOWS}
        self.journey = holding.journey(JOURNEY, TOKENS, NAME)
        self._holding = holding
        self.obey(self.lines)
        if version is not None:
            self.take(version)

    def take(self, version: Version) -> None:
        """
        Run another version.
        """
        self._version = version
        self.known.append(version)
        self._holding.take_snapshot(version.snapshot, SECRET)

    def obey(self, lines: dict[str, Backend]) -> None:
        """
        Obey another break-glass file.
        """
        self.lines = lines
        self._holding.take_break_glass(lines)

    def counts(self) -> dict[str, int]:
        """
        Give what it has counted of visits.
        """
        return {cell.counted.detail: cell.total for cell in self.journey.cells}

    def request(self, **facts: object) -> Request:
        """
        Give a request as it sees it now.
        """
        return Request(version=self._version, lines=self.lines, now=self.now + self.clock, **facts)


def shop(flows: tuple[str, ...], together: bool, lifetime: tuple[int, int]) -> Migration:
    """
    Give the definition with the journey over these flows; without any, there is none.
    """
    idle, ttl = (timedelta(minutes=minutes) for minutes in lifetime)
    journey = Journey(name=JOURNEY, flows=flows, together=together, idle=idle, ttl=ttl) if flows else None
    return definition_of(
        *FLOWS,
        journeys={JOURNEY: journey} if journey else {},
        cohorts={name: Cohort(name=name, title=name) for name in COHORTS},
    )


def together_with(snapshot: Snapshot, *flows: str) -> frozenset[str]:
    """
    Give flows with all that must be on their side.
    """
    journey = snapshot.definition.journeys.get(JOURNEY)
    members = frozenset(journey.flows) if journey is not None and journey.together else frozenset()
    return frozenset(flows) | (members if members & frozenset(flows) else frozenset())


journeys = st.builds(
    shop,
    st.sampled_from([*[("cart", "pay"), ("cart", "checkout", "pay")] * 2, ("browse", "pay"), ("checkout",), ()]),
    st.booleans(),
    st.sampled_from(LIFETIMES),
)
targets = st.sampled_from(("cart", "pay", "browse", JOURNEY, JOURNEY))
dials = st.sampled_from(DIALS)
routers = st.integers(0, len(CLOCKS) - 1)
devices = st.integers(0, 3)
ages = st.sampled_from((0, 0, 0, 1, 2))
cohorts = st.sampled_from((None, None, None, "staff", "nobody"))
lines = st.dictionaries(st.sampled_from(("cart", "pay", JOURNEY, "*")), st.sampled_from(Backend), max_size=2)
sides = st.sampled_from(Backend)


@st.composite
def verbs(draw: st.DrawFn) -> tuple[Verb, frozenset[str] | str | None]:
    """
    Draw what an operator does, and the target of its eviction: None where it evicts nobody, "" for every flow.
    """
    kind = draw(st.sampled_from(("set", "set", "evict", "evict", "cohort", "override", "rollback")))
    target = draw(targets)
    if kind == "override":
        key, side = draw(st.sampled_from(USERS)), draw(st.none() | sides)
        return (lambda s: changes.override(s, target, key, side, secret=SECRET)), None
    if kind == "rollback":
        wide = draw(st.sampled_from((False, False, True)))
        return (lambda s: changes.rollback(s, None if wide else target)), "" if wide else target
    parts = draw(dials)
    cohort = draw(st.sampled_from((None, *COHORTS))) if kind != "set" else None
    evict = kind == "evict"
    return (lambda s: changes.set_dial(s, target, parts, cohort=cohort, evict=evict)), target if evict else None


def _apply(definition: Migration) -> tuple[Verb, None]:
    return (lambda s: changes.apply(s, definition, empty(definition))), None


def _take_back(flow: str) -> tuple[Verb, str]:
    return (lambda s: changes.rollback(s, flow)), flow


applies = st.builds(_apply, journeys)
# The last takes a flow back while other flows go together with it than before and after.
operations = (
    st.lists(verbs() | applies, min_size=1, max_size=3)
    | st.tuples(verbs(), applies)
    | st.tuples(applies, st.builds(_take_back, st.sampled_from(("cart", "pay", "browse"))), applies)
)


class VisitMachine(RuleBasedStateMachine):
    """
    Three routers, two users with two devices each, one store.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.places = [Place(clock) for clock in CLOCKS]
        self.devices = [Device(n // 2, GUESTS[n], USERS[n // 2]) for n in range(4)]
        self.homes = homes(next(PLACES), migration=NAME)
        self.orders = [0, 0]
        self.attempts: dict[str, set[Backend]] = defaultdict(set)
        self.asked: dict[str, Backend] = {}

    def teardown(self) -> None:
        """
        Let go of the homes.
        """
        self.homes.close()

    @initialize(
        definition=journeys,
        dials=dials.map(lambda parts: [parts] * len(FLOWS)) | st.tuples(*[dials] * len(FLOWS)),
        blind=st.integers(0, 3),
    )
    def begin(self, definition: Migration, dials: Sequence[int], blind: int) -> None:
        """
        Apply a definition, turn all dials up, and let the routers read it, but one perhaps.
        """
        self.history = [Version(begun(definition))]
        for flow, parts in zip(FLOWS, dials, strict=True):
            self._commit(changes.set_dial(self.newest.snapshot, flow, parts), frozenset())
        for number, place in enumerate(self.places):
            if number != blind:
                place.take(self.newest)

    @property
    def newest(self) -> Version:
        """
        What the store has.
        """
        return self.history[-1]

    @rule(asked=operations, reads=st.none() | routers)
    def operate(self, asked, reads) -> None:
        """
        Change what operators change, perhaps several times before anybody reads; what is refused changes nothing.
        """
        for verb, evicts in asked:
            with suppress(ConfigurationError, Refused):
                proposal = verb(self.newest.snapshot)
                self._commit(proposal, self._evicted(evicts))
        if reads is not None:
            self.refresh(reads, 9)

    @rule(lost=st.integers(0, 3))
    def adopt(self, lost: int) -> None:
        """
        Restore a backup that lacks the last changes, and declare it the surviving history.
        """
        epochs = [version.snapshot.epoch for place in self.places for version in place.known]
        del self.history[max(1, len(self.history) - lost) :]
        self._commit(changes.adopt(self.newest.snapshot, epochs), frozenset(self.newest.snapshot.definition.flows))

    @rule(router=routers, steps=st.sampled_from((1, 2, 9, 9)))
    def refresh(self, router: int, steps: int) -> None:
        """
        Let one router read: the newest, or what a replica has that is behind.
        """
        place = self.places[router]
        newer = [v for v in self.history if place.version is None or v.order > place.version.order]
        if newer:
            place.take(newer[min(steps, len(newer)) - 1])

    @rule(router=routers, cached=st.integers(0, 3))
    def restart(self, router: int, cached: int) -> None:
        """
        Restart a process: with nothing, or with the copy that some process of the host left, which may be older.
        """
        place = self.places[router]
        place.start(place.known[-min(cached, len(place.known))] if cached and place.known else None)

    @rule(router=routers, lines=lines)
    def break_glass(self, router: int, lines: dict[str, Backend]) -> None:
        """
        Write a router's break-glass file, or empty it.
        """
        self.places[router].obey(lines)

    @rule(seconds=st.sampled_from(WAITS))
    def wait(self, seconds: int) -> None:
        """
        Let time pass.
        """
        self.now += seconds
        for place in self.places:
            place.now = self.now

    @rule(router=routers, device=devices, age=ages, cohort=cohorts, lost=st.booleans(), then=lines | st.integers(0, 9))
    def step(self, router, device, age, cohort, lost, then) -> None:
        """
        Do one request, with the newest token or one before; the answer may be lost, or the router change meanwhile.
        """
        mine = self.devices[device]
        visit = self._enter(router, mine, mine.token(age), cohort=cohort, lost=lost)
        self._goes_on(router, visit, then)

    @rule(device=devices, hops=st.lists(st.tuples(routers, st.sampled_from((5, 61, 130))), min_size=2, max_size=5))
    def wander(self, device: int, hops: list[tuple[int, int]]) -> None:
        """
        Go on for a while, now at this router and then at that.
        """
        mine = self.devices[device]
        for router, seconds in hops:
            self._enter(router, mine, mine.token(0))
            self.wait(seconds)

    @rule(first=routers, second=routers, device=devices)
    def begin_twice(self, first: int, second: int, device: int) -> None:
        """
        Begin with two requests at once, as browsers do: two chains, and the first goes on where the answers cross.
        """
        mine = self.devices[device]
        for router in (first, second):
            self._enter(router, mine, None)

    @rule(router=routers, device=devices, out=st.booleans(), age=ages)
    def log_in_or_out(self, router: int, device: int, out: bool, age: int) -> None:
        """
        Go on under another key.
        """
        mine = self.devices[device]
        was, mine.key = mine.key, mine.guest if out else USERS[mine.user]
        self._enter(router, mine, mine.token(age), was=was)

    @rule(device=devices)
    def lose(self, device: int) -> None:
        """
        Lose the tokens of a device.
        """
        self.devices[device].wallet.clear()

    @rule(router=routers, device=devices, thief=devices, was=st.booleans())
    def steal(self, router: int, device: int, thief: int, was: bool) -> None:
        """
        Send what another device was given, under one's own key.
        """
        mine, stolen = self.devices[thief], self.devices[device].token(0)
        self._enter(router, mine, stolen, was=GUESTS[(device + 2) % 4] if was else None)

    @rule(router=routers, device=devices, side=sides, anew=st.booleans())
    def open_at_home(self, router: int, device: int, side: Backend, anew: bool) -> None:
        """
        Open a visit, or go on, where a cart already is.
        """
        mine = self.devices[device]
        self._enter(router, mine, None if anew else mine.token(0), home=side)

    @rule(router=routers, device=devices, age=ages, lost=st.booleans(), bare=st.booleans())
    def pay(self, router: int, device: int, age: int, lost: bool, bare: bool) -> None:
        """
        Try to pay the user's order: it is claimed before a back end is called; unanswered, it is tried again later.
        """
        mine, place = self.devices[device], self.places[router]
        order = f"order-{mine.user}-{self.orders[mine.user]}"
        key = mine.key if bare else self._enter(router, mine, mine.token(age), lost=lost)
        pay = place.flows["pay"]
        asked = pay.peek(key).backend
        self._attempt(order, pay.route(key, home=self.homes.claim("attempt", order, asked)))
        self.orders[mine.user] += not lost

    @rule(router=routers, user=st.integers(0, 1), back=st.integers(0, 2))
    def hear_of_payment(self, router: int, user: int, back: int) -> None:
        """
        Hear of a payment from its provider, who knows nothing but the order: it goes where the attempt was.
        """
        order = f"order-{user}-{self.orders[user] - back}"
        home = self.homes.find("attempt", order)
        if home is not None:
            self._attempt(order, self.places[router].flows["pay"].route(None, home=home))

    @rule(ages=st.lists(ages, min_size=4, max_size=4))
    def converge(self, ages: list[int]) -> None:
        """
        Let every router read the newest and drop its lines: what the first answers, all the others do.
        """
        for router, place in enumerate(self.places):
            place.obey({})
            self.refresh(router, len(self.history))
        for device, age in zip(self.devices, ages, strict=True):
            self._enter(0, device, device.token(age))
            for router in (1, 2, 0):
                self._same_again(router, device)

    def _same_again(self, router: int, device: Device) -> None:
        node, place = device.token(0), self.places[router]
        if node is None or place.version is not self.newest:
            return
        before = place.counts()["resumed"]
        visit = self._enter(router, device, node)
        if place.counts()["resumed"] > before and visit.sides != node.sides:
            raise Split(f"every router runs the newest, and {dict(node.sides)} became {dict(visit.sides)}")

    def _commit(self, proposal: changes.Proposal, evicts: frozenset[str]) -> None:
        snapshot = seal(proposal, at=proposal.after.at, actor="rina", reason="go on")[1]
        marks = frozenset({Evict(snapshot.epoch, evicts)} if evicts else ())
        self.history.append(Version(snapshot, self.newest.evicts | marks))

    def _evicted(self, target: str | None) -> frozenset[str]:
        snapshot = self.newest.snapshot
        if target is None:
            return frozenset()
        if target == "":
            return frozenset(snapshot.definition.flows)
        journey = snapshot.definition.journeys.get(target)
        return together_with(snapshot, *(journey.flows if journey is not None else (target,)))

    def _enter(self, router: int, device: Device, node: Node | None, *, lost: bool = False, **facts: object) -> Visit:
        """
        Enter at a router, and check everything that a client sees of it.
        """
        place = self.places[router]
        request = place.request(key=device.key, **facts)
        before = place.counts()
        visit = place.journey.enter(device.key, token=None if node is None else node.token, **facts)
        served = {name: flow.route(visit) for name, flow in place.flows.items()}
        wanted = outcome(node, request)
        check_chain(wanted, request, served.__getitem__)
        _check(wanted, visit, served, {event for event, n in place.counts().items() if n > before[event]})
        got = node
        if visit.rewritten:
            got = written(wanted, request, visit.token) if visit.token else None
        if not lost and got is None:
            device.wallet.clear()
        elif not lost:
            device.wallet = [*(other for other in device.wallet if other is not got), got]
        return visit

    def _goes_on(self, router: int, visit: Visit, then: dict[str, Backend] | int) -> None:
        """
        Change the router under a request: only its break-glass lines move a visit in hand, and what comes into the
        journey meanwhile follows it.
        """
        place = self.places[router]
        if isinstance(then, dict):
            place.obey(then)
        elif then < 3:
            self.refresh(router, then + 1)
        request = place.request(key=visit.key)
        for name, side in visit.sides.items():
            wanted = request.line(name) or side
            if (place.flows[name].route(visit), place.flows[name].decide(visit).backend) != (wanted, wanted):
                raise Split(f"{name} moved within a request, and should be on {wanted}")
        if len({place.flows[name].route(visit) for name in request.together}) > max(1, len(set(visit.sides.values()))):
            raise Split(f"a together journey is on two sides within a request: {sorted(request.together)}")

    def _attempt(self, order: str, side: Backend) -> None:
        self.attempts[order].add(side)
        if len(self.attempts[order]) > 1:
            raise Split(f"{order} was tried on both sides")


def _check(wanted: Outcome, visit: Visit, served: dict[str, Backend], events: set[str]) -> None:
    if visit.sides != wanted.sides or any(served[flow] is not side for flow, side in wanted.sides.items()):
        raise Split(f"it should be {dict(wanted.sides)}, told are {dict(visit.sides)}, and served {served}")
    if events != wanted.events:
        raise Split(f"{sorted(events)} were counted, and it should be {sorted(wanted.events)}")
    if visit.rewritten != wanted.rewritten:
        raise Split(f"the token is {'' if visit.rewritten else 'not '}rewritten")
