"""
The operator: moves the dials with the real command line, in processes of its own.
"""

import re
import shlex
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from time import monotonic
from types import TracebackType
from typing import Final, Self

import attrs

from demo.errors import DemoFailed

__all__ = ["MOVES", "REPAIRED", "Done", "Move", "Operator", "run"]

DONE: Final = 0
UNCONFIRMED: Final = 4  # in force; on a busy machine an instance may take longer to say so
CONFIRM: Final = ("--wait", "10s")
PATIENCE: Final = 10.0  # seconds for a look
LAST_WORD: Final = 30.0  # seconds for a command that is under way at the end
CHANGE: Final = re.compile(r"^\s+(\d+:[0-9a-f]+),", re.MULTILINE)
LINES: Final = 2  # of the output, at least: what the ledger has, and who runs it
MOST_FOUND: Final = 7  # lines of a command that only looks


@attrs.frozen
class Move:
    """
    One command and when it comes.

    Attributes:
        after: The part of the replay that goes before, 0 to 1.
        reason: Why; empty for a command that only looks.
        sees: What a look is for. Processes tell the store every few seconds what they have found, so the operator looks
            again until it is there, or patience is over.
    """

    after: float
    arguments: tuple[str, ...]
    reason: str = ""
    sees: str = ""


REPAIRED: Final = 0.12  # of the replay: NEW's second release goes live, which rounds each price as OLD does
# The payment incident of the clickstream lasts from 0.63 to 0.81 of its events.
MOVES: Final = (
    Move(0.02, ("set", "browse", "0", "--shadow", "25"), "does NEW answer as OLD does?"),
    Move(0.06, ("set", "browse", "0", "--shadow", "100"), "it bears the load: compare all"),
    Move(0.10, ("mismatches", "browse"), sees=r"\d mismatch"),
    Move(0.13, ("set", "browse", "1", "--shadow", "25"), "NEW rounds as OLD does now"),
    Move(0.17, ("set", "browse", "25"), "no errors at 1%, no mismatch"),
    Move(0.22, ("set", "browse", "100", "--shadow", "0"), "no errors at 25%"),
    Move(0.28, ("set", "purchase", "5"), "browse went well"),
    Move(0.38, ("set", "purchase", "25"), "orders and payments add up"),
    Move(0.50, ("set", "purchase", "50"), "half of the buyers"),
    Move(0.68, ("rollback", "purchase"), "payments fail: back to what we know"),
    Move(0.82, ("set", "purchase", "25"), "the gateway is repaired"),
    Move(0.87, ("set", "purchase", "50"), "no failed payment since"),
    Move(0.92, ("set", "purchase", "100"), "everybody"),
    Move(0.96, ("work", "branding", "100"), "the last text is replaced"),
)


@attrs.frozen
class Done:
    """
    A command that has run.

    Attributes:
        command: As somebody would type it.
        output: What it wrote, line by line.
    """

    command: str
    code: int
    output: tuple[str, ...]

    @property
    def summary(self) -> str:
        """
        The lines that say what is in force, as one.
        """
        changed = [number for number, line in enumerate(self.output) if CHANGE.match(line)]
        first = min(len(self.output) - LINES, *changed, len(self.output))
        return "; ".join(line.strip() for line in self.output[max(first, 0) :])

    @property
    def shown(self) -> tuple[str, ...]:
        """
        The lines that are worth showing.
        """
        if self.verb == "mismatches":
            return tuple(line.rstrip() for line in self.output[:MOST_FOUND])
        return (self.summary,)

    @property
    def verb(self) -> str:
        """
        What it does.
        """
        return self.command.split()[1]

    @property
    def change(self) -> str:
        """
        The change that it made, as ``version:head``.

        Raises:
            DemoFailed: If it names none.
        """
        found = CHANGE.search("\n".join(self.output))
        if found is None:
            raise DemoFailed(f"{self.command} names no change")
        return found[1]


def run(arguments: Iterable[str], settings: Mapping[str, str]) -> Done:
    """
    Run one command to its end.
    """
    words = tuple(arguments)
    return _end(words, _start(words, settings))


class Operator:
    """
    Makes the moves one after the other, each when its time has come and the one before is done.

    Args:
        total: How many steps the replay has.
        hold: Whether the replay stands still while a command runs.
    """

    def __init__(self, moves: Iterable[Move], settings: Mapping[str, str], total: int, *, hold: bool) -> None:
        self._waiting = deque((int(move.after * total), move) for move in moves)
        self._settings = settings
        self._total = total
        self._hold = hold
        self._running: tuple[Move, subprocess.Popen[str]] | None = None
        self._look_until = 0.0
        self.done: list[Done] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running[1].kill()
            self._running[1].communicate()
            self._running = None

    @property
    def is_idle(self) -> bool:
        """
        Whether all moves are made.
        """
        return self._running is None and not self._waiting

    @property
    def command(self) -> str | None:
        """
        The command that runs now.
        """
        return None if self._running is None else _typed(_words(self._running[0]))

    def limit(self, position: int) -> int:
        """
        Say how far the replay may go from a position, so that each move comes at its place.
        """
        if self._hold and self._running is not None:
            return position
        return self._waiting[0][0] if self._waiting else self._total

    def look(self, position: int) -> None:
        """
        Take note of a command that has ended, and begin the one whose time has come.

        Raises:
            DemoFailed: If a command was refused.
        """
        if self._running is not None and self._running[1].poll() is not None:
            self._finish(*self._running)
        if self._running is None and self._waiting and position >= self._waiting[0][0]:
            move = self._waiting.popleft()[1]
            self._look_until = monotonic() + PATIENCE
            self._running = (move, _start(_words(move), self._settings))

    def _finish(self, move: Move, process: subprocess.Popen[str]) -> None:
        self._running = None
        done = _end(_words(move), process)
        if re.search(move.sees, "\n".join(done.output)) or monotonic() > self._look_until:
            self.done.append(done)
        else:
            self._running = (move, _start(_words(move), self._settings))


def _words(move: Move) -> tuple[str, ...]:
    return (*move.arguments, "--reason", move.reason, *CONFIRM) if move.reason else move.arguments


def _typed(words: Iterable[str]) -> str:
    # How it waits is the demo's own affair, and would make the line too long to read.
    return "cutover " + shlex.join(words).removesuffix(" " + shlex.join(CONFIRM))


def _start(words: tuple[str, ...], settings: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cutover.cli", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(settings),
        text=True,
        start_new_session=True,
    )


def _end(words: tuple[str, ...], process: subprocess.Popen[str]) -> Done:
    try:
        output, _ = process.communicate(timeout=LAST_WORD)
    finally:
        process.kill()
    done = Done(_typed(words), process.returncode, tuple(output.splitlines()))
    if done.code not in (DONE, UNCONFIRMED):
        raise DemoFailed("\n  ".join([f"{done.command}: exit code {done.code}", *done.output]))
    return done
