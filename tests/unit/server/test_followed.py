"""
What a relay holds of a migration, whatever its store says.
"""

import attrs
import pytest

from cutover.core.snapshot import Head
from cutover.engines.memory.store import MemoryStore
from cutover.errors import Conflict, Corrupt, Unavailable
from cutover.operations.control import Control
from cutover.ports.store import Reading
from cutover.server.copies import Copies


class Scripted:
    """
    A store whose readings are given by the test.
    """

    url = "scripted:"

    def __init__(self, reading, texts=()):
        self.reading = reading
        self.texts = texts

    def read(self, migration, *, seen=None):
        """
        Give what the test gave, or raise it.
        """
        if isinstance(self.reading, Exception):
            raise self.reading
        return self.reading

    def history(self, migration, *, after=0):
        """
        Give the test's texts.
        """
        return self.texts[after:]


def hashes(control):
    """
    Give the hashes of the whole ledger.
    """
    return tuple(change.hash for change in control.history())


def test_holds_what_the_store_has(followed, control, store):
    """
    What is followed is held: document and secret to the letter, and the hash of every version.
    """
    reading = store.read("shop")

    assert (followed.held.document, followed.held.secret) == (reading.document, reading.secret)
    assert hashes(control) == followed.held.chain
    assert [followed.held.hash_at(version) for version in (0, 1, 2, 3)] == [None, *hashes(control), None]


def test_skipped_versions(followed, control):
    """
    Where versions were skipped, their hashes are read from the history.
    """
    for percent in (30, 40, 50):
        control.set("browse", percent, reason="on")
    followed.refresh()

    assert hashes(control) == followed.held.chain


def test_own_change(followed, control, store, clock):
    """
    A change that went through the relay is held at once.
    """
    writer = Control(_Through(store, followed), actor="budi", migration="shop", now=clock)
    writer.set("browse", 50, reason="on")

    assert (3, hashes(control)) == (followed.held.head.version, followed.held.chain)


def test_history_away(followed_of, control, store):
    """
    Where only the history cannot be read, the dials are held all the same, and the hashes are read later.
    """

    class Behind(Scripted):
        def history(self, migration, *, after=0):
            raise Unavailable("away")

    followed = followed_of(Behind(store.read("shop")))
    followed.refresh()
    assert (followed.held.head.version, followed.held.hash_at(1)) == (2, None)

    followed._store = store
    followed.refresh()
    assert hashes(control) == followed.held.chain


def test_lost_race(followed, control, store, clock):
    """
    After a conflict what the winner wrote is held.
    """
    stale = followed.held.head
    control.set("browse", 50, reason="on")
    head = Head(1, 3, "f" * 64)
    with pytest.raises(Conflict):
        followed.append(expect=stale, head=head, change="", snapshot="")

    assert store.read("shop").head == followed.held.head


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        Unavailable("away"),
        Corrupt("not a database"),
        Reading(head=Head(1, 9, "a" * 64), document=None),
        Reading(head=Head(1, 9, "a" * 64), document="{}"),
        Reading(head=Head(1, 9, "a" * 64), document=""),
    ],
    ids=["missing", "unavailable", "corrupt", "no document", "poison", "blank"],
)
def test_last_known_good(followed, followed_of, wrong, changed, clock):
    """
    What is missing, cannot be reached or is not valid leaves the last known good in place, and its age grows.
    """
    held, followed._store = followed.held, Scripted(wrong)
    clock.forward(seconds=90)
    with pytest.raises((Unavailable, Corrupt)):
        followed.refresh()

    assert held == followed.held
    assert (followed.store_up, followed.age()) == (False, 90.0)
    assert followed.problem


def test_another_migrations_document(followed, store, control):
    """
    A document whose head differs from the store's is not taken.
    """
    reading = store.read("shop")
    forged = attrs.evolve(reading, head=attrs.evolve(reading.head, version=3))
    followed._store = Scripted(forged)
    with pytest.raises(Corrupt, match="its snapshot at"):
        followed.refresh()


def test_forked_history(followed, store, control, clock):
    """
    Another history is handed through with its own hashes: each router judges it by what it ran.
    """
    other = MemoryStore(f"{store.url}-restored")
    restored = Control(other, actor="rina", migration="shop", now=clock)
    restored.apply(control.snapshot().definition)
    for percent in (1, 2, 3):
        restored.set("browse", percent, reason="after the restore")
    followed._store = other
    followed.refresh()

    assert (4, hashes(restored)) == (followed.held.head.version, followed.held.chain)


def test_older_history(followed, store, control, clock):
    """
    A store that is only older is handed through as well, at its own version.
    """
    other = MemoryStore(f"{store.url}-older")
    restored = Control(other, actor="rina", migration="shop", now=clock)
    restored.apply(control.snapshot().definition)
    followed._store = other
    followed.refresh()

    assert hashes(restored) == followed.held.chain


def test_restart(followed, followed_of, tmp_path, clock):
    """
    A new process holds what the last one held, chain, secret and age included, before it reached any store.
    """
    clock.forward(seconds=60)
    (copy,) = Copies(tmp_path, "memory:shop").read()
    again = followed_of(Scripted(Unavailable("away")))
    again.restore(copy)

    assert (followed.held, 60.0) == (again.held, again.age())


def test_copies_of_another_store(followed, tmp_path):
    """
    What was kept of one store is not served for another.
    """
    assert list(Copies(tmp_path, "memory:other").read()) == []


@pytest.mark.parametrize("damage", [b"", b"x", b"{}\n{}", None], ids=["empty", "text", "bare", "flipped"])
def test_damaged_copy(followed, tmp_path, damage):
    """
    A copy that is not whole is left out.
    """
    (path,) = tmp_path.glob("*.relay")
    content = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(content.replace(b"25000", b"99000") if damage is None else damage)

    assert list(Copies(tmp_path, "memory:shop").read()) == []


def test_confirmations_are_kept(followed, tmp_path, clock):
    """
    The copy learns now and then that it still holds, and not at every poll.
    """
    (path,) = tmp_path.glob("*.relay")
    before = path.read_bytes()
    clock.forward(seconds=5)
    followed.refresh()
    assert before == path.read_bytes()

    clock.forward(seconds=30)
    followed.refresh()
    (copy,) = Copies(tmp_path, "memory:shop").read()
    assert clock() == copy.confirmed_at


def test_calls_out(followed, control, changed):
    """
    Who waits is woken by a new state, and by nothing else.
    """
    changed.clear()
    followed.refresh()
    assert changed == []

    control.set("browse", 50, reason="on")
    followed.refresh()
    assert changed == ["shop"]


class _Through:
    """
    A store that writes through a relay.
    """

    def __init__(self, store, followed):
        self._store = store
        self._followed = followed

    def append(self, migration, **given):
        """
        Write through the relay.
        """
        self._followed.append(**given)

    def __getattr__(self, name):
        return getattr(self._store, name)
