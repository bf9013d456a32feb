"""
What a claim costs beside a bare insert: ``python benchmarks/claims.py [URL] [CLAIMS]``; without a URL, a SQLite file in
a temporary folder. In PostgreSQL the URL must name a database in which a schema may be made.

The bare insert is one row of the same size, on an open connection, prepared, and as durable; it and the claim take
turns in one run, because machines are shared.
"""

import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import psycopg
import redis

from cutover.claims.homes import Homes, homes
from cutover.core.backend import Backend

BUDGET = 1.5  # on PostgreSQL
WARM_UP = 50

Insert = Callable[[bytes], object]


def postgresql(url: str) -> Insert:
    """
    Make an insert that the driver prepares once.
    """
    connection = psycopg.connect(url.partition("?")[0], autocommit=True)
    connection.execute("CREATE SCHEMA IF NOT EXISTS cutover_benchmark")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS cutover_benchmark.homes (migration text, kind text, id bytea, side text, "
        "at timestamptz, PRIMARY KEY (migration, kind, id))"
    )
    connection.execute("TRUNCATE cutover_benchmark.homes")
    text = "INSERT INTO cutover_benchmark.homes VALUES ('shop', 'order', %s, 'new', now())"
    return lambda id_: connection.execute(text, (id_,), prepare=True)


def sqlite(url: str) -> Insert:
    """
    Make an insert with the settings of a store, which SQLite's driver prepares once.
    """
    connection = sqlite3.connect(f"{url.removeprefix('sqlite:///')}.bare", isolation_level=None)
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute(
        "CREATE TABLE homes (migration TEXT, kind TEXT, id BLOB, side TEXT, at INTEGER, "
        "PRIMARY KEY (migration, kind, id)) WITHOUT ROWID"
    )
    text = "INSERT INTO homes VALUES ('shop', 'order', ?, 'new', 0)"
    return lambda id_: connection.execute(text, (id_,))


def valkey(url: str) -> Insert:
    """
    Make an insert into a hash, flushed by the server before it answers.
    """
    client = redis.Redis.from_url(url.partition("?")[0])
    return lambda id_: client.hsetnx("cutover-benchmark", id_, "new")


BARE = {"postgresql": postgresql, "postgres": postgresql, "sqlite": sqlite, "redis": valkey, "rediss": valkey}


def microseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - began) / 1000


def once(bare: Insert, place: Homes, order: str) -> tuple[float, float, float, float]:
    def claim() -> Backend:
        return place.claim("order", order, Backend.NEW)

    insert = microseconds(lambda: bare(order.encode()))
    return insert, microseconds(claim), microseconds(claim), microseconds(lambda: place.find("order", order))


def measured(url: str, claims: int) -> float:
    """
    Print the medians, and give the ratio of a claim and a bare insert.
    """
    bare = BARE[url.partition(":")[0]](url)
    run = os.urandom(6).hex()
    with homes(url, migration=f"benchmark-{run}") as place:
        rows = [once(bare, place, f"order-{run}-{number}") for number in range(claims + WARM_UP)][WARM_UP:]
    insert, claim, again, find = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"{claims} claims in {place.url}; medians in microseconds")
    print(f"bare insert {insert:.0f}, claim {claim:.0f}, the same claim again {again:.0f}, find {find:.0f}")
    print(f"claim / bare insert: {claim / insert:.2f} (promised on PostgreSQL: {BUDGET})")
    return claim / insert


def main(url: str | None = None, claims: str = "1000") -> int:
    if url is not None:
        ratio = measured(url, int(claims))
        return int(url.startswith("postgres") and ratio > BUDGET)
    with tempfile.TemporaryDirectory() as folder:
        measured(f"sqlite:///{folder}/homes.db", int(claims))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
