"""
The public API has the types that users write against.
"""

import subprocess
import sys

import pytest
from pages import ROOT

PROGRAMS = sorted((ROOT / "tests/typing").glob("*.py"))


def mypy(*arguments):
    """
    Check as a user with strict settings would, without this project's own.
    """
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--no-incremental", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_api(program):
    """
    A program that uses every public name passes a strict type checker, beside the types of frameworks.
    """
    done = mypy(program)

    assert done.returncode == 0, done.stdout


def test_misuse(tmp_path):
    """
    What the API does not have, the type checker reports: it sees the library's own types, and not Any.
    """
    program = tmp_path / "misuse.py"
    program.write_text(
        "import cutover\n"
        "cutover.connect(store=42)\n"
        "cutover.connect().flow(b'pay')\n"
        "cutover.connect().flow('pay').decide()\n"
        "cutover.control('memory:x').set('pay', 25)\n"
    )

    done = mypy(program)

    assert [line.split(":")[1] for line in done.stdout.splitlines() if ": error:" in line] == ["2", "3", "4", "5"]
