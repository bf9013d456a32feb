"""
A process that serves relays, one for each test that asks.
"""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def relays(tmp_path_factory):
    """
    The address of a process that serves a fresh relay for each first path segment.
    """
    script = Path(__file__).with_name("relay_worker.py")
    command = [sys.executable, str(script), str(tmp_path_factory.mktemp("relays"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.fixture
def relay_url(relays):
    """
    A relay of this test's own, before an empty SQLite store.
    """
    return f"{relays}/r{next(NUMBERS)}"
