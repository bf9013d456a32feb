"""
Whom a change moves, against asking for every key before and after.
"""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    COHORTS,
    KEYS,
    SECRET,
    allowed,
    applies,
    begun,
    definition_of,
    first_apply,
    perform,
    sides,
    snapshots,
    verbs,
)

from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.core.defined import Cohort, Journey
from cutover.core.moves import Move, moves
from cutover.errors import ConfigurationError

SHOP = definition_of("browse", "pay", cohorts={name: Cohort(name=name, title=name) for name in COHORTS})


@given(snapshots(), st.lists(verbs, min_size=1, max_size=3))
def test_moves_are_whom_it_moves(snapshot, several):
    """
    A change lists moves exactly where some key of some cohort goes to another side, and says which way.
    """
    for proposal in allowed(snapshot, several):
        before, after = sides(proposal.before), sides(proposal.after)
        moved = {asked[0]: set() for asked in before}
        for asked, side in before.items():
            if side is not after[asked]:
                moved[asked[0]].add(after[asked] is Backend.NEW)
        listed = {flow: {move.to_new for move in proposal.moves if move.flow == flow} for flow in moved}

        assert moved == listed


@given(snapshots(), applies)
def test_apply_lists_every_flow_and_cohort_that_moves(snapshot, apply):
    """
    An apply that is confirmed on its list moves no key of a flow and cohort that the list does not name.
    """
    with suppress(ConfigurationError):
        proposal = apply(snapshot)
        before, after = sides(proposal.before), sides(proposal.after)
        named = {(move.flow, move.cohort) for move in proposal.moves}
        overridden = {move.flow for move in proposal.moves if move.overrides}
        for (flow, key, cohort), side in before.items():
            if side is not after[flow, key, cohort] and flow not in overridden:
                assert {(flow, cohort), (flow, None)} & named


def test_first_apply():
    """
    The first apply moves nobody.
    """
    assert first_apply(SHOP).moves == moves(None, begun(SHOP)) == ()


def test_what_a_move_says():
    """
    A move names flow and cohort, how much goes to which side, and what NEW then has.
    """
    snapshot = begun(SHOP)
    _, snapshot = perform(
        SHOP,
        [
            lambda s: changes.set_dial(s, "browse", 25_000),
            lambda s: changes.set_dial(s, "browse", 50_000, cohort="staff"),
        ],
    )
    raised = changes.set_dial(snapshot, "browse", 37_500, all_cohorts=True)

    assert [str(move) for move in raised.moves] == [
        "12.5% of browse's users move from OLD to NEW; NEW then has 37.5%",
        "12.5% of browse's users in cohort staff move from NEW to OLD; NEW then has 37.5%",
    ]
    assert [move.to_new for move in raised.moves] == [True, False]


def test_flows_that_come_and_go():
    """
    A flow that is removed sends its keys to OLD, and says so; one that is added begins with none on NEW.
    """
    _, snapshot = perform(SHOP, [lambda s: changes.set_dial(s, "pay", PARTS)])
    removed = changes.apply(snapshot, definition_of("browse", "cart", cohorts=SHOP.cohorts), snapshot)

    assert removed.moves == (Move(flow="pay", before=PARTS, after=None),)
    assert str(removed.moves[0]) == "100% of pay's users move from NEW to OLD: the flow is removed"
    assert str(Move(flow="pay", after=1, to_new=True)) == "0.001% of pay's users move from OLD to NEW"


def test_journey_put_together():
    """
    Putting flows together moves the keys between their dials to the smaller one.
    """
    _, snapshot = perform(SHOP, [lambda s: changes.set_dial(s, "browse", 25_000)])
    together = definition_of(
        "browse", "pay", cohorts=SHOP.cohorts, journeys={"all": Journey(name="all", flows=("browse", "pay"))}
    )

    assert changes.apply(snapshot, together, snapshot).moves == (Move(flow="browse", before=25_000, after=0),)


@pytest.mark.parametrize(
    ("parts", "side", "moved"),
    [
        (0, Backend.NEW, [(1, True)]),
        (0, Backend.OLD, []),
        (PARTS, Backend.NEW, []),
        (PARTS, Backend.OLD, [(1, False)]),
    ],
)
def test_override(parts, side, moved):
    """
    An override moves its key where the dial would have sent it to the other side, and nobody else.
    """
    _, snapshot = perform(SHOP, [lambda s: changes.set_dial(s, "pay", parts)])
    proposal = changes.override(snapshot, "pay", KEYS[1], side, secret=SECRET)

    assert [(move.overrides, move.to_new) for move in proposal.moves] == moved
    way = "from OLD to NEW" if side is Backend.NEW else "from NEW to OLD"
    assert all(str(move) == f"1 user moves {way} in pay, by override" for move in proposal.moves)
