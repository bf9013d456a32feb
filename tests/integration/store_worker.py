"""
What other processes do to a store in the tests of faults: ``store_worker.py VERB URL [ARGUMENT]``.
"""

import os
import sqlite3
import sys

from cutover.engines.registry import open_store
from cutover.errors import Conflict
from cutover.testing.store_helpers import MIGRATION, write


def say(word: object) -> None:
    """
    Print unbuffered, in one write: what was said before a SIGKILL was said.
    """
    os.write(1, f"{word}\n".encode())


def append_for_ever(url: str) -> None:
    """
    Write change after change, and name each version once it is acknowledged.
    """
    store = open_store(url)
    head = store.read(MIGRATION).head
    while True:
        head = write(store, head, snapshot=f"snapshot {head.version + 1} " + "x" * 20_000)
        say(head.version)


def append_with_retry(url: str, number: str) -> None:
    """
    Write a number of changes against other writers, and say how many were acknowledged.
    """
    store, done = open_store(url), 0
    while done < int(number):
        try:
            write(store, store.read(MIGRATION).head, branch=f"{os.getpid()} {done}")
            done += 1
        except Conflict:
            pass
    say(done)


def append_on_demand(url: str) -> None:
    """
    Write one change for each line that comes in.
    """
    store = open_store(url)
    for _ in sys.stdin:
        say(write(store, store.read(MIGRATION).head).version)


def hold_lock(path: str, begin: str) -> None:
    """
    Hold SQLite's lock until the input ends.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(begin)
    say("locked")
    sys.stdin.read()
    connection.execute("ROLLBACK")
    connection.close()
    say("released")


def stay_in_commit(path: str) -> None:
    """
    Change so much in one transaction that pages reach the file before the commit, and stay there.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA cache_size = 5")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE migrations SET version = 99, hash = 'never committed'")
    connection.execute("UPDATE snapshots SET document = ?", ["never committed" * 50_000])
    say("changed")
    sys.stdin.read()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
