"""
The file source: what it reads, what it refuses, how it notices that a file has changed.
"""

from pathlib import Path

import pytest

from cutover.core.snapshot import Eviction, Head, Snapshot
from cutover.engines.file.store import FileSource
from cutover.errors import Corrupt, Unavailable
from cutover.testing.fork_contract import in_child
from cutover.testing.store_helpers import PATIENCE, in_thread

ROLLOUT = """
version = {version}
name = "shop"
old = "left"
new = "right"
[flows.pay]
[dials]
pay = {pay}
"""


def put(path, version=1, pay=10):
    """
    Put a rollout in the place of the file, as an editor does that writes whole files.
    """
    new = path.with_name("new")
    new.write_text(ROLLOUT.format(version=version, pay=pay))
    new.replace(path)


@pytest.fixture
def path(tmp_path):
    """
    A rollout at version 1.
    """
    path = tmp_path / "rollout.toml"
    put(path)
    return path


@pytest.fixture
def source(path):
    """
    The source of that file.
    """
    source = FileSource(path)
    yield source
    source.close()


def test_rollout(source):
    """
    A definition with its dials is read as a snapshot, without secret and chain.
    """
    reading = source.read("shop")

    snapshot = Snapshot.decode(reading.document)
    assert (snapshot.head, snapshot.dials) == (reading.head, {"pay": 10_000})
    assert (reading.head.version, reading.secret, reading.ancestor) == (1, None, None)
    assert source.migrations() == ("shop",)


def test_exported_snapshot(source, path):
    """
    An exported snapshot is read to the letter, also with a line break after it.
    """
    reading = source.read("shop")
    path.write_text(reading.document + "\n")

    again = FileSource(path).read("shop")
    assert (again.head, again.document) == (reading.head, reading.document + "\n")


def test_seen(source):
    """
    A reader that is at the head gets no document; one of another migration gets nothing.
    """
    head = source.read("shop").head

    assert source.read("shop", seen=head).document is None
    assert source.read("shop", seen=Head(1, 1, "0" * 64)).document is not None
    assert source.read("other") is None


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{", "rollout.toml: the snapshot is not valid JSON"),
        (b'{"schema":"2.0"}', "this version reads 1.x"),
        (b"version = ", "is not TOML"),
        (ROLLOUT.format(version=0, pay=1).encode(), "line 2: version is 0; allowed: 1 to"),
        (ROLLOUT.format(version=1, pay=101).encode(), "line 8: dials.pay is 101; allowed: 0 to 100 in steps of 0.001"),
    ],
)
def test_wrong_content(source, path, content, match):
    """
    What is no snapshot and no rollout is Corrupt, and the error names the place and what is allowed.
    """
    path.write_bytes(content)

    for use in (lambda: source.read("shop"), source.migrations):
        with pytest.raises(Corrupt, match=match):
            use()


def test_missing(source, path):
    """
    A missing file is Unavailable, as is a folder, and read again once it is there.
    """
    path.unlink()
    with pytest.raises(Unavailable, match="does not exist"):
        source.read("shop")
    path.mkdir()
    with pytest.raises(Unavailable, match="not a file"):
        source.read("shop")
    path.rmdir()

    put(path, version=2)
    assert source.read("shop").head.version == 2


def test_read_anew_where_changed(source, path):
    """
    A changed file is read anew, whether it was replaced or overwritten in place.
    """
    source.read("shop")
    put(path, version=2)
    assert source.read("shop").head.version == 2

    path.write_text(ROLLOUT.format(version=3, pay=20))
    assert source.read("shop").head.version == 3


def test_wait_wakes_on_change(source, path):
    """
    Who waits is told of a changed file.
    """
    head = source.read("shop").head
    waiter = in_thread(lambda: source.wait("shop", seen=head, timeout=10 * PATIENCE))
    put(path, version=2)
    waiter.join(PATIENCE)

    assert not waiter.is_alive()


def test_swapped_symlink(tmp_path):
    """
    A folder that is swapped behind a symbolic link, as Kubernetes updates a ConfigMap, is seen.
    """
    for version in (1, 2):
        (tmp_path / f"v{version}").mkdir()
        put(tmp_path / f"v{version}" / "rollout.toml", version)
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "rollout.toml").symlink_to("data/rollout.toml")
    source = FileSource(tmp_path / "rollout.toml")
    head = source.read("shop").head
    waiter = in_thread(lambda: source.wait("shop", seen=head, timeout=10 * PATIENCE))

    (tmp_path / "new").symlink_to("v2")
    (tmp_path / "new").replace(tmp_path / "data")
    waiter.join(PATIENCE)

    assert not waiter.is_alive()
    assert source.read("shop").head.version == 2


def test_closed(source):
    """
    Closing wakes who waits; a closed source may be closed again, and is Unavailable.
    """
    head = source.read("shop").head
    waiter = in_thread(lambda: source.wait("shop", seen=head, timeout=10 * PATIENCE))
    source.close()
    source.close()
    waiter.join(PATIENCE)

    assert not waiter.is_alive()
    with pytest.raises(Unavailable, match="closed"):
        source.read("shop")


def test_half_written_is_not_taken(source, path, monkeypatch):
    """
    A file that changed a moment ago is given time: its first half may be a valid rollout too.
    """
    source.read("shop")
    half, rest = ROLLOUT.format(version=2, pay=10), "[evict]\npay = 2\n"
    path.write_text(half)
    monkeypatch.setattr(source, "_pause", lambda seconds: path.write_text(half + rest))

    snapshot = Snapshot.decode(source.read("shop").document)
    assert (snapshot.version, snapshot.evictions) == (2, {"pay": Eviction(1, 2)})


def test_after_a_fork(source):
    """
    A child reads and closes a source of its parent, whose own stays open.
    """
    head = source.read("shop").head

    def use():
        assert source.read("shop").head == head
        source.close()

    assert in_child(use)
    assert source.read("shop").head == head


def test_relative_path(path, monkeypatch):
    """
    A relative path is taken from where the source was opened.
    """
    monkeypatch.chdir(path.parent)
    source = FileSource("rollout.toml")
    monkeypatch.chdir("/")

    assert source.read("shop").head.version == 1
    assert source.url == f"file:{path}"
    assert Path.cwd() == Path("/")
