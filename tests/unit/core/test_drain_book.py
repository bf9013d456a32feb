"""
Which changes make visits drain: every visit that goes on against the dials is accounted for.
"""

from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import (
    COHORTS,
    KEYS,
    NOON,
    SECRET,
    applies,
    definition_of,
    empty,
    migrations,
    overrides,
    perform,
    rollbacks,
    sets,
    verbs,
)

from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.core.checkin import LEASE
from cutover.core.decide import decide
from cutover.core.defined import Cohort, Journey
from cutover.core.drain_book import DrainBook
from cutover.core.ledger import seal
from cutover.core.merge import merge
from cutover.core.snapshot import Head, Snapshot
from cutover.core.visit import Claims, entered, resumed

NEW, OLD = Backend.NEW, Backend.OLD
HOURS = timedelta(hours=1)
STEPS = st.lists(st.one_of(sets, sets, sets, overrides, applies, rollbacks, verbs), max_size=10)


def shop(*, together=True, ttl=4, flows=("cart", "pay")):
    """
    Define three flows, some of them or none in a journey.
    """
    staff = Cohort(name="staff", title="Staff")
    journeys = {}
    if flows:
        journeys["purchase"] = Journey(name="purchase", flows=flows, together=together, ttl=timedelta(hours=ttl))
    return definition_of("browse", "cart", "pay", journeys=journeys, cohorts={"staff": staff})


def turn(target, percent, cohort=None, *, evict=False):
    """
    Give the verb that sets a dial.
    """
    parts = None if percent is None else percent * 1000
    return lambda snapshot: changes.set_dial(snapshot, target, parts, cohort=cohort, evict=evict)


def put(target, key, side):
    """
    Give the verb that puts a key on a side.
    """
    return lambda snapshot: changes.override(snapshot, target, key, side, secret=SECRET)


def define(**fields):
    """
    Give the verb that applies another definition.
    """
    definition = shop(**fields)
    return lambda snapshot: changes.apply(snapshot, definition, empty(definition))


def book_of(*steps, **fields):
    """
    Read what a history says.
    """
    done, _ = perform(shop(**fields), steps)
    assert len(done) == len(steps) + 1
    return DrainBook().extended(done)


def shown(*steps, **fields):
    """
    Give the drains of a history, as the flow, the side and the version of each.
    """
    drains = book_of(*steps, **fields).drains()
    return {(flow, drain.side, drain.version) for flow, many in drains.items() for drain in many}


def snapshots_of(done):
    """
    Give the snapshot after each change.
    """
    state = {}
    for change in done:
        state = merge(state, change.effects)
        yield Snapshot.from_state(state, head=Head(state["epoch"], change.version, change.hash), at=change.at)


def flags(snapshot, key, cohort):
    """
    Ask for the side of a key without a visit.
    """
    return lambda flow: decide(snapshot, flow, key, cohort=cohort, secret=SECRET).backend


def visited(snapshots, journey, key, cohort):
    """
    Give the sides that a visit holds which is entered at the first snapshot and met at each of the others.
    """
    first, *later = snapshots
    sides = entered(first.definition.journeys[journey], flags(first, key, cohort))
    order = first.head.order
    for snapshot in later:
        claims = Claims("shop", "", sides, order, cohort, 0, 0, 0, 0)
        now = snapshot.definition.journeys.get(journey)
        sides, _ = resumed(now, claims, snapshot.evictions, flags(snapshot, key, cohort))
        order = max(order, snapshot.head.order)
    return sides


def uncovered(done, start, met, keys=KEYS):
    """
    List the visits that hold a side against the flags, and that no change after they were entered accounts for.
    """
    snapshots = list(snapshots_of(done))
    first, last = snapshots[start], snapshots[-1]
    between = [snapshots[number] for number in sorted(met) if start < number < len(snapshots) - 1]
    drains = DrainBook().extended(done).drains()
    found = []
    for name, journey in first.definition.journeys.items():
        for key, cohort in product(keys, (None, *COHORTS)):
            for flow, side in visited([first, *between, last], name, key, cohort).items():
                if flow not in last.definition.flows or flags(last, key, cohort)(flow) is side:
                    continue
                stretches = [s for drain in drains.get(flow, ()) if drain.side is side for s in drain.stretches]
                if not any(s.ended > first.head.order and s.ttl >= journey.ttl for s in stretches):
                    found.append((name, flow, key, cohort, side))
    return found


