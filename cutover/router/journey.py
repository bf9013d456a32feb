"""
The handle of one journey: where a request enters a visit, or goes on with one.
"""

from collections.abc import Callable, Mapping
from time import time
from typing import Final, Protocol

import attrs

from cutover.core.backend import UNSET, Backend, side_of
from cutover.core.break_glass import broken_glass, broken_glass_unread
from cutover.core.decide import side_names
from cutover.core.defined import Journey as JourneyDefinition
from cutover.core.snapshot import Snapshot
from cutover.core.visit import UNVERSIONED, Claims, Order, entered, resumed
from cutover.returned import discard, unfinished
from cutover.router.compiled import Circumstances, FlowPlan
from cutover.router.counting import Cell, StrangerCells, VisitCells
from cutover.router.current import in_shadow
from cutover.router.routing import CohortOf
from cutover.router.strangers import kind_of, nameless_kind, text_of, truth
from cutover.router.tokens import Tokens
from cutover.router.visits import Visit

__all__ = ["Journey", "JourneyPlan"]

UNKNOWN: Final = JourneyDefinition(name="unknown", flows=("unknown",))  # how long visits live until more is known


class Notices(Protocol):
    """
    Where a journey leaves what should be logged once, off the request path.
    """

    def note(self, event: str, **facts: str) -> None:
        """
        Remember an event; never raises, never blocks.
        """
        ...


@attrs.frozen(kw_only=True)
class JourneyPlan:
    """
    What holds for one journey under given circumstances.

    Attributes:
        name: Of the journey.
        audience: Who its tokens are for; None where the migration's name is not known.
        defined: None where the journey is not defined, or no snapshot is known.
        snapshot: What holds; None where nothing was ever read.
        lines: Those of the break-glass file.
        flows: What holds for each flow of the journey, of the same snapshot and lines.
        names: What a home may be called.
        former: By a name that a flow had before, the name that it has.
    """

    name: str
    audience: str | None
    defined: JourneyDefinition | None
    snapshot: Snapshot | None
    lines: Mapping[str, Backend]
    flows: Mapping[str, FlowPlan]
    names: dict[object, Backend]
    former: Mapping[str, str]

    @property
    def order(self) -> Order:
        """
        The (epoch, version) that holds.
        """
        return UNVERSIONED if self.snapshot is None else self.snapshot.head.order

    @property
    def evictions(self) -> Mapping[str, Order]:
        """
        When visits on NEW were last ended, by flow.
        """
        return {} if self.snapshot is None else self.snapshot.evictions

    def sides(self, claims: Claims | None, key: object, cohort: str | None) -> tuple[Mapping[str, Backend], bool]:
        """
        Give the sides of a visit that begins or goes on, and whether it was evicted.
        """

        def decide(flow: str) -> Backend:
            return self.flows[flow].resolve(key, cohort)[0].backend

        if claims is not None:
            sides, evicted = resumed(self.defined, claims, self.evictions, decide, self.former)
        else:
            sides, evicted = {} if self.defined is None else entered(self.defined, decide, self.former), False
        return (self._forced(sides) if self.lines else sides), evicted

    def side_of_home(self, home: object) -> Backend:
        """
        Give the side where a thing lives; OLD where nobody knows that.
        """
        return side_of(home, self.names) or Backend.OLD

    def _forced(self, sides: Mapping[str, Backend]) -> Mapping[str, Backend]:
        if self.snapshot is None:
            return broken_glass_unread(self.lines, self.name, sides)
        return {flow: broken_glass(self.lines, self.snapshot.definition, flow) or side for flow, side in sides.items()}


