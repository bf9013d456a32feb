"""
Reports that an ending process leaves for the next one.
"""

from datetime import UTC, datetime

import pytest
from routers import FIRST, ScriptedStore, events, reading
from structlog.testing import capture_logs

from cutover.core.checkin import CheckIn
from cutover.errors import Unavailable
from cutover.router.background.leftovers import Leftovers

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
REPORT = CheckIn(instance="a" * 32, sequence=7, at=NOON, host="web-1", pid=17, started=NOON, library="1", closing=True)


def nobody(report):
    """
    Listen to nothing.
    """


@pytest.fixture
def store():
    """
    A store that takes check-ins.
    """
    return ScriptedStore(reading(FIRST))


def test_is_delivered_once(tmp_path, store):
    """
    A report that was kept is delivered as it was, and then taken away.
    """
    left = Leftovers(tmp_path / "cache", "shop")
    left.keep(REPORT)
    left.deliver(store, "shop", nobody)
    left.deliver(store, "shop", nobody)

    assert store.reports == [REPORT]


def test_each_report_is_told_before_it_is_delivered(tmp_path, store):
    """
    Whoever delivers hears of a report while the store does not count its process as closed yet.
    """
    left = Leftovers(tmp_path, "shop")
    left.keep(REPORT)
    heard = []
    left.deliver(store, "shop", lambda report: heard.append((report, list(store.reports))))

    assert heard == [(REPORT, [])]


def test_stays_until_it_is_taken(tmp_path, store):
    """
    Where the store refuses it, a report stays for the next attempt.
    """
    left = Leftovers(tmp_path, "shop")
    left.keep(REPORT)
    store.refuse = Unavailable("gone")
    with pytest.raises(Unavailable):
        left.deliver(store, "shop", nobody)

    store.refuse = None
    left.deliver(store, "shop", nobody)
    assert store.reports == [REPORT]


def test_of_other_stores_stay(tmp_path, store):
    """
    What was counted for another store or migration is not delivered to this one.
    """
    Leftovers(tmp_path, "other").keep(REPORT)
    Leftovers(tmp_path, "shop").deliver(store, "shop", nobody)

    assert store.reports == []
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_one_is_dropped(tmp_path, store):
    """
    A file that is no report is taken away, with a warning.
    """
    left = Leftovers(tmp_path, "shop")
    left.keep(REPORT)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    with capture_logs() as logs:
        left.deliver(store, "shop", nobody)

    assert events(logs) == ["cutover.report_corrupt"]
    assert not list(tmp_path.iterdir())


def test_a_disk_that_refuses(tmp_path, store):
    """
    A report that cannot be kept, or not be taken away, is a warning and no error.
    """
    (tmp_path / "cache").write_text("")
    left = Leftovers(tmp_path / "cache", "shop")
    with capture_logs() as logs:
        left.keep(REPORT)
        left.drop(REPORT)

    assert events(logs) == ["cutover.report_not_kept", "cutover.report_not_removed"]
