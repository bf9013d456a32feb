"""
Mirrored writes of processes that fork, that are closed with work in flight, and that follow each other.
"""

import json
import subprocess
import sys

import pytest

import cutover
from cutover.engines.registry import open_outbox

PATIENCE = 60
COMMON = """
import json, os, sys, threading
from pathlib import Path
import cutover.testing
from cutover.testing.store_helpers import until

folder = Path(sys.argv[1])
came = []

def side(name):
    def write(key, item, *, sequence):
        if name == "new" and (folder / "closed").exists():
            raise OSError("no route")
        if name == "new" and key.startswith("hangs") and (folder / "stuck").exists():
            came.append(key)
            threading.Event().wait()
        with (folder / name).open("a") as file:
            file.write(json.dumps([key, sequence, item, os.getpid()]) + "\\n")
    return write

def built(**more):
    router = cutover.testing.router(cart=0)
    options = {"outbox": f"sqlite:///{folder}/outbox.db", "longest_pause": 0.01, "attempts": 100000, **more}
    return router, router.flow("cart").write(name="cart.add", old=side("old"), new=side("new"), **options)

def lines(name):
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []
"""
FORKS = """
(folder / "closed").touch()
router, add = built()
add("user-1", "of the parent")
child = os.fork()
if child == 0:
    add("user-2", "of the child")
    add("user-1", "behind")
    (folder / "closed").unlink()
    until(lambda: len(lines("new")) == 3)
    router.close()
    os._exit(0)
router.close()
_, status = os.waitpid(child, 0)
sys.stdout.write(json.dumps({"status": status, "child": child}))
"""
GOES_ON = """
(folder / "closed").touch()
router, add = built()
add("user-1", "before")
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
(folder / "closed").unlink()
until(lambda: len(lines("new")) == 1)
add("user-1", "after")
router.close()
"""
HANGS = """
(folder / "closed").touch()
router, add = built(deadline=0.1, lease=1.0)
keys = [f"hangs-{number}" for number in range(10)]
for key in keys:
    add(key, "first")
add("hangs-0", "second")
(folder / "stuck").touch()
(folder / "closed").unlink()
until(lambda: sorted(came) == keys)
add("free", "waits for nobody")
until(lambda: len(lines("new")) == 1)
router.close()
"""
AFTERWARDS = """
(folder / "stuck").unlink()
router, add = built(lease=1.0)
until(lambda: len(lines("new")) == 12)
router.close()
"""
FIRST = """
(folder / "closed").touch()
router, add = built()
for number in range(20):
    add(f"user-{number % 3}", number)
router.close()
"""
SECOND = """
(folder / "closed").unlink()
router, add = built()
add("user-0", 20)
until(lambda: len(lines("new")) == 21)
router.close()
"""


def ran(script, folder):
    """
    Run a process to its end.
    """
    # Newer versions of Python warn of every fork beside threads: that is what is tested.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", COMMON + script, str(folder)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=PATIENCE).stdout.splitlines()


def written(folder, name):
    """
    Give what a side has, in the order in which it came.
    """
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.fixture
def outbox(tmp_path):
    """
    The outbox that the processes share.
    """
    one = open_outbox(f"sqlite:///{tmp_path}/outbox.db")
    one.create()
    yield one
    one.close()


def test_child(tmp_path, outbox):
    """
    A forked child writes and delivers by itself, what its parent left behind too, and keeps the order.
    """
    summary = json.loads(ran(FORKS, tmp_path)[-1])
    new = written(tmp_path, "new")

    assert summary["status"] == 0
    assert sorted(one[:3] for one in new) == [
        ["user-1", 1, "of the parent"],
        ["user-1", 2, "behind"],
        ["user-2", 1, "of the child"],
    ]
    assert [one[1] for one in new if one[0] == "user-1"] == [1, 2]
    assert {one[3] for one in new} == {summary["child"]}
    assert [one.backlog for one in outbox.shortfalls("test")] == [0]


def test_parent(tmp_path, outbox):
    """
    A parent goes on after a fork.
    """
    ran(GOES_ON, tmp_path)

    assert [one[:3] for one in written(tmp_path, "new")] == [["user-1", 1, "before"], ["user-1", 2, "after"]]
    assert [one.backlog for one in outbox.shortfalls("test")] == [0]


def test_next_release(tmp_path, outbox):
    """
    What is in flight when a process is closed stays, and the next one delivers it in order.
    """
    ran(FIRST, tmp_path)
    (left,) = outbox.shortfalls("test")
    ran(SECOND, tmp_path)
    old, new = written(tmp_path, "old"), written(tmp_path, "new")

    assert left.backlog == 20
    assert left.lacks[cutover.Backend.NEW] == 20
    assert sorted(one[:3] for one in new) == sorted(one[:3] for one in old)
    for key, count in {"user-0": 8, "user-1": 7, "user-2": 6}.items():
        assert [one[1] for one in new if one[0] == key] == list(range(1, count + 1))


def test_functions_that_hang(tmp_path, outbox):
    """
    A process in which more functions hang than are delivered at once goes on with other keys, and ends when it is
    asked to; what hung is delivered by the next one, in order.
    """
    ran(HANGS, tmp_path)
    before = written(tmp_path, "new")
    ran(AFTERWARDS, tmp_path)
    new = written(tmp_path, "new")

    assert [one[:3] for one in before] == [["free", 1, "waits for nobody"]]
    assert sorted(one[:2] for one in new) == sorted(one[:2] for one in written(tmp_path, "old"))
    assert [one[1] for one in new if one[0] == "hangs-0"] == [1, 2]
    assert [one.backlog for one in outbox.shortfalls("test")] == [0]
