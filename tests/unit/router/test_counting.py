"""
Cells: exact under threads, and one for everything that can happen.
"""

import sys
import threading

from cutover.core.backend import Backend, Reason
from cutover.core.checkin import Kind
from cutover.router.counting import OUTCOMES, FlowCells


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
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [next(cell.ticks) for _ in range(20_000)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        seen = [cell.total]
        while any(thread.is_alive() for thread in threads):
            seen.append(cell.total)
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert cell.total == 160_000
    assert seen == sorted(seen)
