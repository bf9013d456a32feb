"""
A process that routes all the time, about as fast as it gets requests, and records each of them as a line of JSON.

Signals: SIGTERM ends it, SIGUSR1 moves its wall clock, SIGUSR2 forks it.
"""

import json
import os
import signal
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

import cutover
from cutover.engines.sqlite import store as sqlite
from cutover.router.background import reporting

PAUSE = 0.005  # seconds between two requests
LOOK_EVERY = 20  # requests between two looks at the metrics
MOVES = [timedelta(hours=1), timedelta(hours=-1)]  # where the clock is put, one signal after the other
SCHEDULED = Path("/proc/thread-self/schedstat")  # nanoseconds on a processor, and waiting for one


class Clock(datetime):
    """
    The wall clock, with somebody's hand on it.
    """

    moved = timedelta(0)

    @classmethod
    def now(cls, tz=None):
        """
        Tell the time as this machine would after its clock was set.
        """
        return datetime.now(tz) + cls.moved


class Client:
    """
    A router, and where its requests are written down.
    """

    def __init__(self, url: str, folder: Path, bootstrap: str | None) -> None:
        self.folder = folder
        self.wanted: list[int] = []
        self._registry = CollectorRegistry()
        self._router = cutover.connect(
            url, migration="shop", registry=self._registry, cache=folder / "cache", bootstrap=bootstrap
        )
        self._pay = self._router.flow("pay")
        self._record = self._opened("requests")
        self._number = 0
        self._up: float | None = None

    def _opened(self, name: str) -> int:
        return os.open(self.folder / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def run(self) -> None:
        """
        Route until told to end.
        """
        pause = threading.Event()
        while signal.SIGTERM not in self.wanted:
            self.route()
            pause.wait(PAUSE)
            self.obey()
        self._router.close()

    def route(self) -> None:
        """
        Route one request, and write it down before the next.
        """
        self._number += 1
        key = f"user-{self._number}"
        before = self._pay.peek(key).version
        backend, error = "", ""
        ran, at = self._ran(), time.monotonic()
        try:
            backend = self._pay.route(key).value
        except BaseException as raised:  # noqa: BLE001 - that is what is looked for
            error = repr(raised)
        took = time.monotonic() - at
        after, snapshot = self._pay.peek(key), self._router.snapshot
        head = None if snapshot is None else snapshot.head
        settled = head is not None and before == after.version == head.version
        line = {
            "at": at,
            "took": took,
            "epoch": 0 if head is None else head.epoch,
            "version": 0 if head is None else head.version,
            "hash": "" if head is None else head.hash,
            "backend": backend,
            "position": after.position if settled else -1,
            "regressed": self._router.regressed,
            "up": self._is_up(),
            "ran": ran,
            "error": error,
        }
        os.write(self._record, (json.dumps(line) + "\n").encode())

    def obey(self) -> None:
        """
        Do what signals asked for, between two requests.
        """
        while signal.SIGUSR1 in self.wanted:
            self.wanted.remove(signal.SIGUSR1)
            Clock.moved = MOVES.pop(0)
            reporting.datetime = sqlite.datetime = Clock
        while signal.SIGUSR2 in self.wanted:
            self.wanted.remove(signal.SIGUSR2)
            if os.fork() == 0:
                self._record = self._opened("requests-of-child")
                self.folder.joinpath("child").write_text(str(os.getpid()))

    def _ran(self) -> float:
        if not SCHEDULED.exists():  # not every kernel tells
            return 0.0
        on_processor, waiting, _ = map(int, SCHEDULED.read_text().split())
        return (on_processor + waiting) / 1e9

    def _is_up(self) -> float | None:
        if self._number % LOOK_EVERY == 0:
            self._up = self._registry.get_sample_value("cutover_store_up", {"migration": "shop"})
        return self._up


def main(url: str, folder: str, bootstrap: str | None = None) -> None:
    """
    Route as a client.
    """
    client = Client(url, Path(folder), bootstrap)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda given, _: client.wanted.append(given))
    client.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
