"""
A floor only lowers.
"""

from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.core.backend import Backend
from cutover.core.break_glass import broken_glass
from cutover.core.floor import Emergency, floor_of, lowered
from cutover.core.migration import Migration

DEFINITION = Migration.parse(
    """
name = "shop"
old = "legacy"
new = "modern"
[flows.browse]
weight = 1
[flows.cart]
weight = 1
[flows.pay]
weight = 1
[journeys.purchase]
flows = ["cart", "pay"]
together = true
"""
)
GIVEN = Emergency(
    target="pay",
    flows=("pay",),
    actor="rina",
    reason="timeouts",
    ticket="",
    at=datetime(2026, 1, 11, 3, tzinfo=UTC),
    version=7,
)
NAMES = st.sampled_from(["browse", "cart", "pay", "*", "unknown"])


def test_together():
    """
    A flow takes along what must go together with it now, also if that was not so when the emergency was given.
    """
    assert floor_of([GIVEN], DEFINITION) == {"cart", "pay"}
    assert floor_of([GIVEN], None) == {"pay"}
    assert floor_of([attrs.evolve(GIVEN, flows=("removed",))], DEFINITION) == {"removed"}
    assert floor_of([], DEFINITION) == set()


@given(lines=st.dictionaries(NAMES, st.sampled_from(Backend)), floor=st.frozensets(NAMES))
def test_only_lowers(lines, floor):
    """
    Under any lines, what is on the floor goes OLD, and no flow goes NEW that would not without it.
    """
    below = lowered(lines, floor)
    for flow in DEFINITION.flows:
        before, after = (broken_glass(some, DEFINITION, flow) for some in (lines, below))

        held = not floor.isdisjoint({flow, "*", *DEFINITION.together_with(flow)} - ({"*"} - floor))
        assert after is (Backend.OLD if held else before)


def test_round_trip():
    """
    An emergency is read back as it was written, with and without a target.
    """
    for one in (GIVEN, attrs.evolve(GIVEN, target=None, change="a" * 64)):
        assert one == Emergency.from_document(one.document())


@pytest.mark.parametrize("damage", [{"flows": "pay"}, {"version": 0}, {"at": "now"}, {"target": 7}, {"actor": None}])
def test_damaged(damage):
    """
    Something else than an emergency is never taken for one.
    """
    with pytest.raises((KeyError, TypeError, ValueError)):
        Emergency.from_document(GIVEN.document() | damage)


def test_a_floor_under_a_former_name():
    """
    An emergency that was given before a rename holds the flow under each of its names: routers may know one of them.
    """
    flows = {**DEFINITION.flows, "settle": attrs.evolve(DEFINITION.flows["pay"], name="settle", was=("pay",))}
    del flows["pay"]
    journey = attrs.evolve(DEFINITION.journeys["purchase"], flows=("cart", "settle"))
    definition = attrs.evolve(DEFINITION, flows=flows, journeys={"purchase": journey})

    assert floor_of([GIVEN], definition) == {"cart", "settle", "pay"}
