"""
What must hold at the end: the router's counts, the shops' own and the clickstream tell the same.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from urllib.request import urlopen

import attrs
from prometheus_client.parser import text_string_to_metric_families

from demo.clickstream import ORDERING, Step
from demo.operator import Done
from demo.shop_database import Tally

__all__ = ["Proof", "Tallies", "orders_proof", "same_proof", "scraped", "stored", "verified"]

Tallies = Mapping[tuple[str, str], Tally]  # by flow and side, "old" or "new"


@attrs.frozen
class Proof:
    """
    One claim, whether it holds, and the figures.
    """

    claim: str
    holds: bool
    figures: str


def orders_proof(steps: Iterable[Step], orders: Mapping[str, set[str]]) -> Proof:
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
    figures = f"{requests} requests, {failed} of them failed, by flow and side"
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


def scraped(url: str) -> Tallies:
    """
    Read what the routers counted from `/metrics`.
    """
    with urlopen(url, timeout=30) as response:
        text = response.read().decode()
    requests: dict[tuple[str, str], int] = defaultdict(int)
    failed: dict[tuple[str, str], int] = defaultdict(int)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.labels.get("flow", ""), sample.labels.get("backend", ""))
            if sample.name == "cutover_requests_total":
                requests[key] += int(sample.value)
            elif sample.name == "cutover_calls_total" and sample.labels["outcome"] != "ok":
                failed[key] += int(sample.value)
    return {key: Tally(count, failed[key]) for key, count in requests.items()}


def stored(status: str) -> Tallies:
    """
    Read the fleet's totals from the document of `cutover status --json`.
    """
    flows = json.loads(status)["flows"]
    return {
        (flow["name"], side): Tally(flow["requests"][side], flow["errors"][side])
        for flow in flows
        for side in ("old", "new")
    }


def _of(tallies: Tallies, key: tuple[str, str]) -> Tally:
    return tallies.get(key, Tally())
