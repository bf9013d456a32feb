"""
The figures that operators see, with real processes that route: shares, errors, and the names of the processes.
"""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

from cutover.core.checkin import InstanceState
from cutover.testing.store_helpers import until

PATIENCE = 60.0  # seconds until something counts as never coming
ROUTER = """
import sys, cutover

def fails(key):
    raise OSError

with cutover.connect(sys.argv[1], name=sys.argv[2] or None) as router:
    assert router.wait_ready(30)
    browse = router.flow("browse").switch(old=lambda key: "old", new=fails)
    for line in sys.stdin:
        for number in range(100):
            try:
                browse(f"user-{number}")
            except OSError:
                pass
        print("done", flush=True)
"""


@contextmanager
def routing(shop, name="", **environment):
    """
    Run a process that asks for 100 users with each line that it reads.
    """
    environment = {**shop.environment, "XDG_CACHE_HOME": str(shop.folder), **environment}
    command = [sys.executable, "-W", "error", "-c", ROUTER, shop.url, name]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(process):
    """
    Have a process ask for its users, and wait until it has.
    """
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def browse(control):
    """
    Give the flow as the status shows it.
    """
    return next(flow for flow in control.status().flows if flow.name == "browse")


def test_a_share_is_measured_since_the_last_change_of_its_flow(shop):
    """
    A change of a flow begins its figures anew, and until something is counted no share is shown; other changes do not.
    """
    with shop.control() as control, routing(shop, "checkout-api") as process:
        control.set("browse", 50, reason="half")
        assert until(lambda: control.status().count(InstanceState.CURRENT) == 1, PATIENCE)
        shown = shop.run("status").stdout
        assert "nothing counted since the last change (" in shown
        assert shop.json("status")["flows"][0]["actual_ratio"] is None

        ask(process)
        assert until(lambda: sum(browse(control).traffic.requests) == 100, PATIENCE)
        counted = browse(control).traffic
        control.set("purchase", 10, reason="others")
        control.freeze(reason="holidays")
        assert until(lambda: control.status().count(InstanceState.CURRENT) == 1, PATIENCE)
        ask(process)

        assert until(lambda: sum(browse(control).traffic.requests) == 200, PATIENCE)
        assert browse(control).traffic.since == counted.since
        new = counted.requests.new
        assert browse(control).share == counted.requests.ratio
        shown = shop.run("status", environment={"COLUMNS": "80"}).stdout
        assert f"{new}.0% of 200 in " in shown
        assert f"0% of {200 - 2 * new} / 100% of {2 * new}" in shown


def test_names(shop):
    """
    A process is called as it says itself, as its environment says, or as its program, wherever it is shown.
    """
    with (
        shop.control() as control,
        routing(shop, "checkout-api", CUTOVER_INSTANCE="ignored") as named,
        routing(shop, CUTOVER_INSTANCE="worker") as from_outside,
        routing(shop) as nameless,
    ):
        pids = {"checkout-api": named.pid, "python": nameless.pid, "worker": from_outside.pid}
        assert until(lambda: control.status().count(InstanceState.CURRENT) == 3, PATIENCE)

        assert {one["name"]: one["pid"] for one in shop.json("instances")["instances"]} == pids
        lines = shop.run("instances", environment={"COLUMNS": "60"}).stdout.splitlines()
        assert [line.split()[0] for line in lines] == ["NAME", *pids]
        host = os.uname().nodename
        waited = shop.json("set", "pay", "5", "--reason", "x", "--wait")["wait"]
        assert waited["current"] == [f"{name} {host}/{pid}" for name, pid in pids.items()]

        from_outside.send_signal(signal.SIGKILL)
        assert until(lambda: control.status().count(InstanceState.LOST) == 1, PATIENCE)
        assert f"lost: worker {host}/{from_outside.pid}" in shop.run("status").stdout
        assert shop.run("instances", "dead", "worker", "--reason", "killed").returncode == 0
        assert [one.name for one in control.instances()] == ["checkout-api", "python"]


def test_a_bad_name(shop):
    """
    A name that cannot be shown is refused with one error.
    """
    with routing(shop, CUTOVER_INSTANCE="a\nb") as process:
        assert process.wait(PATIENCE) == 1
