"""
How long until another process sees a change, and what a change and a poll cost: ``python benchmarks/propagation.py
[URL] [CHANGES]``; without a URL, a SQLite store in a temporary folder. The URL must name an empty place.

One process writes at random moments; this one waits and reads. Measured from the writer's acknowledgement, which it
stamps with the machine's monotonic clock, to the end of the reader's read. The costs stand beside those of a bare
compare-and-swap of the engine in the same run, because machines are shared.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from cutover.core.snapshot import Head
from cutover.engines.registry import open_store
from cutover.ports.store import Store

MIGRATION = "shop"
BUDGET_MS = 100
COSTS = 200  # calls that the median is taken of


def head_of(version: int) -> Head:
    return Head(1, version, f"{version:064d}")


def append(store: Store, version: int, migration: str = MIGRATION) -> None:
    expect = head_of(version - 1) if version > 1 else None
    store.append(migration, expect=expect, head=head_of(version), change="{}", snapshot="{}", secret=b"s")


def write(url: str, changes: int, out: int) -> None:
    store = open_store(url)
    for version in range(2, changes + 2):
        time.sleep(random.uniform(0.01, 0.12))
        append(store, version)
        os.write(out, f"{version} {time.monotonic()}\n".encode())
    os._exit(0)


def read(store: Store, changes: int) -> dict[int, float]:
    """
    Note when each version was first read; versions that were skipped are left out.
    """
    seen, when = head_of(1), {}
    while seen.version < changes + 1:
        store.wait(MIGRATION, seen=seen, timeout=5)
        reading = store.read(MIGRATION, seen=seen)
        if reading is not None and reading.head != seen:
            seen = reading.head
            when[seen.version] = time.monotonic()
    return when


def propagation(url: str, changes: int) -> float:
    """
    Measure and print the delays, and give the 99th percentile.
    """
    store = open_store(url)
    append(store, 1)
    end, out = os.pipe()
    if os.fork() == 0:
        write(url, changes, out)
    os.close(out)
    when = read(store, changes)
    with os.fdopen(end) as lines:
        written = {int(version): float(stamp) for version, stamp in map(str.split, lines)}
    os.wait()
    store.close()
    delays = sorted(max(0.0, (when[version] - written[version]) * 1000) for version in when)
    p99 = statistics.quantiles(delays, n=100)[98]
    print(f"{len(delays)} of {changes} changes read: median {statistics.median(delays):.1f} ms, ", end="")
    print(f"p99 {p99:.1f} ms, largest {delays[-1]:.1f} ms (promised: {BUDGET_MS} ms)")
    return p99


def median_ms(call: Callable[[int], object]) -> float:
    """
    Give the median of what a call takes, which is told its number from 1.
    """
    taken = []
    for number in range(1, COSTS + 1):
        began = time.perf_counter()
        call(number)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def costs(url: str) -> None:
    """
    Measure and print what a change and a poll cost.
    """
    store = open_store(url)
    change = median_ms(lambda number: append(store, number, "costs"))
    poll = median_ms(lambda _: store.read("costs", seen=head_of(COSTS)))
    print(f"a change {change:.3f} ms ({store.durability}), a poll {poll:.3f} ms", end="")
    bare = BARE.get(urlsplit(url).scheme)
    print("" if bare is None else f"; {bare(url)}")
    store.close()


def bare_redis(url: str) -> str:
    """
    Time a script that compares and sets one field, and the read of a field.
    """
    import redis  # noqa: PLC0415 - only where that store is measured

    look, put = "redis.call('HGET', KEYS[1], 'v') or '0'", "redis.call('HSET', KEYS[1], 'v', ARGV[2])"
    with redis.Redis.from_url(urlsplit(url)._replace(query="").geturl(), protocol=2) as client:
        swap = client.register_script(f"if ({look}) ~= ARGV[1] then return 0 end return {put}")
        key = f"bare-{os.getpid()}"
        swapped = median_ms(lambda number: swap(keys=[key], args=[number - 1, number]))
        looked = median_ms(lambda _: client.hget(key, "v"))
        client.delete(key)
    return f"bare EVALSHA {swapped:.3f} ms, bare HGET {looked:.3f} ms"


def bare_postgresql(url: str) -> str:
    """
    Time an update that compares and sets one field, and the read of a field.
    """
    import psycopg  # noqa: PLC0415 - only where that store is measured

    table = f"bare_{os.getpid()}"
    with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {table} AS SELECT 1 AS k, 0 AS v")
        swap, look = f"UPDATE {table} SET v = %s WHERE k = 1 AND v = %s", f"SELECT v FROM {table} WHERE k = 1"
        swapped = median_ms(lambda number: connection.execute(swap, (number, number - 1)))
        looked = median_ms(lambda _: connection.execute(look).fetchone())
        connection.execute(f"DROP TABLE {table}")
    return f"bare UPDATE {swapped:.3f} ms, bare SELECT {looked:.3f} ms"


BARE = {
    "redis": bare_redis,
    "rediss": bare_redis,
    "postgresql": bare_postgresql,
    "postgres": bare_postgresql,
}


def main() -> int:
    arguments = sys.argv[1:]
    changes = int(arguments.pop()) if arguments and arguments[-1].isdigit() else 300
    with tempfile.TemporaryDirectory() as folder:
        url = arguments[0] if arguments else f"sqlite:///{folder}/cutover.db"
        p99 = propagation(url, changes)
        costs(url)
    return p99 > BUDGET_MS


if __name__ == "__main__":
    sys.exit(main())
