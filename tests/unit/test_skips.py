"""
A skip is a failure under continuous integration.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
KINDS = {
    "call": "import pytest\ndef test(): pytest.skip('no service')\n",
    "mark": "import pytest\n@pytest.mark.skip(reason='no service')\ndef test(): pass\n",
    "module": "import pytest\npytest.skip('no service', allow_module_level=True)\n",
    "fixture": "import pytest\n@pytest.fixture\ndef f(): pytest.skip('no service')\ndef test(f): pass\n",
    "xfail": "import pytest\n@pytest.mark.xfail(reason='no service')\ndef test(): assert False\n",
}


def run(folder, body, **environment):
    """
    Run pytest over one module with our hooks.
    """
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {TESTS}\n")
    (folder / "test_it.py").write_text(body)
    known = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "skips"]
    return subprocess.run(
        command, cwd=folder, env={**known, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("body", KINDS.values(), ids=KINDS)
def test_skip_under_ci(tmp_path, body):
    """
    Whatever way a test is skipped in, the run fails under CI and says why.
    """
    done = run(tmp_path, body, CI="true")

    assert done.returncode in (1, 2), done.stdout
    assert "skipped under CI" in done.stdout
    assert "no service" in done.stdout


def test_skip_elsewhere(tmp_path):
    """
    Without CI a skip stays a skip.
    """
    done = run(tmp_path, KINDS["call"])

    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout


def test_pass_under_ci(tmp_path):
    """
    A test that passes does so under CI too.
    """
    done = run(tmp_path, "def test(): pass\n", CI="true")

    assert done.returncode == 0, done.stdout
