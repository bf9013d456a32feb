"""
The recorded clickstream: what users of the shop did, in the order of time.
"""

import csv
import gzip
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final
from zlib import crc32

import attrs

__all__ = ["FLOW_OF", "ORDERING", "Step", "read_steps", "share_of"]

DATA: Final = Path(__file__).parent / "data" / "ecom.csv.gz"
EVENTS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "browse": (
        "home",
        "catalog",
        "search",
        "filter_results",
        "product_view",
        "compare",
        "promo_page",
        "review_page",
        "wishlist_add",
        "account_page",
    ),
    "cart": ("add_to_cart", "cart"),
    "checkout": ("shipping_details", "checkout_bug"),
    "pay": ("payment_details", "purchase", "payment_error"),
}
FLOW_OF: Final[Mapping[str, str]] = {event: flow for flow, events in EVENTS_OF.items() for event in events}
ORDERING: Final = frozenset({"shipping_details", *EVENTS_OF["pay"]})  # after these a session has an order


@attrs.frozen
class Step:
    """
    One request of one user.

    Attributes:
        number: Its place in the replay, from 0.
        at: When it was recorded.
    """

    number: int
    at: str
    user: str
    session: str
    event: str

    @property
    def flow(self) -> str:
        """
        The flow that the event belongs to.
        """
        return FLOW_OF[self.event]


def read_steps(events: int | None = None) -> list[Step]:
    """
    Read the steps, oldest first; what is no flow of the shop is left out.

    Args:
        events: Take only so many users, with all they did, that there are at least this many steps.
    """
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["event"] in FLOW_OF]
    if events is not None:
        rows = _some_users(rows, events)
    rows.sort(key=itemgetter("timestamp"))
    return [
        Step(number, row["timestamp"], row["user_id"], row["session_id"], row["event"])
        for number, row in enumerate(rows)
    ]


def share_of(steps: Iterable[Step], worker: int, workers: int) -> list[Step]:
    """
    Give the steps of one worker. A user's are all with the same one, so that they stay in order.
    """
    return [step for step in steps if _scatter(step.user) % workers == worker]


def _some_users(rows: list[dict[str, str]], events: int) -> list[dict[str, str]]:
    kept: list[dict[str, str]] = []
    by_user = sorted(rows, key=lambda row: (_scatter(row["user_id"]), row["user_id"]))
    for _, of_user in groupby(by_user, key=itemgetter("user_id")):
        if len(kept) >= events:
            break
        kept += of_user
    return kept


def _scatter(user: str) -> int:
    return crc32(user.encode())
