"""
`cutover serve` as a process, asked over HTTP.
"""

import json

import attrs
import pytest

from cutover.core.snapshot import Head
from cutover.engines.registry import open_store
from cutover.errors import Conflict, Refused, Unavailable
from cutover.operations.control import control
from cutover.server.access import Role, new_token
from cutover.testing.store_helpers import PATIENCE, in_thread, report, until

SNAPSHOT = "/v1/migrations/shop/snapshot"


@pytest.fixture
def relay(serving, shop_url):
    """
    A relay in front of a migration at version 1, which it holds.
    """
    relay = serving(shop_url)
    assert until(lambda: relay.get(SNAPSHOT)[0] == 200)
    return relay


def query_of(document):
    """
    Give what a reader says that runs an answered snapshot.
    """
    head = document["head"]
    return f"epoch={head['epoch']}&version={head['version']}&hash={head['hash']}"


def test_verbs(relay, shop_url):
    """
    Every verb works through a relay as on the store itself, and the ledger that comes of it verifies there.
    """
    with control(relay.url, actor="rina") as opened:
        opened.set("browse", 25, reason="week 1")
        opened.override("pay", "user-1", "new", reason="tester")
        opened.freeze(reason="holiday")
        with pytest.raises(Refused, match="frozen"):
            opened.set("browse", 50, reason="no")
        opened.rollback("pay", reason="timeouts")
        through = opened.verify(), opened.history_texts(), opened.snapshot(), opened.durability
    with control(shop_url, actor="rina") as direct:
        assert through == (direct.verify(), direct.history_texts(), direct.snapshot(), direct.durability)
        assert direct.verify().ok


def test_another_writer(relay, shop_url):
    """
    What is written beside the relay reaches who waits at it, and a stale writer is told so.
    """
    store = open_store(relay.url)
    seen = store.read("shop").head
    waiter = in_thread(lambda: store.wait("shop", seen=seen, timeout=10 * PATIENCE))
    with control(shop_url, actor="rina") as direct:
        direct.set("browse", 25, reason="week 1")
    waiter.join(PATIENCE)

    assert not waiter.is_alive()
    with control(relay.url, actor="budi") as late, pytest.raises(Conflict):
        late.set("browse", 50, reason="stale", expect=1)
    store.close()


def test_etag(relay):
    """
    A plain poll with the last ETag is answered without a body, until there is something new.
    """
    _, headers, _ = relay.get(SNAPSHOT)
    tag = {"If-None-Match": headers["ETag"]}
    assert [relay.get(SNAPSHOT, **tag)[0], relay.get(SNAPSHOT, **tag)[2]] == [304, b""]

    with control(relay.url, actor="rina") as opened:
        opened.set("browse", 25, reason="week 1")
    assert relay.get(f"{SNAPSHOT}?wait=30", **tag)[0] == 200


def test_long_poll(relay):
    """
    A reader that is current waits as long as it asked and gets no document, and its own hash as the ancestor.
    """
    first = json.loads(relay.get(SNAPSHOT)[2])
    status, _, body = relay.get(f"{SNAPSHOT}?wait=0.2&{query_of(first)}")
    again = json.loads(body)

    assert (status, again["head"], again["ancestor"]) == (200, first["head"], first["head"]["hash"])
    assert "document" in first
    assert "document" not in again


def test_many_wait(relay):
    """
    Hundreds wait on one process without a thread each, and all of them are woken by one change.
    """
    first = json.loads(relay.get(SNAPSHOT)[2])
    answers = []

    def wait():
        answers.append(json.loads(relay.get(f"{SNAPSHOT}?wait=30&{query_of(first)}")[2])["head"]["version"])

    waiters = [in_thread(wait) for _ in range(200)]
    assert until(lambda: b"cutover_relay_waiting 200.0" in relay.get("/metrics")[2])
    with control(relay.url, actor="rina") as opened:
        opened.set("browse", 25, reason="week 1")
    for waiter in waiters:
        waiter.join(PATIENCE)

    assert answers == [2] * 200


