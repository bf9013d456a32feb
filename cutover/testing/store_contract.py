"""
What every store is held to. Needs pytest and hypothesis, which `cutover.testing` itself does not.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

import pytest

from cutover.core.snapshot import Head
from cutover.errors import Conflict, Unavailable
from cutover.ports.store import Durability, Reading, Store
from cutover.testing.fleet_contract import FleetContract
from cutover.testing.fork_contract import ForkContract
from cutover.testing.store_helpers import (
    MIGRATION,
    PATIENCE,
    SECRET,
    Place,
    check_in,
    head_of,
    in_thread,
    until,
    write,
    write_many,
)

__all__ = ["StoreContract"]

T = TypeVar("T")

NASTY: Final = "naïve 東京 \U0001f6d2 \x00 \x7f \u2028 'quotes' \"double\" \\ % ? :name \r\n\t"
MEGABYTES_10: Final = 10 * 1024 * 1024
WRITERS: Final = 4
ROUNDS: Final = 25


class StoreContract(FleetContract, ForkContract):
    """
    The contract as tests: a subclass defines the fixture `place` and inherits the rest.

    `place` is a callable that opens one more way into a fresh place, as another process would; each test gets a place
    of its own. What was opened is closed by the contract.
    """

    @pytest.fixture
    def opened(self, place: Place) -> Iterator[Place]:
        """
        Open as `place` does, and close at the end.
        """
        stores: list[Store] = []

        def opening() -> Store:
            stores.append(place())
            return stores[-1]

        yield opening
        for store in stores:
            store.close()

    @pytest.fixture
    def store(self, opened: Place) -> Store:
        """
        Open the place once.
        """
        return opened()

    def test_it_is_a_store(self, store: Store) -> None:
        """
        A store has every member of the protocol, a URL and a word for what its acknowledgement means.
        """
        assert isinstance(store, Store)
        assert store.durability in set(Durability)
        assert ":" in store.url

    def test_first_change(self, store: Store) -> None:
        """
        What the first change brings is read back whole.
        """
        head = write(store, change="the change", snapshot="the snapshot")

        expected = Reading(head=head, document="the snapshot", secret=SECRET)
        assert expected == store.read(MIGRATION)
        assert list(store.history(MIGRATION)) == ["the change"]
        assert list(store.migrations()) == [MIGRATION]

    @pytest.mark.parametrize("text", [NASTY, "", " ", "é" * 1000], ids=["nasty", "empty", "space", "long"])
    def test_to_the_letter(self, store: Store, text: str) -> None:
        """
        Changes and snapshots come back to the letter, whatever text they are.
        """
        write(store, change=text, snapshot=text)

        reading = store.read(MIGRATION)
        assert reading is not None
        assert text == reading.document
        assert [text] == list(store.history(MIGRATION))

    def test_large_document(self, store: Store) -> None:
        """
        A snapshot of 10 MB is kept as any other, and a check-in beside it leaves it alone.
        """
        large = "0123456789abcdeé" * (MEGABYTES_10 // 17)
        head = write(store, snapshot=large)
        check_in(store)

        reading = store.read(MIGRATION)
        assert reading == Reading(head=head, document=large, secret=SECRET)

    def test_any_secret(self, store: Store) -> None:
        """
        A secret is bytes, not text, and later changes do not replace it.
        """
        secret = bytes(range(256))
        head = write(store, secret=secret)
        write(store, head, secret=b"another")

        reading = store.read(MIGRATION)
        assert reading is not None
        assert secret == reading.secret

    def test_unknown_migration(self, store: Store) -> None:
        """
        A store that works says of a migration it does not have that there is none, in every method.
        """
        write(store)

        assert store.read("other") is None
        assert store.read("other", seen=head_of(1)) is None
        assert not store.history("other")
        assert not store.fleet("other").instances

    def test_several_migrations(self, store: Store) -> None:
        """
        Migrations do not see each other, and are named in order.
        """
        heads = {name: write(store, migration=name, snapshot=f"of {name}") for name in ("shop", "app", "b2b")}
        heads["app"] = write(store, heads["app"], migration="app", snapshot="newer app")

        assert list(store.migrations()) == ["app", "b2b", "shop"]
        assert {name: store.read(name) for name in heads} == {
            name: Reading(head=heads[name], document=document, secret=SECRET)
            for name, document in (("shop", "of shop"), ("app", "newer app"), ("b2b", "of b2b"))
        }

    def test_history_after(self, store: Store) -> None:
        """
        History is in order and begins after the version that was named.
        """
        write_many(store, 3)

        expected = ["change 1", "change 2", "change 3"]
        assert [expected[after:] for after in range(5)] == [list(store.history(MIGRATION, after=n)) for n in range(5)]

    def test_seen_the_same(self, store: Store) -> None:
        """
        A reader that is at the head gets no document, and its own hash as the ancestor.
        """
        head = write_many(store, 2)

        expected = Reading(head=head, document=None, secret=SECRET, ancestor=head.hash)
        assert expected == store.read(MIGRATION, seen=head)

    def test_ancestor(self, store: Store) -> None:
        """
        The ancestor is what the chain has at the reader's version, also where the reader has another hash or epoch
        there, and None for a version that it does not have.
        """
        write_many(store, 3)
        seen = {
            "older": head_of(2),
            "forked": head_of(2, branch="restored"),
            "forked at the head": head_of(3, branch="restored"),
            "another epoch": Head(9, 2, head_of(2).hash),
            "ahead": head_of(4),
        }

        readings = {name: store.read(MIGRATION, seen=head) for name, head in seen.items()}

        expected = {
            "older": head_of(2).hash,
            "forked": head_of(2).hash,
            "forked at the head": head_of(3).hash,
            "another epoch": head_of(2).hash,
            "ahead": None,
        }
        assert expected == {name: reading and reading.ancestor for name, reading in readings.items()}
        assert all(reading and reading.document == "snapshot 3" for reading in readings.values())

    @pytest.mark.parametrize(
        "expect",
        [None, head_of(1), head_of(3), head_of(2, branch="restored"), Head(2, 2, head_of(2).hash)],
        ids=["first", "older", "newer", "another hash", "another epoch"],
    )
    def test_stale_write(self, store: Store, expect: Head | None) -> None:
        """
        A write that expects another head raises Conflict, names both heads, and changes nothing.
        """
        head = write_many(store, 2)
        before = store.read(MIGRATION), store.history(MIGRATION)

        with pytest.raises(Conflict) as caught:
            write(store, expect, branch="stale")

        assert ("" if expect is None else str(expect), str(head)) == (caught.value.expected, caught.value.actual)
        assert before == (store.read(MIGRATION), store.history(MIGRATION))

    def test_write_to_nothing(self, store: Store) -> None:
        """
        A write that expects a head where there is no migration yet is a conflict.
        """
        write(store)

        with pytest.raises(Conflict):
            write(store, head_of(1), migration="other")

        assert store.read("other") is None

    @pytest.mark.parametrize(("expect", "version"), [(None, 2), (None, 0), (head_of(1), 1), (head_of(1), 3)])
    def test_versions_follow(self, store: Store, expect: Head | None, version: int) -> None:
        """
        A version that does not follow on the expected one is a mistake of the caller, and nothing is written.
        """
        write(store)

        with pytest.raises(ValueError, match="does not follow"):
            store.append(MIGRATION, expect=expect, head=head_of(version), change="", snapshot="", secret=SECRET)

        assert list(store.migrations()) == [MIGRATION]
        assert list(store.history(MIGRATION)) == ["change 1"]

    def test_first_needs_a_secret(self, store: Store) -> None:
        """
        A first change without a secret is a mistake of the caller: no override could ever be looked up.
        """
        with pytest.raises(ValueError, match="secret"):
            store.append(MIGRATION, expect=None, head=head_of(1), change="", snapshot="")

    def test_raised_epoch(self, store: Store) -> None:
        """
        An epoch is kept with the head, and raised like any other change.
        """
        head = write(store)
        adopted = Head(7, 2, head_of(2).hash)
        store.append(MIGRATION, expect=head, head=adopted, change="adopt", snapshot="adopted")

        assert Reading(head=adopted, document="adopted", secret=SECRET) == store.read(MIGRATION)

    def test_two_ways_in(self, opened: Place) -> None:
        """
        What one writes, another reads, and both compare with the same head.
        """
        one, other = opened(), opened()
        head = write(one)
        head = write(other, head)

        with pytest.raises(Conflict):
            write(one, head_of(1), branch="stale")

        assert one.read(MIGRATION) == other.read(MIGRATION) == Reading(head=head, document="snapshot 2", secret=SECRET)

    def test_reopened(self, opened: Place) -> None:
        """
        What was acknowledged is there after everything was closed and opened again.
        """
        first = opened()
        head = write_many(first, 3)
        check_in(first)
        expected = first.read(MIGRATION), first.history(MIGRATION), first.fleet(MIGRATION)
        first.close()

        again = opened()
        assert expected == (again.read(MIGRATION), again.history(MIGRATION), again.fleet(MIGRATION))
        write(again, head)

    def test_closed(self, opened: Place) -> None:
        """
        A store may be closed twice; it is Unavailable then, while other ways in go on.
        """
        store, other = opened(), opened()
        head = write(store)
        store.close()
        store.close()

        for use in (
            store.migrations,
            lambda: store.read(MIGRATION),
            lambda: store.history(MIGRATION),
            lambda: store.fleet(MIGRATION),
            lambda: write(store, head),
            lambda: write(store, migration="other"),
            lambda: check_in(store),
        ):
            with pytest.raises(Unavailable, match="closed"):
                use()
        write(other, head)

    def test_closed_before_use(self, opened: Place) -> None:
        """
        A store that was never used can be closed.
        """
        opened().close()

    def test_wait_returns_at_once(self, store: Store) -> None:
        """
        Where the store already holds something else, waiting is over.
        """
        head = write(store)

        for seen in (None, head_of(1, branch="restored"), head_of(5), Head(2, 1, head.hash)):
            waiter = in_thread(partial(store.wait, MIGRATION, seen=seen, timeout=10 * PATIENCE))
            waiter.join(PATIENCE)
            assert not waiter.is_alive(), seen

    def test_wait_times_out(self, store: Store) -> None:
        """
        Where nothing happens, waiting is over after the timeout.
        """
        head = write(store)
        waiter = in_thread(partial(store.wait, MIGRATION, seen=head, timeout=0.1))

        waiter.join(PATIENCE)
        assert not waiter.is_alive()

    def test_wait_wakes_on_change(self, opened: Place) -> None:
        """
        Waiting is over when another, or the same store in another thread, has written.
        """
        store, other = opened(), opened()
        head = write(store)

        for writer in (other, store):
            waiter = in_thread(partial(store.wait, MIGRATION, seen=head, timeout=10 * PATIENCE))
            head = write(writer, head)
            waiter.join(PATIENCE)
            assert not waiter.is_alive()

    def test_wait_for_the_first(self, opened: Place) -> None:
        """
        Who waits before anything was written is woken by the first change.
        """
        store = opened()
        waiter = in_thread(partial(store.wait, MIGRATION, seen=None, timeout=10 * PATIENCE))

        write(opened())
        waiter.join(PATIENCE)
        assert not waiter.is_alive()

    def test_wait_is_woken_by_close(self, opened: Place) -> None:
        """
        Closing wakes every one that waits, and who waits on a closed store returns without an error.
        """
        store = opened()
        head = write(store)
        waiters = [
            in_thread(partial(store.wait, MIGRATION, seen=head, timeout=10 * PATIENCE)),
            in_thread(lambda: store.wait("other", seen=None, timeout=10 * PATIENCE)),
        ]

        store.close()
        waiters.append(in_thread(partial(store.wait, MIGRATION, seen=head, timeout=10 * PATIENCE)))
        for waiter in waiters:
            waiter.join(PATIENCE)
            assert not waiter.is_alive()

    def test_racing_first_change(self, opened: Place) -> None:
        """
        Of many first changes at once, one goes in and the others are conflicts.
        """
        outcomes = race(opened, lambda store, name: attempt(store, None, name))

        assert [outcomes.count(True), outcomes.count(False)] == [1, WRITERS - 1]

    def test_racing_writers(self, opened: Place) -> None:
        """
        Many writers at once make exactly as many versions as were acknowledged, in one chain.
        """
        write(opened())

        def many(store: Store, name: str) -> int:
            return sum(attempt_next(store, name, number) for number in range(ROUNDS))

        acknowledged = sum(race(opened, many))

        store = opened()
        reading = store.read(MIGRATION)
        assert reading is not None
        assert WRITERS * ROUNDS == acknowledged == reading.head.version - 1
        assert acknowledged + 1 == len(set(store.history(MIGRATION)))

    def test_readers_see_whole_states(self, opened: Place) -> None:
        """
        A reader beside a writer always finds head, document and history of one version, never older than before.
        """
        head = write(opened())
        wrong: list[object] = []
        done = threading.Event()

        def read(store: Store, seen: int = 0) -> None:
            while not done.is_set():
                reading = store.read(MIGRATION)
                version = reading.head.version if reading else 0
                if reading is None or version < seen or reading.document != f"snapshot {version}":
                    wrong.append(reading)
                seen = version

        readers = [in_thread(partial(read, store)) for store in (opened(), opened())]
        write_many(opened(), ROUNDS, before=head)
        done.set()
        for reader in readers:
            reader.join(PATIENCE)

        assert wrong == []

    def test_one_store_in_many_threads(self, store: Store) -> None:
        """
        One store may be used from many threads at once.
        """
        write(store)

        def use(name: str) -> None:
            check_in(store, instance=name)
            results.append(sum(attempt_next(store, name, number) for number in range(ROUNDS)))

        results: list[int] = []
        threads = [in_thread(partial(use, f"t{n}")) for n in range(WRITERS)]
        for thread in threads:
            thread.join(6 * PATIENCE)

        assert results == [ROUNDS] * WRITERS
        assert {f"t{n}" for n in range(WRITERS)} == {i.instance for i in store.fleet(MIGRATION).instances}

    def test_check_in_is_no_change(self, store: Store) -> None:
        """
        A check-in leaves head, document and history as they are.
        """
        write_many(store, 2)
        before = store.read(MIGRATION), store.history(MIGRATION)

        check_in(store, now=datetime(2024, 3, 4, tzinfo=UTC))

        assert before == (store.read(MIGRATION), store.history(MIGRATION))


def attempt(store: Store, expect: Head | None, branch: str) -> bool:
    """
    Write one change, and tell whether it went in.
    """
    with suppress(Conflict):
        write(store, expect, branch=branch)
        return True
    return False


def attempt_next(store: Store, name: str, number: int) -> bool:
    """
    Write one change after whatever is there, as often as it takes.
    """

    def once() -> bool:
        reading = store.read(MIGRATION)
        assert reading is not None
        return attempt(store, reading.head, f"{name} {number}")

    return until(once, 6 * PATIENCE)


def race(opened: Place, work: Callable[[Store, str], T]) -> list[T]:
    """
    Let several threads, each with a store of its own, begin at the same moment.
    """
    results: list[T] = []
    start = threading.Barrier(WRITERS)

    def run(store: Store, name: str) -> None:
        start.wait(PATIENCE)
        results.append(work(store, name))

    threads = [in_thread(partial(run, opened(), f"w{n}")) for n in range(WRITERS)]
    for thread in threads:
        thread.join(6 * PATIENCE)
    return results
