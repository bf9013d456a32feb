"""
What is left of a run, put together as proofs.
"""

import json
from collections.abc import Mapping, Sequence

import attrs

from demo.both import carts_proof, comparisons_proof
from demo.counts import Counted, seen, stored
from demo.folder import Folder
from demo.operator import Done, run
from demo.proofs import Proof, orders_proof, same_proof, verified
from demo.purchases import attempts_proof, hooks_proof, split_proof
from demo.shop_database import read_answers, read_left
from demo.stage import SHOPS
from demo.traffic import Step
from demo.trail import read_trails

__all__ = ["proofs_of"]


def proofs_of(
    folder: Folder, steps: Sequence[Step], counted: Counted, done: Sequence[Done], settings: Mapping[str, str]
) -> list[Proof]:
    """
    Check every claim of the demo.

    Args:
        steps: What was replayed.
        counted: By the routers.
        done: What the operator did, in order.
    """
    tallies = seen(folder)
    together = {key: attrs.evolve(tally, failed=tally.failed + tally.lost, lost=0) for key, tally in tallies.items()}
    status = run(("status", "--json"), settings)
    left = {shop: read_left(folder.database(shop)) for shop in SHOPS.values()}
    both = tuple(left.values())
    traces = read_trails(folder.trails)
    return [
        orders_proof(steps, {shop: one.orders for shop, one in left.items()}),
        split_proof(traces, both, counted.evicted, _rollback(done)),
        attempts_proof(traces, both),
        hooks_proof(traces, both),
        carts_proof(steps, left, _owed(settings)),
        comparisons_proof([read_answers(folder.database(shop)) for shop in SHOPS.values()], counted.compared),
        same_proof("/metrics counts what the two back ends saw", counted.tallies, tallies),
        same_proof("`cutover status --json` says the same", stored(status.output[0]), together),
        verified(run(("verify", "--expect", done[-1].change), settings)),
    ]


def _owed(settings: Mapping[str, str]) -> int:
    """
    Count the mirrored writes that one of the back ends still lacks.
    """
    writes = json.loads(run(("mirror", "status", "--json"), settings).output[0])["writes"]
    return sum(write["backlog"] for write in writes)


def _rollback(done: Sequence[Done]) -> int:
    """
    Give the version that the rollback made.
    """
    (change,) = (one.change for one in done if one.verb == "rollback")
    return int(change.partition(":")[0])
