"""
A fork while a thread of the router loads a module, as a pre-forking server may do right after `connect`.
"""

import subprocess
import sys

import cutover
from cutover.operations.control import control as open_control

SCRIPT = """
import os, sys, threading
import cutover

begun, never = threading.Event(), threading.Event()

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "zoneinfo" and not begun.is_set():
            begun.set()
            never.wait(0.5)  # a disk that takes its time

sys.meta_path.insert(0, Slow())
assert "zoneinfo" not in sys.modules, "loaded by something else: choose another module"
router = cutover.connect(sys.argv[1], cache="off")
assert begun.wait(30)
child = os.fork()
if child == 0:
    os._exit(0 if router.wait_ready(20) else 1)
_, status = os.waitpid(child, 0)
router.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_fork_while_loading(tmp_path):
    """
    A child that is forked while the parent's thread loads a module for time zones reads the store all the same.
    """
    store = f"sqlite:///{tmp_path}/cutover.db"
    (tmp_path / "cutover.toml").write_text('name = "shop"\nold = "a"\nnew = "b"\n[flows.pay]\n')
    with open_control(store, actor="test") as control:
        control.apply(cutover.Migration.load(tmp_path / "cutover.toml"))

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, store], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
