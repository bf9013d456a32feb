"""
Following a store: what is taken, what is kept, what is told; whatever the store does.
"""

import itertools
import threading

import attrs
import pytest
from routers import FIRST, SHOP, Parts, Script, ScriptedStore, after, events, reading
from strategies import NAME, SECRET, at, begun, definition_of, perform
from structlog.testing import capture_logs

from cutover.core import changes
from cutover.core.snapshot import Head
from cutover.errors import Corrupt, Unavailable
from cutover.router.background import follower as module
from cutover.router.background.cache import CachedCopy
from cutover.router.background.leftovers import Leftovers

SECOND = after(at("pay", 25_000))
FORK = after(at("pay", 30_000))
ADOPTED = perform(SHOP, [lambda s: changes.adopt(s, [s.head.version])])[1]


@pytest.fixture
def clock(monkeypatch):
    """
    A monotonic clock that a test puts forward.
    """
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


def stepped(parts: Parts, times: int = 1) -> list[str]:
    """
    Make steps, and name what was logged.
    """
    with capture_logs() as logs:
        for _ in range(times):
            parts.follower.step()
    return events(logs)


def test_the_first_snapshot_is_taken():
    """
    A router that has nothing takes what the store has, says so once, and is told that nothing changed afterwards.
    """
    parts = Parts(ScriptedStore(reading(FIRST)))

    assert stepped(parts, 3) == ["cutover.snapshot_applied"]
    assert parts.holding.snapshot == FIRST
    assert (parts.follower.store_up, parts.follower.regressed) == (True, False)


def test_newer_on_the_chain_is_taken():
    """
    A newer version is taken where the store's chain goes through what runs here, or where it keeps no chain.
    """
    for ancestor in (FIRST.head.hash, None):
        parts = Parts(Script(reading(FIRST), reading(SECOND, ancestor)))
        stepped(parts, 2)

        assert parts.holding.snapshot == SECOND


@pytest.mark.parametrize(
    ("mine", "answer"),
    [
        (SECOND, reading(FORK, FORK.head.hash)),
        (FIRST, reading(SECOND, "f" * 64)),
    ],
    ids=["same version", "newer version"],
)
def test_another_history_is_regressed_at_once(mine, answer):
    """
    Another hash at the version that runs here is another history: what runs is kept, and the log tells it once.
    """
    parts = Parts(Script(reading(mine), answer))
    stepped(parts)

    assert stepped(parts, 3) == ["cutover.regressed"]
    assert parts.holding.snapshot == mine
    assert (parts.follower.regressed, parts.follower.store_up) == (True, True)


def test_an_older_store_is_regressed_after_a_while(clock):
    """
    A store that is only older is a replica that is late, for ten seconds; then it is regressed.
    """
    parts = Parts(Script(reading(SECOND), reading(FIRST)))
    stepped(parts, 2)
    clock[0] += 9.9
    assert stepped(parts) == []
    assert not parts.follower.regressed

    clock[0] += 0.1
    assert stepped(parts, 2) == ["cutover.regressed"]
    assert (parts.follower.regressed, parts.holding.snapshot) == (True, SECOND)


def test_a_replica_that_catches_up_is_never_regressed(clock):
    """
    The ten seconds begin anew each time that the store was up to date in between.
    """
    parts = Parts(Script(reading(SECOND), reading(FIRST)))
    stepped(parts, 2)
    for _ in range(4):
        clock[0] += 9
        parts.follower.source.answers = [reading(SECOND), reading(FIRST)]
        assert stepped(parts, 2) == []
    assert not parts.follower.regressed


def test_an_older_store_does_not_lift_regressed(clock):
    """
    Between a forked store and an older one, a router stays regressed: nothing flaps.
    """
    parts = Parts(Script(reading(SECOND), reading(FORK, FORK.head.hash), reading(FIRST)))
    stepped(parts, 3)
    assert parts.follower.regressed

    parts.follower.source.answers = [reading(SECOND)]
    assert stepped(parts, 2) == ["cutover.on_chain_again"]
    assert not parts.follower.regressed


def test_a_higher_epoch_is_followed():
    """
    `adopt` heals: a higher epoch is followed whatever its version and its chain.
    """
    parts = Parts(Script(reading(SECOND), reading(FORK, FORK.head.hash), reading(ADOPTED, "f" * 64)))
    stepped(parts, 2)
    assert parts.follower.regressed

    stepped(parts)
    assert (parts.holding.snapshot, parts.follower.regressed) == (ADOPTED, False)


