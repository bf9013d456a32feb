"""
Cells: exact under threads, and one for everything that can happen.
"""

import threading

from hypothesis import given
from hypothesis import strategies as st
from turns import taking_turns

from cutover.core.backend import Backend, Reason
from cutover.core.checkin import Kind
from cutover.router.counting import OUTCOMES, Bypass, FlowCells, VisitCells

BY_KEY = ("override", "cohort", "percent", "no_key")


def bypassed(cells: FlowCells) -> dict[str, int]:
    """
    Give what was counted as bypassed, by journey.
    """
    return {c.counted.flow: c.total for c in cells if c.counted.kind is Kind.VISITS}


def test_one_cell_for_each_thing_counted():
    """
    Every decision, load test and outcome has one cell, and none that cannot happen has.
    """
    counted = [cell.counted for cell in FlowCells("pay")]

    assert len(set(counted)) == len(counted)
    assert {c.detail for c in counted if c.kind is Kind.REQUESTS} == set(Reason)
    assert {c.detail for c in counted if c.kind is Kind.CALLS} == set(OUTCOMES)
    assert not any(c.backend == Backend.NEW and c.detail in ("default", "no_key", "home_unknown") for c in counted)


def test_counting_answers():
    """
    Taking a tick gives the backend of its cell, and adds one to its total.
    """
    for cell in FlowCells("pay"):
        before = cell.total

        assert next(cell.ticks) is cell.backend
        assert cell.total - before == 1


def test_exact_under_threads():
    """
    No count is lost or doubled where threads take turns at every instruction, also while the total is read.
    """
    [cell, *_] = FlowCells("pay")
    seen = [cell.total]
    with taking_turns():
        threads = [threading.Thread(target=lambda: [next(cell.ticks) for _ in range(20_000)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            seen.append(cell.total)
        for thread in threads:
            thread.join()

    assert cell.total == 160_000
    assert seen == sorted(seen)


def test_one_cell_for_each_event():
    """
    Everything that can happen to a visit has one cell, which begins at zero.
    """
    cells = list(VisitCells("purchase"))

    assert {cell.counted for cell in cells} == {
        (Kind.VISITS, "purchase", "", event)
        for event in ("entered", "resumed", "renamed", "left", "expired", "evicted", "rejected")
    }
    assert len(cells) == 7
    assert not any(cell.total for cell in cells)


steps = st.lists(st.sampled_from(Reason) | st.sampled_from(("purchase", "look", None)), max_size=40)


@given(steps)
def test_bypassed_is_exact(taken):
    """
    While a flow is in a `together` journey, what a bare key decides counts as bypassed for it, and nothing else does;
    the count goes on where it stopped when the flow comes back, and is never counted for another journey.
    """
    cells = FlowCells("pay")
    expected: dict[str, int] = {}
    journey = None
    for step in taken:
        if isinstance(step, Reason):
            next(cells.decisions[Backend.OLD, step].ticks)
            if step in BY_KEY and journey is not None:
                expected[journey] += 1
        else:
            journey = step
            cells.watch_bypass(journey)
            if journey is not None:
                expected.setdefault(journey, 0)

        assert bypassed(cells) == expected


def test_bypassed_under_threads():
    """
    While requests are routed and the definition changes back and forth, the count never goes back, for any reader.
    """
    cells = FlowCells("pay")
    cell = cells.decisions[Backend.OLD, Reason.PERCENT]
    cells.watch_bypass("purchase")
    (bypass,) = (c for c in cells if c.counted.kind is Kind.VISITS)
    seen: list[list[int]] = [[], []]
    going_on = [True]

    def read(into: list[int]) -> None:
        while going_on[0]:
            into.append(bypass.total)

    routing = [threading.Thread(target=lambda: [next(cell.ticks) for _ in range(40_000)]) for _ in range(2)]
    reading = [threading.Thread(target=read, args=(into,)) for into in seen]
    with taking_turns():
        for thread in (*routing, *reading):
            thread.start()
        while any(thread.is_alive() for thread in routing):
            cells.watch_bypass(None)
            cells.watch_bypass("purchase")
        going_on[0] = False
        for thread in (*routing, *reading):
            thread.join()

    assert seen == [sorted(one) for one in seen]
    assert bypass.total <= cell.total == 80_000


class Interrupted:
    """
    A cell that is interrupted while it is read: another thread stops the counting and takes a tick, if it can.
    """

    def __init__(self) -> None:
        self.number = 1
        self.other: threading.Thread | None = None
        self.bypass = Bypass("purchase", (self,))

    @property
    def total(self) -> int:
        """
        Let the other thread go first, as far as it gets.
        """
        if self.other is None:
            self.other = threading.Thread(target=self.stop)
            self.other.start()
            self.other.join(0.1)
        return self.number

    def stop(self) -> None:
        """
        Stop the counting; then a request is routed.
        """
        self.bypass.watch(watched=False)
        self.number += 1


def test_bypassed_stops_while_it_is_read():
    """
    A reader that began before the counting stopped is told no more than those that come afterwards.
    """
    cell = Interrupted()
    cell.other = threading.current_thread()
    cell.bypass.watch(watched=True)
    cell.number, cell.other = 5, None
    seen = cell.bypass.total
    cell.other.join(10)

    assert (seen, cell.bypass.total, cell.number) == (4, 4, 6)


def test_bypassed_is_complete_while_nothing_changes():
    """
    Under threads, every bare key counts once as long as the flow stays in its journey.
    """
    cells = FlowCells("pay")
    cells.watch_bypass("purchase")
    with taking_turns():
        threads = [
            threading.Thread(target=lambda c=cell: [next(c.ticks) for _ in range(5_000)])
            for (_, reason), cell in cells.decisions.items()
            if reason in BY_KEY
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            cells.watch_bypass("purchase")
        for thread in threads:
            thread.join()

    assert bypassed(cells) == {"purchase": 5_000 * len(threads)}
