"""
Purchases that were on both sides: by what the application wrote down, by what the back ends hold, and by flags.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter

from cutover.core.backend import Backend
from demo.flags import side_by_flag
from demo.proofs import Proof
from demo.shop_database import Left
from demo.traffic import ATTEMPTS, LATER, RETRY, WEB_HOOK
from demo.trail import Trace

__all__ = ["attempts_proof", "hooks_proof", "split_proof"]

SideOf = Callable[[Trace], Backend]


def split_proof(traces: Iterable[Trace], left: Sequence[Left], evicted: int, rolled_back_at: int) -> Proof:
    """
    Look for purchases whose user was on both sides.

    Args:
        traces: In the order of the replay.
        left: By each back end.
        evicted: Visits, by the routers' count.
        rolled_back_at: The version that the rollback made; what was on NEW before may be on OLD since.
    """
    purchases = _by_session(trace for trace in traces if trace.event not in LATER)
    old, new = (one.carts | one.orders for one in left)
    on_both = _on_both(purchases, attrgetter("side"))
    moved = {session for session in on_both if _moved_once(purchases[session], rolled_back_at)}
    split = (on_both | old & new) - moved
    return Proof(
        "No purchase is split between the back ends",
        not split and len(moved) <= evicted,
        f"{len(split)} of {len(purchases)}; a flag per flow: {len(_on_both(purchases, side_by_flag))}; "
        f"evicted by the rollback: {evicted} ({len(moved)} mid-cart)",
    )


def attempts_proof(traces: Iterable[Trace], left: Sequence[Left]) -> Proof:
    """
    Look for orders that two back ends were asked to be paid for.

    Args:
        traces: In the order of the replay.
        left: By each back end.
    """
    attempts = [trace for trace in traces if trace.event in ATTEMPTS]
    orders = _by_session(attempts)
    old, new = (one.payments for one in left)
    both = _on_both(orders, attrgetter("side")) | old & new
    again = sum(trace.event == RETRY for trace in attempts)
    return Proof(
        "No order is attempted on both sides",
        not both and old | new == orders.keys(),
        f"{len(both)} of {len(orders)}; a flag per flow: {len(_on_both(orders, side_by_flag))}; "
        f"tried again by another process: {again}",
    )


def hooks_proof(traces: Iterable[Trace], left: Iterable[Left]) -> Proof:
    """
    Look for web hooks that did not find their order.
    """
    came = sum(trace.event == WEB_HOOK for trace in traces)
    found = sum(one.confirmations for one in left)
    return Proof("Each web hook finds its order", found == came, f"{found} of {came}, by the id of the order alone")


def _by_session(traces: Iterable[Trace]) -> Mapping[str, Sequence[Trace]]:
    purchases: dict[str, list[Trace]] = defaultdict(list)
    for trace in traces:
        purchases[trace.session].append(trace)
    return purchases


def _on_both(purchases: Mapping[str, Sequence[Trace]], side_of: SideOf) -> frozenset[str]:
    return frozenset(session for session, of_one in purchases.items() if len(set(map(side_of, of_one))) > 1)


def _moved_once(purchase: Sequence[Trace], rolled_back_at: int) -> bool:
    """
    Tell whether a purchase changed its side just once, from NEW to OLD, with the rollback.
    """
    changes = [(before, after) for before, after in pairwise(purchase) if before.side is not after.side]
    if len(changes) != 1:
        return False
    before, after = changes[0]
    # A process may take the rollback in between entering a visit and writing down what holds.
    return after.side is Backend.OLD and before.version <= rolled_back_at <= after.version
