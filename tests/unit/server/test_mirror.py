"""
What a relay holds of a migration, whatever its store says.
"""

import attrs
import pytest

from cutover.core.snapshot import Head
from cutover.errors import Conflict, Corrupt, Unavailable
from cutover.operations.control import Control
from cutover.server.copies import Copies
from cutover.stores.base import Reading
from cutover.stores.memory import MemoryStore


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


def test_holds_what_the_store_has(mirror, control, store):
    """
    A mirror holds document and secret to the letter, and the hash of every version.
    """
    reading = store.read("shop")

    assert (mirror.held.document, mirror.held.secret) == (reading.document, reading.secret)
    assert hashes(control) == mirror.held.chain
    assert [mirror.held.hash_at(version) for version in (0, 1, 2, 3)] == [None, *hashes(control), None]


def test_skipped_versions(mirror, control):
    """
    Where versions were skipped, their hashes are read from the history.
    """
    for percent in (30, 40, 50):
        control.set("browse", percent, reason="on")
    mirror.refresh()

    assert hashes(control) == mirror.held.chain


def test_own_change(mirror, control, store, clock):
    """
    A change that went through the mirror is held at once.
    """
    writer = Control(_Through(store, mirror), actor="budi", migration="shop", now=clock)
    writer.set("browse", 50, reason="on")

    assert (3, hashes(control)) == (mirror.held.head.version, mirror.held.chain)


def test_history_away(mirror_of, control, store):
    """
    Where only the history cannot be read, the dials are held all the same, and the hashes are read later.
    """

    class Behind(Scripted):
        def history(self, migration, *, after=0):
            raise Unavailable("away")

    mirror = mirror_of(Behind(store.read("shop")))
    mirror.refresh()
    assert (mirror.held.head.version, mirror.held.hash_at(1)) == (2, None)

    mirror._store = store
    mirror.refresh()
    assert hashes(control) == mirror.held.chain


def test_lost_race(mirror, control, store, clock):
    """
    After a conflict the mirror holds what the winner wrote.
    """
    stale = mirror.held.head
    control.set("browse", 50, reason="on")
    head = Head(1, 3, "f" * 64)
    with pytest.raises(Conflict):
        mirror.append(expect=stale, head=head, change="", snapshot="")

    assert store.read("shop").head == mirror.held.head


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
def test_last_known_good(mirror, mirror_of, wrong, changed, clock):
    """
    What is missing, cannot be reached or is not valid leaves the last known good in place, and its age grows.
    """
    held, mirror._store = mirror.held, Scripted(wrong)
    clock.forward(seconds=90)
    with pytest.raises((Unavailable, Corrupt)):
        mirror.refresh()

    assert held == mirror.held
    assert (mirror.store_up, mirror.age()) == (False, 90.0)
    assert mirror.problem


def test_another_migrations_document(mirror, store, control):
    """
    A document whose head differs from the store's is not taken.
    """
    reading = store.read("shop")
    forged = attrs.evolve(reading, head=attrs.evolve(reading.head, version=3))
    mirror._store = Scripted(forged)
    with pytest.raises(Corrupt, match="its snapshot at"):
        mirror.refresh()


def test_forked_history(mirror, store, control, clock):
    """
    Another history is handed through with its own hashes: each router judges it by what it ran.
    """
    other = MemoryStore(f"{store.url}-restored")
    restored = Control(other, actor="rina", migration="shop", now=clock)
    restored.apply(control.snapshot().definition)
    for percent in (1, 2, 3):
        restored.set("browse", percent, reason="after the restore")
    mirror._store = other
    mirror.refresh()

    assert (4, hashes(restored)) == (mirror.held.head.version, mirror.held.chain)


def test_older_history(mirror, store, control, clock):
    """
    A store that is only older is handed through as well, at its own version.
    """
    other = MemoryStore(f"{store.url}-older")
    restored = Control(other, actor="rina", migration="shop", now=clock)
    restored.apply(control.snapshot().definition)
    mirror._store = other
    mirror.refresh()

    assert hashes(restored) == mirror.held.chain


def test_restart(mirror, mirror_of, tmp_path, clock):
    """
    A new process holds what the last one held, chain, secret and age included, before it reached any store.
    """
    clock.forward(seconds=60)
    (copy,) = Copies(tmp_path, "memory:shop").read()
    again = mirror_of(Scripted(Unavailable("away")))
    again.restore(copy)

    assert (mirror.held, 60.0) == (again.held, again.age())


def test_copies_of_another_store(mirror, tmp_path):
    """
    What was kept of one store is not served for another.
    """
    assert list(Copies(tmp_path, "memory:other").read()) == []


@pytest.mark.parametrize("damage", [b"", b"x", b"{}\n{}", None], ids=["empty", "text", "bare", "flipped"])
def test_damaged_copy(mirror, tmp_path, damage):
    """
    A copy that is not whole is left out.
    """
    (path,) = tmp_path.glob("*.relay")
    content = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(content.replace(b"25000", b"99000") if damage is None else damage)

    assert list(Copies(tmp_path, "memory:shop").read()) == []


def test_confirmations_are_kept(mirror, tmp_path, clock):
    """
    The copy learns now and then that it still holds, and not at every poll.
    """
    (path,) = tmp_path.glob("*.relay")
    before = path.read_bytes()
    clock.forward(seconds=5)
    mirror.refresh()
    assert before == path.read_bytes()

    clock.forward(seconds=30)
    mirror.refresh()
    (copy,) = Copies(tmp_path, "memory:shop").read()
    assert clock() == copy.confirmed_at


def test_calls_out(mirror, control, changed):
    """
    Who waits is woken by a new state, and by nothing else.
    """
    changed.clear()
    mirror.refresh()
    assert changed == []

    control.set("browse", 50, reason="on")
    mirror.refresh()
    assert changed == ["shop"]


class _Through:
    """
    A store that writes through a mirror.
    """

    def __init__(self, store, mirror):
        self._store = store
        self._mirror = mirror

    def append(self, migration, **given):
        """
        Write through the mirror.
        """
        self._mirror.append(**given)

    def __getattr__(self, name):
        return getattr(self._store, name)