def test_forged_change(relay, shop_url):
    """
    A change that leads elsewhere than its effects say is refused, whatever the client claims, and nothing is written.
    """
    with control(shop_url, actor="rina") as direct:
        before = direct.snapshot()
    store = open_store(relay.url)
    head = Head(1, 2, "f" * 64)
    forged = attrs.evolve(before, head=head, dials={**before.dials, "pay": 100_000})
    with pytest.raises(Refused):
        store.append("shop", expect=before.head, head=head, change="{}", snapshot=forged.encode())

    assert store.read("shop").head == before.head
    assert len(store.history("shop")) == 1
    store.close()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/migrations/other/snapshot", 404, "no_migration"),
        ("/v1/migrations/OTHER/snapshot", 404, "no_migration"),
        ("/nowhere", 404, "not_found"),
        (f"{SNAPSHOT}?wait=31", 400, "invalid"),
        (f"{SNAPSHOT}?wait=nan", 400, "invalid"),
        (f"{SNAPSHOT}?version=1", 400, "invalid"),
        (f"{SNAPSHOT}?epoch=1&version=0&hash={'a' * 64}", 400, "invalid"),
        ("/v1/migrations/shop/changes?after=-1", 400, "invalid"),
        ("/v1/migrations/shop/changes?after=%C2%B2", 400, "invalid"),
    ],
)
def test_wrong_questions(relay, path, status, code):
    """
    A question that cannot be meant has one clear answer.
    """
    answered, _, body = relay.get(path)

    assert (answered, json.loads(body)["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"x", 400),
        (b"[]", 400),
        (b'{"report":{}}', 400),
        (b"[" * 100_000, 400),
        (b'{"report":' + report("forged").encode().encode() + b"}", 400),
        (b" " * (1024 * 1024 + 1), 413),
    ],
)
def test_wrong_check_ins(relay, shop_url, body, status):
    """
    A body that is no check-in, is too large or names a forged instance is refused, and nothing is booked.
    """
    assert relay.get("/v1/migrations/shop/check-ins", method="POST", body=body)[0] == status
    store = open_store(shop_url)
    assert store.fleet("shop").instances == ()
    store.close()


def test_check_ins_are_dated_by_the_store(relay):
    """
    What a client says that the time is moves nothing: a forged date could fold the minutes of others.
    """
    body = f'{{"now":"2099-01-01T00:00:00.000000Z","report":{report("a" * 32).encode()}}}'
    assert relay.get("/v1/migrations/shop/check-ins", method="POST", body=body)[0] == 204
    store = open_store(relay.url)
    (instance,) = store.fleet("shop").instances

    assert abs((instance.at - store.now()).total_seconds()) < 3600
    store.close()


def test_large_header(relay):
    """
    A header beyond the limit is refused.
    """
    assert relay.get(SNAPSHOT, **{"X-Long": "a" * 20_000})[0] == 400


def test_roles(serving, shop_url, tmp_path):
    """
    Viewers read without the secret, routers get it and check in, operators change, and only admins adopt.
    """
    held = {role: new_token(role, role.name.lower()) for role in Role}
    file = tmp_path / "tokens"
    file.write_text("\n".join(str(token) for _, token in held.values()))
    relay = serving(shop_url, "--tokens", str(file))
    body = f'{{"report":{report("a" * 32).encode()}}}'

    def ask(role, path, **more):
        return relay.get(path, Authorization=f"Bearer {held[role][0]}", **more)

    assert until(lambda: ask(Role.ADMIN, SNAPSHOT)[0] == 200)
    assert {role: "secret" in json.loads(ask(role, SNAPSHOT)[2]) for role in Role} == {
        role: role >= Role.ROUTER for role in Role
    }
    assert {role: ask(role, "/v1/migrations/shop/check-ins", method="POST", body=body)[0] for role in Role} == {
        role: 204 if role >= Role.ROUTER else 403 for role in Role
    }
    assert [relay.get(path)[0] for path in (SNAPSHOT, "/metrics", "/healthz", "/readyz")] == [401, 401, 200, 200]
    assert [written(relay, held[role][0], "set") for role in Role] == [False, False, True, True]
    assert [written(relay, held[role][0], "adopt") for role in Role] == [False, False, False, True]


def written(relay, token, verb):
    """
    Tell whether a token lets its holder do something.
    """
    with control(relay.url.replace("://", f"://:{token}@"), actor="rina") as opened:
        try:
            if verb == "adopt":
                opened.adopt(reason="restored")
            else:
                opened.set("browse", 1, reason="on")
        except Refused:
            return False
    return True


def test_wrong_token(relay, serving, shop_url, tmp_path):
    """
    A token that the relay does not know is one clear error, and the token stands nowhere in it.
    """
    _, token = new_token(Role.ADMIN, "rina")
    file = tmp_path / "tokens"
    file.write_text(str(token))
    guarded = serving(shop_url, "--tokens", str(file), name="guarded")
    store = open_store(guarded.url.replace("://", "://:s3cret@"))
    with pytest.raises(Unavailable, match="a token that the relay knows") as caught:
        store.read("shop")

    assert "s3cret" not in f"{caught.value}{store.url}"
    store.close()
