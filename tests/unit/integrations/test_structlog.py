"""
The application's own log lines say which back end a call is with.
"""

import asyncio

import pytest
import structlog

import cutover.testing
from cutover.integrations.structlog import add_backend


@pytest.fixture(name="lines")
def _lines():
    """
    Give what an application logs that uses the processor.
    """
    capture = structlog.testing.LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[add_backend, capture])
    yield capture.entries
    structlog.configure(**before)


def plain(line):
    """
    Give a line without its level.
    """
    return {name: value for name, value in line.items() if name != "log_level"}


def test_inside_a_switch_and_outside(lines):
    """
    A line inside of a call names flow, back end and version; one outside names nothing.
    """
    log = structlog.get_logger()
    router = cutover.testing.router(pay="new", cart="old")

    def charge(key):
        log.info("charged")

    router.flow("pay").switch(old=charge, new=charge)("user-1")
    router.flow("cart").switch(old=charge, new=charge)("user-1")
    log.info("done")

    assert [plain(line) for line in lines] == [
        {"event": "charged", "flow": "pay", "backend": "new", "version": 1},
        {"event": "charged", "flow": "cart", "backend": "old", "version": 1},
        {"event": "done"},
    ]


def test_inside_a_mirrored_write(lines):
    """
    Each of the two calls of a mirrored write names its own side, sync and async.
    """
    log = structlog.get_logger()

    def add(key, *, sequence):
        log.info("added")

    async def put(key, *, sequence):
        await asyncio.sleep(0)
        log.info("put")

    router = cutover.testing.router(cart="new")
    router.flow("cart").write(name="add", old=add, new=add, refused=LookupError)("user-1")
    asyncio.run(router.flow("cart").write(name="put", old=put, new=put, refused=LookupError)("user-1"))
    log.info("done")
    router.close()

    assert [(line["event"], line.get("flow"), line.get("backend")) for line in lines] == [
        *(("added", "cart", side) for side in ("new", "old")),
        *(("put", "cart", side) for side in ("new", "old")),
        ("done", None, None),
    ]


def test_after_a_failure(lines):
    """
    A call that raised leaves nothing behind for the lines after it.
    """
    router = cutover.testing.router(pay="new")

    def fail(key):
        raise LookupError(key)

    with pytest.raises(LookupError):
        router.flow("pay").switch(old=fail, new=fail)("user-1")
    with pytest.raises(LookupError), router.flow("pay").request("user-1"):
        fail("user-1")
    structlog.get_logger().info("done")

    assert [plain(line) for line in lines] == [{"event": "done"}]


def test_what_a_line_says_itself_stays(lines):
    """
    A field that the application gave is not overwritten.
    """
    router = cutover.testing.router(pay="new")
    with router.flow("pay").request("user-1"):
        structlog.get_logger().info("charged", flow="mine")

    assert plain(lines[0]) == {"event": "charged", "flow": "mine", "backend": "new", "version": 1}


def test_tasks_do_not_mix(lines):
    """
    Calls of tasks that run side by side each name their own back end.
    """
    log = structlog.get_logger()
    router = cutover.testing.router(pay="new", cart="old")

    async def call(key):
        await asyncio.sleep(0)
        log.info(key)

    async def both():
        pay, cart = (router.flow(name).switch(old=call, new=call) for name in ("pay", "cart"))
        await asyncio.gather(pay("first"), cart("second"))

    asyncio.run(both())

    assert {line["event"]: line["backend"] for line in lines} == {"first": "new", "second": "old"}
