"""
An operator who changes a dial all the time, and records what became of each change as a line of JSON.
"""

import faulthandler
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable

import cutover
from cutover.core.ledger import Change
from cutover.errors import CutoverError

PAUSE = 0.1  # seconds between two changes


class Operator:
    """
    A control whose every change is written down: before it is asked for, and when it is answered.

    Args:
        name: Goes into the reason of each change.
        record: The file descriptor to write to.
    """

    def __init__(self, url: str, name: str, record: int) -> None:
        self.control = cutover.control(url, actor="rina", migration="shop")
        self.name = name
        self._record = record
        self._number = 0

    def close(self) -> None:
        """
        Let go of the store.
        """
        self.control.close()
        os.close(self._record)

    def set(self, percent: object) -> str:
        """
        Turn the dial of pay.
        """
        return self.ask(lambda reason: self.control.set("pay", percent, reason=reason))

    def ask(self, act: Callable[[str], Change]) -> str:
        """
        Ask for one change; gives its outcome.

        Args:
            act: Takes the reason, which names the change in the ledger.
        """
        self._number += 1
        line = {"asked": time.monotonic(), "reason": f"{self.name}-{self._number}", "outcome": "OutcomeUnknown"}
        self._write(line | {"answered": 0.0})  # what stands if this process is killed now
        try:
            change = act(line["reason"])
        except CutoverError as error:
            line["outcome"] = type(error).__name__
        else:
            word = self.control.durability.value
            line |= {
                "outcome": "acknowledged",
                "version": change.version,
                "hash": change.hash,
                "durability": word,
            }
        self._write(line | {"answered": time.monotonic()})
        return line["outcome"]

    def _write(self, line: dict) -> None:
        os.write(self._record, (json.dumps(line) + "\n").encode())


def main(url: str, name: str) -> None:
    """
    Turn the dial until told to end. The record goes to standard output, as no file may grow where a disk is full.
    """
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # where it hangs, a scenario asks for the stacks
    # A handler that set an event would wait for ever for the lock of a wait that it came into.
    ending, bell = os.pipe()
    os.set_blocking(bell, False)
    signal.set_wakeup_fd(bell)
    signal.signal(signal.SIGTERM, lambda *_: None)
    operator = Operator(url, name, sys.stdout.fileno())
    number = 0
    while not select.select([ending], [], [], PAUSE)[0]:
        number += 1
        operator.set(number * 37 % 100 + 0.5)
    operator.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
