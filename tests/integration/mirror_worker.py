"""
Processes that write to two real back ends and are killed at a named point: run as a script, it forks them.

    mirror_worker.py OUTBOX FOLDER ROUNDS

Each child writes for some keys until it reaches its point, and kills itself there with SIGKILL; one child lives all the
time and delivers. The last one ends when nothing is left to deliver. What was killed where is printed as JSON.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import time
from functools import partial
from pathlib import Path

import cutover
from cutover.router.mirrored.writes import Write

LEASE = 2.0
DEADLINE = 120.0
TURNS = 3
POINTS = (
    *(f"{when} {step}" for step in ("record", "take", "done", "put_back") for when in ("before", "after")),
    *(f"{when} {step}" for step in ("authority", "other") for when in ("before", "inside", "after")),
)


class Doom:
    """
    Kills the process when it has come to a point so many times.
    """

    def __init__(self, point="", times=1):
        self.point = point
        self.left = times

    def reach(self, point):
        """
        Pass a point, or not.
        """
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Doomed:
    """
    An outbox whose methods are points.
    """

    def __init__(self, outbox, doom):
        self._outbox = outbox
        self._doom = doom

    def __getattr__(self, name):
        method = getattr(self._outbox, name)
        if name not in ("record", "take", "done", "put_back"):
            return method

        def passing(*args, **kwargs):
            self._doom.reach(f"before {name}")
            result = method(*args, **kwargs)
            if name != "take" or result:
                self._doom.reach(f"after {name}")
            return result

        return passing


class BackEnd:
    """
    One side: a SQLite file that takes each write once, in the order in which they come.
    """

    def __init__(self, path, side, flow, doom, luck):
        self.path = path
        self._side = side
        self._flow = flow
        self._doom = doom
        self._luck = luck

    def connected(self):
        """
        Connect for one transaction.
        """
        return sqlite3.connect(self.path, timeout=30, isolation_level=None)

    def write(self, key, item, *, sequence):
        """
        Write, or fail as a back end may: before it has written, after it, or without a word.
        """
        role = "authority" if self._flow.peek(key).backend is self._side else "other"
        self._doom.reach(f"before {role}")
        chance = self._luck.random()
        if chance < 0.1:
            raise ValueError("no such item") if role == "authority" else OSError("no route")
        if chance < 0.15:
            raise TimeoutError("before it was written")
        connection = self.connected()
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT OR IGNORE INTO carts (key, sequence, item) VALUES (?, ?, ?)", (key, sequence, item)
            )
            self._doom.reach(f"inside {role}")
            connection.execute("COMMIT")
        finally:
            connection.close()
        self._doom.reach(f"after {role}")
        if chance > 0.95:
            raise TimeoutError("after it was written")

    def has(self, key, item, *, sequence):
        """
        Tell whether a write is there.
        """
        connection = self.connected()
        try:
            query = "SELECT count(*) FROM carts WHERE (key, sequence, item) = (?, ?, ?)"
            return bool(connection.execute(query, (key, sequence, item)).fetchone()[0])
        finally:
            connection.close()


def prepare(folder):
    """
    Make a store with a dial at half, and two empty back ends.
    """
    flows = {"cart": cutover.core.migration.Flow(name="cart")}
    definition = cutover.Migration(name="shop", title="Shop", old="a", new="b", salt="shop", flows=flows)
    with cutover.control(f"sqlite:///{folder}/cutover.db", actor="test") as control:
        control.apply(definition)
        control.set("cart", 50, reason="half")
    for side in cutover.Backend:
        connection = sqlite3.connect(folder / f"{side}.db", isolation_level=None)
        connection.execute(
            "CREATE TABLE carts (place INTEGER PRIMARY KEY, key, sequence, item, UNIQUE (key, sequence))"
        )
        connection.close()


def connected(outbox, folder, doom, seed):
    """
    Make the write of one process.
    """
    router = cutover.connect(f"sqlite:///{folder}/cutover.db", migration="shop", cache="off")
    assert router.wait_ready(30)
    flow = router.flow("cart")
    luck = random.Random(seed)
    sides = {side: BackEnd(folder / f"{side}.db", side, flow, doom, luck) for side in cutover.Backend}
    add = flow.write(
        name="cart.add",
        old=sides[cutover.Backend.OLD].write,
        new=sides[cutover.Backend.NEW].write,
        confirm=lambda key, item, *, sequence, side: sides[side].has(key, item, sequence=sequence),
        outbox=outbox,
        attempts=1000,
        longest_pause=0.01,
        lease=LEASE,
    )
    assert isinstance(add, Write)
    add._mirror.outbox = Doomed(add._mirror.outbox, doom)
    return router, add


def write_until_killed(outbox, folder, number, point):
    """
    Write for a few keys until the point is reached.
    """
    _, add = connected(outbox, folder, Doom(point, 1 + number % 3), seed=number)
    until = time.monotonic() + DEADLINE
    item = 0
    while time.monotonic() < until:
        item += 1
        try:
            add(f"user-{number % 7}-{item % 3}", f"{number}/{item}")
        except (ValueError, TimeoutError):
            continue
    os._exit(3)


def deliver(outbox, folder, done):
    """
    Deliver what others leave behind, until told to end and nothing is left.
    """
    _, add = connected(outbox, folder, Doom(), seed=0)
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        if is_over(done) and not any(one.backlog for one in add._mirror.outbox.shortfalls("shop")):
            os._exit(0)
        time.sleep(0.05)
    os._exit(3)


def is_over(done):
    """
    Tell whether the last one was killed, and its lease is over, so that what it held counts as undelivered.
    """
    return done.exists() and time.time() - done.stat().st_mtime > LEASE


def forked(work, *args):
    """
    Run something in a child.
    """
    pid = os.fork()
    if pid == 0:
        try:
            work(*args)
        finally:
            os._exit(4)
    return pid


def was_killed(pid):
    """
    Wait for a child, and tell whether it was killed.
    """
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def main(outbox, folder, rounds):
    """
    Kill children at every point in turn, and let the last one finish.
    """
    prepare(folder)
    done = folder / "done"
    bystander = forked(deliver, outbox, folder, done)
    killed = dict.fromkeys(POINTS, 0)
    for number in range(rounds):
        point = POINTS[number % len(POINTS)]
        # One that an outbox was away from for a moment ended before its point: another one takes its turn.
        child = partial(forked, write_until_killed, outbox, folder, number, point)
        killed[point] += any(was_killed(child()) for _ in range(TURNS))
    done.touch()
    _, status = os.waitpid(bystander, 0)
    sys.stdout.write(json.dumps({"killed": killed, "finished": os.waitstatus_to_exitcode(status) == 0}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
