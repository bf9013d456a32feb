"""
A process that serves steps of visits by a store that it reads when so many steps have passed; one line for each.
"""

import json
import sys
from threading import Event

from prometheus_client import CollectorRegistry

import cutover
from cutover.core.bucketing import position_of
from cutover.core.decide import decide
from cutover.core.snapshot import Snapshot
from cutover.engines.sqlite.store import SqliteStore

SECRET = "of the replay and long enough for it"
JOURNEY = "purchase"


class Late(SqliteStore):
    """
    A store that this process looks into again when it has served so many steps more.
    """

    def __init__(self, path: str, every: int) -> None:
        super().__init__(path)
        self._every = every
        self._served = 0
        self._is_due = Event()

    def wait(self, migration, *, seen, timeout):
        """
        Wait until it is time.
        """
        self._is_due.wait(timeout)
        self._is_due.clear()

    def count(self) -> None:
        """
        Count a step.
        """
        self._served += 1
        if self._served % self._every == 0:
            self._is_due.set()


def flags(snapshot: Snapshot, flow: str, user: str) -> dict[str, bool]:
    """
    Tell what flags would say that are asked at each step, NEW or not: one for each flow, with a salt for each or with
    one for all; and the dials of this library, which go together, without visits.
    """
    salts = {"a salt for each": flow.encode(), "one salt": snapshot.definition.salt.encode()}
    said = {kind: position_of(salt, user.encode()) < snapshot.dials[flow] for kind, salt in salts.items()}
    return {**said, "without visits": decide(snapshot, flow, user).backend == "new"}


def main(path: str, every: int) -> None:
    """
    Serve until the input ends.
    """
    store = Late(path, every)
    with cutover.connect(store, registry=CollectorRegistry(), cache="off", secret=SECRET) as router:
        if not router.wait_ready(30):
            raise SystemExit("the store cannot be read")
        journey = router.journey(JOURNEY)
        for line in sys.stdin:
            step = json.loads(line)
            evicted = journey.cells.evicted.total
            visit = journey.enter(step["user"], token=step["token"])
            answer = {
                "side": router.flow(step["flow"]).route(visit),
                "token": visit.token if visit.rewritten else None,
                "evicted": journey.cells.evicted.total - evicted,
                "flags": flags(router.snapshot, step["flow"], step["user"]),
            }
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
            store.count()
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
