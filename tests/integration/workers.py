"""
Starting the other processes of the fault tests.
"""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

WORKER = Path(__file__).with_name("store_worker.py")


@contextmanager
def worker(*arguments: object):
    """
    Run a worker for a block; it is killed at its end, if it still runs.
    """
    command = [sys.executable, str(WORKER), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen) -> str:
    """
    Wait for the next line of a worker.
    """
    return process.stdout.readline().strip()
