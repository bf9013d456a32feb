"""
What one flow of a journey remembers of drains.
"""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from strategies import NOON

from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.core.drain_part import Drain, Part, Step, Stretch
from cutover.core.ledger import Change

NEW, OLD = Backend.NEW, Backend.OLD

parts = st.integers(0, 4).map(lambda quarter: quarter * PARTS // 4)
levels = st.builds(lambda flow, staff: {None: flow, **staff}, parts, st.dictionaries(st.just("staff"), parts))
turns = st.lists(st.tuples(levels, st.sampled_from([(), ("cart",), ("pay",)])), max_size=8)


def change(version):
    """
    Give a change, of which a part looks at nothing but its version and when it was made.
    """
    return Change(
        migration="shop",
        version=version,
        at=NOON + timedelta(minutes=version),
        actor="rina",
        reason="as planned",
        ticket="",
        verb="set",
        arguments={},
        effects={},
        previous="",
        hash="",
    )


def stretches(turned):
    """
    Give the stretch that a change ends.
    """
    return (Stretch((1, turned.version), turned.at, timedelta(hours=4)),)


def steps_of(given_turns):
    """
    Give the steps of turns, in their order.
    """
    return [Step(change(version), *turn) for version, turn in enumerate(given_turns, 1)]


@given(start=levels, given_turns=turns, cut=st.integers(0, 8))
def test_at_once_or_one_by_one(start, given_turns, cut):
    """
    Several turns at once leave what they leave one after the other.
    """
    steps, part = steps_of(given_turns), Part(level=start)

    at_once = part.turned("cart", steps, stretches)

    assert part.turned("cart", steps[:cut], stretches).turned("cart", steps[cut:], stretches) == at_once


@given(start=parts, given_turns=turns)
def test_a_drain_stays_until_the_dial_is_back(start, given_turns):
    """
    A turn drains one side as long as the dial stays away, on NEW also until an eviction; nothing else drains.
    """
    steps = steps_of([({None: level[None]}, evicted) for level, evicted in given_turns])
    values = [start, *(step.level[None] for step in steps)]
    expected = set()
    for step, before, after in zip(steps, values, values[1:], strict=False):
        side = NEW if after < before else OLD
        later = values[step.change.version :]
        stays = max(later) < before if side is NEW else min(later) > before
        is_evicted = side is NEW and any("cart" in one.evictions for one in steps[step.change.version - 1 :])
        if after != before and stays and not is_evicted:
            expected.add((side, step.change.version, before))

    part = Part(level={None: start}).turned("cart", steps, stretches)

    assert {(drain.side, drain.version, drain.level) for drain in part.all()} == expected


@given(versions=st.lists(st.integers(1, 9), min_size=1), side=st.sampled_from(Backend))
def test_the_last_override_accounts_for_those_before(versions, side):
    """
    Of the drains that overrides made towards one side the newest stays, whatever order they come in.
    """
    part = Part(level={None: 0})
    for version in versions:
        part = part.named(Drain.after(change(version), side, 0, stretches(change(version))))

    assert [drain.version for drain in part.by_name] == [max(versions)]
