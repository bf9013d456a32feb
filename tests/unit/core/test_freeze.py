"""
What a freeze holds against, and what it lets through.
"""

from functools import partial

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    COHORTS,
    KEYS,
    allowed,
    at,
    definition_of,
    performed,
    put,
    sides,
    snapshots,
    verbs_but_unfreeze,
)

from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.defined import Cohort, Journey
from cutover.errors import ConfigurationError, Refused

OLD, NEW = Backend.OLD, Backend.NEW
SHOP = definition_of(
    "browse",
    "cart",
    "pay",
    journeys={"purchase": Journey(name="purchase", flows=("cart", "pay"), together=True)},
    cohorts={name: Cohort(name=name, title=name) for name in COHORTS},
)
after = partial(performed, SHOP)


@given(snapshots(), st.lists(verbs_but_unfreeze, max_size=6))
def test_freeze_holds(snapshot, several):
    """
    No sequence of verbs that a frozen migration allows lets a key be on NEW that was not.
    """
    frozen = changes.freeze(snapshot).after
    was = sides(frozen)
    for proposal in allowed(frozen, several):
        now = sides(proposal.after)

        assert proposal.after.frozen
        assert not [asked for asked in now if now[asked] is NEW and was[asked] is OLD]
        was = now


@given(snapshots(), verbs_but_unfreeze)
def test_freeze_refuses_nothing_else(snapshot, verb):
    """
    A frozen migration refuses just those verbs that would bring a key to NEW.
    """
    try:
        proposal = verb(snapshot)
    except (ConfigurationError, Refused):
        return
    before, now = sides(snapshot), sides(proposal.after)
    towards_new = any(side is NEW and before[asked] is OLD for asked, side in now.items())
    frozen = changes.freeze(snapshot).after
    if towards_new:
        with pytest.raises(Refused, match="the migration is frozen") as caught:
            verb(frozen)
        assert caught.value.details
    else:
        assert sides(verb(frozen).after) == now


@pytest.mark.parametrize(
    "verb",
    [
        at("browse", 2_000),
        at("browse", 50_000, "staff"),
        at("browse", None, "jakarta"),
        lambda s: changes.set_dial(s, "browse", 500, all_cohorts=True),
        put("browse", NEW, KEYS[3]),
        put("browse", None, KEYS[0]),
        lambda s: changes.apply(s, attrs.evolve(SHOP, journeys={}), s),
        lambda s: changes.apply(s, attrs.evolve(SHOP, cohorts={"staff": SHOP.cohorts["staff"]}), s),
    ],
)
def test_frozen_refuses_each_way_to_new(verb):
    """
    A frozen migration refuses each way to NEW: dials, cohorts that inherit, overrides, journeys and cohorts taken away.
    """
    open_ = after(
        at("browse", 1_000),
        at("browse", 500, "staff"),
        at("browse", 0, "jakarta"),
        put("browse", OLD, KEYS[0]),
        at("cart", 1_000),
    )
    assert any(move.to_new for move in verb(open_).moves)

    with pytest.raises(Refused, match="the migration is frozen"):
        verb(changes.freeze(open_).after)


def test_unfreeze():
    """
    After unfreeze, dials may rise again.
    """
    snapshot = after(changes.freeze, changes.unfreeze, at("pay", 1))

    assert not snapshot.frozen
    assert snapshot.dials["pay"] == 1


def test_frozen_refusal_names_whom_it_would_move():
    """
    The refusal names the verb and the keys that would move.
    """
    with pytest.raises(
        Refused, match=r"^the migration is frozen, and set would bring users to NEW; unfreeze first$"
    ) as e:
        changes.set_dial(after(changes.freeze), "browse", 25_000)

    assert e.value.details == ("25% of browse's users move from OLD to NEW",)