places = st.integers(0, 12)


@settings(max_examples=200)
@given(migrations(), STEPS, places, st.sets(places))
def test_every_visit_against_the_dials_is_accounted_for(definition, steps, start, met):
    """
    A visit that is on a side which its key would no longer get drains: some change after it was entered says so, with
    a ttl no shorter than the visit's.
    """
    done, _ = perform(definition, steps)

    assert uncovered(done, start % len(done), met) == []


levels = st.sampled_from((0, 1_000, 25_000, 50_000, PARTS))
few_cohorts = st.sampled_from((None, None, "staff"))
two_keys = st.sampled_from((KEYS[2], KEYS[3]))
turns = st.builds(
    lambda target, parts, cohort: lambda s: changes.set_dial(s, target, parts, cohort=cohort),
    st.sampled_from(("cart", "pay", "purchase", "purchase")),
    levels,
    few_cohorts,
)
inherits = st.builds(lambda target: turn(target, None, "staff"), st.sampled_from(("pay", "purchase")))
puts = st.builds(put, st.sampled_from(("cart", "pay")), two_keys, st.sampled_from((None, NEW, OLD)))
redefined = st.builds(
    lambda together, ttl, flows: define(together=together, ttl=ttl, flows=flows),
    st.booleans(),
    st.sampled_from((2, 4, 8)),
    st.sampled_from((("cart", "pay"), ("cart", "pay"), ("pay",), ("pay", "cart", "browse"), ())),
)


@settings(max_examples=400)
@given(
    st.booleans(),
    st.lists(st.one_of(turns, turns, turns, inherits, puts, redefined), min_size=2, max_size=9),
    st.integers(0, 3),
    st.sets(places),
)
def test_every_visit_of_two_flows_is_accounted_for(together, steps, start, met):
    """
    The same, in a small shop whose dials go up and down between a few levels, so that much of it meets.
    """
    done, _ = perform(shop(together=together), steps)

    assert uncovered(done, start % len(done), met) == []


@given(migrations(), STEPS, st.integers(0, 10))
def test_read_at_once_or_bit_by_bit(definition, steps, cut):
    """
    A ledger says the same whether it is read at once or goes on to be read later; the first reading stays as it was.
    """
    done, _ = perform(definition, steps)
    first = DrainBook().extended(done[:cut])
    before = first.drains()

    assert first.extended(done[cut:]).drains() == DrainBook().extended(done).drains()
    assert first.drains() == before


@given(migrations(), STEPS)
def test_stays_small(definition, steps):
    """
    However often dials go up and down, one change is kept for each side of a flow of a journey.
    """
    done, snapshot = perform(definition, steps)
    book = DrainBook().extended(done)
    levels = (0, 25_000, 50_000, PARTS)
    changed = []
    for turns in range(40):
        for flow in snapshot.definition.flows:
            if snapshot.frozen:
                break
            proposal = changes.set_dial(snapshot, flow, levels[turns * 7 % 4])
            change, snapshot = seal(proposal, at=NOON + timedelta(days=turns), actor="rina", reason="again")
            changed.append(change)
    journeys = {name for snapshot in snapshots_of(done) for name in snapshot.definition.journeys}

    for drains in book.extended(changed).drains().values():
        assert len(drains) <= 2 * len(journeys)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((turn("pay", 50),), set()),  # held to 0% by cart: nothing moved
        ((turn("purchase", 50),), {("cart", OLD, 3), ("pay", OLD, 3)}),
        ((turn("browse", 50), turn("browse", 10)), set()),
    ],
    ids=["held", "raised", "no journey"],
)
def test_what_drains_after_a_raised_dial(steps, expected):
    """
    A raised dial drains OLD in the flows of a journey whose effective dial it raised; other flows have no visits.
    """
    if expected:
        expected = {(flow, side, len(steps) + 1) for flow, side, _ in expected}

    assert shown(*steps) == expected