OTHER_HEAD = attrs.evolve(reading(SECOND), head=Head(1, 3, "e" * 64))
POISON = {
    "no JSON": attrs.evolve(reading(SECOND), document="{"),
    "empty": attrs.evolve(reading(SECOND), document=""),
    "blank fields": attrs.evolve(reading(SECOND), document="{}"),
    "unknown major": attrs.evolve(reading(SECOND), document=SECOND.encode().replace('"1.0"', '"9.0"')),
    "percent": attrs.evolve(reading(SECOND), document=SECOND.encode().replace("25000", "100001")),
    "no document": attrs.evolve(reading(SECOND), document=None),
    "another head": OTHER_HEAD,
    "another migration": reading(perform(definition_of("pay", name="other"), [at("pay", 1)])[1]),
    "error": Corrupt("file is not a database"),
    "mistake": ZeroDivisionError("ours"),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_poison_keeps_the_last_good(poison):
    """
    What cannot be a snapshot of this migration is refused: the last good one holds, and the log tells it once.
    """
    parts = Parts(Script(reading(FIRST), poison))
    stepped(parts)

    logged = stepped(parts, 3)
    assert logged in (["cutover.store_corrupt"], ["cutover.store_unavailable"])
    assert (parts.holding.snapshot, parts.follower.store_up) == (FIRST, False)

    parts.follower.source.answers = [reading(SECOND, FIRST.head.hash)]
    assert stepped(parts) == ["cutover.snapshot_applied", "cutover.store_answers_again"]
    assert (parts.holding.snapshot, parts.follower.store_up) == (SECOND, True)


def test_a_poisoned_start_leaves_everything_on_old():
    """
    Where nothing was ever read, poison changes nothing either.
    """
    parts = Parts(Script(POISON["percent"]))
    stepped(parts, 2)

    assert parts.version() is None
    assert not parts.holding.loaded.is_set()


def test_a_missing_migration_keeps_the_last_good():
    """
    A store without the migration is no 0%: what runs is kept, and the log tells it once.
    """
    parts = Parts(ScriptedStore(reading(SECOND), None))
    stepped(parts)

    assert stepped(parts, 3) == ["cutover.migration_missing"]
    assert parts.holding.snapshot == SECOND


def test_the_only_migration_is_found():
    """
    Without a name, the only migration of the store is followed, as soon as there is one.
    """
    parts = Parts(Script(reading(FIRST)), migration=None)
    parts.follower.source.names = ()
    assert stepped(parts, 2) == ["cutover.store_empty"]

    parts.follower.source.names = (NAME,)
    stepped(parts)
    assert (parts.follower.migration, parts.holding.snapshot) == (NAME, FIRST)


def test_several_migrations_want_a_name():
    """
    Without a name and with several migrations, nothing is loaded, and the log tells the names once.
    """
    parts = Parts(Script(reading(FIRST)), migration=None)
    parts.follower.source.names = ("other", NAME)
    with capture_logs() as logs:
        for _ in range(3):
            parts.follower.step()

    assert events(logs) == ["cutover.migration_unnamed"]
    assert logs[0]["migrations"] == "other, shop"
    assert parts.version() is None


def test_refused_check_ins_do_not_stop_following():
    """
    A store that is read-only for this process is up: its dials are followed, and the log tells the refusal once.
    """
    store = ScriptedStore(reading(FIRST))
    store.refuse = Unavailable("attempt to write a readonly database")
    parts = Parts(store)
    logged = []
    for _ in range(3):
        parts.follower._check_in_at = 0
        logged += stepped(parts)
    assert logged == ["cutover.snapshot_applied", "cutover.check_in_failed"]
    assert parts.follower.store_up

    store.refuse = None
    parts.follower._check_in_at = 0
    stepped(parts)
    assert [report.head for report in store.reports] == [FIRST.head]


def test_two_troubles_do_not_take_turns_in_the_log(clock):
    """
    Each trouble is told once while it lasts, also where there are two of them.
    """
    store = ScriptedStore(None)
    store.refuse = Unavailable("read-only")
    parts = Parts(store)
    logged = []
    for _ in range(4):
        clock[0] += 6
        logged += stepped(parts)

    assert sorted(logged) == ["cutover.check_in_failed", "cutover.migration_missing"]


def test_check_ins_are_due(clock):
    """
    A new version is told within half a second, and the process shows itself every five seconds.
    """
    store = ScriptedStore(reading(FIRST))
    parts = Parts(store)
    clock[0] += 1
    stepped(parts)
    clock[0] += 0.5
    stepped(parts)
    assert [report.sequence for report in store.reports] == [1]

    for _ in range(110):
        clock[0] += 0.1
        stepped(parts)
    assert [report.sequence for report in store.reports] == [1, 2, 3]


def test_check_ins_beside_a_damaged_snapshot(clock):
    """
    A router that cannot read what the store has goes on checking in with what it runs.
    """
    store = ScriptedStore(reading(FIRST), Corrupt("file is not a database"))
    parts = Parts(store)
    stepped(parts)
    clock[0] += 6
    stepped(parts)

    assert not parts.follower.store_up
    assert [report.head for report in store.reports][-1] == FIRST.head


def test_becoming_regressed_is_told_at_once(clock):
    """
    A router that becomes regressed says so in its next check-in, without waiting for it to be due.
    """
    store = ScriptedStore(reading(SECOND))
    parts = Parts(store)
    stepped(parts)
    clock[0] += 1
    stepped(parts)
    store.answers = [reading(FORK, FORK.head.hash)]
    stepped(parts)

    assert [(report.head, report.regressed) for report in store.reports][-1] == (SECOND.head, True)


def test_leaving_says_so_and_closes():
    """
    The last check-in has all that was counted, and the store is let go of.
    """
    store = ScriptedStore(reading(FIRST))
    parts = Parts(store)
    stepped(parts)
    parts.flow("browse").route("user-1")
    parts.follower.leave()

    assert store.reports[-1].closing
    assert sum(store.reports[-1].since_version.values()) == 1
    assert store.closed == 1


def test_leaving_leaves_a_borrowed_store_open():
    """
    A store object that the application made is closed by the application.
    """
    store = ScriptedStore(reading(FIRST))
    parts = Parts(store, borrowed=True)
    stepped(parts)
    parts.follower.leave()

    assert store.reports[-1].closing
    assert store.closed == 0


def test_leaving_a_store_that_refuses():
    """
    Where the last check-in is refused, it stays on disk, and the store is still let go of.
    """
    store = ScriptedStore(reading(FIRST))
    parts = Parts(store)
    stepped(parts)
    store.refuse = Unavailable("gone")
    with capture_logs() as logs:
        parts.follower.leave()

    assert events(logs) == ["cutover.last_check_in_failed"]
    assert store.closed == 1


def test_counts_of_an_earlier_process_are_delivered(tmp_path):
    """
    What an ending process could not deliver, the next one brings, once.
    """
    lost = ScriptedStore(reading(FIRST))
    ending = Parts(lost, leftovers=Leftovers(tmp_path, "shop"))
    stepped(ending)
    ending.flow("browse").route("user-1")
    lost.refuse = Unavailable("gone")
    ending.follower.leave()
    assert list(tmp_path.iterdir())

    store = ScriptedStore(reading(FIRST))
    parts = Parts(store, leftovers=Leftovers(tmp_path, "shop"))
    stepped(parts)
    parts.follower._check_in_at = 0
    stepped(parts)
    delivered = [report for report in store.reports if report.instance == ending.reporter.instance]
    assert [sum(map(sum, map(dict.values, report.minutes.values()))) for report in delivered] == [1]
    assert not list(tmp_path.iterdir())


def test_a_check_in_tells_what_was_run():
    """
    Each snapshot that requests were routed by stands in the check-in, also one that was followed by another at once.
    """
    parts = Parts(Script(reading(FIRST), reading(SECOND, FIRST.head.hash)))
    parts.follower.take(FIRST, SECRET, "cache")
    stepped(parts, 2)
    report = parts.reporter.check_in(SECOND.head, regressed=False)

    assert [ran[:2] for ran in report.ran] == [FIRST.head.order, SECOND.head.order]


def test_it_answers_for_an_earlier_process_before_that_is_closed(tmp_path):
    """
    The store hears what an ended process ran from the next one before it counts that process as closed.
    """
    lost = ScriptedStore(reading(FIRST))
    ending = Parts(lost, leftovers=Leftovers(tmp_path, "shop"))
    stepped(ending)
    ending.flow("browse").route("user-1")
    lost.refuse = Unavailable("gone")
    ending.follower.leave()

    store = ScriptedStore(reading(SECOND))
    parts = Parts(store, leftovers=Leftovers(tmp_path, "shop"))
    stepped(parts)
    parts.follower._check_in_at = 0
    stepped(parts)

    *before, last = store.reports
    assert (last.instance, last.closing) == (ending.reporter.instance, True)
    assert [ran[:2] for ran in before[-1].ran] == [FIRST.head.order, SECOND.head.order]


def test_the_copy_on_disk_is_kept_up():
    """
    Every snapshot that is taken from the store is also written to the copy on disk.
    """
    copy = _Copy()
    parts = Parts(Script(reading(FIRST), reading(SECOND, FIRST.head.hash)), cache=copy)
    stepped(parts, 3)

    assert copy.written == [(FIRST, SECRET), (SECOND, SECRET)]


class _Copy(CachedCopy):
    def __init__(self) -> None:
        self.written = []

    def write(self, snapshot, secret):
        self.written.append((snapshot, secret))


class Loop:
    """
    Runs a follower for some passes, and notes how long each pause between them may be.
    """

    def __init__(self, passes: int) -> None:
        self.left = passes
        self.pauses: list[float] = []

    def __call__(self, seconds: float) -> bool:
        """
        Note a pause, or end a pass.
        """
        if seconds:
            self.pauses.append(seconds)
            return False
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("kind", [Script, ScriptedStore])
def test_every_pass_waits(kind):
    """
    Between two reads there is a wait of the source, of a source without check-ins too: the loop never spins.
    """
    source = kind(reading(FIRST))
    parts = Parts(source)
    parts.follower.run(Loop(5))

    assert [seen for seen, _ in source.waits] == [FIRST.head] * 5
    assert all(0 < timeout <= module.POLL for _, timeout in source.waits[1:])


def test_a_regressed_router_waits_for_something_else():
    """
    While the store has another history, a wait is for something else than what the store has, or it would not last.
    """
    source = Script(reading(SECOND), reading(FORK, FORK.head.hash))
    Parts(source).follower.run(Loop(4))

    assert [seen for seen, _ in source.waits] == [SECOND.head] + [FORK.head] * 3


def test_a_missing_migration_is_waited_for():
    """
    While the store does not have the migration, a wait is for its first change.
    """
    source = Script(reading(SECOND), None)
    Parts(source).follower.run(Loop(3))

    assert [seen for seen, _ in source.waits] == [SECOND.head, None, None]


def test_a_failing_store_is_asked_ever_less(monkeypatch):
    """
    Pauses grow to two seconds at most, with full jitter, and begin anew after an answer.
    """
    monkeypatch.setattr(module.CHANCE, "uniform", lambda _, most: most)
    source = Script(*[Unavailable("gone")] * 8, reading(FIRST), Unavailable("gone"))
    loop = Loop(10)
    Parts(source).follower.run(loop)

    assert loop.pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0, 0.2]


