"""
Changes through a relay of flows whose mirrored writes have not reached both sides.
"""

import os
import subprocess
import sys
from datetime import timedelta
from http import HTTPStatus

import attrs
import pytest
from servers.relay import DEFINITION

from cutover.clock import utc_now
from cutover.core.backend import Backend
from cutover.core.changes import set_dial
from cutover.core.ledger import seal
from cutover.core.migration import Migration
from cutover.engines.registry import open_outbox, open_store
from cutover.errors import Refused, StoreError, Unavailable
from cutover.operations.control import control
from cutover.ports.outbox import Entry, Rule, State
from cutover.testing.store_helpers import until

ENTRY = Entry(
    migration="shop", flow="browse", write="list.add", lane="1", key='"user-1"', side=Backend.NEW, arguments="[[],{}]"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request, tmp_path):
    """
    A store that holds the migration `shop`, with a dial at 10%.
    """
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/store.db" if is_sqlite else request.getfixturevalue("postgresql_url")
    with control(url, actor="rina") as opened:
        opened.apply(Migration.parse(DEFINITION))
        opened.set("browse", 10, reason="begin")
    return url


def holding(relay):
    """
    Wait until a relay has read its store.
    """
    assert until(lambda: relay.get("/v1/migrations/shop/snapshot")[0] == HTTPStatus.OK)
    return relay


def leave_behind(place):
    """
    Leave one write that OLD lacks.
    """
    outbox = open_outbox(place)
    outbox.create()
    outbox.register("shop", Rule(flow="browse", name="list.add"))
    intent = outbox.record(ENTRY, "first", 60)
    outbox.put_back(attrs.evolve(intent, state=State.PENDING), 60.0)
    outbox.close()


def run(url, *arguments):
    """
    Run the command line over a store, and give its code and its complaints.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("CUTOVER_")}
    command = [sys.executable, "-W", "error", "-m", "cutover.cli", *arguments, "--store", url, "--reason", "on"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env, timeout=60)
    return done.returncode, done.stderr


def test_set_waits(serving, store_url):
    """
    A dial is not changed through a relay while a side lacks writes, as on the store itself: the same words and exit
    code. What moves nobody of the flow is done, and a rollback is.
    """
    leave_behind(store_url)
    relay = holding(serving(store_url))
    through, direct = (run(url, "set", "browse", "20") for url in (relay.url, store_url))
    other, rolled = run(relay.url, "set", "purchase", "20"), run(relay.url, "rollback", "browse")

    assert through == direct
    assert through[0] == 1
    assert "list.add: OLD lacks 1; allowed is a backlog of 0" in through[1]
    assert (other[0], rolled[0]) == (0, 0)
    with control(store_url) as opened:
        assert opened.snapshot().version == 4


def test_nobody_writes(serving, store_url):
    """
    Before anybody mirrors a write, dials are changed through a relay as ever, and no outbox is made.
    """
    relay = holding(serving(store_url))
    with control(relay.url, actor="rina") as opened:
        opened.set("browse", 20, reason="on")
    outbox = open_outbox(store_url)
    with pytest.raises(Unavailable) as caught:
        outbox.shortfalls("shop")
    outbox.close()

    assert caught.value.missing


def test_outbox_of_its_own(serving, shop_url, tmp_path):
    """
    An outbox beside the store is named to the relay; what cannot be read there lets no dial be changed, and a rollback
    be done.
    """
    path = tmp_path / "outbox.db"
    with control(shop_url, actor="rina") as direct:
        direct.set("browse", 10, reason="begin")
    leave_behind(f"sqlite:///{path}")
    relay = holding(serving(shop_url, "--outbox", f"sqlite:///{path}"))
    with control(relay.url, actor="rina") as opened:
        with pytest.raises(Refused) as caught:
            opened.set("browse", 20, reason="on")
        path.write_text("no database, and long enough to be taken for none" * 20)
        with pytest.raises(StoreError, match="is not an SQLite database"):
            opened.set("browse", 20, reason="on")
        opened.rollback("browse", reason="errors")

        assert caught.value.details == ("list.add: OLD lacks 1; allowed is a backlog of 0",)
        assert opened.history()[-1].verb == "rollback"


def test_relay_behind_a_relay(serving, shop_url):
    """
    What the last relay refuses is refused with the same words through those before it.
    """
    leave_behind(shop_url)
    last = holding(serving(shop_url, name="last"))
    first = holding(serving(last.url, name="first"))
    with control(first.url, actor="rina") as opened, pytest.raises(Refused, match="keys of browse may not") as caught:
        opened.set("browse", 20, reason="on")

    assert caught.value.details == ("list.add: OLD lacks 1; allowed is a backlog of 0",)


@pytest.mark.parametrize("verb", ["rollback", "adopt"])
def test_what_calls_itself_a_rollback(serving, shop_url, verb):
    """
    A change that sends keys to NEW is refused whatever a client says that it is.
    """
    leave_behind(shop_url)
    relay = holding(serving(shop_url))
    with control(relay.url, actor="rina") as opened:
        before = opened.snapshot()
    proposal = attrs.evolve(set_dial(before, "browse", 50_000), verb=verb)
    change, after = seal(proposal, at=utc_now() + timedelta(seconds=1), actor="x", reason="x", ticket="", schema="1.0")
    store = open_store(relay.url)
    with pytest.raises(Refused, match="keys of browse may not move while a side lacks writes"):
        store.append("shop", expect=before.head, head=after.head, change=change.encode(), snapshot=after.encode())
    store.close()
