"""
What is seen while the demo runs: a picture that redraws in place, or plain lines where there is no terminal.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from itertools import accumulate
from time import monotonic
from typing import Final

import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.segment import SegmentLines
from rich.text import Text

from cutover.cli.bars import COARSE, FINE, bar
from cutover.cli.status_view import status_view
from cutover.operations.control import Control
from cutover.operations.status import Status
from demo.operator import Done, Operator
from demo.replay import Replay

__all__ = ["Screen", "picture"]

PERIOD: Final = 0.5  # seconds between pictures
FEWEST: Final = 6  # rows of commands, also where a small terminal has no room for all of the status
MOST: Final = 18


class Screen:
    """
    Shows a replay on a console.
    """

    def __init__(self, console: Console, control: Control, operator: Operator, metrics: str) -> None:
        self._console = console
        self._control = control
        self._operator = operator
        self._metrics = metrics
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._drawn = 0.0
        self._printed = 0

    def opened(self) -> AbstractContextManager[object]:
        """
        Give the block in which the screen is ours.
        """
        if self._live is not None:
            return self._live
        self._console.print(f"metrics: {self._metrics}", soft_wrap=True)
        return nullcontext()

    def show(self, replay: Replay) -> None:
        """
        Draw how it stands, where that is due.
        """
        if self._live is None:
            self._print(replay)
        elif monotonic() - self._drawn >= PERIOD:
            self._live.update(self.drawn(replay, self._console.width, self._console.height), refresh=True)
            self._drawn = monotonic()

    def drawn(self, replay: Replay, width: int, height: int) -> RenderableType:
        """
        Make the picture of now.
        """
        head = Group(*_progress(replay, width, self._metrics, self._console.encoding))
        rest = picture(head, self._control.status(), width, self._console.encoding)
        above = self._console.render_lines(rest, self._console.options.update(width=width))
        room = min(max(height - len(above) - 1, FEWEST), MOST)
        commands = _commands(self._operator.done, self._operator.command, room)
        fitting = SegmentLines(above[: max(height - room - 1, 0)], new_lines=True)
        return Group(fitting, Text("\n", no_wrap=True, overflow="ellipsis").join(commands))

    def _print(self, replay: Replay) -> None:
        for done in self._operator.done[self._printed :]:
            share = replay.position / replay.total
            self._console.print(f"{share:4.0%}  {replay.at}  $ {done.command}", soft_wrap=True)
            for line in done.shown:
                self._console.print(f"      {line}", soft_wrap=True)
        self._printed = len(self._operator.done)


def picture(head: RenderableType, status: Status, width: int, encoding: str) -> RenderableType:
    """
    Put the parts of the picture together that stand above the commands.
    """
    # The commands say what the status would say of the last changes.
    shown = status_view(attrs.evolve(status, last=()), width=width, encoding=encoding)
    return Group(head, Text(), shown, Text())


def _commands(done: Sequence[Done], running: str | None, room: int) -> Sequence[Text]:
    """
    Draw the command that runs and as many before it as there is room for; of the last one, what there is room for.
    """
    under_way = [] if running is None else [_typed(running, "bold yellow")]
    ends = accumulate((len(_told(one)) for one in reversed(done)), initial=len(under_way))
    fitting = max(sum(end <= room for end in ends) - 1, 1)
    lines = [line for one in done[-fitting:] for line in _told(one)] + under_way
    return lines[-room:]


def _told(done: Done) -> list[Text]:
    return [_typed(done.command, "bold"), *(Text(f"  {line}", style="dim") for line in done.shown)]


def _typed(command: str, style: str) -> Text:
    return Text("$ ", style="dim").append(command, style=f"not dim {style}")


def _progress(replay: Replay, width: int, metrics: str, encoding: str) -> list[Text]:
    share = Fraction(replay.position, replay.total)
    line = Text("Replay    ")
    glyphs = FINE if encoding.lower().startswith("utf") else COARSE
    line.append(bar(share, share, max(width - 52, 20), glyphs))
    line.append(f"  {float(share):4.0%}", style="bold")
    line.append(f"  {replay.at[:16]}  {replay.rate:4.0f}/s", style="dim")
    return [line, Text(f"Metrics   {metrics}", style="dim", no_wrap=True)]
