"""
Two releases of an application at once, which call a flow by different names.
"""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from router_processes import Process

import cutover
from cutover.core.names import NameKind
from cutover.errors import Refused
from cutover.testing.store_helpers import until

WORKER = Path(__file__).with_name("release_worker.py")
TOML = """
name = "shop"
old = "tiktok"
new = "tokopedia"
[flows.cart]
[flows.pay]
[journeys.purchase]
flows = ["cart", "pay"]
together = true
"""
RENAMED = TOML.replace('"pay"', '"settle"').replace("[flows.pay]", '[flows.settle]\nwas = "pay"')


@pytest.fixture
def control(tmp_path):
    """
    An operator of a shop whose purchase is at 50%.
    """
    with cutover.control(f"sqlite:///{tmp_path}/cutover.db", actor="rina") as opened:
        opened.apply(cutover.Migration.parse(TOML))
        opened.set("purchase", 50, reason="begin")
        yield opened


@pytest.fixture
def release(control):
    """
    Start a process of a release that asks for a name, and wait until its check-in says so.
    """
    with ExitStack() as stack:

        def start(name: str) -> Process:
            known = len(asking(control, name))
            command = [sys.executable, str(WORKER), control.store.url, name]
            process = stack.enter_context(
                Process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
            )
            stack.callback(process.kill)
            assert process.said() == {"routes": True}
            assert until(lambda: len(asking(control, name)) > known)
            return process

        yield start


def asking(control, name: str) -> list[str]:
    """
    Name the processes that ask for a flow.
    """
    reports = control.fleet().instances
    return [r.instance for r in reports if (NameKind.FLOW, name) in {(one.kind, one.name) for one in r.asks}]


def test_a_rename_while_both_releases_run(control, release):
    """
    In four processes of two releases no visit is split or moved by a rename, and each user has one side everywhere.
    """
    processes = [release("pay"), release("pay")]
    change = control.apply(cutover.Migration.parse(RENAMED))
    assert control.wait(change, timeout=60).is_complete
    processes += [release("settle"), release("settle")]

    said = [process.asked() for process in processes]
    assert [(one["split"], one["moved"]) for one in said] == [(0, 0)] * 4
    assert all(one["fresh"] == said[0]["fresh"] for one in said)
    assert set(said[0]["fresh"].values()) == {"old", "new"}
    assert control.verify().ok


def test_a_deploy_before_the_apply(control, release):
    """
    A release that asks for a name which the definition lacks is reported, holds up a raise, and is whole after apply.
    """
    process = release("settle")
    (unknown,) = control.status().unknown
    assert (unknown.kind, unknown.name) == (NameKind.FLOW, "settle")
    with pytest.raises(Refused, match="names that the definition lacks"):
        control.set("purchase", 60, reason="more")

    change = control.apply(cutover.Migration.parse(RENAMED))
    assert control.wait(change, timeout=60).is_complete
    assert control.status().unknown == ()
    control.set("purchase", 60, reason="more")
    assert process.asked()["split"] > 0
