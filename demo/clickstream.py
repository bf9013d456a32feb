"""
The recorded clickstream: what users of the shop did, three weeks at a time.

The half year has seldom two people buying at once, and a dial that moves should meet buyers. So three weeks at a time
are laid over one another, and replayed as one.
"""

import csv
import gzip
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Final
from zlib import crc32

import attrs

__all__ = ["EVENTS_OF", "ORDERING", "PAYING", "Click", "clicks"]

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
EVENTS: Final = frozenset().union(*EVENTS_OF.values())
INCIDENT: Final = date(2024, 5, 19)  # payments begin to fail
FOLD: Final = timedelta(weeks=3)  # so long they fail: the incident is the whole of one replayed day, and of no other
ORDERING: Final = frozenset({"shipping_details", *EVENTS_OF["pay"]})  # after these a session has an order
PAYING: Final = frozenset({"purchase", "payment_error"})  # attempts to pay; the second kind fails


@attrs.frozen
class Click:
    """
    One request of one user.

    Attributes:
        at: The time of day when it was recorded, on the first day of its three weeks.
    """

    at: str
    user: str
    session: str
    event: str


def clicks(events: int | None = None) -> list[Click]:
    """
    Read what users did, in the order of the replay; what is no flow of the shop is left out.

    Args:
        events: Take only so many users, with all they did, that there are at least this many clicks.
    """
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["event"] in EVENTS]
    if events is not None:
        rows = _some_users(rows, events)
    rows.sort(key=itemgetter("timestamp"))
    read = [Click(_folded(row["timestamp"]), row["user_id"], row["session_id"], row["event"]) for row in rows]
    return sorted(read, key=attrgetter("at"))


def _folded(timestamp: str) -> str:
    at = datetime.fromisoformat(timestamp)
    first = INCIDENT + (at.date() - INCIDENT) // FOLD * FOLD
    return f"{first} {at.time()}"


def _some_users(rows: list[dict[str, str]], events: int) -> list[dict[str, str]]:
    kept: list[dict[str, str]] = []
    by_user = sorted(rows, key=lambda row: (crc32(row["user_id"].encode()), row["user_id"]))
    for _, of_user in groupby(by_user, key=itemgetter("user_id")):
        if len(kept) >= events:
            break
        kept += of_user
    return kept
