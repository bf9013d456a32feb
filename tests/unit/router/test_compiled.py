"""
The compiled plan: what the request path reads. That it decides as the rule says is tested with the flow.
"""

import tracemalloc
from itertools import product

import attrs
import pytest
from routers import FIRST, after
from strategies import KEYS, SECRET, at, begun, definition_of, performed, put

from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS, digest_of, position_of
from cutover.core.decide import decide
from cutover.core.defined import Flow, Journey
from cutover.core.snapshot import Override
from cutover.router.compiled import Circumstances, compile_flow
from cutover.router.counting import FlowCells

SALT = FIRST.definition.salt.encode()


def plan_of(flow: str = "browse", **circumstances):
    """
    Compile the plan of a flow.
    """
    return compile_flow(flow, Circumstances(**circumstances), FlowCells(flow))


@pytest.mark.parametrize("parts", [0, 1, 24_999, 25_000, 50_001, 99_999, PARTS])
def test_every_key_on_its_side(parts):
    """
    The threshold of hashes cuts exactly where the position is below the dial.
    """
    plan = plan_of(snapshot=after(at("browse", parts)))
    for number in range(3000):
        key = f"user-{number}"
        cell, _ = plan.resolve(key, None)

        assert (cell.backend is Backend.NEW) == (position_of(SALT, key.encode()) < parts)


@pytest.mark.parametrize("lines", [{}, {"pay": Backend.OLD}, {"settle": Backend.NEW}])
def test_a_flow_goes_by_its_former_names(lines):
    """
    Under a name that the flow had before, the plan decides as the rule does for the name that it has.
    """
    flows = {"settle": Flow(name="settle", was=("pay", "paying")), "cart": Flow(name="cart")}
    journey = Journey(name="purchase", flows=("cart", "settle"))
    definition = definition_of(flows=flows, journeys={"purchase": journey}, cohorts=FIRST.definition.cohorts)
    snapshot = performed(
        definition, at("purchase", 50_000), at("settle", 0, "staff"), put("pay", Backend.NEW, KEYS[-1])
    )
    for name in ("settle", "pay", "paying"):
        plan = plan_of(name, snapshot=snapshot, secret=SECRET, break_glass=lines)
        assert plan.together == "purchase"
        for key, cohort in product(KEYS, (None, "staff")):
            cell, _ = plan.resolve(key, cohort)
            said = [
                decide(snapshot, asked, key, cohort=cohort, secret=SECRET, break_glass=lines)
                for asked in ("settle", name)
            ]
            assert [(cell.backend, cell.detail)] * 2 == [decision[1:3] for decision in said]
            assert said[1].flow == name


def test_many_overrides():
    """
    Among thousands of overrides, every key gets its own and no other does.
    """
    keys = [f"vip-{number}" for number in range(3000)]
    overrides = {
        digest_of(SECRET, key.encode()): Override(position_of(SALT, key.encode()), list(Backend)[number % 2])
        for number, key in enumerate(keys)
    }
    snapshot = attrs.evolve(FIRST, overrides={"browse": overrides})
    plan = plan_of(snapshot=snapshot, secret=SECRET)
    for key in (*keys, *KEYS, *(f"user-{number}" for number in range(3000))):
        cell, _ = plan.resolve(key, None)

        assert (cell.backend, cell.detail) == decide(snapshot, "browse", key, secret=SECRET)[1:3]


def test_overrides_at_the_edges():
    """
    Overrides at the first and the last position are found, too.
    """
    for key in (KEYS[0], KEYS[-1]):
        snapshot = after(lambda s, key=key: changes.override(s, "browse", key, Backend.NEW, secret=SECRET))
        cell, _ = plan_of(snapshot=snapshot, secret=SECRET).resolve(key, None)

        assert cell.detail == "override"


@pytest.mark.parametrize("side", Backend)
def test_a_visit_meets_its_own_cell(side):
    """
    A visit's side counts as `visit`, and as `break_glass` on the file's side where a line reaches the flow.
    """
    for lines, expected in (({}, (side, "visit")), ({"pay": Backend.OLD}, (Backend.OLD, "break_glass"))):
        cell = plan_of("cart", snapshot=FIRST, break_glass=lines).visits[side]

        assert (cell.backend, cell.detail) == expected


def test_together():
    """
    A plan names the journey of its flow only if that goes together.
    """
    sticky = Journey(name="purchase", flows=("cart", "pay"), together=False)
    apart = begun(definition_of("cart", "pay", journeys={"purchase": sticky}))

    assert plan_of("pay", snapshot=FIRST).together == "purchase"
    assert plan_of("pay", snapshot=apart).together is None
    assert plan_of("browse", snapshot=FIRST).together is None
    assert plan_of("pay").together is None


def test_the_secret_is_not_shown():
    """
    Neither circumstances nor a plan show the secret where they are printed.
    """
    given = Circumstances(snapshot=FIRST, secret=SECRET)

    assert repr(SECRET) not in repr(given) + repr(plan_of(snapshot=FIRST, secret=SECRET))


def test_flows_share_their_overrides():
    """
    A large snapshot is not copied for each flow of it.
    """
    overrides = {f"{number:032x}": Override(number % PARTS, Backend.NEW) for number in range(20_000)}
    snapshot = attrs.evolve(FIRST, overrides={"browse": overrides})
    tracemalloc.start()
    try:
        plan = plan_of(snapshot=snapshot, secret=SECRET)
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert plan.overrides is snapshot.overrides["browse"]
    assert size < 300_000
