"""
When what drains must be over: never before the last visit can be, and not long after it.
"""

from bisect import bisect_right
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import NOON

from cutover.core.backend import Backend
from cutover.core.checkin import LEASE, MOST_RAN, CheckIn, InstanceState, Ran
from cutover.core.drain import draining, reach
from cutover.core.drain_book import Drain, Stretch
from cutover.core.snapshot import Head
from cutover.core.visit import SKEW

SECOND = timedelta(seconds=1)
TTL = timedelta(hours=4)


def instance(name="a", *begun, at=NOON, **fields):
    """
    Make the report of an instance that began to run versions at some seconds after noon.
    """
    ran = tuple(Ran(1, version, at - (NOON + seconds * SECOND)) for version, seconds in begun)
    head = Head(1, begun[-1][0], "0" * 64) if begun else None
    base = {"sequence": 1, "at": at, "host": "web", "pid": 1, "started": NOON, "library": "1", "head": head, "ran": ran}
    return CheckIn(instance=name, **{**base, **fields})


def drain(version=5, *, side=Backend.NEW, stretches=None):
    """
    Make the drain of a change that was made at noon.
    """
    stretches = stretches or (Stretch((1, version), NOON + LEASE, TTL),)
    return Drain(side=side, version=version, at=NOON, stretches=stretches)


def only(drains, reports, states=None, *, now=NOON):
    """
    Give what drains in one flow.
    """
    return draining({"pay": drains}, reports, states or {}, now=now).get("pay", ())


@st.composite
def fleets(draw):
    """
    Instances that each ran some versions, one after the other.
    """
    reports = []
    for name in range(draw(st.integers(0, 4))):
        versions = sorted(draw(st.sets(st.integers(1, 9), max_size=6)))
        seconds = sorted(draw(st.lists(st.integers(0, 100), min_size=len(versions), max_size=len(versions))))
        reports.append(instance(str(name), *zip(versions, seconds, strict=True), at=NOON + 100 * SECOND))
    return reports


def ran_at(report, seconds):
    """
    Give the version that an instance ran at a moment; 0 for none.
    """
    begun = [(report.at - ran.age, ran.version) for ran in report.ran]
    index = bisect_right([since for since, _ in begun], NOON + seconds * SECOND)
    return begun[index - 1][1] if index else 0


@given(fleets(), st.integers(1, 9))
def test_no_instance_runs_an_older_version_later(reports, version):
    """
    After the moment that is given no instance runs an older version; just before it the last one did.
    """
    found = reach((1, version), reports)

    older = [
        second for second in range(101) for report in reports if 0 < ran_at(report, second) < version
    ]  # a second at which some instance ran an older version
    if found.missing:
        assert {report.instance for report in reports if 0 < ran_at(report, 100) < version} == set(found.missing)
    elif found.last is None:
        assert not older
    else:
        assert all(NOON + second * SECOND < found.last for second in older)


@given(fleets(), st.integers(1, 9), st.integers(1, 9))
def test_a_later_change_comes_later(reports, one, other):
    """
    Of two changes the later one comes to all instances no earlier, and misses all that the earlier one misses.
    """
    first, second = (reach((1, version), reports) for version in sorted((one, other)))

    assert set(first.missing) <= set(second.missing)
    if not second.missing and first.last is not None:
        assert second.last is not None
        assert first.last <= second.last


@given(fleets())
def test_whoever_tells_less_never_ends_a_drain_sooner(reports):
    """
    An instance whose list is full, or that has none, may have run what it does not tell.
    """
    order = (1, 9)
    for report in reports:
        cut = report.ran[-1:] * MOST_RAN
        full = attrs.evolve(report, ran=tuple(Ran(1, 9 - MOST_RAN + i, ran.age) for i, ran in enumerate(cut, 1)))
        if report.ran and report.ran[-1].version == 9:
            assert reach((1, 9 - MOST_RAN + 1), [full]).last == report.at - report.ran[-1].age
        assert reach(order, [attrs.evolve(report, ran=None)]).missing == (report.instance,)


def test_over_at_the_last_beginning_plus_ttl_and_skew():
    """
    The instance that began last with the change decides; one that never ran an older version does not count.
    """
    reports = [
        instance("a", (4, 0), (5, 20)),
        instance("b", (3, 0), (6, 40)),
        instance("c", (5, 90)),
        instance("d"),
    ]

    (found,) = only([drain()], reports)
    assert (found.until, found.waiting_for) == (NOON + 40 * SECOND + TTL + SKEW, ())


def test_without_instances_those_that_closed_count():
    """
    An instance that closed may have run the older version for a lease after the change.
    """
    (found,) = only([drain()], [])

    assert found.until == NOON + LEASE + TTL + SKEW


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (instance("a", (4, 0)), InstanceState.LOST),
        (instance("a", (4, 0)), InstanceState.BEHIND),
        (instance("a", (4, 0), (7, 1)), InstanceState.REGRESSED),
        (instance("a", (4, 0), (7, 1), regressed=True), InstanceState.LOST),
        (instance("a", (5, 1), ran=None), InstanceState.CURRENT),
    ],
    ids=["lost", "behind", "regressed", "regressed and lost", "does not say"],
)
def test_open_as_long_as_an_instance_may_not_run_it(report, state):
    """
    An instance that does not run the change, or another history, or does not say, keeps the drain open by name.
    """
    (found,) = only([drain()], [report, instance("b", (5, 1))], {"a": state}, now=NOON + 99 * TTL)

    assert (found.until, found.waiting_for) == (None, ("a",))


def test_one_that_is_lost_after_it_ran_the_change_keeps_nothing_open():
    """
    An instance that began to run the change before it fell silent counts with that moment.
    """
    (found,) = only([drain()], [instance("a", (4, 0), (5, 30))], {"a": InstanceState.LOST})

    assert found.until == NOON + 30 * SECOND + TTL + SKEW


def test_over_means_over():
    """
    At the moment that was told nothing drains any more.
    """
    end = NOON + LEASE + TTL + SKEW

    assert only([drain()], [], now=end - timedelta(microseconds=1))
    assert only([drain()], [], now=end) == ()


def test_an_earlier_and_longer_ttl():
    """
    Visits of a longer ttl than that of the versions just before the change decide, if they end later.
    """
    long = Stretch((1, 3), NOON - timedelta(hours=1), timedelta(hours=8))
    stretches = (long, Stretch((1, 5), NOON + LEASE, TTL))

    (found,) = only([drain(stretches=stretches)], [instance("a", (2, 0), (3, 10), (5, 20))])
    assert found.until == NOON + 10 * SECOND + timedelta(hours=8) + SKEW


def test_the_longest_of_each_side():
    """
    Of a flow's changes the one whose visits last longest is told, for each side; an open one before all.
    """
    many = [drain(5), drain(6), drain(7, side=Backend.OLD), drain(4, side=Backend.OLD)]
    reports = [instance("a", (3, 0), (5, 50), (6, 60))]

    found = only(many, reports)
    assert [(one.side, one.version, one.waiting_for) for one in found] == [
        (Backend.NEW, 6, ()),
        (Backend.OLD, 7, ("a",)),
    ]
