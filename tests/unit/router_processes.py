"""
Starting processes that route, and a store for them.
"""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import cutover

WORKER = Path(__file__).parent.parent / "integration" / "router_worker.py"
PATIENCE = 120.0  # seconds until a process counts as hanging; it is killed then
TOML = """
name = "shop"
title = "Shop"
old = "tiktok"
new = "tokopedia"
[flows.browse]
[flows.pay]
"""


def begin(url: str, folder: Path):
    """
    Give a store the shop, with pay at 50%.
    """
    path = folder / "cutover.toml"
    path.write_text(TOML)
    control = cutover.control(url, actor="rina")
    control.apply(cutover.Migration.load(str(path)))
    control.set("pay", 50, reason="begin")
    return control


class Process(subprocess.Popen):
    """
    A worker, which speaks in lines of JSON.
    """

    def said(self) -> dict:
        """
        Wait for the next line.
        """
        return json.loads(self.stdout.readline())

    def asked(self) -> dict:
        """
        Send a line, and wait for the answer.
        """
        self.stdin.write("\n")
        self.stdin.flush()
        return self.said()

    def ended(self) -> int:
        """
        Wait for its end.
        """
        return self.wait(PATIENCE)


@contextmanager
def worker(*arguments: object):
    """
    Run a worker for a block; it is killed at its end, if it still runs.
    """
    # Newer versions of Python warn of every fork beside threads: that is what is tested.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(WORKER), *map(str, arguments)]
    with Process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()