def test_a_lowered_dial_drains_new_and_answers_the_raised_one():
    """
    A dial that was raised and is back at 0% drains on NEW only: nobody is on OLD against the dials.
    """
    assert shown(turn("purchase", 50), turn("purchase", 0)) == {("cart", NEW, 3), ("pay", NEW, 3)}


def test_at_100_nothing_drains_on_new():
    """
    A dial at 100% has no visits on NEW to drain; one that is back where it was tells the last change of each side.
    """
    low = [turn("purchase", 50), turn("purchase", 10)]

    assert {side for _, side, _ in shown(*low, turn("purchase", 100))} == {OLD}
    assert {(side, version) for _, side, version in shown(*low, turn("purchase", 50))} == {(NEW, 3), (OLD, 4)}


def test_eviction_ends_the_drain():
    """
    Visits on NEW that were evicted with the change, or after it, do not drain; those on OLD do.
    """
    raised = [turn("purchase", 50)]

    assert {side for _, side, _ in shown(*raised, turn("purchase", 10))} == {OLD, NEW}
    assert {side for _, side, _ in shown(*raised, turn("purchase", 10, evict=True))} == {OLD}
    assert shown(*raised, turn("purchase", 10), lambda s: changes.rollback(s, "purchase")) == set()
    assert shown(*raised, turn("purchase", 10), lambda s: changes.rollback(s, "cart")) == set()
    assert NEW in {side for _, side, _ in shown(*raised, turn("purchase", 10), lambda s: changes.rollback(s, "browse"))}


def test_only_effective_dials_count():
    """
    In a together journey the smallest dial moves all of its flows; another one moves none.
    """
    up = [turn("purchase", 50)]

    assert shown(*up, turn("pay", 80)) == shown(*up)
    assert shown(*up, turn("pay", 10)) - shown(*up) == {("cart", NEW, 3), ("pay", NEW, 3)}
    assert shown(*up, turn("pay", 10), together=False) - shown(*up) == {("pay", NEW, 3)}


def test_each_cohort_by_itself():
    """
    A dial that goes down for a cohort drains although everybody else's goes up.
    """
    steps = [turn("purchase", 50, "staff"), turn("purchase", 10, "staff"), turn("purchase", 20)]

    assert {(side, version) for _, side, version in shown(*steps)} == {(NEW, 3), (OLD, 4)}
    assert (NEW, 5) in {(side, version) for _, side, version in shown(*steps, turn("purchase", 5))}
    assert {side for _, side, _ in shown(*steps, turn("purchase", None, "staff"), turn("purchase", 100))} == {OLD}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([put("pay", KEYS[-1], NEW)], {OLD}),
        ([put("pay", KEYS[-1], NEW), put("pay", KEYS[-1], None)], {NEW}),
        ([put("pay", KEYS[-1], OLD)], set()),
        ([put("pay", KEYS[-1], OLD), put("pay", KEYS[-1], None)], set()),
        ([put("pay", KEYS[-1], NEW), lambda s: changes.rollback(s, "pay")], set()),
        ([put("browse", KEYS[-1], NEW)], set()),
    ],
    ids=["new", "taken away", "old", "old taken away", "rolled back", "no journey"],
)
def test_overrides_drain(steps, expected):
    """
    An override drains the side that it takes its key from, and taking it away drains the side that it gave.
    """
    assert {side for _, side, _ in shown(*steps)} == expected


def test_an_override_that_holds_for_the_whole_journey():
    """
    One that joins a journey with its flow drains there too.
    """
    steps = [put("cart", KEYS[-1], NEW), define(together=True)]

    assert {(flow, side) for flow, side, _ in shown(*steps, together=False)} == {("cart", OLD), ("pay", OLD)}


