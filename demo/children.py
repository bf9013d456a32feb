"""
The processes of the demo: started together, and ended together whatever happens.

A child lives as long as its standard input is open. So it also ends when this process is killed.
"""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Self

from demo.errors import DemoFailed

__all__ = ["Child", "Children", "environment"]

ROOT: Final = Path(__file__).parent.parent
PATIENCE: Final = 60.0  # seconds for an answer; a machine may be busy
LEAVE_WITHIN: Final = 5.0  # seconds after its input was closed
KILL_WITHIN: Final = 2.0
TAIL: Final = 5  # lines of a log


def environment(**more: str) -> dict[str, str]:
    """
    Give the environment of a child: nobody's settings of cutover but ours.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUTOVER", "PROMETHEUS"))}
    paths = [str(ROOT), kept.get("PYTHONPATH", "")]
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUTF8": "1", **more}


class Child:
    """
    One process that we talk to by lines.
    """

    def __init__(self, name: str, command: Iterable[str], log: Path, settings: Mapping[str, str]) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=settings,
                text=True,
                start_new_session=True,  # a Ctrl-C is for us alone: we end the children in order
            )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """
        Its process id.
        """
        return self._process.pid

    def tell(self, line: str) -> None:
        """
        Write one line to it.

        Raises:
            DemoFailed: If it has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._lost() from None

    def hear(self) -> str:
        """
        Wait for its next line.

        Raises:
            DemoFailed: If it ends instead, or says nothing.
        """
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise DemoFailed(f"{self.name} says nothing for {PATIENCE:.0f} s; see {self._log}") from None
        if not line:
            raise self._lost()
        return line.strip()

    def check(self) -> None:
        """
        Make sure that it runs.

        Raises:
            DemoFailed: If it has ended.
        """
        if self._process.poll() is not None:
            raise self._lost()

    def dismiss(self) -> None:
        """
        Ask it to end, without waiting.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already
            self._process.stdin.close()

    def wait(self, until: float) -> int | None:
        """
        Wait for its end up to an instant of the monotonic clock.

        Returns:
            Its exit code; None where it goes on.
        """
        try:
            return self._process.wait(max(until - monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """
        End it for certain.
        """
        self._process.kill()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def _lost(self) -> DemoFailed:
        code = self.wait(monotonic() + KILL_WITHIN)
        tail = self._log.read_text(errors="replace").splitlines()[-TAIL:]
        return DemoFailed("\n  ".join([f"{self.name} has ended, exit code {code}; see {self._log}", *tail]))


class Children:
    """
    All children of the demo. A context manager; at its end none is left.
    """

    def __init__(self, logs: Path, settings: Mapping[str, str]) -> None:
        self._logs = logs
        self._settings = settings
        self._alive: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(self._alive)

    def start(self, name: str, *command: str) -> Child:
        """
        Start a Python module with arguments.
        """
        child = Child(name, command, self._logs / f"{name}.log", self._settings)
        self._alive.append(child)
        return child

    def finish(self, children: Iterable[Child]) -> None:
        """
        Let some children end.

        Raises:
            DemoFailed: If one of them does not end well.
        """
        ending = list(children)
        codes = self._end(ending)
        self._alive = [child for child in self._alive if child not in ending]
        for child, code in codes.items():
            if code != 0:
                raise DemoFailed(f"{child.name} ended with {code}")

    def _end(self, children: Iterable[Child]) -> dict[Child, int | None]:
        ending = list(children)
        for child in ending:
            child.dismiss()
        until = monotonic() + LEAVE_WITHIN
        codes = {child: child.wait(until) for child in ending}
        for child in (child for child, code in codes.items() if code is None):
            child.kill()
            codes[child] = child.wait(monotonic() + KILL_WITHIN)
        return codes
