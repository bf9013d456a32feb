"""
Check-ins: what was counted, in which minute, and by whom.
"""

from datetime import UTC, datetime, timedelta

import pytest

from cutover.core.checkin import TOO_LATE, add, minute_of
from cutover.router.counting import FlowCells
from cutover.router.reporting import Reporter
from cutover.testing.store_helpers import MIGRATION, write

NOON = datetime(2024, 3, 4, 12, 0, 30, tzinfo=UTC)
MINUTE = minute_of(NOON)


class Clock:
    """
    A wall clock that a test puts forward and back.
    """

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        """
        Tell the time.
        """
        return self.now


@pytest.fixture
def clock():
    """
    The clock at noon.
    """
    return Clock()


@pytest.fixture
def cells():
    """
    The cells of one flow.
    """
    return FlowCells("pay")


@pytest.fixture
def reporter(cells, clock):
    """
    A reporter of those cells.
    """
    return Reporter(lambda: cells, clock)


def count(cells: FlowCells, number: int) -> None:
    """
    Count some requests.
    """
    cell = next(iter(cells.decisions.values()))
    for _ in range(number):
        next(cell.ticks)


def by_minute(report) -> dict[int, int]:
    """
    Give the sums of a report by minute, from noon, without zeros.
    """
    sums = {minute - MINUTE: sum(totals.values()) for minute, totals in report.minutes.items()}
    return {minute: number for minute, number in sums.items() if number}


def made(reporter: Reporter):
    """
    Make a check-in.
    """
    return reporter.check_in(None, regressed=False)


def test_totals_are_cumulative(reporter, cells):
    """
    Within a minute each check-in has all that was counted in it.
    """
    count(cells, 2)
    first = made(reporter)
    reporter.acknowledge(first)
    count(cells, 3)

    assert [by_minute(first), by_minute(made(reporter))] == [{0: 2}, {0: 5}]


def test_an_acknowledged_minute_is_forgotten(reporter, cells, clock):
    """
    A minute that was over when the store took it is not sent again; one that the store did not take is.
    """
    count(cells, 2)
    made(reporter)
    clock.now += timedelta(minutes=1)
    count(cells, 3)
    second = made(reporter)
    assert by_minute(second) == {0: 2, 1: 3}

    reporter.acknowledge(second)
    assert by_minute(made(reporter)) == {1: 3}


def test_what_is_counted_after_a_report_is_not_forgotten(reporter, cells, clock):
    """
    What is counted between a check-in and its acknowledgement is in the next one.
    """
    count(cells, 2)
    report = made(reporter)
    count(cells, 4)
    reporter.harvest()
    reporter.acknowledge(report)
    clock.now += timedelta(minutes=1)

    assert by_minute(made(reporter)) == {0: 6}


@pytest.mark.parametrize("back", [1, 90, 3600, 86400])
def test_a_clock_that_is_put_back_loses_nothing(reporter, cells, clock, store, back):
    """
    Where the clock jumps back, a minute that the store has is not replaced by the little that is counted since.
    """
    for step in (60, 60, -back, 1, 60):
        count(cells, 100)
        report = made(reporter)
        store.check_in(MIGRATION, report, now=report.at)
        reporter.acknowledge(report)
        clock.now += timedelta(seconds=step)

    assert sum(store.fleet(MIGRATION).totals().values()) == 500


@pytest.fixture
def store(request):
    """
    A store of this test alone.
    """
    from cutover.stores.memory import MemoryStore

    store = MemoryStore(f"reporting-{abs(hash(request.node.name))}")
    write(store)
    return store


def test_counts_since_the_version(reporter, cells):
    """
    A new version counts from zero, beside the minutes that go on.
    """
    count(cells, 2)
    reporter.version_changed()
    count(cells, 3)
    report = made(reporter)

    assert (sum(report.since_version.values()), by_minute(report)) == (3, {0: 5})


def test_sequence_and_identity(reporter, cells):
    """
    Check-ins are numbered from 1 under one name of 128 random bits; a child process has another, and counts from zero.
    """
    count(cells, 2)
    reports = [made(reporter), made(reporter)]
    assert [report.sequence for report in reports] == [1, 2]
    assert len({report.instance for report in reports}) == 1
    assert len(bytes.fromhex(reports[0].instance)) == 16

    reporter.after_fork()
    child = made(reporter)
    assert child.instance != reports[0].instance
    assert (child.sequence, by_minute(child)) == (1, {})


def test_nothing_comes_after_the_last(reporter):
    """
    A check-in that another thread makes after the last one is a last one, too; a child process begins anew.
    """
    assert not made(reporter).closing
    assert reporter.check_in(None, regressed=False, closing=True).closing
    assert made(reporter).closing

    reporter.after_fork()
    assert not made(reporter).closing


def test_nothing_is_counted_twice(reporter, cells, clock):
    """
    Over many minutes and refused check-ins, the sum is what was counted.
    """
    for _ in range(10):
        count(cells, 7)
        reporter.harvest()
        report = made(reporter)
        clock.now += timedelta(seconds=31)

    assert sum(add(report.minutes.values()).values()) == 70


def test_memory_is_bounded(reporter, cells, clock):
    """
    What is too old for any store to take is not kept: a store that is away for ever costs a bounded memory.
    """
    longest = TOO_LATE // timedelta(minutes=1)
    for _ in range(longest + 60):
        count(cells, 1)
        reporter.harvest()
        clock.now += timedelta(minutes=1)

    assert len(made(reporter).minutes) <= longest + 1
