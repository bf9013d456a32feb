"""
Bars of how much is reached, and how much more is asked for.
"""

from fractions import Fraction
from typing import Final

import attrs
from rich.text import Text

__all__ = ["COARSE", "FINE", "Glyphs", "bar"]


@attrs.frozen
class Glyphs:
    """
    What bars and arrows are drawn with.
    """

    reached: str
    asked: str
    rest: str
    arrow: str


FINE: Final = Glyphs("█", "▒", "░", "→")
COARSE: Final = Glyphs("#", "=", ".", "->")


def bar(actual: Fraction | None, target: Fraction, width: int, glyphs: Glyphs = FINE) -> Text:
    """
    Draw how much is reached, and how much more is asked for.
    """
    goal = _cells(target, width)
    done = min(_cells(actual, width), width) if actual is not None else 0
    text = Text(no_wrap=True)
    text.append(glyphs.reached * done, style="green")
    text.append(glyphs.asked * max(goal - done, 0), style="yellow")
    text.append(glyphs.rest * (width - max(goal, done)), style="dim")
    return text


def _cells(ratio: Fraction, width: int) -> int:
    if ratio <= 0:
        return 0
    # Something is never drawn as nothing, and all only where it is all.
    return width if ratio >= 1 else min(max(round(ratio * width), 1), width - 1)