def test_together_lowers_and_raises():
    """
    A journey that is switched to go together lowers its flows to the smallest dial; switched back, it raises them.
    """
    apart = [turn("cart", 50), turn("pay", 10), define(together=True)]

    assert ("cart", NEW, 4) in shown(*apart, together=False)
    assert ("cart", OLD, 5) in shown(*apart, define(together=False), together=False)


def test_a_flow_that_comes_into_a_journey_goes_with_its_visits():
    """
    A flow at a lower percentage lowers the journey; its own side too is held by the visits on their way.
    """
    steps = [turn("purchase", 50), define(flows=("cart", "pay", "browse"))]

    assert {(flow, side) for flow, side, version in shown(*steps) if version == 3} == {
        ("browse", NEW),
        ("cart", NEW),
        ("pay", NEW),
    }


def test_a_flow_that_has_left_drains_only_what_was_entered_before():
    """
    Changes of a flow that left its journey concern the visits that were entered until then.
    """
    book = book_of(turn("purchase", 50), define(flows=("cart",)), turn("pay", 10))

    (drain,) = [drain for drain in book.drains()["pay"] if drain.side is NEW]
    assert (drain.version, [stretch.ended for stretch in drain.stretches]) == (4, [(1, 3)])


def test_ttl_of_the_versions_before():
    """
    Each ttl counts up to the change that ended it, and only one that was longer than the later ones.
    """
    book = book_of(define(ttl=8), define(ttl=2), turn("purchase", 50), define(ttl=9), turn("purchase", 10), ttl=4)

    (raised,) = book_of(define(ttl=8), define(ttl=2), turn("purchase", 50), ttl=4).drains()["pay"]
    (lowered,) = [drain for drain in book.drains()["pay"] if drain.side is NEW]
    assert [(s.ended, s.ttl) for s in raised.stretches] == [((1, 3), 8 * HOURS), ((1, 4), 2 * HOURS)]
    assert [(s.ended, s.ttl) for s in lowered.stretches] == [((1, 6), 9 * HOURS)]
    assert lowered.stretches[-1].settled == lowered.at + LEASE


def test_adopt_drains_old():
    """
    Routers may have run another history, whose dials are not known: visits on OLD drain where the dials say NEW.
    """
    steps = [turn("purchase", 50), turn("purchase", 10), lambda s: changes.adopt(s, [7])]
    drains = book_of(*steps).drains()["pay"]

    assert [(drain.side, drain.version, drain.stretches[-1].ended) for drain in drains] == [(OLD, 4, (8, 4))]
    assert shown(lambda s: changes.adopt(s, [7])) == set()


def dead(seconds):
    """
    Give the verb that declares an instance dead, which was last seen so long after noon.
    """
    return lambda snapshot: changes.declare_dead(snapshot, "a" * 32, NOON + timedelta(seconds=seconds))


def test_the_dead_may_have_run_the_older_version_until_they_were_declared():
    """
    An instance that was last heard of before a change had come to it counts as running the older version until it was
    declared dead; one that was heard of later does not.
    """
    steps = [turn("purchase", 50), *[changes.freeze] * 30]

    (early,) = book_of(*steps, dead(0)).drains()["pay"]
    (late,) = book_of(*steps, dead(20)).drains()["pay"]
    assert early.stretches[-1].settled == NOON + timedelta(seconds=32)
    assert late.stretches[-1].settled == late.at + LEASE


def test_an_override_outlives_the_dial():
    """
    A key that an override put where the dial had it already has visits on the other side, from before the dial was
    raised: they drain also when the dial is back where it was.
    """
    steps = [turn("purchase", 50), put("pay", KEYS[2], NEW), turn("purchase", 0)]

    assert (OLD, 2) in {(side, version) for _, side, version in shown(*steps)}


def test_a_flow_that_comes_into_a_journey_follows_its_overrides():
    """
    A visit that is on OLD in one flow of a sticky journey takes a flow there that comes in when the journey goes
    together, although an override of another flow then holds for all.
    """
    steps = [put("cart", KEYS[-1], NEW), define(flows=("cart", "pay", "browse"))]

    assert ("browse", OLD, 3) in shown(*steps, together=False)
