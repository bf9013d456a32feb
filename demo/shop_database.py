"""
What one shop back end keeps: carts, orders, payments, what it answered, and how often it was asked.
"""

import json
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import attrs

from demo.traffic import FLOW_OF, RETRY, WEB_HOOK

__all__ = [
    "LINES",
    "Asked",
    "Database",
    "Left",
    "Line",
    "Result",
    "Tally",
    "hangs_up",
    "read_answers",
    "read_left",
    "read_tallies",
]

SCHEMA: Final = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table carts (
    user text, sequence integer, session text not null, items integer not null, is_copy integer not null,
    primary key (user, sequence)
);
create table orders (session text primary key, user text not null, state text not null);
create table payments (key text primary key, session text not null references orders, state text not null);
create table confirmations (session text not null references orders);
create table answers (number integer primary key, prices text not null);
create table seen (
    flow text primary key, requests integer not null, failed integer not null, lost integer not null
);
"""
# A sequence is used once: a line that comes again changes nothing.
PUT: Final = "insert into carts values (:user, :sequence, :session, :items, :is_copy) on conflict do nothing"
PLACE: Final = "insert into orders values (:session, :user, 'placed') on conflict do nothing"
SETTLE: Final = "update orders set state = 'paid' where session = :session"
# The key tells a payment that is tried again from another one: nobody is charged twice by one back end.
PAYMENT: Final = "insert into payments values (:payment, :session, '{}') on conflict do nothing"
CONFIRM: Final = "insert into confirmations select session from orders where session = :session"
WRITES: Final[Mapping[str, tuple[str, ...]]] = {
    "shipping_details": (PLACE,),
    "payment_details": (PLACE,),
    "purchase": (PLACE, PAYMENT.format("paid"), SETTLE),
    "payment_error": (PLACE, PAYMENT.format("failed")),
    RETRY: (PAYMENT.format("paid"), SETTLE),
    WEB_HOOK: (CONFIRM,),
}
LINES: Final[Mapping[str, int]] = {"add_to_cart": 1, "cart": 0}  # items that it puts into the cart
ANSWERED: Final = "insert into answers values (:number, :prices) on conflict do nothing"
FAILING: Final = frozenset({"checkout_bug", "payment_error"})  # the incidents of the clickstream
LOST_ONE_IN: Final = 20  # of the answers about a cart
SEEN: Final = """
insert into seen values (:flow, 1, :failed, :lost)
on conflict do update set requests = requests + 1, failed = failed + :failed, lost = lost + :lost
"""

Line = tuple[str, int, str, int]  # user, sequence, session and items


class Result(Enum):
    """
    What becomes of a request.
    """

    DONE = auto()
    FAILED = auto()
    LOST = auto()  # it is done, and nobody hears of it


@attrs.frozen
class Asked:
    """
    What a request asks for; it comes as JSON with these names.

    Attributes:
        session: Also the id of the order.
        payment: The idempotency key of an attempt to pay.
        lost: The answer will not arrive.
        number: The step of the replay that it belongs to.
        sequence: Counts what a user's cart was asked for, from 1; else 0.
        is_copy: It is asked beside the user's request: to compare answers, or because the other back end was asked.
    """

    event: str
    session: str
    user: str
    payment: str = ""
    lost: bool = False
    number: int = 0
    sequence: int = 0
    is_copy: bool = False

    @property
    def flow(self) -> str:
        """
        The flow that it belongs to.
        """
        return FLOW_OF[self.event]


@attrs.frozen
class Tally:
    """
    How many requests of one flow a side had, how many of them failed, and how many had no answer.
    """

    requests: int = 0
    failed: int = 0
    lost: int = 0


@attrs.frozen(kw_only=True)
class Left:
    """
    What a back end holds after a run.

    Attributes:
        carts: The sessions with a cart that this back end was asked for first.
        lines: What is in all carts, and whether it is a copy.
        orders: The sessions with an order.
        payments: The sessions with an attempt to pay.
        confirmations: How many web hooks found their order.
    """

    carts: frozenset[str]
    lines: Mapping[Line, bool]
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

    def serve(self, asked: Asked, prices: Mapping[str, int]) -> Result:
        """
        Do what a request asks for, and count it, in one transaction.

        Args:
            prices: What the answer shows of them.
        """
        facts = {**attrs.asdict(asked), "flow": asked.flow, "prices": json.dumps(prices)}
        with self._lock, self._connection:
            self._connection.execute("begin immediate")
            for statement in WRITES.get(asked.event, ()):
                self._connection.execute(statement, facts)
            is_lost = asked.lost or self._put(asked, facts)
            if prices:
                self._connection.execute(ANSWERED, facts)
            if not asked.is_copy:
                failed = asked.event in FAILING
                self._connection.execute(SEEN, {**facts, "failed": failed, "lost": is_lost})
        return Result.LOST if is_lost else Result.FAILED if asked.event in FAILING else Result.DONE

    def has_line(self, user: str, sequence: int) -> bool:
        """
        Tell whether a cart was changed as asked for.
        """
        with self._lock:
            query = "select 1 from carts where user = ? and sequence = ?"
            return self._connection.execute(query, (user, sequence)).fetchone() is not None

    def close(self) -> None:
        """
        Close the file, with the write-ahead log folded into it.
        """
        with self._lock:
            self._connection.close()

    def _put(self, asked: Asked, facts: Mapping[str, Any]) -> bool:
        """
        Change a cart, if that is asked for; tell whether the answer gets lost, as it does at the first time only.
        """
        if asked.event not in LINES:
            return False
        is_new = self._connection.execute(PUT, {**facts, "items": LINES[asked.event]}).rowcount == 1
        return is_new and hangs_up(asked.user, asked.sequence, is_copy=asked.is_copy)


def hangs_up(user: str, sequence: int, *, is_copy: bool) -> bool:
    """
    Tell whether a shop hangs up instead of saying that it has changed a cart.
    """
    return crc32(f"{user}-{sequence}-{is_copy}".encode()) % LOST_ONE_IN == 0


def read_left(path: Path) -> Left:
    """
    Read what is in a back end's file.
    """
    carts = _rows(path, "select user, sequence, session, items, is_copy from carts")
    return Left(
        carts=frozenset(session for _, _, session, _, is_copy in carts if not is_copy),
        lines={(user, sequence, session, items): bool(copy) for user, sequence, session, items, copy in carts},
        orders=_sessions(path, "orders"),
        payments=_sessions(path, "payments"),
        confirmations=_rows(path, "select count(*) from confirmations")[0][0],
    )


def read_answers(path: Path) -> dict[int, str]:
    """
    Read which prices a back end has shown, by the step of the replay that asked for them.
    """
    return dict(_rows(path, "select number, prices from answers"))


def read_tallies(path: Path) -> dict[str, Tally]:
    """
    Read what a back end was asked for, by flow; copies are not among it.
    """
    return {flow: Tally(*counts) for flow, *counts in _rows(path, "select flow, requests, failed, lost from seen")}


def _sessions(path: Path, table: str) -> frozenset[str]:
    return frozenset(session for (session,) in _rows(path, f"select session from {table}"))


def _rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
