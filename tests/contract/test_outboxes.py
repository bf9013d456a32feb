"""
Every outbox, held to one contract.
"""

import itertools
import threading
from datetime import UTC, datetime

import attrs
import pytest

from cutover.core.backend import Backend
from cutover.engines.registry import open_outbox
from cutover.errors import Unavailable
from cutover.ports.outbox import Act, Entry, Rule, State

NUMBERS = itertools.count()
URLS = {
    "memory": lambda folder: f"memory:outbox-{next(NUMBERS)}",
    "sqlite": lambda folder: f"sqlite:///{folder}/outbox.db",
}
SERVERS = ("postgresql_url", "old_postgresql_url")
ADD = "cart cart.add"
ACT = Act(at=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), actor="rina", verb="drop", reason="wrong", ids=())
LONG = 3600.0


def entry(key="user-1", *, write="cart.add", flow="cart", migration="shop", side=Backend.OLD):
    """
    Give something to write.
    """
    return Entry(
        migration=migration, flow=flow, write=write, lane=f"lane-{key}", key=f'"{key}"', side=side, arguments="[[1],{}]"
    )


@pytest.fixture(params=[*URLS, *SERVERS])
def url(request, tmp_path):
    """
    A fresh place of each kind.
    """
    kind = request.param
    return request.getfixturevalue(kind) if kind in SERVERS else URLS[kind](tmp_path)


@pytest.fixture
def opened(url):
    """
    Open the place once more, as another process would.
    """
    outboxes = []

    def opening():
        outboxes.append(open_outbox(url))
        return outboxes[-1]

    yield opening
    for one in outboxes:
        one.close()


@pytest.fixture
def outbox(opened):
    """
    An outbox that is empty.
    """
    one = opened()
    one.create()
    return one


def pending(outbox, of, lease=LONG):
    """
    Record something that the authoritative side has and the other one lacks.
    """
    intent = attrs.evolve(outbox.record(of, "first", lease), state=State.PENDING)
    outbox.put_back(intent, 0.0)
    return intent


def taken(outbox, *writes, holder="second", lease=LONG, limit=100):
    """
    Take what is due.
    """
    return list(outbox.take("shop", writes or (ADD,), holder, lease, limit))


def test_not_made(opened):
    """
    A place that was never made says so in every method, and nothing is made by asking.
    """
    outbox = opened()
    asked = (
        lambda: outbox.record(entry(), "first", LONG),
        lambda: taken(outbox),
        lambda: outbox.shortfalls("shop"),
        outbox.transaction,
    )

    for ask in asked:
        with pytest.raises(Unavailable) as caught:
            ask()
        assert caught.value.missing


def test_made_twice(outbox, opened):
    """
    Making a place that is there changes nothing in it.
    """
    pending(outbox, entry())
    opened().create()

    assert [one.backlog for one in outbox.shortfalls("shop")] == [1]


def test_sequences(outbox):
    """
    The sequences of a flow and key count from 1 over all its writes, and each key and flow has its own.
    """
    given = [entry(), entry(write="cart.remove"), entry("user-2"), entry(flow="pay"), entry()]

    assert [outbox.record(one, "first", LONG).sequence for one in given] == [1, 2, 1, 1, 3]


def test_sequences_never_return(outbox):
    """
    A sequence is not used again when its intent is gone.
    """
    outbox.done(outbox.record(entry(), "first", LONG))

    assert outbox.record(entry(), "first", LONG).sequence == 2


