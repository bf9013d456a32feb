"""
A relay's floor goes the way of the break-glass file.
"""

import attrs
from routers import FIRST, Parts, ScriptedStore, after, events, reading
from strategies import at
from structlog.testing import capture_logs

from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.core.snapshot import Head

NEW = after(at("browse", PARTS), at("purchase", PARTS))
FLOOR = frozenset({"browse"})


def held(parts, flow="browse"):
    """
    Give the side and the reason of a request.
    """
    decision = parts.flow(flow).peek("user-1")
    return decision.backend, decision.reason


def test_obeyed_and_lifted():
    """
    A floor holds its flows on OLD as soon as it is read, and the dials hold again when it is gone.
    """
    store = ScriptedStore(attrs.evolve(reading(NEW), floor=FLOOR))
    parts = Parts(store)
    with capture_logs() as logs:
        parts.follower.step()
    assert held(parts) == (Backend.OLD, "break_glass")
    assert held(parts, "pay")[0] is Backend.NEW
    assert "cutover.floor" in events(logs)

    store.answers = [reading(NEW)]
    parts.follower.step()
    assert held(parts) == (Backend.NEW, "percent")


def test_with_the_break_glass_file():
    """
    Where the file says NEW, the floor wins; each of the two stays when the other changes.
    """
    parts = Parts(ScriptedStore(reading(NEW)))
    parts.holding.take_snapshot(NEW, None)
    parts.holding.take_break_glass({"browse": Backend.NEW, "pay": Backend.OLD})
    parts.holding.take_floor(FLOOR)
    assert (held(parts)[0], held(parts, "pay")[0]) == (Backend.OLD, Backend.OLD)
    assert parts.holding.lines == {"browse": Backend.NEW, "pay": Backend.OLD}

    parts.holding.take_floor(frozenset())
    assert (held(parts), held(parts, "pay")[0]) == ((Backend.NEW, "break_glass"), Backend.OLD)
    parts.holding.take_floor(FLOOR)
    parts.holding.take_break_glass({})
    assert held(parts) == (Backend.OLD, "break_glass")


def test_regressed():
    """
    A floor is obeyed also where the relay has another history than this process runs: it can only lower.
    """
    parts = Parts(ScriptedStore(reading(FIRST)))
    parts.holding.take_snapshot(NEW, None)
    fork = attrs.evolve(reading(FIRST), head=Head(1, NEW.version, "f" * 64), floor=FLOOR)
    parts.follower.source.answers = [fork]
    parts.follower.step()

    assert parts.follower.regressed
    assert held(parts) == (Backend.OLD, "break_glass")
