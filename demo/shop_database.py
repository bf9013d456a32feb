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

from demo.traffic import FLOW_OF, RETRY, WEB_HOOK

__all__ = ["Asked", "Database", "Left", "Tally", "read_left", "read_tallies"]

SCHEMA: Final = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table carts (session text primary key, user text not null, items integer not null);
create table orders (session text primary key, user text not null, state text not null);
create table payments (key text primary key, session text not null references orders, state text not null);
create table confirmations (session text not null references orders);
create table seen (flow text primary key, requests integer not null, failed integer not null);
"""
OPEN_CART: Final = "insert into carts values (:session, :user, 0) on conflict do nothing"
ADD_ITEM: Final = "update carts set items = items + 1 where session = :session"
PLACE: Final = "insert into orders values (:session, :user, 'placed') on conflict do nothing"
SETTLE: Final = "update orders set state = 'paid' where session = :session"
# The key tells a payment that is tried again from another one: nobody is charged twice by one back end.
PAYMENT: Final = "insert into payments values (:payment, :session, '{}') on conflict do nothing"
CONFIRM: Final = "insert into confirmations select session from orders where session = :session"
WRITES: Final[Mapping[str, tuple[str, ...]]] = {
    "add_to_cart": (OPEN_CART, ADD_ITEM),
    "cart": (OPEN_CART,),
    "shipping_details": (PLACE,),
    "payment_details": (PLACE,),
    "purchase": (PLACE, PAYMENT.format("paid"), SETTLE),
    "payment_error": (PLACE, PAYMENT.format("failed")),
    RETRY: (PAYMENT.format("paid"), SETTLE),
    WEB_HOOK: (CONFIRM,),
}
FAILING: Final = frozenset({"checkout_bug", "payment_error"})  # the incidents of the clickstream
SEEN: Final = """
insert into seen values (:flow, 1, :failed)
on conflict do update set requests = requests + 1, failed = failed + :failed
"""


@attrs.frozen
class Asked:
    """
    What a request asks for; it comes as JSON with these names.

    Attributes:
        session: Also the id of the order.
        payment: The idempotency key of an attempt to pay.
        lost: The answer will not arrive.
    """

    event: str
    session: str
    user: str
    payment: str = ""
    lost: bool = False


@attrs.frozen
class Tally:
    """
    How many requests of one flow a side had, and how many of them had no answer, or failed.
    """

    requests: int = 0
    failed: int = 0


@attrs.frozen(kw_only=True)
class Left:
    """
    What a back end holds after a run.

    Attributes:
        carts: The sessions with a cart.
        orders: The sessions with an order.
        payments: The sessions with an attempt to pay.
        confirmations: How many web hooks found their order.
    """

    carts: frozenset[str]
    orders: frozenset[str]
    payments: frozenset[str]
    confirmations: int


class Database:
    """
    The database of one back end, shared by its threads.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.executescript(SCHEMA)

    def serve(self, asked: Asked) -> bool:
        """
        Do what a request asks for, and count it, in one transaction.

        Returns:
            Whether it worked: the events of an incident do not.
        """
        works = asked.event not in FAILING
        facts = {**attrs.asdict(asked), "flow": FLOW_OF[asked.event], "failed": asked.lost or not works}
        with self._lock, self._connection:
            self._connection.execute("begin immediate")
            for statement in (*WRITES.get(asked.event, ()), SEEN):
                self._connection.execute(statement, facts)
        return works

    def close(self) -> None:
        """
        Close the file, with the write-ahead log folded into it.
        """
        with self._lock:
            self._connection.close()


def read_left(path: Path) -> Left:
    """
    Read what is in a back end's file.
    """
    return Left(
        carts=_sessions(path, "carts"),
        orders=_sessions(path, "orders"),
        payments=_sessions(path, "payments"),
        confirmations=_rows(path, "select count(*) from confirmations")[0][0],
    )


def read_tallies(path: Path) -> dict[str, Tally]:
    """
    Read what a back end was asked for, by flow.
    """
    return {flow: Tally(*counts) for flow, *counts in _rows(path, "select flow, requests, failed from seen")}


def _sessions(path: Path, table: str) -> frozenset[str]:
    return frozenset(session for (session,) in _rows(path, f"select session from {table}"))


def _rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