def test_sequences_of_threads(outbox, opened):
    """
    Writes that come at once get sequences without gaps, none twice.
    """
    found = []

    def record(one):
        found.extend(one.record(entry(), "first", LONG).sequence for _ in range(20))

    threads = [threading.Thread(target=record, args=(opened(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == list(range(1, 81))


def test_behind(outbox):
    """
    An intent knows whether an earlier one of its key is undelivered, of whatever write.
    """
    first = outbox.record(entry(write="cart.remove"), "first", LONG)
    behind = outbox.record(entry(), "first", LONG)
    other = outbox.record(entry("user-2"), "first", LONG)
    outbox.done(first)
    outbox.done(behind)

    assert [first.is_behind, behind.is_behind, other.is_behind] == [False, True, False]
    assert not outbox.record(entry(), "first", LONG).is_behind


def test_whole(outbox, opened):
    """
    What is taken is to the letter what was recorded, also by another process.
    """
    hostile = attrs.evolve(entry(side=Backend.NEW), key='"\\u0000\\ud800 \\" \'; --"', arguments='[["%s \\\\"],{}]')
    recorded = pending(outbox, hostile)
    (found,) = taken(opened())

    assert found.entry == hostile
    assert (found.id, found.sequence, found.state, found.attempts) == (recorded.id, 1, State.PENDING, 0)


def test_order(outbox):
    """
    Only the first undelivered intent of a key is given; the next when that is out.
    """
    for key in ("user-1", "user-1", "user-2"):
        pending(outbox, entry(key))
    first = taken(outbox)
    for one in first:
        outbox.done(one)

    assert sorted((one.entry.key, one.sequence) for one in first) == [('"user-1"', 1), ('"user-2"', 1)]
    assert [(one.entry.key, one.sequence) for one in taken(outbox)] == [('"user-1"', 2)]


def test_held(outbox, opened):
    """
    What one process holds is given to no other, until its lease is over.
    """
    pending(outbox, entry())
    (held,) = taken(outbox)
    assert taken(opened()) == []
    outbox.renew([held.id], "second", -1.0)

    assert [one.id for one in taken(opened())] == [held.id]


def test_renewed_by_another(outbox):
    """
    A lease is renewed by its holder only.
    """
    pending(outbox, entry())
    (held,) = taken(outbox)
    outbox.renew([held.id], "third", -1.0)

    assert taken(outbox) == []


def test_calling(outbox):
    """
    A call that is under way is left alone; when its holder is gone, its outcome is unknown.
    """
    outbox.record(entry(), "first", LONG)
    assert taken(outbox) == []
    outbox.record(entry("user-2"), "first", -1.0)
    (found,) = taken(outbox, lease=-1.0)

    assert (found.entry.key, found.state) == ('"user-2"', State.UNKNOWN)
    assert [one.state for one in taken(outbox)] == [State.UNKNOWN]


def test_known_writes(outbox):
    """
    A process is given only the writes that it has; one that it lacks holds up its key and no other.
    """
    pending(outbox, entry(write="cart.remove"))
    pending(outbox, entry())
    pending(outbox, entry("user-2"))
    pending(outbox, entry("user-3", migration="other"))

    assert [one.entry.key for one in taken(outbox)] == ['"user-2"']
    assert [one.entry.write for one in taken(outbox, "cart cart.remove")] == ["cart.remove"]


def test_limit(outbox):
    """
    At most as many are given as were asked for.
    """
    for key in ("user-1", "user-2", "user-3"):
        pending(outbox, entry(key))

    assert [len(taken(outbox, limit=2)), len(taken(outbox, limit=2))] == [2, 1]


def test_put_back(outbox):
    """
    What is put back keeps its attempts and its error, and is not given before its pause is over.
    """
    intent = pending(outbox, entry())
    outbox.put_back(attrs.evolve(intent, attempts=3, error="ValueError: \0 no"), LONG)
    assert taken(outbox) == []
    outbox.put_back(attrs.evolve(intent, attempts=3, error="ValueError: no"), 0.0)
    (found,) = taken(outbox)

    assert (found.attempts, found.error) == (3, "ValueError: no")


def test_put_back_by_the_wrong_holder(outbox):
    """
    A process that lost its lease does not put back what another one holds or has delivered.
    """
    intent = pending(outbox, entry())
    taken(outbox, holder="third")
    outbox.put_back(attrs.evolve(intent, state=State.UNDELIVERED), 0.0, "second")
    assert outbox.dead("shop", 10) == []
    outbox.done(intent)
    outbox.put_back(intent, 0.0, "second")

    assert [one.backlog for one in outbox.shortfalls("shop")] == []


def test_put_back_anew(outbox):
    """
    A caller that knows of a write which another process held for undone makes its intent again, with its sequence.
    """
    intent = pending(outbox, entry())
    outbox.done(intent)
    outbox.put_back(intent, 0.0)
    (found,) = taken(outbox)

    assert (found.entry, found.sequence, found.state) == (intent.entry, 1, State.PENDING)


def test_shortfalls(outbox):
    """
    Backlog, dead letters and sides are counted for each write on record, without calls that are under way.
    """
    outbox.register("shop", Rule(flow="cart", name="cart.add", allowed_backlog=7, confirms=True))
    outbox.register("shop", Rule(flow="cart", name="cart.add", allowed_backlog=8))
    outbox.register("shop", Rule(flow="pay", name="pay.charge"))
    outbox.record(entry("user-1"), "first", LONG)
    outbox.record(entry("user-2"), "first", -1.0)
    pending(outbox, entry("user-3", side=Backend.NEW))
    dead = pending(outbox, entry("user-4"))
    outbox.put_back(attrs.evolve(dead, state=State.UNDELIVERED), 0.0)
    pending(outbox, entry("user-4"))
    cart, pay = outbox.shortfalls("shop")

    assert cart.rule == Rule(flow="cart", name="cart.add", allowed_backlog=8)
    assert (cart.backlog, cart.dead, cart.blocked) == (4, 1, 1)
    assert cart.lacks == {Backend.OLD: 1, Backend.NEW: 3}
    assert (pay.rule.name, pay.backlog, pay.dead, pay.oldest) == ("pay.charge", 0, 0, 0.0)
    assert outbox.shortfalls("other") == []


def test_a_write_that_is_not_on_record(outbox):
    """
    A write that no process has put on record is named all the same, also while its first call is under way.
    """
    outbox.record(entry(), "first", LONG)

    assert [(one.rule, one.backlog, one.seen) for one in outbox.shortfalls("shop")] == [
        (Rule(flow="cart", name="cart.add"), 0, None)
    ]


def test_under_way(outbox):
    """
    What some process delivers now is counted, until it is done, put back, or let go for too long.
    """
    for number in range(4):
        pending(outbox, entry(f"user-{number}"))
    lost, done, back = sorted(taken(outbox, limit=3), key=lambda one: one.id)
    outbox.record(entry("user-5"), "first", LONG)
    assert outbox.shortfalls("shop")[0].under_way == 3
    outbox.renew([lost.id], "second", -1.0)
    outbox.done(done)
    outbox.put_back(back, LONG)
    (only,) = outbox.shortfalls("shop")

    assert (only.under_way, only.backlog) == (0, 3)


def test_age(outbox):
    """
    The oldest intent's age is its own, also after it was put back anew.
    """
    intent = attrs.evolve(pending(outbox, entry()), age=100.0)
    outbox.done(intent)
    outbox.put_back(intent, 0.0)

    assert 100 <= outbox.shortfalls("shop")[0].oldest < 1000


def test_dead_letters(outbox):
    """
    A dead letter is given to nobody, holds up its key and no other, and goes on when an operator says so.
    """
    dead = attrs.evolve(pending(outbox, entry()), state=State.UNDELIVERED, attempts=20, error="OSError: no")
    outbox.put_back(dead, 0.0)
    pending(outbox, entry())
    pending(outbox, entry("user-2"))
    assert [one.entry.key for one in taken(outbox)] == ['"user-2"']
    assert [(one.id, one.state, one.error) for one in outbox.dead("shop", 10)] == [(dead.id, dead.state, dead.error)]
    revived = outbox.revive("shop", {dead.id: State.PENDING, dead.id + 1000: State.PENDING}, ACT)
    (found,) = taken(outbox)

    assert revived == [dead.id]
    assert (found.id, found.state, found.attempts) == (dead.id, State.PENDING, 0)


def test_dropped(outbox):
    """
    Only dead letters can be dropped; what followed them goes on, and who did it stays on record.
    """
    dead = attrs.evolve(pending(outbox, entry()), state=State.UNCONFIRMED)
    outbox.put_back(dead, 0.0)
    alive = pending(outbox, entry())
    dropped = outbox.drop("shop", [dead.id, alive.id], ACT)

    assert dropped == [dead.id]
    assert [one.id for one in taken(outbox)] == [alive.id]
    assert list(outbox.acts("shop", 10)) == [attrs.evolve(ACT, ids=(dead.id,))]


def test_acts(outbox):
    """
    An act that met no dead letter leaves no record; the latest of the others comes first.
    """
    for key in ("user-1", "user-2"):
        dead = attrs.evolve(pending(outbox, entry(key)), state=State.UNDELIVERED)
        outbox.put_back(dead, 0.0)
        outbox.revive("shop", {dead.id: State.PENDING}, attrs.evolve(ACT, verb="retry", reason=key))
    outbox.drop("shop", [12345], ACT)
    found = outbox.acts("shop", 10)

    assert [(act.verb, act.reason) for act in found] == [("retry", "user-2"), ("retry", "user-1")]
    assert len(outbox.acts("shop", 1)) == 1
    assert outbox.acts("other", 10) == []


def test_shared(outbox, opened):
    """
    Several processes share the work: each intent is given to one of them.
    """
    for number in range(40):
        pending(outbox, entry(f"user-{number}"))
    found = []

    def take(one, name):
        while batch := taken(one, holder=name, limit=3):
            found.extend(intent.id for intent in batch)

    threads = [threading.Thread(target=take, args=(opened(), f"holder-{number}")) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == len(set(found)) == 40


def test_seen(outbox):
    """
    It is known how long ago a process put a write on record; of one that is only undelivered, that none did.
    """
    outbox.register("shop", Rule(flow="cart", name="cart.add"))
    pending(outbox, entry(write="cart.remove"))
    add, remove = outbox.shortfalls("shop")

    assert 0 <= add.seen < 1000
    assert remove.seen is None
