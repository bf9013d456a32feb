"""
What a mirrored write costs beside the bare ones: ``python benchmarks/mirror.py [URL] [WRITES]``; without a URL, SQLite
files in a temporary folder. In PostgreSQL the URL must name a database in which schemas may be made.

Each back end is one durable insert into a table of its own. The bare insert, a mirrored write and one in the
application's own transaction take turns in one run, because machines are shared.
"""

import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg

import cutover.testing
from cutover.engines.registry import open_outbox

WARM_UP = 50
INSERT = "INSERT INTO {table} VALUES ({mark}, {mark}, {mark})"
ITEM = {"sku": 1234567, "count": 2, "price": "129000"}


class Side:
    """
    A back end: a table, and a connection that commits each insert by itself, or not.
    """

    def __init__(self, connection: Any, name: str, mark: str) -> None:
        self.connection = connection
        self._query = INSERT.format(table=f"carts_{name}", mark=mark)
        connection.execute(f"CREATE TABLE carts_{name} (cart text, sequence bigint, item text)")

    def __call__(self, key: str, item: dict[str, Any], *, sequence: int) -> None:
        """
        Insert.
        """
        self.connection.execute(self._query, (key, sequence, str(item)))


def sqlite(url: str) -> Callable[[], Any]:
    """
    Connect with the settings of a store.
    """

    def connect() -> sqlite3.Connection:
        path = url.removeprefix("sqlite:///")
        connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        connection.execute("PRAGMA synchronous = EXTRA")
        return connection

    return connect


def postgresql(url: str) -> Callable[[], Any]:
    """
    Connect as the driver does by itself.
    """
    return lambda: psycopg.connect(url, autocommit=True)


def microseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - began) / 1000


def in_transaction(side: Side, write: Callable[..., object], key: str, **options: Any) -> None:
    """
    Write as an application does that has a transaction of its own.
    """
    side.connection.execute("BEGIN")
    write(key, ITEM, **options)
    side.connection.execute("COMMIT")


def measured(outbox: str, old: Side, new: Side, writes: int) -> None:
    """
    Print the medians and the ratios.
    """
    run = os.urandom(4).hex()
    with closing(open_outbox(outbox)) as place:
        place.create()
    router = cutover.testing.router(cart=0)
    add = router.flow("cart").write(name="cart.add", old=old, new=new, refused=LookupError, outbox=outbox)
    rows = []
    for number in range(writes + WARM_UP):
        key = f"{run}-{number}"
        rows.append(
            (
                microseconds(lambda key=key: old(key, ITEM, sequence=1)),
                microseconds(lambda key=key: (old(key, ITEM, sequence=2), new(key, ITEM, sequence=2))),
                microseconds(lambda key=key: add(key, ITEM)),
                microseconds(lambda key=key: in_transaction(old, lambda k, i: old(k, i, sequence=3), key)),
                microseconds(lambda key=key: in_transaction(old, add, f"{key}-t", outbox=old.connection)),
            )
        )
    router.close()
    one, both, mirrored, own, joined = (statistics.median(column) for column in zip(*rows[WARM_UP:], strict=True))
    print(f"{writes} writes with the outbox in {outbox.partition(':')[0]}; medians in microseconds")
    print(f"one bare insert {one:.0f}, two of them {both:.0f}, a mirrored write {mirrored:.0f}")
    print(f"mirrored / one bare insert: {mirrored / one:.1f}; mirrored / two: {mirrored / both:.1f}")
    print(f"an own transaction {own:.0f}, with the intent in it {joined:.0f}: ratio {joined / own:.1f}")


def main(url: str | None = None, writes: str = "500") -> None:
    if url is not None:
        connect = postgresql(url)
        run = os.urandom(4).hex()
        measured(url, *(Side(connect(), f"{name}_{run}", "%s") for name in ("old", "new")), int(writes))
        return
    with tempfile.TemporaryDirectory() as folder:
        shop, other = f"sqlite:///{folder}/shop.db", f"sqlite:///{folder}/other.db"
        sides = Side(sqlite(shop)(), "old", "?"), Side(sqlite(other)(), "new", "?")
        measured(shop, *sides, int(writes))


if __name__ == "__main__":
    main(*sys.argv[1:])
