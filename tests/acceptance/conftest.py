"""
The command line as a subprocess, over a real SQLite store.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from cutover.operations.control import control as open_control

TOML = """
name = "shop"
title = "Old shop to new"
old = "legacy"
new = "modern"
started = 2026-01-01
deadline = 2026-12-31
timezone = "Asia/Jakarta"
[flows.browse]
[flows.cart]
[flows.pay]
[journeys.purchase]
flows = ["cart", "pay"]
together = true
[work.texts]
title = "Texts"
[cohorts.staff]
title = "Employees"
"""
COMMAND = (sys.executable, "-W", "error", "-m", "cutover.cli")


@attrs.frozen
class Shop:
    """
    A folder with a definition and a store, and the command line over them.
    """

    folder: Path

    @property
    def url(self):
        """
        The store's URL.
        """
        return f"sqlite:///{self.folder}/cutover.db"

    @property
    def environment(self):
        """
        What the command line finds in its environment.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUTOVER", "COV"))}
        return {**kept, "CUTOVER_STORE": self.url, "COLUMNS": "100", "PYTHONUTF8": "1"}

    def run(self, *arguments, environment=None, stdin=None):
        """
        Run one command without a terminal.
        """
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def shell(self, line):
        """
        Run a line of bash; in it, {command} stands for the command line.
        """
        return subprocess.run(
            ["bash", "-c", line.format(command=shlex.join(COMMAND))],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def start(self, *arguments, **streams):
        """
        Start one command that goes on, with the given streams.
        """
        return subprocess.Popen([*COMMAND, *arguments], cwd=self.folder, env=self.environment, **streams)

    def json(self, *arguments):
        """
        Run one command that succeeds, and read the JSON that it prints.
        """
        done = self.run(*arguments, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def control(self, **arguments):
        """
        Open the store beside the command line.
        """
        return open_control(self.url, actor="beside", **arguments)

    def texts(self):
        """
        Give the ledger as it is stored.
        """
        with self.control() as control:
            return list(control.history_texts())


@pytest.fixture
def bare(tmp_path):
    """
    A shop whose definition is not applied yet.
    """
    (tmp_path / "cutover.toml").write_text(TOML)
    return Shop(tmp_path)


@pytest.fixture
def shop(bare):
    """
    A shop whose definition is applied, all dials at 0.
    """
    from cutover.core.migration import Migration

    with bare.control() as control:
        control.apply(Migration.parse(TOML))
    return bare
