"""
A call that changes something, with an idempotency key: its retry goes to the side that its first try went to, through
real homes, whatever the dial says by then.
"""

import asyncio
import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections import UserString
from uuid import UUID

import pytest
from circumstances import Desk
from strategies import short
from switching import NEW, OLD, Back, Place, as_async, called
from werkzeug.local import LocalProxy

import cutover
from cutover.core.backend import Reason
from cutover.core.bucketing import PARTS
from cutover.errors import ConfigurationError, Unavailable
from cutover.ports.homes import Sides
from cutover.router.compiled import Circumstances

NUMBERS = itertools.count()


@pytest.fixture(params=["sync", "async"])
def kind(request):
    """
    What makes a function of the kind that is tested.
    """
    return as_async if request.param == "async" else lambda function: function


@pytest.fixture(params=["sqlite", "memory"])
def homes(request, tmp_path):
    """
    A place of its own for homes.
    """
    url = f"sqlite:///{tmp_path}/homes.db" if request.param == "sqlite" else f"memory:attempts-{next(NUMBERS)}"
    with cutover.homes(url, migration="shop") as opened:
        yield opened


def attempt_of(_key, order):
    """
    Give the idempotency key of a call.
    """
    return order["attempt"]


def test_a_retry_goes_to_the_same_side(kind, homes):
    """
    After a timeout the outcome is unknown and surfaces; the retry goes to the same side after a rollback too.
    """
    place, old, new = Place(PARTS), Back("from old"), Back(TimeoutError("late"))
    charge = place.flow.switch(old=kind(old), new=kind(new), attempt=attempt_of, homes=homes)

    with pytest.raises(TimeoutError):
        called(charge, "user-1", {"attempt": "a-1"})
    place.move(0)
    new.answer = "from new"

    assert called(charge, "user-1", {"attempt": "a-1"}) == "from new"
    assert called(charge, "user-1", {"attempt": "a-2"}) == "from old"
    place.move(PARTS)
    assert called(charge, "user-1", {"attempt": "a-2"}) == "from old"
    assert place.counted("calls") == {("new", "unknown"): 1, ("new", "ok"): 1, ("old", "ok"): 2}
    assert place.counted("requests") == {
        ("new", "percent"): 1,
        ("new", "home"): 1,
        ("old", "percent"): 1,
        ("old", "home"): 1,
    }


def test_a_visit_that_moved(kind, homes):
    """
    A retry goes where its attempt went, also when its visit was moved to the other side meanwhile.
    """
    place, new = Place(PARTS, flow="pay"), Back("from new")
    charge = place.flow.switch(old=kind(Back("from old")), new=kind(new), attempt=attempt_of, homes=homes)
    desk = Desk(Circumstances(snapshot=place.parts.holding.snapshot))
    before, after = (desk.journey("purchase").enter("user-1", home=side) for side in ("new", "old"))

    assert called(charge, before, {"attempt": "a-1"}) == "from new"
    assert called(charge, after, {"attempt": "a-1"}) == "from new"
    assert called(charge, after, {"attempt": "a-2"}) == "from old"
    assert new.calls == [("user-1", {"attempt": "a-1"})] * 2


def test_without_an_attempt_nothing_is_claimed(kind, homes):
    """
    A call that has no idempotency key is routed as usual, and claims nothing.
    """
    place = Place(PARTS)
    charge = place.flow.switch(old=kind(Back(1)), new=kind(Back(2)), attempt=attempt_of, homes=homes)

    assert called(charge, "user-1", {"attempt": None}) == 2
    place.move(0)
    assert called(charge, "user-1", {"attempt": None}) == 1
    assert homes.counts() == {}


LONG = "é" * 300
HELD = {  # by attempt, the id of its home
    "a-1": "browse:a-1",
    "A 1 ": "browse:A 1 ",
    7: "browse:7",
    UUID(int=7): f"browse:{UUID(int=7)}",
    b"a-1": "browse:a-1",
    "lone \ud800": "browse:lone \ufffd",
    "x" * 505: f"browse:{'x' * 505}",
    "x" * 506: f"browse:sha256:{hashlib.sha256(b'x' * 506).hexdigest()}",
    LONG: f"browse:sha256:{hashlib.sha256(LONG.encode()).hexdigest()}",
    b"\xff": f"browse:sha256:{hashlib.sha256(bytes([255])).hexdigest()}",
}


@pytest.mark.parametrize("attempt", HELD, ids=short)
def test_what_may_be_an_attempt(kind, homes, attempt):
    """
    An idempotency key is whatever names somebody as a key, of any length, and its retry goes to the same side.
    """
    place = Place(PARTS)
    charge = place.flow.switch(old=kind(Back(1)), new=kind(Back(2)), attempt=attempt_of, homes=homes)

    assert called(charge, "user-1", {"attempt": attempt}) == 2
    place.move(0)
    assert called(charge, "user-1", {"attempt": attempt}) == 2
    assert homes.find("attempt", HELD[attempt]) is NEW
    assert homes.counts() == {"attempt": Sides(new=1)}


EMPTY = ["", b"", "   ", bytearray(), memoryview(b" "), UserString("")]
BLANK = [*EMPTY, LocalProxy(lambda: ""), LocalProxy(lambda: None)]


@pytest.mark.parametrize("attempt", BLANK, ids=short)
def test_a_blank_attempt(kind, homes, attempt):
    """
    A blank idempotency key is none, also behind a proxy: the call is routed as usual, and claims nothing that other
    calls would share.
    """
    place = Place(PARTS)
    charge = place.flow.switch(old=kind(Back(1)), new=kind(Back(2)), attempt=attempt_of, homes=homes)

    assert called(charge, "user-1", {"attempt": attempt}) == 2
    place.move(0)
    assert called(charge, "user-1", {"attempt": attempt}) == 1
    assert homes.counts() == {}