@pytest.mark.parametrize("error", [Unavailable("gone"), ZeroDivisionError("ours")])
def test_a_failing_wait_pauses(error):
    """
    A source whose wait fails is paused for, and followed on.
    """
    source = Script(reading(FIRST), reading(SECOND, FIRST.head.hash))
    parts = Parts(source)

    def wait(migration, *, seen, timeout):
        raise error

    source.wait = wait
    loop = Loop(3)
    parts.follower.run(loop)

    assert len(loop.pauses) == 3
    assert parts.holding.snapshot == SECOND


def test_a_failing_log_does_not_stop_following(monkeypatch):
    """
    Where the application's log raises, the store is followed all the same.
    """
    import structlog

    def fail(*_):
        raise BrokenPipeError(32, "Broken pipe")

    parts = Parts(Script(Unavailable("gone"), None, reading(FIRST)))
    structlog.configure(processors=[fail])
    try:
        for _ in range(3):
            parts.follower.step()
    finally:
        structlog.reset_defaults()

    assert parts.holding.snapshot == FIRST


def test_versions_only_grow(clock):
    """
    Whatever order a store and its replicas answer in, what runs here never goes back.
    """
    dials = [at("pay", 10_000), at("pay", 20_000), at("pay", 30_000)]
    chain = [after(*dials[:number]) for number in range(4)]
    parts = Parts(Script(reading(FIRST)))
    for order in itertools.permutations(range(4)):
        seen = []
        for place in order:
            mine = parts.version() or 0
            ancestor = chain[mine - 1].head.hash if 0 < mine <= place + 1 else None
            parts.follower.source.answers = [reading(chain[place], ancestor)]
            parts.follower.step()
            seen.append(parts.version())
        assert seen == sorted(seen)
    assert parts.version() == 4


def test_waiting_ends_with_the_router():
    """
    A follower that waits in a store of this process is woken by the store's end.
    """
    from cutover.engines.memory.store import MemoryStore

    store = MemoryStore("follower-waits")
    parts = Parts(store)
    stop = threading.Event()
    thread = threading.Thread(target=parts.follower.run, args=(stop.wait,), daemon=True)
    thread.start()
    stop.set()
    store.close()
    thread.join(5)

    assert not thread.is_alive()


def test_a_first_apply_reaches_a_router_without_a_name():
    """
    A flow that a router learns with its first snapshot routes by it from then on.
    """
    snapshot = begun(definition_of("pay"))
    parts = Parts(Script(reading(snapshot)), migration=None)
    pay = parts.flow("pay")
    before = pay.decide("user-1").reason
    stepped(parts)

    assert (before, pay.decide("user-1").reason) == ("default", "percent")
