"""
What drains, with real processes: one that is killed keeps the end open until it is declared dead.
"""

import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta

from cutover.core.checkin import InstanceState
from cutover.core.instants import parse_instant
from cutover.core.visit import SKEW
from cutover.testing.store_helpers import until

PATIENCE = 60.0  # seconds until something counts as never coming
ROUTER = """
import sys, cutover
with cutover.connect(sys.argv[1], secret="s" * 32) as router:
    assert router.wait_ready(30)
    router.journey("purchase").enter("user-42")
    sys.stdin.read()
"""


@contextmanager
def routing(shop):
    """
    Run a process that routes, for a block.
    """
    command = [sys.executable, "-W", "error", "-c", ROUTER, shop.url]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    environment = {**shop.environment, "XDG_CACHE_HOME": str(shop.folder)}
    with subprocess.Popen(command, env=environment, text=True, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def draining(control, side):
    """
    Give what drains on one side of the flow pay.
    """
    (pay,) = [flow for flow in control.status().flows if flow.name == "pay"]
    (found,) = [drain for drain in pay.draining if drain.side.value == side]
    return found


def test_a_killed_instance_keeps_a_drain_open_until_it_is_declared_dead(shop):
    """
    After a lowered dial the end of the visits on NEW is known once all instances run the change; one that was killed
    before is named, and once it is declared dead there is an end again, and nobody waits for it.
    """
    with shop.control() as control, routing(shop) as stays, routing(shop) as goes:
        control.set("purchase", 50, reason="half")
        assert until(lambda: control.status().count(InstanceState.CURRENT) == 2, PATIENCE)
        goes.send_signal(signal.SIGKILL)
        goes.wait()
        lowered = control.set("purchase", 10, reason="too slow")

        assert until(lambda: [one.pid for one in draining(control, "new").waiting_for] == [goes.pid], PATIENCE)
        assert until(lambda: draining(control, "new").waiting_for[0].state is InstanceState.LOST, PATIENCE)
        (lost,) = draining(control, "new").waiting_for
        name = f"{lost.host}/{lost.pid}"
        shown = shop.run("status", environment={"COLUMNS": "200"}).stdout
        assert f"visits begun on NEW may go on: instance {lost.who} lost, since" in shown

        assert shop.run("instances", "dead", name, "--reason", "killed", "--wait", "60s").returncode == 0
        pay = shop.json("status")["flows"][2]["draining"][0]
        assert (pay["side"], pay["version"], pay["waiting_for"]) == ("new", lowered.version, [])
        assert parse_instant(pay["until"]) > lowered.at + timedelta(hours=4) + SKEW
        assert "visits begun on NEW may go on until" in shop.run("status", environment={"COLUMNS": "200"}).stdout

        stays.stdin.close()
        assert stays.wait(PATIENCE) == 0
