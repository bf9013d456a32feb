"""
Mirrored writes on the command line: what a side lacks, dead letters, and dials that wait.
"""

import json

import attrs
import pytest

from cutover.core.backend import Backend
from cutover.engines.registry import open_outbox
from cutover.ports.outbox import Entry, Rule, State


def entry(key, side=Backend.OLD):
    """
    Give something that a user wrote.
    """
    return Entry(
        migration="shop",
        flow="browse",
        write="list.add",
        lane=key[::-1],
        key=json.dumps(key),
        side=side,
        arguments='[["a secret wish"],{}]',
    )


@pytest.fixture
def outbox(shop):
    """
    The outbox in the shop's store, with a write on record.
    """
    assert shop.run("mirror", "init").returncode == 0
    one = open_outbox(shop.url)
    one.register("shop", Rule(flow="browse", name="list.add"))
    yield one
    one.close()


def lacking(outbox, key, state=State.UNDELIVERED, side=Backend.OLD):
    """
    Make something that a side lacks.
    """
    intent = attrs.evolve(
        outbox.record(entry(key, side), "first", 60), state=state, error=f"OSError: {key} has no route"
    )
    outbox.put_back(intent, 60.0)
    return intent.id


def test_a_write_that_no_process_builds(shop, outbox):
    """
    The status names a write that owes something and that no process has put on record, and no other.
    """
    lacking(outbox, "user-1")
    assert "no process builds" not in shop.run("mirror", "status").stderr

    left = outbox.record(attrs.evolve(entry("user-2"), write="list.drop"), "first", 60)
    assert "no process builds" not in shop.run("mirror", "status").stderr  # its call may still be under way
    outbox.put_back(attrs.evolve(left, state=State.PENDING), 60.0)

    assert "no process builds list.drop any more" in shop.run("mirror", "status").stderr
    assert {one["write"]: one["built"] for one in shop.json("mirror", "status")["writes"]} == {
        "list.add": True,
        "list.drop": False,
    }


def test_status(shop, outbox):
    """
    The status shows what is lacking and nothing of any user, as a table and as JSON.
    """
    dead = lacking(outbox, "user-1")
    lacking(outbox, "user-1", State.PENDING)
    shown = shop.run("mirror", "status")
    document = shop.json("mirror", "status")

    assert shown.returncode == 0
    assert "browse  list.add  2" in shown.stdout
    assert "undelivered" in shown.stdout
    assert (document["writes"][0]["backlog"], document["writes"][0]["new_lacks"]) == (2, 2)
    assert [one["id"] for one in document["dead"]] == [dead]
    for text in (shown.stdout, json.dumps(document)):
        assert "user-1" not in text
        assert "secret" not in text


def test_status_shows(shop, outbox):
    """
    With --show keys, arguments and errors are shown.
    """
    lacking(outbox, "user-1")
    shown = shop.run("mirror", "status", "--show", environment={"COLUMNS": "200"}).stdout
    (dead,) = shop.json("mirror", "status", "--show")["dead"]

    assert "a secret wish" in shown
    assert (dead["key"], dead["error"]) == ('"user-1"', "OSError: user-1 has no route")


def test_no_outbox_yet(shop):
    """
    Where nothing was ever written it is said, and nothing is made.
    """
    done = shop.run("mirror", "status")

    assert done.returncode == 3
    assert "has no outbox yet; make it with `cutover mirror init`" in done.stderr


def test_retry_and_drop(shop, outbox):
    """
    Dead letters are retried or dropped by their ids or all, and who did it stays on record.
    """
    first, second, third = (lacking(outbox, f"user-{number}") for number in range(3))
    retried = shop.run("mirror", "retry", str(first), "--reason", "route is back", "--actor", "rina")
    dropped = shop.json("mirror", "drop", str(second), "--reason", "refunded", "--yes")
    rest = shop.json("mirror", "retry", "--all", "--reason", "all others")
    acts = shop.json("mirror", "status")["acts"]

    assert (retried.returncode, retried.stdout) == (0, f"retried 1: {first}\n")
    assert dropped == {"dropped": [second]}
    assert rest == {"retried": [third]}
    assert [(act["verb"], act["ids"], act["reason"]) for act in acts] == [
        ("retry", [third], "all others"),
        ("drop", [second], "refunded"),
        ("retry", [first], "route is back"),
    ]
    assert acts[2]["actor"] == "rina"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("retry", "--reason", "x"), 2),
        (("retry", "1", "--all", "--reason", "x"), 2),
        (("retry", "1"), 2),
        (("retry", "1", "--reason", " "), 2),
        (("retry", "nothing", "--reason", "x"), 2),
        (("drop", "--all", "--reason", "x"), 2),
        (("drop", "77", "--reason", "x", "--yes"), 1),
        (("retry", "77", "--reason", "x"), 1),
        (("status", "--outbox", "redis://localhost"), 2),
        ((), 2),
    ],
)
def test_wrong(shop, outbox, arguments, code):
    """
    What cannot be meant, or is refused, exits so and leaves every dead letter as it was.
    """
    dead = lacking(outbox, "user-1")
    done = shop.run("mirror", *arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert [one.id for one in outbox.dead("shop", 10)] == [dead]


def test_set_waits(shop, outbox):
    """
    A dial is not changed while a side lacks writes: exit 1 with the figures. A rollback is, and says what OLD lacks.
    """
    assert shop.run("set", "browse", "10", "--reason", "begin").returncode == 0
    lacking(outbox, "user-1", State.PENDING, Backend.NEW)
    refused = shop.run("set", "browse", "20", "--reason", "on")
    tried = shop.run("set", "browse", "20", "--reason", "on", "--dry-run")
    other = shop.run("set", "purchase", "20", "--reason", "another flow")
    rolled = shop.run("rollback", "browse", "--reason", "errors")

    assert (refused.returncode, tried.returncode, other.returncode, rolled.returncode) == (1, 1, 0, 0)
    assert "list.add: OLD lacks 1; allowed is a backlog of 0" in refused.stderr
    assert "note: OLD lacks writes: list.add: OLD lacks 1" in rolled.stdout


def test_outbox_of_its_own(shop, tmp_path):
    """
    An outbox beside the store is found by --outbox and by CUTOVER_OUTBOX.
    """
    url = f"sqlite:///{tmp_path}/outbox.db"
    made = shop.json("mirror", "init", "--outbox", url)
    again = shop.run("mirror", "init", environment={"CUTOVER_OUTBOX": url})
    assert shop.run("set", "browse", "10", "--reason", "begin").returncode == 0
    outbox = open_outbox(url)
    lacking(outbox, "user-1")
    outbox.close()

    assert made == {"outbox": url}
    assert again.returncode == 0
    assert shop.run("set", "browse", "20", "--reason", "on", environment={"CUTOVER_OUTBOX": url}).returncode == 1
    assert shop.run("mirror", "status", "--outbox", url).returncode == 0
