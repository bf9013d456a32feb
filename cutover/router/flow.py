"""
The handle of one flow: what application code calls for each request.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from cutover.core.backend import UNSET, Backend, Decision, Reason
from cutover.core.bucketing import PARTS, well_formed
from cutover.core.verdict import Compare, Redact
from cutover.errors import ConfigurationError
from cutover.returned import discard, unfinished
from cutover.router.compiled import Circumstances, FlowPlan, compile_flow
from cutover.router.counting import Cell, FlowCells, StrangerCells
from cutover.router.current import HAS_COMPARED, in_shadow
from cutover.router.request import Request
from cutover.router.routing import CohortOf, Routing, Use, routing
from cutover.router.strangers import kind_of, nameless_kind, text_of, truth
from cutover.router.visits import Visit, is_synthetic

if TYPE_CHECKING:
    from cutover.router.calls.binding import BindingSwitch
    from cutover.router.calls.switch import Claiming, Switch
    from cutover.router.mirrored.writing import Writing

__all__ = ["Flow", "Notices"]

Ticks = Iterator[Backend]
Errors = type[Exception] | tuple[type[Exception], ...]
P = ParamSpec("P")
R = TypeVar("R")


class Notices(Protocol):
    """
    Where a flow leaves what should be logged once, off the request path.
    """

    def note(self, event: str, **facts: str) -> None:
        """
        Remember an event; never raises, never blocks.
        """
        ...


LONGEST_REASON = 80  # characters
# A named tuple's own constructor takes twice as long.
new_tuple: Callable[[type[Decision], tuple[object, ...]], Decision] = tuple.__new__


class Flow(Routing):
    """
    One flow of a router. Make it once, with `Router.flow`; its methods are meant for every request.

    None of them raises, blocks, does I/O or takes a lock, whatever it is given.

    `decide`, `peek` and `request` take the arguments of `route`.

    Attributes:
        keeps: What shows its counts, and must live as long as somebody counts with it.
        cohorts: Counts the cohorts that the migration does not have.
        migration: Whose flow it is, where that is known: of a visit of another migration, only the key counts.
        stay: For `route`: what counts and answers a visit that has the flow on OLD, and one that has it on NEW.
        switches: What was made by `switch`.
        version: Of the snapshot that holds.
        writing: Makes what `write` gives; None outside a router.
    """

    __slots__ = (
        "_cohort_of",
        "_notices",
        "_plan",
        "cells",
        "cohorts",
        "keeps",
        "migration",
        "name",
        "route",  # in the place of the method
        "stay",
        "switches",
        "use",
        "version",
        "writing",
    )

    def __init__(self, name: str, notices: Notices, cohort_of: CohortOf | None = None) -> None:
        self.name: str = name
        self.migration: str | None = None
        self.keeps: object = None
        self.switches: list[Switch] = []
        self.writing: Writing | None = None
        self.cells: FlowCells = FlowCells(name)
        self.cohorts: StrangerCells = StrangerCells()
        self._notices = notices
        self._cohort_of = cohort_of
        self.stay: tuple[Ticks, ...] = ()
        self.version: int = 0
        self._plan = compile_flow(name, Circumstances(), self.cells)
        self.use: Use = routing(self, cohort_of)
        self.use(Circumstances())

    def __repr__(self) -> str:
        return f"<Flow {self.name!r}, version {self._plan.version}>"

    def decide(self, key: object, cohort: str | None = None, home: object = UNSET, synthetic: bool = False) -> Decision:
        """
        Decide and say why; counted as `route` counts.
        """
        plan = self._plan
        cell, hash_ = self._find(plan, key, cohort, home)
        is_plain = synthetic is False and type(key) is not Visit and not HAS_COMPARED
        next(cell.ticks if is_plain else self._ticks(cell, key, synthetic))
        if hash_ is None:
            return _decision(self.name, plan, key, cell, hash_)
        # As there, without the call: most decisions are made here.
        return new_tuple(Decision, (self.name, cell.backend, cell.detail, plan.version, hash_ * PARTS >> 32))

    def peek(self, key: object, cohort: str | None = None, home: object = UNSET, synthetic: bool = False) -> Decision:
        """
        Decide and say why without counting: for templates and tests.
        """
        del synthetic  # it says how to count
        plan = self._plan
        return _decision(self.name, plan, key, *self._find(plan, key, cohort, home))

    def request(self, key: object, cohort: str | None = None, home: object = UNSET, synthetic: bool = False) -> Request:
        """
        Open a block around a call to the back end, sync or async; it is timed, and its outcome is counted.

            with pay.request("user-42") as request:
                client = clients[request.backend]
        """
        return Request(self, key, cohort, home, synthetic)

    def switch(
        self,
        *,
        old: Callable[Concatenate[Any, P], R],
        new: Callable[Concatenate[Any, P], R],
        home: object = UNSET,
        cohort: str | Callable[..., str | Awaitable[str | None] | None] | None = None,
        safe: bool = False,
        failed: Callable[[Any], object] | None = None,
        ignore: Errors = (),
        unknown: Errors | None = None,
        fallback: Errors = (),
        fallback_percent: float = 10,
        attempt: Callable[..., str | Awaitable[str | None] | None] | None = None,
        homes: "Claiming | None" = None,
        synthetic: Callable[..., object] | None = None,
        compare: Compare | None = None,
        ignore_fields: tuple[str, ...] = (),
        redact: Redact | None = None,
        shadow_deadline: float = 2.0,
        shadow_limit: int = 8,
        noise: float = 10,
    ) -> "BindingSwitch[P, R]":
        """
        Make one function of two, both `def` or both `async def`: each call goes where its key is routed, is timed, and
        counted by outcome. Build it once.

            charge = pay.switch(old=charge_old, new=charge_new)
            receipt = charge("user-42", order)

        Where a class holds it, it is a method: every function that is called with the call's arguments gets the object
        first, and the key is the argument after it. `staticmethod` leaves it unbound.

        What the back end raises reaches the caller, and a call that changes something never goes to the other side.

        Args:
            old: Called with the key, of a visit its key, and the call's other arguments.
            new: As `old`.
            home: As for `route`, or a function of the call's own arguments, key first. What it raises reaches the
                caller, before any back end is called.
            cohort: As for `route`, or a function of the call's own arguments; one that raises gives no cohort.
            safe: The call changes nothing. Only then are fallbacks and comparisons allowed.
            failed: Tells a failure that raises nothing from what was returned.
            ignore: Exceptions that are business, such as a card that is declined; counted as ok.
            unknown: Exceptions after which nobody knows whether a change was made, also in a group or as a cause; their
                outcome is ``unknown``. Left out, they are the timeouts and lost connections of the standard library,
                httpx, requests, urllib3, aiohttp and gRPC; what is given replaces these.
            fallback: Exceptions of NEW after which OLD is asked; never the other way, nor for what has a home.
            fallback_percent: Of the calls of a minute in this process; above that the exception reaches the caller.
            attempt: Gives the idempotency key of a call. Its side is claimed in *homes* before the back end is called,
                so that a retry goes to the same side, whatever dial, visit or rollback say. None or a blank key claims
                nothing.
            homes: What `cutover.homes` gave.
            synthetic: Tells of a call's own arguments whether a load test, a probe or a bot makes it. As one on a
                synthetic visit it is routed as usual and counted apart, is compared with nothing, and no other side
                answers for it. One that raises tells no.
            compare: Tells whether two answers are the same; left out, the rule of the how-to page does, and it compares
                no open answers. An open answer of the other side is closed afterwards.
            ignore_fields: Where answers may differ, as ``("updated_at", "items.*.rank")``.
            redact: Shows a value that differs to operators, given its path; left out, only its kind and size are shown.
            shadow_deadline: Seconds that the other side has to answer in the background.
            shadow_limit: Comparisons under way in this process; further ones are dropped.
            noise: Percentage of comparisons that ask OLD twice, to learn how far it differs from itself.

        Raises:
            ConfigurationError: If something of this cannot be meant.
        """
        from cutover.core.comparison import structure_of  # noqa: PLC0415 - as below
        from cutover.router.calls.shadow import ShadowTerms  # noqa: PLC0415 - who only routes does not load what calls
        from cutover.router.calls.switch import build, switches_of  # noqa: PLC0415

        switches = switches_of(
            self,
            self._notices,
            old=old,
            new=new,
            home=home,
            cohort=cohort,
            safe=safe,
            failed=failed,
            ignore=ignore,
            unknown=unknown,
            fallback=fallback,
            fallback_percent=fallback_percent,
            attempt=attempt,
            homes=homes,
            synthetic=synthetic,
            shadow=ShadowTerms(
                compare=compare,
                ignore_fields=ignore_fields,
                redact=structure_of if redact is None else redact,
                deadline=shadow_deadline,
                limit=shadow_limit,
                noise=noise,
            ),
        )
        self.switches += switches
        return build(switches)

    def write(
        self,
        *,
        name: str,
        old: Callable[..., R],
        new: Callable[..., R],
        confirm: Callable[..., Any] | None = None,
        refused: Errors = (),
        outbox: str | None = None,
        allowed_backlog: int = 0,
        attempts: int = 20,
        longest_pause: float = 60.0,
        lease: float = 30.0,
        deadline: float = 30.0,
    ) -> Callable[..., R]:
        """
        Make one function of two that write, all `def` or all `async def`: each call reaches the side that its key is
        routed to, and then the other one, if need be later. Build it once, in the process that uses it.

            add = cart.write(name="cart.add", old=add_old, new=add_new, confirm=was_added, refused=OutOfStock)
            add("user-42", item)

        The functions get the key, the JSON values that the call was given, and ``sequence``, which counts the writes
        of a flow and key. They may be called again with the same one, and must then change nothing.

        Args:
            name: Of the write, the same in every process and release: what is undelivered is kept under it.
            confirm: Tells whether the authoritative side has a write; asked after a crash, and after every exception
                that is no refusal. It also gets ``side``, which says which one that is: the flow may have moved since.
                Without it, an operator decides in these cases.
            refused: Exceptions that prove that the side did nothing, such as an item that is out of stock: the write is
                forgotten. A group is a refusal if everything in it is. Any other exception proves nothing.
            outbox: The URL of where intents are kept; else CUTOVER_OUTBOX, else the router's own store, where that
                is SQLite or PostgreSQL.
            allowed_backlog: The largest backlog at which the flow's dial may be changed.
            attempts: How often the other side is tried, until an operator has to decide.
            longest_pause: Seconds between two attempts, at most.
            lease: Seconds after which another process takes over what one has left behind.
            deadline: Seconds for each later call, and for the other side in the caller's own: then a coroutine is
                cancelled, and what a function holds up is worked around. Give functions timeouts of their own.

        Raises:
            ConfigurationError: If something of this cannot be meant.
        """
        if self.writing is None:
            raise ConfigurationError(f"the flow {self.name!r} belongs to no router; allowed: Router.flow(NAME).write()")
        write: Callable[..., R] = self.writing.build(
            self,
            name=name,
            old=old,
            new=new,
            confirm=confirm,
            refused=refused,
            outbox=outbox,
            allowed_backlog=allowed_backlog,
            attempts=attempts,
            longest_pause=longest_pause,
            lease=lease,
            deadline=deadline,
        )
        return write

    def take(self, decision: Decision, held: Backend | None = None, *, synthetic: bool = False) -> None:
        """
        Count a decision that was peeked at.

        Args:
            held: Where the request went because it lives there, if that is another side.
        """
        backend, reason = decision.backend, decision.reason
        if held is not None and held is not backend:
            backend, reason = held, Reason.HOME
        next((self.cells.synthetic[backend] if synthetic else self.cells.decisions[backend, reason]).ticks)

    def note_failure(self, backend: Backend, reason: object) -> None:
        """
        Have the log tell once why a call failed that raised nothing.
        """
        said = well_formed(text_of(reason) or kind_of(reason)).decode()[:LONGEST_REASON]
        self._notices.note("cutover.call_failed", flow=self.name, backend=backend.value, reason=said)

    def count_calls(self) -> int:
        """
        Give how many calls were counted; one that both back ends were asked for, because OLD answered for NEW, is one.
        """
        return sum(cell.total for cell in self.cells.calls.values()) - self.cells.fallbacks.total

    def went_well(self, backend: Backend, seconds: float) -> None:
        """
        Count one call to a back end that ended well, and how long it took: `called` for those that are most.
        """
        cells = self.cells
        is_new = backend is Backend.NEW
        next(cells.went_well[is_new])
        cells.durations[is_new].append(seconds)

    def called(self, backend: Backend, outcome: str, seconds: float, key: object = None) -> None:
        """
        Count one call to a back end, and how long it took.

        Args:
            key: What the call was made with: that of a synthetic visit is none of users, and no comparison's is.
        """
        if is_synthetic(key) or in_shadow():
            return
        cells = self.cells
        next(cells.calls[backend, outcome].ticks)
        cells.durations[backend is Backend.NEW].append(seconds)

    def restart_counting(self) -> None:
        """
        Begin at zero, from the next `use` on: what was counted before a fork belongs to the parent.
        """
        self.cells = FlowCells(self.name)
        for switch in self.switches:
            switch.after_fork()

    @property
    def plan(self) -> FlowPlan:
        """
        What holds for the flow now.
        """
        return self._plan

    def adopt_plan(self, plan: FlowPlan) -> None:
        """
        Let every method but `route` decide by this plan; `use` does both.
        """
        self._plan = plan
        self.migration = plan.migration
        self.version = plan.version
        self.stay = (plan.visits[Backend.OLD].ticks, plan.visits[Backend.NEW].ticks)
        self.cells.watch_bypass(plan.together)

    def count(self, key: object, cohort: str | None, home: object, synthetic: bool) -> Backend:
        """
        Do what `route` does, on the general path.
        """
        return next(self._ticks(self._find(self._plan, key, cohort, home)[0], key, synthetic))

    def _ticks(self, cell: Cell, key: object, synthetic: object) -> Ticks:
        apart = truth(synthetic) or is_synthetic(key) or in_shadow()
        return self.cells.synthetic[cell.backend].ticks if apart else cell.ticks

    def _find(self, plan: FlowPlan, key: object, cohort: object, home: object) -> tuple[Cell, int | None]:
        if type(key) is not Visit:
            pass
        elif key.migration != plan.migration and None not in (key.migration, plan.migration):
            key = key.key  # its sides, cohort and home are words of another migration
        else:
            if home is UNSET:
                side = key.sides.get(self.name)
                if side is None and plan.together == key.journey:
                    side = key.backend  # the flow came into the journey, or became known, since the visit was entered
                if side is not None and key.home is UNSET:
                    return plan.visits[side], None
                # A visit that knows no flow knows its home all the same, and the thing is nowhere else.
                if side is not None or not key.sides:
                    home = key.home
            cohort = key.cohort if cohort is None else cohort
            key = key.key
        if home is not UNSET:
            return self._at_home(plan, home), None
        if cohort is None and self._cohort_of is not None:
            cohort = self._asked(self._cohort_of, key)
        cell, hash_ = plan.resolve(key, cohort if cohort is None else self._told(plan, cohort))
        if hash_ is None:
            self._note_nameless(key)
        return cell, hash_

    def _note_nameless(self, key: object) -> None:
        kind = nameless_kind(key)
        if kind is not None:
            self._notices.note("cutover.no_key", flow=self.name, kind=kind)

    def _told(self, plan: FlowPlan, cohort: object) -> object:
        if word := unfinished(cohort):
            discard(cohort)
            self._notices.note("cutover.cohort_of_failed", flow=self.name, error=f"it gave {word}")
            return None
        name = text_of(cohort)
        if name is not None and name not in plan.dials:
            self.cohorts.count(name)
        return cohort

    def _at_home(self, plan: FlowPlan, home: object) -> Cell:
        cell = plan.at_home(home)
        if cell is plan.lost:
            self._notices.note("cutover.home_unknown", flow=self.name, kind=kind_of(home))
        return cell

    def _asked(self, cohort_of: CohortOf, key: object) -> str | None:
        try:
            return cohort_of(key)
        except Exception as error:  # noqa: BLE001 - the application's function may raise anything
            self._notices.note("cutover.cohort_of_failed", flow=self.name, error=kind_of(error))
            return None


def _decision(flow: str, plan: FlowPlan, key: object, cell: Cell, hash_: int | None) -> Decision:
    if hash_ is None:
        hash_ = plan.hash(key.key if type(key) is Visit else key)
    position = None if hash_ is None else hash_ * PARTS >> 32
    return new_tuple(Decision, (flow, cell.backend, cell.detail, plan.version, position))
