"""
What must hold at the end: the router's counts, the shops' own and the clickstream tell the same.
"""

from collections.abc import Iterable, Mapping

import attrs

from demo.clickstream import ORDERING
from demo.counts import Tallies
from demo.operator import Done
from demo.shop_database import Tally
from demo.traffic import Step

__all__ = ["Proof", "orders_proof", "same_proof", "verified"]


@attrs.frozen
class Proof:
    """
    One claim, whether it holds, and the figures.
    """

    claim: str
    holds: bool
    figures: str


def orders_proof(steps: Iterable[Step], orders: Mapping[str, frozenset[str]]) -> Proof:
    """
    Compare the orders in the two databases with those that the clickstream asks for.

    Args:
        orders: The sessions with an order, by the name of the shop.
    """
    wanted = {step.session for step in steps if step.event in ORDERING}
    old, new = orders.values()
    counts = ", ".join(f"{len(sessions)} in {shop}" for shop, sessions in orders.items())
    return Proof(
        "Each order is in exactly one database",
        not old & new and old | new == wanted,
        f"{counts}, {len(old & new)} in both, {len(wanted - old - new)} of {len(wanted)} in none",
    )


def same_proof(claim: str, counted: Tallies, seen: Tallies) -> Proof:
    """
    Compare what was counted of the requests with what the back ends saw, for each flow and side.
    """
    different = sorted(key for key in counted.keys() | seen.keys() if _of(counted, key) != _of(seen, key))
    requests = sum(tally.requests for tally in seen.values())
    failed = sum(tally.failed for tally in seen.values())
    lost = sum(tally.lost for tally in seen.values())
    figures = f"{requests} requests, {failed} failed{f', {lost} without an answer' if lost else ''}, by flow and side"
    if different:
        figures = "; ".join(
            f"{flow} {side}: {counted.get((flow, side))} is not {seen.get((flow, side))}" for flow, side in different
        )
    return Proof(claim, not different, figures)


def verified(done: Done) -> Proof:
    """
    Take the word of `cutover verify` about the ledger.
    """
    words = done.output[0].split(", head")[0] if done.code == 0 else " ".join(done.output)
    return Proof("The ledger verifies", done.code == 0, f"{done.command}: {words}")


def _of(tallies: Tallies, key: tuple[str, str]) -> Tally:
    return tallies.get(key, Tally())