@pytest.mark.parametrize("attempt", [False, float("nan"), object(), ["a", None]], ids=short)
def test_what_is_no_attempt(kind, homes, attempt):
    """
    An object that names nobody stops the call before any back end is called; the error names its type.
    """
    place, backs = Place(PARTS), (Back(), Back())
    charge = place.flow.switch(old=kind(backs[0]), new=kind(backs[1]), attempt=attempt_of, homes=homes)

    with pytest.raises(ConfigurationError, match=f"^attempt gave a {type(attempt).__name__}, which names no attempt; "):
        called(charge, "user-1", {"attempt": attempt})

    assert [back.calls for back in backs] == [[], []]
    assert place.counted("calls") == place.counted("requests") == {}


def test_attempts_of_two_flows(kind, homes):
    """
    One idempotency key is one attempt in each flow, and holds no side of another flow.
    """
    terms = {"old": kind(Back(OLD)), "new": kind(Back(NEW)), "attempt": attempt_of, "homes": homes}
    pay, refund = (Place(dial, flow=flow).flow.switch(**terms) for flow, dial in (("browse", PARTS), ("pay", 0)))

    for attempt in ("a-1", 42, LONG):
        assert called(pay, "user-1", {"attempt": attempt}) is NEW
        assert called(refund, "user-1", {"attempt": attempt}) is OLD
    assert homes.counts() == {"attempt": Sides(old=3, new=3)}


@pytest.mark.parametrize("function", [attempt_of, lambda *_: 1 / 0])
def test_an_attempt_that_cannot_be_told(kind, homes, function):
    """
    Where the idempotency key cannot be told, no back end is called, and the caller learns why.
    """
    place, backs = Place(PARTS), (Back(), Back())
    charge = place.flow.switch(old=kind(backs[0]), new=kind(backs[1]), attempt=function, homes=homes)

    with pytest.raises((KeyError, ZeroDivisionError)):
        called(charge, "user-1", {})

    assert [back.calls for back in backs] == [[], []]
    assert place.counted("calls") == place.counted("requests") == {}


def test_a_place_that_is_away(kind, tmp_path):
    """
    Where homes cannot be reached, the call is not made on either side, and the caller gets `Unavailable`.
    """
    place, backs = Place(PARTS), (Back(), Back())
    with cutover.homes(f"sqlite:///{tmp_path}/nowhere/homes.db", migration="shop") as away:
        charge = place.flow.switch(old=kind(backs[0]), new=kind(backs[1]), attempt=attempt_of, homes=away)

        with pytest.raises(Unavailable):
            called(charge, "user-1", {"attempt": "a-1"})

    assert [back.calls for back in backs] == [[], []]
    assert place.counted("calls") == place.counted("requests") == {}


def test_tries_at_once(homes):
    """
    Of many tries of one attempt at once, with the dial moving, all reach one side.
    """
    place, old, new = Place(50_000), Back(OLD), Back(NEW)
    charge = place.flow.switch(old=as_async(old), new=as_async(new), attempt=attempt_of, homes=homes)

    async def tries():
        running = []
        for number in range(20):
            place.move(PARTS if number % 2 else 0)
            running.append(asyncio.ensure_future(charge(f"user-{number}", {"attempt": "a-1"})))
            await asyncio.sleep(0)
        return await asyncio.gather(*running)

    assert len(set(asyncio.run(tries()))) == 1
    assert homes.find("attempt", "browse:a-1") is not None
    assert {reason for _, reason in place.counted("requests")} <= {Reason.PERCENT, Reason.HOME}


HANGS = """
import asyncio, json, sys, threading, time
import cutover

with cutover.control("memory:shop", actor="test") as control:
    control.apply(cutover.Migration.load(sys.argv[1]))
    control.set("browse", 0, shadow=100, reason="test")
router = cutover.connect("memory:shop")
assert router.wait_ready(30)
browse = router.flow("browse")
asked = threading.Event()

def hang(key):
    asked.set()
    while True:
        time.sleep(3600)

async def at_once(key):
    return 1

async def hang_later(key):
    asked.set()
    await asyncio.Event().wait()

if sys.argv[2] == "threads":
    answer = browse.switch(old=lambda key: 1, new=hang, safe=True, noise=0)("user-1")
    assert asked.wait(30)
else:
    async def main():
        answer = await browse.switch(old=at_once, new=hang_later, safe=True, noise=0)("user-1")
        while not asked.is_set():
            await asyncio.sleep(0)
        return answer
    answer = asyncio.run(main())
if sys.argv[3] == "closed":
    router.close()
print(json.dumps({"answer": answer, "at": time.time()}), flush=True)
"""


@pytest.mark.parametrize("ends", ["closed", "left"])
@pytest.mark.parametrize("work", ["threads", "tasks"])
def test_a_process_ends_while_shadows_hang(tmp_path, work, ends):
    """
    A process ends by itself, and without an error, although the other side never answers in the background.
    """
    (tmp_path / "cutover.toml").write_text('name = "shop"\nold = "a"\nnew = "b"\n[flows.browse]\n')
    told = subprocess.run(
        [sys.executable, "-c", HANGS, tmp_path / "cutover.toml", work, ends],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
    )

    assert (told.returncode, "Traceback" in told.stderr) == (0, False)
    assert json.loads(told.stdout.splitlines()[-1])["answer"] == 1
