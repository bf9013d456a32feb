"""
The one method that every request calls, and how each flow makes its own.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from mmh3 import hash as hash_of_ascii  # it makes no copy; mmh3 5.3.1 ends the process on a lone surrogate
from mmh3 import mmh3_32_uintdigest as hash_of

from cutover.callables import is_coroutine_function, is_generator_function
from cutover.core.backend import UNSET, Backend
from cutover.errors import ConfigurationError
from cutover.router.compiled import SLOT_BITS, Circumstances, Dial, compile_flow
from cutover.router.strangers import kind_of
from cutover.router.visits import Visit

if TYPE_CHECKING:
    from cutover.router.flow import Flow

__all__ = ["CohortOf", "Routing", "Use", "check_cohort_of", "routing"]

CohortOf = Callable[[Any], str | None]
Ticks = Iterator[Backend]
Dials = dict[str | None, Dial]
Use = Callable[[Circumstances], None]


def check_cohort_of(given: object) -> None:
    """
    Check the function of the application that is asked for cohorts.

    Raises:
        ConfigurationError: If it can give none.
    """
    shown = ""
    if given is None:
        pass
    elif not callable(given):
        shown = f"a {kind_of(given)}"
    elif is_generator_function(given):
        shown = "a generator"
    elif is_coroutine_function(given):
        shown = "an async def"
    if shown:
        raise ConfigurationError(f"cohort_of is {shown}; allowed: a function made with def, which no request waits for")


class _Never:
    """
    A value of `home` that no caller has: while `Flow` compares with it, every request takes the general path.
    """


NEVER: Final = _Never()


class Routing:
    """
    The signature of `route`, for editors and type checkers: each flow puts a closure of its own in its place.
    """

    __slots__ = ()

    def route(self, key: object, cohort: str | None = None, home: object = UNSET, synthetic: bool = False) -> Backend:
        """
        Give the side where a request goes, and count the request.

        It never raises, blocks, does I/O or takes a lock, whatever it is given.

            backend = pay.route("user-42")

        Args:
            key: The value that is bucketed. Text, bytes, int, UUID, or another object whose class defines `__str__`.
                None, empty text and other objects name nobody: they go OLD unless the dial is at 0% or 100%. Or a
                `Visit`, whose side is kept.
            cohort: The key's cohort; without it, `cohort_of` of the router is asked.
            home: Where the thing already lives: a `Backend`, "old" or "new", or the side's own name. None is an
                unmarked thing, older than the migration: OLD.
            synthetic: The request of a load test, a probe or a bot: routed as usual, counted apart.
        """
        raise NotImplementedError


def routing(flow: "Flow", cohort_of: CohortOf | None) -> Use:  # noqa: C901 - the sum over three closures
    """
    Give a flow its `route`, and return the function that lets `route` follow other circumstances.

    `route` is a closure: a call then reads cells of it and no attribute.

    Two short paths, for a key alone and for a visit or a key with a cohort or beside overrides, and the general one
    behind them; each function has few free variables, because a call copies them all. `plain` and `usual` are the
    values of `home` with which a request may take the short ones: `UNSET`, or a value that nobody has. So one
    comparison asks for a home and for what the path cannot do.

    Only `use` writes what `route` reads, and not as one: whatever mixture a request meets meanwhile, `new` answers NEW,
    `old` answers OLD, and each threshold is that of the plan before or of the one after. Where the next plan closes the
    first path, a request that is in it goes on by the plan before: it must not meet a new dial without its overrides.
    """
    plain: object = NEVER
    usual: object = NEVER
    salt, threshold = "", 0
    new: Ticks = iter(())
    old: Ticks = iter(())
    dials: Dials = {}

    def route(key: object, cohort: str | None = None, home: object = UNSET, synthetic: bool = False) -> Backend:
        try:
            # Not `key and`: so that a visit, which is no empty text and yet says so, need not raise to get on.
            if cohort is None and home is plain and key != "" and not synthetic:
                if key.isascii():  # type: ignore[attr-defined]
                    return next(new if hash_of_ascii(salt + key, 0, False) < threshold else old)  # type: ignore[operator]
                return next(new if hash_of((salt + key).encode()) < threshold else old)  # type: ignore[operator]
        except Exception:  # noqa: BLE001, S110 - not text, or not UTF-8: the next path knows what to do
            pass
        return less_plain(key, cohort, home, synthetic)

    def less_plain(key: Any, cohort: str | None, home: object, synthetic: bool) -> Backend:
        try:
            # The keys that are not text are most often numbers.
            text = key if type(key) is str else str(key) if type(key) is int else ""
            if text and home is usual and not synthetic:
                if cohort is None and cohort_of is not None:
                    cohort = cohort_of(key)
                if type(cohort) is str or cohort is None:
                    dial = dials[cohort]
                    hash_ = hash_of_ascii(salt + text, 0, False) if text.isascii() else hash_of((salt + text).encode())
                    if not dial.overridden[hash_ >> SLOT_BITS]:
                        return next(dial.new.ticks if hash_ < dial.threshold else dial.old.ticks)
            elif type(key) is Visit and home is usual and not synthetic and key.migration == flow.migration:
                return next(flow.stay[key.kept[flow.name]])
        except Exception:  # noqa: BLE001, S110 - such a key, cohort or `cohort_of` is for the general path
            pass
        return flow.count(key, cohort, home, synthetic)

    def use(given: Circumstances) -> None:
        nonlocal plain, usual, salt, threshold, new, old, dials
        plan = compile_flow(flow.name, given, flow.cells)
        plain = usual = NEVER
        flow.adopt_plan(plan)
        salt, dials = plan.salt or "", plan.dials
        # Without the salt, a request that has hashed could meet the first dial. And while there are comparisons, only
        # the general path counts apart what the compared functions route themselves.
        if given.snapshot is None or given.snapshot.shadows:
            return
        usual = UNSET
        if not plan.overrides and cohort_of is None:
            dial = dials[None]
            new, old, threshold = dial.new.ticks, dial.old.ticks, dial.threshold
            plain = UNSET

    route.__doc__, route.__annotations__ = Routing.route.__doc__, Routing.route.__annotations__
    flow.route = route  # type: ignore[method-assign]
    return use
