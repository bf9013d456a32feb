"""
The last-known-good copy: whole or not at all, this user's alone, and never a step back.
"""

import json
import os
import stat
from pathlib import Path

import pytest
from routers import FIRST, after, events
from strategies import SECRET, at
from structlog.testing import capture_logs

from cutover.router.background.cache import CachedCopy, default_folder

SECOND = after(at("pay", 25_000))


@pytest.fixture
def copy(tmp_path):
    """
    The copy of a store and its migration; nothing is there yet.
    """
    return CachedCopy(tmp_path / "cache", "sqlite:////srv/cutover.db", "shop")


def test_comes_back_whole(copy):
    """
    What is written comes back: the snapshot and the secret, or no secret.
    """
    for secret in (SECRET, None):
        copy.write(SECOND, secret)

        assert (copy.read().snapshot, copy.read().secret) == (SECOND, secret)


def test_is_this_users_alone(copy):
    """
    The copy holds the secret: nobody else may read it or its folder, whatever the umask.
    """
    before = os.umask(0)
    try:
        copy.write(FIRST, SECRET)
    finally:
        os.umask(before)

    assert stat.S_IMODE(copy.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.path.parent.stat().st_mode) == 0o700


def test_nothing_is_left_beside_it(copy):
    """
    The copy is written beside its place and moved there; no other file stays.
    """
    for snapshot in (FIRST, SECOND):
        copy.write(snapshot, SECRET)

    assert list(copy.path.parent.iterdir()) == [copy.path]


def test_never_a_step_back(copy):
    """
    A process that is late does not replace the copy of one that is ahead.
    """
    copy.write(SECOND, SECRET)
    copy.write(FIRST, SECRET)

    assert copy.read().snapshot == SECOND


def test_no_copy_is_no_warning(copy):
    """
    On an empty disk there is nothing to read, and nothing to say about it.
    """
    with capture_logs() as logs:
        assert copy.read() is None
    assert logs == []


def _header(content: bytes, **changed: object) -> bytes:
    first, _, rest = content.partition(b"\n")
    return json.dumps({**json.loads(first), **changed}).encode() + b"\n" + rest


DAMAGE = {
    "empty": lambda _: b"",
    "truncated": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "one bit": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "one digit": lambda content: content.replace(b"25000", b"95000"),
    "secret": lambda content: _header(content, secret="00" * 21),
    "secret of another type": lambda content: _header(content, secret=5),
    "format": lambda content: _header(content, format=2),
    "no header": lambda content: content.partition(b"\n")[2],
    "a list": lambda _: b"[]\n",
    "a number": lambda _: b"1\n",
    "not UTF-8": lambda _: b"\xff\xfe\n",
    "deep": lambda _: b"[" * 1_000_000,
    "foreign": lambda _: b"SQLite format 3\0" * 9,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_ignored(copy, damage):
    """
    A copy that is not whole is as none, with a warning, and the next write heals it.
    """
    copy.write(SECOND, SECRET)
    copy.path.write_bytes(damage(copy.path.read_bytes()))
    with capture_logs() as logs:
        assert copy.read() is None
    assert events(logs) == ["cutover.cache_corrupt"]

    copy.write(FIRST, SECRET)
    assert copy.read().snapshot == FIRST


def test_a_folder_in_its_place(copy):
    """
    Where the copy cannot be read or written, there is a warning and nothing else.
    """
    copy.path.mkdir(parents=True)
    with capture_logs() as logs:
        assert copy.read() is None
        copy.write(FIRST, SECRET)

    assert set(events(logs)) == {"cutover.cache_unreadable", "cutover.cache_not_written"}
    assert list(copy.path.parent.iterdir()) == [copy.path]


def test_a_file_in_place_of_the_folder(tmp_path):
    """
    A folder that cannot be made is a warning for each write.
    """
    (tmp_path / "cache").write_text("")
    copy = CachedCopy(tmp_path / "cache", "sqlite:///x.db", None)
    with capture_logs() as logs:
        copy.write(FIRST, SECRET)

    assert "cutover.cache_not_written" in events(logs)


def test_one_for_each_store_and_migration(tmp_path):
    """
    Another store or migration has another copy; no name and a name are told apart.
    """
    keys = [("sqlite:///a.db", None), ("sqlite:///a.db", "shop"), ("sqlite:///b.db", None), ("sqlite:///\udcff", None)]

    assert len({CachedCopy(tmp_path, *key).path for key in keys}) == len(keys)


def test_the_users_cache_folder(monkeypatch):
    """
    Copies are kept where the user's other caches are.
    """
    monkeypatch.setenv("HOME", "/home/rina")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/rina")
    assert default_folder() == Path("/var/cache/rina/cutover")

    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path("/home/rina/.cache/cutover")


def test_without_a_home(monkeypatch, tmp_path):
    """
    Without a home, copies are kept among the temporary files, where that folder is this user's alone.
    """
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = default_folder()
    assert folder is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    folder.chmod(0o777)
    assert default_folder() is None

    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert default_folder() is None
