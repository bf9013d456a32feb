"""
The break-glass file, and the thread that looks after it and after the counts.
"""

import os

import pytest
from routers import FIRST, Parts, ScriptedStore, after, events, reading, samples
from strategies import at
from structlog.testing import capture_logs

from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.router.background.housekeeping import BreakGlass, Housekeeper

OLD, NEW = Backend.OLD, Backend.NEW


@pytest.fixture
def path(tmp_path):
    """
    Where the file is; nothing is there yet.
    """
    return tmp_path / "break-glass.toml"


@pytest.fixture
def parts():
    """
    The parts of a router that has every flow on NEW.
    """
    dials = [at("browse", PARTS), at("purchase", PARTS)]
    parts = Parts(ScriptedStore(reading(after(*dials))))
    parts.follower.step()
    return parts


@pytest.fixture
def glass(path, parts):
    """
    The watcher of that file.
    """
    return BreakGlass(path, parts.holding)


def looked(glass: BreakGlass) -> list[str]:
    """
    Look twice, and name what was logged.
    """
    with capture_logs() as logs:
        glass.look()
        glass.look()
    return events(logs)


def routes(parts: Parts) -> dict[str, str]:
    """
    Tell where each flow goes.
    """
    return {name: parts.flow(name).peek("user-1").backend.value for name in ("browse", "cart", "pay")}


def test_appears_changes_vanishes(glass, path, parts):
    """
    The file is obeyed as it is: when it appears, when it changes, and no longer when it is gone.
    """
    pay = parts.flow("browse")
    assert looked(glass) == []

    path.write_text('browse = "old"\n')
    assert looked(glass) == ["cutover.break_glass"]
    assert pay.decide("user-1")[1:3] == (OLD, "break_glass")

    path.write_text('browse = "new"\n')
    assert looked(glass) == ["cutover.break_glass"]
    assert pay.decide("user-1")[1:3] == (NEW, "break_glass")

    path.unlink()
    assert looked(glass) == ["cutover.break_glass"]
    assert pay.decide("user-1")[1:3] == (NEW, "percent")


def test_an_edit_that_leaves_time_and_size(glass, path, parts):
    """
    An edit is seen also where it leaves the file's time and size as they were.
    """
    path.write_text('browse = "new"')
    os.utime(path, (1, 1))
    glass.look()
    path.write_text('browse = "old"')
    os.utime(path, (1, 1))
    glass.look()

    assert routes(parts)["browse"] == "old"


@pytest.mark.parametrize("content", [b"browse = ", b'browse = "tiktok"', b"browse = 1", b"\xff", b"[browse]\na = 1"])
def test_wrong_content_keeps_the_last_good(glass, path, parts, content):
    """
    A file that cannot be read as lines keeps those that held, and the log tells it once.
    """
    path.write_text('browse = "old"')
    glass.look()
    path.write_bytes(content)
    assert looked(glass) == ["cutover.break_glass_wrong"]
    assert routes(parts)["browse"] == "old"

    path.write_text('browse = "old"')
    assert looked(glass) == []
    path.write_bytes(content)
    assert looked(glass) == ["cutover.break_glass_wrong"]


def test_a_folder_in_its_place(glass, path, parts):
    """
    What is there and cannot be read keeps the lines that held.
    """
    path.write_text('"*" = "old"')
    glass.look()
    path.unlink()
    path.mkdir()

    assert looked(glass) == ["cutover.break_glass_wrong"]
    assert set(routes(parts).values()) == {"old"}


def test_holds_for_a_whole_journey(glass, path, parts):
    """
    A line for one flow of a `together` journey holds for all of them, and for no other flow.
    """
    path.write_text('pay = "old"')
    glass.look()

    assert routes(parts) == {"browse": "new", "cart": "old", "pay": "old"}


def test_every_flow(glass, path, parts):
    """
    A line for "*" holds for every flow without a line of its own, also for one that is made later.
    """
    path.write_text('"*" = "old"\nbrowse = "new"')
    glass.look()

    assert routes(parts) == {"browse": "new", "cart": "old", "pay": "old"}
    assert parts.flow("unknown").decide("user-1")[1:3] == (OLD, "break_glass")


def test_without_a_snapshot(path):
    """
    The file is obeyed where nothing was ever read.
    """
    parts = Parts(ScriptedStore(reading(FIRST)))
    path.write_text('pay = "new"')
    BreakGlass(path, parts.holding).look()

    assert parts.flow("pay").decide("user-1")[1:3] == (NEW, "break_glass")


def test_stands_in_check_ins(glass, path, parts):
    """
    The store is told which lines a process obeys.
    """
    path.write_text('"*" = "old"\nbrowse = "new"')
    glass.look()
    parts.follower.leave()

    assert set(parts.follower.source.reports[-1].break_glass) == {"*", "browse"}


@pytest.fixture
def keeper(parts):
    """
    A housekeeper of those parts, without a break-glass file.
    """
    watcher = BreakGlass(None, parts.holding)
    return Housekeeper(watcher, parts.holding, parts.follower, parts.telemetry, parts.reporter, parts.notices)


def test_a_silent_store_is_down(keeper, parts, monkeypatch):
    """
    A store that has not answered for five seconds is shown as down, though no read has failed yet.
    """
    keeper.flush()
    assert samples(parts.registry, "cutover_store_up") == {(): 1}

    parts.follower.stepped -= 5.1
    keeper.flush()
    assert samples(parts.registry, "cutover_store_up") == {(): 0}


def test_notices_are_logged(keeper, parts):
    """
    What requests noticed is logged by this thread, once.
    """
    parts.flow("pay").route("user-1", home="lazada")
    with capture_logs() as logs:
        keeper.flush()
        keeper.flush()

    assert events(logs) == ["cutover.home_unknown"]


def test_a_mistake_does_not_end_the_thread(keeper, parts, monkeypatch):
    """
    Where one pass fails, the next is made, and the last check-in as well.
    """
    left = [3]
    failing = [True]

    def stopping(_):
        left[0] -= 1
        return left[0] < 0

    def harvest():
        if failing.pop() if failing else False:
            raise ZeroDivisionError("ours")

    monkeypatch.setattr(parts.reporter, "harvest", harvest)
    with capture_logs() as logs:
        keeper.run(stopping)

    assert "cutover.housekeeping_failed" in events(logs)
    assert parts.follower.source.reports[-1].closing
