"""
What both back ends are to have, or to answer, alike: mirrored carts, and pages that were compared.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from demo.proofs import Proof
from demo.shop_database import LINES, Left, hangs_up
from demo.traffic import Step

__all__ = ["carts_proof", "comparisons_proof"]


def carts_proof(steps: Iterable[Step], left: Mapping[str, Left], owed: int) -> Proof:
    """
    Compare the carts of the two databases with each other, and with what users did.

    Args:
        left: By the name of the shop.
        owed: Writes that the outbox still holds.
    """
    wanted = Counter((step.user, step.session, LINES[step.event]) for step in steps if step.event in LINES)
    old, new = (one.lines for one in left.values())
    found = [Counter((user, session, items) for user, _, session, items in lines) for lines in (old, new)]
    differing = len(old.keys() ^ new.keys())
    missing, invented = ((wanted - found[0]).total(), (found[0] - wanted).total())
    twice = sum(old[line] == new[line] for line in old.keys() & new.keys())
    lost = sum(hangs_up(line[0], line[1], is_copy=is_copy) for one in (old, new) for line, is_copy in one.items())
    return Proof(
        "Both shops have the same carts",
        not (differing or missing or invented or twice or owed),
        f"{len(old)} lines, {differing} in one only, {owed} owed, though {lost} answers got lost",
    )


def comparisons_proof(answers: Sequence[Mapping[int, str]], compared: Mapping[str, int]) -> Proof:
    """
    Compare the mismatches that the routers found with those that the two shops have really shown.

    Args:
        answers: What each shop has shown, by the step of the replay; a step that both have was compared.
        compared: How many comparisons came to each verdict.
    """
    old, new = answers
    both = old.keys() & new.keys()
    planted = sum(old[number] != new[number] for number in both)
    found, noise = compared.get("mismatch", 0), compared.get("noise_mismatch", 0)
    again = noise + compared.get("noise_match", 0)
    undecided = compared.get("timeout", 0)
    return Proof(
        "Each wrong price of NEW is found",
        planted - undecided <= found <= planted and noise == 0,
        f"in {planted} of {len(both)} compared answers; found: {found}; OLD against itself: {noise} of {again}",
    )