class Journey:
    """
    One journey of a router. Make it once, with `Router.journey`; `enter` is meant for every request.

    Attributes:
        keeps: What shows its counts, and must live as long as somebody counts with it.
        cohorts: Counts the cohorts that the migration does not have.
        migration: Whose journey it is, where that is known.
    """

    __slots__ = (
        "_apart",
        "_cohort_of",
        "_migration",
        "_notices",
        "_now",
        "_plan",
        "cells",
        "cohorts",
        "keeps",
        "migration",
        "name",
        "tokens",
    )

    def __init__(
        self,
        name: str,
        tokens: Tokens,
        notices: Notices,
        cohort_of: CohortOf | None = None,
        migration: str | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        self.name: str = name
        self.tokens: Tokens = tokens
        self.keeps: object = None
        self.cells: VisitCells = VisitCells(name)
        self.cohorts: StrangerCells = StrangerCells()
        self._apart = VisitCells(name)  # of synthetic visits; nobody reads them
        self._notices = notices
        self._cohort_of = cohort_of
        self._migration = migration
        self._now = now
        self.use(Circumstances(), {})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, version {self._plan.order[1]}>"

    def enter(
        self,
        key: object,
        token: str | None = None,
        cohort: str | None = None,
        was: object = None,
        home: object = UNSET,
        synthetic: bool = False,
    ) -> Visit:
        """
        Go on with the visit of a token, or begin one: every flow of the journey is decided once.

        It does no I/O and never raises: a token that is forged, foreign, over or no token at all is counted, and the
        visit begins anew.

        Args:
            key: As for `Flow.route`, or the visit of another journey, whose key and cohort count, and whether it is
                synthetic. The token is bound to it.
            token: What `Visit.token` was last time.
            cohort: The key's cohort; without it, `cohort_of` of the router is asked, else the token's holds.
            was: The key that the token may be bound to besides: the guest who has logged in, or the user who has
                logged out. The visit goes on under *key*.
            home: Where the thing already lives that the visit is about, as for `Flow.route`: the visit goes there.
            synthetic: A load test, a probe or a bot is on the visit: it is not counted among visits, and what it does
                is counted as what is synthetic for `Flow.route`.
        """
        plan, now = self._plan, int(self._now())
        apart = (synthetic is not False and truth(synthetic)) or in_shadow()
        if type(key) is Visit:
            cohort = key.cohort if cohort is None else cohort
            apart = apart or key.synthetic
            key = key.key
        cells = self._apart if apart else self.cells
        self.note_nameless(key)
        claims, renamed = self._brought(plan, cells, token, key, was, now)
        cohort = self._cohort(plan, key, cohort, claims)
        sides, evicted = plan.sides(claims, key, cohort)
        next((cells.entered if claims is None else cells.resumed).ticks)
        if evicted:
            next(cells.evicted.ticks)
        lives = Backend.OLD
        if home is not UNSET:
            lives = plan.side_of_home(home)
            sides = dict.fromkeys(sides, lives)
        if claims is not None and not (renamed or evicted or _is_news(claims, sides, cohort, now)):
            return Visit(self, key, cohort, sides, claims, home=home, lives=lives, token=token, synthetic=apart)
        claims = self._claims(plan, claims, key, cohort, sides, now)
        return Visit(self, key, cohort, sides, claims, home=home, lives=lives, synthetic=apart)

    def note_nameless(self, key: object) -> None:
        """
        Have the log tell once which type of keys names nobody.
        """
        kind = nameless_kind(key)
        if kind is not None:
            self._notices.note("cutover.no_key", journey=self.name, kind=kind)

    def left(self) -> None:
        """
        Count a visit that was left.
        """
        next(self.cells.left.ticks)

    def count_uses(self) -> int:
        """
        Give how often a visit was entered or went on, also by load tests, probes and bots.
        """
        return self.cells.count_uses() + self._apart.count_uses()

    def use(self, given: Circumstances, flows: Mapping[str, FlowPlan]) -> None:
        """
        Enter visits by other circumstances from now on.

        Args:
            flows: What holds for each flow of the journey under them.
        """
        definition = None if given.snapshot is None else given.snapshot.definition
        migration = self._migration if definition is None else definition.name
        self.migration: str | None = migration
        self._plan = JourneyPlan(
            name=self.name,
            audience=None if migration is None else f"{migration}/{self.name}",
            defined=None if definition is None else definition.journeys.get(self.name),
            snapshot=given.snapshot,
            lines=given.break_glass,
            flows=flows,
            names=side_names(given.snapshot),
            former={} if definition is None else definition.former,
        )

    def restart_counting(self) -> None:
        """
        Begin at zero: what was counted before a fork belongs to the parent.
        """
        self.cells = VisitCells(self.name)
        self._apart = VisitCells(self.name)

    def _brought(
        self, plan: JourneyPlan, cells: VisitCells, token: object, key: object, was: object, now: int
    ) -> tuple[Claims | None, bool]:
        """
        Give what a token says, where it is honoured, and whether the visit goes on under another key.
        """
        text = text_of(token)
        if token is None or text == "":
            return None, False
        read = self.tokens.read(text, plan.audience)
        if read is None:
            return _refused(cells.rejected)
        claims, signer = read
        renamed = False
        if not self.tokens.is_bound(claims, signer, key):
            renamed = was is not None and self.tokens.is_bound(claims, signer, was)
            if not renamed:
                return _refused(cells.rejected)
        if claims.is_early(now) or claims.audience.rpartition("/")[2] != self.name:
            return _refused(cells.rejected)
        if claims.is_over(now):
            return _refused(cells.expired)
        if renamed:
            next(cells.renamed.ticks)
        return claims, renamed

    def _cohort(self, plan: JourneyPlan, key: object, cohort: object, claims: Claims | None) -> str | None:
        if cohort is None and self._cohort_of is not None:
            try:
                cohort = self._cohort_of(key)
            except Exception as error:  # noqa: BLE001 - the application's function may raise anything
                self._notices.note("cutover.cohort_of_failed", journey=self.name, error=kind_of(error))
            if word := unfinished(cohort):
                discard(cohort)
                self._notices.note("cutover.cohort_of_failed", journey=self.name, error=f"it gave {word}")
        elif cohort is None and claims is not None:
            return claims.cohort
        # Not what the migration does not know: it decides nothing, and could be of any length.
        known = () if plan.snapshot is None else plan.snapshot.definition.cohorts
        name = text_of(cohort)
        if name is not None and name not in known:
            self.cohorts.count(name)
            return None
        return name

    def _claims(
        self,
        plan: JourneyPlan,
        claims: Claims | None,
        key: object,
        cohort: str | None,
        sides: Mapping[str, Backend],
        now: int,
    ) -> Claims | None:
        """
        Write down the visit as it is now; None where nothing is known that it could be a visit of.
        """
        bearer = self.tokens.bearer(key)
        if claims is not None:
            order = max(claims.order, plan.order)
            seen = max(claims.seen, now)
            return claims._replace(bearer=bearer, sides=sides, order=order, cohort=cohort, seen=seen)
        defined = UNKNOWN if plan.snapshot is None else plan.defined
        if defined is None or plan.audience is None:
            return None
        return Claims(
            audience=plan.audience,
            bearer=bearer,
            sides=sides,
            order=plan.order,
            cohort=cohort,
            born=now,
            seen=now,
            until=now + int(defined.ttl.total_seconds()),
            idle=int(defined.idle.total_seconds()),
        )


def _refused(cell: Cell) -> tuple[None, bool]:
    next(cell.ticks)
    return None, False


def _is_news(claims: Claims, sides: Mapping[str, Backend], cohort: str | None, now: int) -> bool:
    return sides != claims.sides or cohort != claims.cohort or claims.is_due(now)
