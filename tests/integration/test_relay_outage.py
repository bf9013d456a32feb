"""
A relay whose store goes away, and a relay that goes away itself.
"""

import io
import json
import os
import signal

import pytest
from rich.console import Console

from cutover.cli.status_view import status_view
from cutover.core.backend import Backend
from cutover.core.migration import Migration
from cutover.engines.registry import open_store
from cutover.errors import OutcomeUnknown, StoreError, Unavailable
from cutover.operations.control import control
from cutover.router.connect import connect
from cutover.testing.store_helpers import PATIENCE, in_thread, report, until

SNAPSHOT = "/v1/migrations/shop/snapshot"


@pytest.fixture
def path(tmp_path, shop_url):
    """
    The file of the store, with browse at 100%.
    """
    with control(shop_url, actor="rina") as direct:
        direct.set("browse", 100, reason="done")
    return tmp_path / "shop.db"


@pytest.fixture
def relay(serving, path):
    """
    A relay that holds version 2.
    """
    relay = serving(f"sqlite:///{path}")
    assert until(lambda: relay.version() == 2)
    return relay


@pytest.fixture
def opened():
    """
    Open stores that are closed at the end.
    """
    stores = []

    def opening(url):
        stores.append(open_store(url))
        return stores[-1]

    yield opening
    for store in stores:
        store.close()


def lose(path):
    """
    Take the store away.
    """
    path.rename(path.with_suffix(".away"))


def bring_back(path):
    """
    Bring the store back.
    """
    path.with_suffix(".away").rename(path)


def ages(relay):
    """
    Give how old what is served is, and what the relay says of the store.
    """
    document = json.loads(relay.get(SNAPSHOT)[2])
    return document["age_ms"], json.loads(relay.get("/readyz")[2])


def is_away(relay):
    """
    Tell whether what is served is old, and the relay knows why: on a busy machine it is old before that.
    """
    age, ready = ages(relay)
    return age > 1500 and not ready["store_up"]


def test_store_away(relay, path, opened):
    """
    While the store is away the last known good is served with its age, writes and check-ins are refused as not done,
    and all of it goes on when the store is back.
    """
    store = opened(relay.url)
    seen = store.read("shop").head
    lose(path)
    assert until(lambda: is_away(relay))
    assert ages(relay)[1] == {"status": "ready", "store_up": False}
    for use in (
        lambda: store.check_in("shop", report("a" * 32), now=store.now()),
        lambda: store.history("shop"),
        lambda: store.fleet("shop"),
        lambda: control(store, actor="rina").set("browse", 50, reason="not now"),
    ):
        with pytest.raises((StoreError, OutcomeUnknown)):
            use()
    assert store.read("shop", seen=seen).ancestor == seen.hash

    bring_back(path)
    with control(store, actor="rina") as operator:
        assert until(lambda: _tried(lambda: operator.set("browse", 50, reason="again")))
    assert until(lambda: _tried(lambda: store.check_in("shop", report("a" * 32), now=store.now())))


def test_status_while_the_store_is_away(relay, path, opened):
    """
    Over a relay whose store is away, status and explain go on with the last dials, and say how old those are and what
    is not known; a change is refused as not done.
    """
    with control(opened(relay.url), actor="rina") as operator:
        before = operator.status()
        lose(path)
        assert until(lambda: is_away(relay))
        status = operator.status()

        assert (before.problem, status.version, status.last) == ("", before.version, before.last)
        assert status.age.total_seconds() > 1
        assert "cannot be" in status.problem or "does not exist" in status.problem
        assert "these dials were confirmed" in rendered(status_view(status, width=100))
        assert operator.explain("browse", "user-1").decision.backend is Backend.NEW
        with pytest.raises(Unavailable):
            operator.set("browse", 50, reason="not now")
    bring_back(path)


def rendered(view):
    """
    Draw something as a terminal shows it.
    """
    console = Console(width=100, file=io.StringIO())
    console.print(view)
    return console.file.getvalue()


def _tried(work):
    try:
        work()
    except StoreError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_restarted_without_store(relay, path, number, opened):
    """
    A relay that is started while its store is away serves what it held before, and tells readers of older versions
    that they are on its chain.
    """
    document = json.loads(relay.get(SNAPSHOT)[2])
    change = json.loads(opened(f"sqlite:///{path}").history("shop")[0])
    lose(path)
    relay.end(number)
    relay.start()
    again = json.loads(relay.get(SNAPSHOT)[2])

    assert [again[part] for part in ("head", "document", "secret")] == [
        document[part] for part in ("head", "document", "secret")
    ]
    assert again["confirmed_at"] <= document["confirmed_at"]
    query = f"epoch=1&version=1&hash={change['hash']}"
    assert json.loads(relay.get(f"{SNAPSHOT}?{query}")[2])["ancestor"] == change["hash"]
    assert relay.get("/readyz")[0] == 200


