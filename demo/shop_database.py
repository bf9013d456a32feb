"""
What one shop back end keeps: carts, orders, payments, and how often it was asked.
"""

import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import attrs

from demo.clickstream import FLOW_OF

__all__ = ["Database", "Tally", "read_orders", "read_tallies"]

SCHEMA: Final = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table carts (session text primary key, user text not null, items integer not null);
create table orders (session text primary key, user text not null, state text not null);
create table payments (id integer primary key, session text not null references orders, state text not null);
create table seen (flow text primary key, requests integer not null, failed integer not null);
"""
OPEN_CART: Final = "insert into carts values (:session, :user, 0) on conflict do nothing"
ADD_ITEM: Final = "update carts set items = items + 1 where session = :session"
PLACE: Final = "insert into orders values (:session, :user, 'placed') on conflict do nothing"
SETTLE: Final = "update orders set state = 'paid' where session = :session"
PAYMENT: Final = "insert into payments (session, state) values (:session, '{}')"
WRITES: Final[Mapping[str, tuple[str, ...]]] = {
    "add_to_cart": (OPEN_CART, ADD_ITEM),
    "cart": (OPEN_CART,),
    "shipping_details": (PLACE,),
    "payment_details": (PLACE, PAYMENT.format("begun")),
    "purchase": (PLACE, PAYMENT.format("paid"), SETTLE),
    "payment_error": (PLACE, PAYMENT.format("failed")),
}
FAILING: Final = frozenset({"checkout_bug", "payment_error"})  # the incidents of the clickstream
SEEN: Final = """
insert into seen values (:flow, 1, :failed)
on conflict do update set requests = requests + 1, failed = failed + :failed
"""


@attrs.frozen
class Tally:
    """
    How many requests of one flow a side had, and how many of them failed.
    """

    requests: int = 0
    failed: int = 0


class Database:
    """
    The database of one back end, shared by its threads.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.executescript(SCHEMA)

    def serve(self, event: str, session: str, user: str) -> bool:
        """
        Do what a request asks for, and count it, in one transaction.

        Returns:
            Whether it worked: the events of an incident do not.
        """
        failed = event in FAILING
        facts = {"session": session, "user": user, "flow": FLOW_OF[event], "failed": failed}
        with self._lock, self._connection:
            self._connection.execute("begin immediate")
            for statement in (*WRITES.get(event, ()), SEEN):
                self._connection.execute(statement, facts)
        return not failed

    def close(self) -> None:
        """
        Close the file, with the write-ahead log folded into it.
        """
        with self._lock:
            self._connection.close()


def read_orders(path: Path) -> set[str]:
    """
    Read the sessions that have an order in a back end's file.
    """
    return {session for (session,) in _rows(path, "select session from orders")}


def read_tallies(path: Path) -> dict[str, Tally]:
    """
    Read what a back end was asked for, by flow.
    """
    return {flow: Tally(*counts) for flow, *counts in _rows(path, "select flow, requests, failed from seen")}


def _rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
