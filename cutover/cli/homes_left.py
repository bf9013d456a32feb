"""
What a rollback leaves on NEW: the things that live there, and whose requests go there by their home.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from cutover.claims.homes import homes
from cutover.cli.session import Session
from cutover.cli.words import plain
from cutover.errors import CutoverError
from cutover.operations.control import Control
from cutover.ports.homes import Sides

__all__ = ["HomesLeft", "homes_left", "print_homes_left"]


@attrs.frozen(kw_only=True)
class HomesLeft:
    """
    The homes of a migration, by kind.

    Attributes:
        problem: Why they could not be counted, or "".
    """

    counts: Mapping[str, Sides]
    problem: str = ""

    def document(self) -> dict[str, Any]:
        """
        Give it as a JSON object.
        """
        if self.problem:
            return {"error": self.problem}
        return {kind: attrs.asdict(sides) for kind, sides in self.counts.items()}


def homes_left(control: Control, place: str) -> HomesLeft:
    """
    Count the homes. Nothing that is wrong with them is an error: what came before was done.
    """
    try:
        with homes(place, migration=control.migration) as opened:
            counts = opened.counts()
            unmade = "" if opened.is_made else f"nothing was ever claimed in {opened.url}; is it the right place?"
            return HomesLeft(counts=counts, problem=unmade)
    except CutoverError as error:
        return HomesLeft(counts={}, problem=plain(str(error)))


def print_homes_left(session: Session, left: HomesLeft) -> None:
    """
    Say what still reaches NEW.
    """
    if left.problem:
        session.note(f"  what still reaches NEW by its home could not be counted: {left.problem}")
        return
    on_new = [f"{sides.new} {kind}" for kind, sides in left.counts.items() if sides.new]
    session.print(f"  still reaches NEW by its home: {', '.join(on_new) or 'nothing'}")
