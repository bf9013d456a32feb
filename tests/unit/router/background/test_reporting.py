"""
Check-ins: what was counted, in which minute, and by whom.
"""

from datetime import UTC, datetime, timedelta

import pytest

from cutover.core.checkin import MOST_RAN, TOO_LATE, CheckIn, Ran, add, minute_of
from cutover.core.snapshot import Head
from cutover.router.background.reporting import Reporter
from cutover.router.counting import FlowCells
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
    from cutover.engines.memory.store import MemoryStore

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


def test_counts_of_flows_that_a_version_leaves_alone(reporter, cells):
    """
    A new version that leaves a flow as it was counts on for it.
    """
    count(cells, 2)
    reporter.version_changed(kept={"pay"})
    count(cells, 3)

    assert sum(made(reporter).since_version.values()) == 5


class Elapsed:
    """
    A monotonic clock that a test puts forward.
    """

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """
        Tell the seconds.
        """
        return self.seconds


@pytest.fixture
def elapsed():
    """
    The monotonic clock of the reporter that tells what it ran.
    """
    return Elapsed()


@pytest.fixture
def running(cells, clock, elapsed):
    """
    A reporter by a monotonic clock.
    """
    return Reporter(lambda: cells, clock, elapsed)


def version(number: int, epoch: int = 1) -> Head:
    """
    Give the head of a version.
    """
    return Head(epoch, number, f"{number:064x}")


def ran(reporter: Reporter, head: Head | None = None) -> list[tuple[int, int, float]]:
    """
    List the versions that a check-in tells, each with the seconds since it was begun with.
    """
    told = reporter.check_in(head, regressed=False).ran
    return [(one.epoch, one.version, one.age.total_seconds()) for one in told]


def test_versions_that_it_ran(running, elapsed, clock):
    """
    A check-in tells the versions that were run and how long ago each was begun with, whatever the wall clock does.
    """
    assert ran(running) == []
    running.began(version(4))
    elapsed.seconds += 10
    clock.now -= timedelta(days=1)
    running.began(version(7))
    running.began(version(7))
    elapsed.seconds += 5

    assert ran(running) == [(1, 4, 15.0), (1, 7, 5.0)]
    assert ran(running, version(2, epoch=2)) == [(1, 4, 15.0), (1, 7, 5.0), (2, 2, 0.0)]


def test_only_the_last_versions_are_told(running):
    """
    The list is bounded: the oldest versions go.
    """
    for number in range(1, MOST_RAN + 3):
        running.began(version(number))

    told = ran(running)
    assert (len(told), told[0][1], told[-1][1]) == (MOST_RAN, 3, MOST_RAN + 2)


def test_a_version_that_is_left_for_an_older_one_is_not_run(running):
    """
    Versions always go up in what is told: one that was given up for an older one is not run any more.
    """
    for number in (3, 9, 5):
        running.began(version(number))

    assert [one for _, one, _ in ran(running)] == [3, 5]


def test_a_child_process_ran_only_what_it_began_with(running, elapsed):
    """
    After a fork an instance of its own has run the last version, from then on.
    """
    running.began(version(4))
    running.began(version(5))
    elapsed.seconds += 10
    running.after_fork()
    elapsed.seconds += 1

    assert ran(running) == [(1, 5, 1.0)]


def left_by(head: Head | None) -> CheckIn:
    """
    Give the last report of another process.
    """
    return CheckIn(instance="b" * 32, sequence=9, at=NOON, host="w", pid=1, started=NOON, library="1", head=head)


def test_it_answers_for_a_process_that_ended_unheard(running, elapsed):
    """
    What a process ran until it ended out of touch with the store counts as run here until its report is delivered.
    """
    running.heard_of(left_by(version(3)))
    assert ran(running) == []
    running.began(version(5))
    elapsed.seconds += 10
    running.began(version(7))
    elapsed.seconds += 10

    running.heard_of(left_by(None))
    running.heard_of(left_by(version(7)))
    assert ran(running) == [(1, 5, 20.0), (1, 7, 10.0)]
    running.heard_of(left_by(version(6)))
    assert ran(running) == [(1, 5, 20.0), (1, 7, 0.0)]
    elapsed.seconds += 1
    running.heard_of(left_by(version(3)))
    assert ran(running) == [(1, 3, 21.0), (1, 5, 0.0), (1, 7, 0.0)]


def test_a_tuple_of_what_was_run(running):
    """
    What is told is a value of its own, which later versions do not change.
    """
    running.began(version(4))
    report = running.check_in(None, regressed=False)
    running.began(version(5))

    assert report.ran == (Ran(1, 4, timedelta(0)),)


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