def test_never_had_data(serving, tmp_path, opened):
    """
    A relay that never reached its store lives, is not ready, and answers 503 with a time to come again.
    """
    relay = serving(f"sqlite:///{tmp_path}/none.db")

    answers = {path: relay.get(path)[:2] for path in ("/healthz", "/readyz", SNAPSHOT, "/v1/migrations")}
    assert {path: status for path, (status, _) in answers.items()} == {
        "/healthz": 200,
        "/readyz": 503,
        SNAPSHOT: 503,
        "/v1/migrations": 503,
    }
    assert answers[SNAPSHOT][1]["Retry-After"] == "1"
    with pytest.raises(Unavailable):
        opened(relay.url).read("shop")


def test_emptied_store(relay, path):
    """
    A store without the migration is never taken for one at 0%: what was held stays, and is not confirmed.
    """
    lose(path)
    with control(f"sqlite:///{path}", actor="rina") as other:
        definition = json.loads(json.loads(relay.get(SNAPSHOT)[2])["document"])["state"]["definition"]
        other.apply(Migration.from_document(definition | {"name": "another", "salt": "another"}))
    assert until(lambda: ages(relay)[0] > 1500)

    assert relay.version() == 2


def test_router_behind_a_relay(relay, path, tmp_path):
    """
    A router follows through a relay, checks in, goes on while the relay is down, and follows on when it is back.
    """
    router = connect(relay.url, migration="shop", cache=tmp_path / "cache")
    assert router.wait_ready(PATIENCE)
    browse = router.flow("browse")
    assert browse.route("user-1") is Backend.NEW
    with control(f"sqlite:///{path}", actor="rina") as direct:
        assert until(lambda: bool(direct.instances()))
        change = direct.set("browse", 0, reason="back")
        assert direct.wait(change, timeout=PATIENCE).is_complete
        assert browse.route("user-1") is Backend.OLD

        relay.end(signal.SIGKILL)
        direct.set("browse", 100, reason="on")
        assert browse.route("user-1") is Backend.OLD
        relay.start()
        assert until(lambda: browse.route("user-1") is Backend.NEW)
    router.close()


def test_frozen_relay(relay, opened):
    """
    A relay that is stopped in the middle ends calls after their own deadline, and close ends them at once.
    """
    store = opened(relay.url)
    head = store.read("shop").head
    waiter = in_thread(lambda: store.wait("shop", seen=head, timeout=60))
    assert until(lambda: b"cutover_relay_waiting 1.0" in relay.get("/metrics")[2])
    os.kill(relay.process.pid, signal.SIGSTOP)
    try:
        reader = in_thread(lambda: _tried(lambda: store.read("shop")))
        reader.join(0.3)
        assert reader.is_alive()
        store.close()
        for thread in (waiter, reader):
            thread.join(PATIENCE / 2)
            assert not thread.is_alive()
    finally:
        os.kill(relay.process.pid, signal.SIGCONT)


def test_end_with_waiting_clients(relay):
    """
    A relay that is asked to end answers those who wait, and ends without an error.
    """
    seen = json.loads(relay.get(SNAPSHOT)[2])["head"]
    query = f"epoch=1&version={seen['version']}&hash={seen['hash']}&wait=30"
    answers = []
    waiters = [in_thread(lambda: answers.append(relay.get(f"{SNAPSHOT}?{query}")[0])) for _ in range(50)]
    assert until(lambda: b"cutover_relay_waiting 50.0" in relay.get("/metrics")[2])

    assert relay.end(signal.SIGTERM) == 0
    for waiter in waiters:
        waiter.join(PATIENCE)
    assert answers == [200] * 50


def test_too_many_connections(serving, path):
    """
    Beyond the limit clients are asked to come again, and health is still told.
    """
    relay = serving(f"sqlite:///{path}", "--connections", "3")
    assert until(lambda: relay.version() == 2)
    seen = json.loads(relay.get(SNAPSHOT)[2])["head"]
    query = f"epoch=1&version={seen['version']}&hash={seen['hash']}&wait=30"

    def is_let_in():
        return relay.get(f"{SNAPSHOT}?{query}")[0] != 503  # connections of before may still be there

    waiters = [in_thread(lambda: until(is_let_in)) for _ in range(3)]
    assert until(lambda: b"cutover_relay_waiting 3.0" in relay.get("/metrics")[2])

    status, headers, _ = relay.get(SNAPSHOT)
    assert (status, headers["Retry-After"], headers["Connection"]) == (503, "1", "close")
    assert relay.get("/healthz")[0] == 200
    assert relay.end() == 0
    for waiter in waiters:
        waiter.join(PATIENCE)


def test_metrics(relay, opened):
    """
    A relay shows itself and, from the check-ins, the whole fleet.
    """
    store = opened(relay.url)
    store.check_in("shop", report("a" * 32, break_glass=("pay",)), now=store.now())

    def text():
        return relay.get("/metrics")[2].decode()

    assert until(lambda: 'cutover_relay_break_glass_instances{flow="pay",migration="shop"} 1.0' in text())
    for line in (
        'cutover_relay_store_up{migration="shop"} 1.0',
        'cutover_relay_version{migration="shop"} 2.0',
        'cutover_instances{migration="shop",state="behind"} 1.0',
    ):
        assert line in text()
