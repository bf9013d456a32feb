"""
Rolling back without the store: a relay's floor, from the command line to the routers and into the ledger.
"""

import json
import os
import signal
import subprocess
import sys

import pytest

from cutover.core.backend import Backend
from cutover.operations.control import control
from cutover.router.connect import connect
from cutover.testing.store_helpers import PATIENCE, until

SNAPSHOT = "/v1/migrations/shop/snapshot"


@pytest.fixture
def path(tmp_path, shop_url):
    """
    The file of the store, with everything on NEW.
    """
    with control(shop_url, actor="rina") as direct:
        direct.set("browse", 100, reason="done")
        direct.set("purchase", 100, reason="done")
    return tmp_path / "shop.db"


@pytest.fixture
def relay(serving, path):
    """
    A relay that holds version 3, whose store is away.
    """
    relay = serving(f"sqlite:///{path}")
    assert until(lambda: relay.version() == 3)
    path.rename(path.with_suffix(".away"))
    return relay


@pytest.fixture
def router(relay):
    """
    A router behind the relay, with everything on NEW.
    """
    router = connect(relay.url, migration="shop", cache="off")
    assert router.wait_ready(PATIENCE)
    assert {router.flow(flow).route("user-1") for flow in ("browse", "cart", "pay")} == {Backend.NEW}
    yield router
    router.close()


def bring_back(path):
    """
    Bring the store back.
    """
    path.with_suffix(".away").rename(path)


def command(relay, *arguments, token=None):
    """
    Run one command line, and give its code, its output and its complaints.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("CUTOVER_")}
    env |= {"CUTOVER_ACTOR": "budi", **({"CUTOVER_TOKEN": token} if token else {})}
    run = subprocess.run(
        [sys.executable, "-m", "cutover.cli", *arguments, "--store", relay if isinstance(relay, str) else relay.url],
        check=False,
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
    )
    return run.returncode, run.stdout, run.stderr


def sides(router):
    """
    Give where each flow goes.
    """
    return {flow: router.flow(flow).peek("user-1").backend.value for flow in ("browse", "cart", "pay")}


def test_from_the_call_to_the_ledger(relay, router, path):
    """
    A rollback reaches routers at once though the store is away, outlives the relay, goes into the ledger with who, why
    and when once the store is back, and stays until it is lifted.
    """
    code, said, _ = command(relay, "rollback", "pay", "--emergency", "--reason", "timeouts")
    assert (code, "held on OLD: cart, pay" in said, "not in the ledger yet" in said) == (0, True, True)
    assert until(lambda: sides(router) == {"browse": "new", "cart": "old", "pay": "old"})
    assert router.flow("pay").peek("user-1").reason == "break_glass"
    given = json.loads(command(relay, "emergency", "--json")[1])["emergencies"][0]

    relay.end(signal.SIGKILL)
    relay.start()
    assert json.loads(relay.get(SNAPSHOT)[2])["floor"] == ["cart", "pay"]
    code, _, problem = command(relay, "emergency", "clear")
    assert (code, "does not show the rollback yet" in problem) == (1, True)

    bring_back(path)
    with control(f"sqlite:///{path}", actor="rina") as direct:
        assert until(lambda: len(direct.history()) == 4)
        change = direct.history()[-1]
        assert [change.verb, change.actor, change.reason] == ["rollback", "budi", "timeouts"]
        assert change.document()["at"] == given["at"]
        assert direct.verify().ok
        assert until(lambda: direct.instances() and direct.instances()[0].break_glass == ("cart", "pay"))
        direct.set("purchase", 100, reason="mended", confirm=True)
        assert until(lambda: router.snapshot.version == 5)
        assert sides(router) == {"browse": "new", "cart": "old", "pay": "old"}

    assert until(lambda: command(relay, "emergency", "clear")[0] == 0)
    assert until(lambda: sides(router) == {"browse": "new", "cart": "new", "pay": "new"})
    assert command(relay, "emergency")[2] == "no emergency is held\n"


def test_all_flows_and_discard(relay, router):
    """
    Everything can be held at once; what the ledger never saw is lifted only on purpose.
    """
    assert command(relay, "rollback", "--all", "--emergency", "--reason", "breach")[0] == 0
    assert until(lambda: set(sides(router).values()) == {"old"})
    assert b'cutover_relay_floor{flow="browse",migration="shop"} 1.0' in relay.get("/metrics")[2]

    assert command(relay, "emergency", "clear", "--discard")[0] == 0
    assert until(lambda: set(sides(router).values()) == {"new"})


def test_a_relay_behind_a_relay(relay, serving):
    """
    A floor passes through relays that stand before the one which holds it.
    """
    outer = serving(relay.url, name="outer")
    assert until(lambda: outer.version() == 3)
    router = connect(outer.url, migration="shop", cache="off")
    assert router.wait_ready(PATIENCE)
    command(relay, "rollback", "browse", "--emergency", "--reason", "timeouts")

    assert until(lambda: sides(router) == {"browse": "old", "cart": "new", "pay": "new"})
    router.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rollback", "paid", "--emergency", "--reason", "x"), "no flow or journey 'paid'"),
        (("rollback", "pay", "--emergency", "--reason", ""), "reason is empty"),
        (("rollback", "pay", "--emergency", "--reason", "x", "--wait"), "goes without"),
        (("rollback", "pay", "--emergency", "--reason", "x", "--dry-run"), "goes without"),
    ],
)
def test_wrong_calls(relay, arguments, says):
    """
    What cannot be meant is one clear error, and nothing is held.
    """
    code, _, problem = command(relay, *arguments)

    assert code in (1, 2)
    assert says in problem
    assert json.loads(relay.get("/v1/migrations/shop/emergency")[2])["emergencies"] == []


def test_no_relay(shop_url):
    """
    A store that is no relay holds no emergency, and the error names what does.
    """
    code, _, problem = command(shop_url, "rollback", "pay", "--emergency", "--reason", "x")

    assert (code, "is no relay" in problem, "break-glass file" in problem) == (2, True, True)
