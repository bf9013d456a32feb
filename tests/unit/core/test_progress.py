"""
Progress by weight, and the day on which it would be complete.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import COHORTS, NOON, begun, definition_of, instants, perform, snapshots

from cutover.core import changes
from cutover.core.bucketing import PARTS
from cutover.core.defined import Cohort, Flow, Journey, WorkItem
from cutover.core.progress import forecast, target_progress, target_ratio, weighted_progress

SHOP = definition_of(
    flows={
        "browse": Flow(name="browse", weight=Decimal(60)),
        "cart": Flow(name="cart", weight=Decimal(20)),
        "pay": Flow(name="pay", weight=Decimal("7.5")),
    },
    journeys={"purchase": Journey(name="purchase", flows=("cart", "pay"))},
    work={"branding": WorkItem(name="branding", title="Texts", weight=Decimal("12.5"))},
    cohorts={name: Cohort(name=name, title=name) for name in COHORTS},
)


def test_weights():
    """
    Progress is the mean of flows and work items by weight, exactly.
    """
    _, snapshot = perform(
        SHOP,
        [lambda s: changes.set_dial(s, "browse", 50_000), lambda s: changes.set_work(s, "branding", PARTS)],
    )

    assert target_progress(snapshot) == Fraction(30 + Fraction(25, 2)) / 100


def test_begins_at_nothing():
    """
    A migration begins at 0.
    """
    assert target_progress(begun(SHOP)) == 0


def test_held_flow():
    """
    A flow counts as far as its dial holds, not as far as it was set.
    """
    _, snapshot = perform(
        SHOP, [lambda s: changes.set_dial(s, "cart", PARTS), lambda s: changes.set_dial(s, "pay", 10_000)]
    )

    assert target_ratio(snapshot, "cart") == Fraction(1, 10)


def test_cohort_left_behind():
    """
    A flow at 100% with a cohort behind counts as 99.999%: it is not done, and the report may not say so.
    """
    _, snapshot = perform(
        SHOP,
        [
            lambda s: changes.set_dial(s, "browse", PARTS),
            lambda s: changes.set_dial(s, "browse", 99_999, cohort="staff"),
        ],
    )

    assert target_ratio(snapshot, "browse") == Fraction(99_999, PARTS)
    assert target_ratio(changes.set_dial(snapshot, "browse", PARTS, all_cohorts=True).after, "browse") == 1


@given(snapshots())
def test_between_nothing_and_all(snapshot):
    """
    Progress is from 0 to 1, and 1 only where every flow and work item is complete.
    """
    done = all(snapshot.is_complete(flow) for flow in snapshot.definition.flows)
    done = done and set(snapshot.work.values()) <= {PARTS}

    assert 0 <= target_progress(snapshot) <= 1
    assert (target_progress(snapshot) == 1) is done


@given(snapshots())
def test_missing_counts_as_nothing(snapshot):
    """
    A flow or work item of which nothing is known counts as 0.
    """
    assert weighted_progress(snapshot.definition, {}, {}) == 0


@pytest.mark.parametrize(
    ("progress", "days", "left"),
    [(Fraction(1, 2), 10, 10), (Fraction(1, 4), 10, 30), (Fraction(1), 10, 0), (Fraction(9, 10), 9, 1)],
)
def test_forecast(progress, days, left):
    """
    At the mean pace so far, what is left takes in proportion to what was done.
    """
    now = NOON + timedelta(days=days)

    assert forecast(progress, since=NOON, now=now) == now + timedelta(days=left)


@pytest.mark.parametrize(
    ("progress", "elapsed"),
    [
        (Fraction(0), timedelta(days=1)),
        (Fraction(1, 2), timedelta(0)),
        (Fraction(999, 1000), timedelta(hours=23, minutes=59)),
        (Fraction(1, 2), timedelta(days=-1)),
        (Fraction(1, 10**400), timedelta(days=1)),
        (Fraction(1, 10**9), timedelta(days=10_000)),
    ],
)
def test_no_forecast(progress, elapsed):
    """
    Without progress, without a day of history, or beyond the calendar there is no date to name.
    """
    assert forecast(progress, since=NOON, now=NOON + elapsed) is None


@given(st.fractions(0, 1), instants, instants)
def test_forecast_is_never_past(progress, since, now):
    """
    A forecast is now or later.
    """
    expected = forecast(progress, since=since, now=now)

    assert expected is None or expected >= now


def test_complete_at_once():
    """
    What is complete is so now, even before it began.
    """
    now = datetime(2024, 1, 1, tzinfo=UTC)

    assert forecast(Fraction(1), since=now + timedelta(days=1), now=now) == now
