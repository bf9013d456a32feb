"""
How long until another process sees a change in a SQLite store: ``python benchmarks/propagation.py [CHANGES]``.

One process writes at random moments; this one waits and reads. Measured from the writer's acknowledgement, which it
stamps with the machine's monotonic clock, to the end of the reader's read.
"""

import os
import random
import statistics
import sys
import tempfile
import time

from cutover.core.snapshot import Head
from cutover.stores.sqlite import SqliteStore

MIGRATION = "shop"
BUDGET_MS = 100


def head_of(version: int) -> Head:
    return Head(1, version, f"{version:064d}")


def write(url_path: str, changes: int, out: int) -> None:
    store = SqliteStore(url_path)
    for version in range(2, changes + 2):
        time.sleep(random.uniform(0.01, 0.12))
        store.append(MIGRATION, expect=head_of(version - 1), head=head_of(version), change="{}", snapshot="{}")
        os.write(out, f"{version} {time.monotonic()}\n".encode())
    os._exit(0)


def read(store: SqliteStore, changes: int) -> dict[int, float]:
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


def main() -> int:
    changes = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/cutover.db"
        SqliteStore(path).append(MIGRATION, expect=None, head=head_of(1), change="{}", snapshot="{}", secret=b"s")
        end, out = os.pipe()
        if os.fork() == 0:
            write(path, changes, out)
        os.close(out)
        when = read(SqliteStore(path), changes)
        with os.fdopen(end) as lines:
            written = {int(version): float(stamp) for version, stamp in map(str.split, lines)}
        os.wait()
    delays = sorted(max(0.0, (when[version] - written[version]) * 1000) for version in when)
    p99 = statistics.quantiles(delays, n=100)[98]
    print(f"{len(delays)} of {changes} changes read: median {statistics.median(delays):.1f} ms, ", end="")
    print(f"p99 {p99:.1f} ms, largest {delays[-1]:.1f} ms (promised: {BUDGET_MS} ms)")
    return p99 > BUDGET_MS


if __name__ == "__main__":
    sys.exit(main())
