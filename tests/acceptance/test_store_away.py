"""
The application of the README where its store is away and its disk is empty.
"""

import os
import re
import subprocess
import sys
import urllib.request

from pages import ROOT, file_in
from servers.ports import free_port

from cutover.testing.store_helpers import until

PATIENCE = 60.0  # seconds
SERVED = re.compile(r'^cutover_requests_total\{(?=.*flow="pay")(?=.*backend="old")(?=.*reason="default")', re.MULTILINE)


def metrics_at(port):
    """
    Give what a process shows; nothing where it does not answer yet.
    """
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def test_serves_on_old(tmp_path):
    """
    It goes on and serves on OLD, and its log says so; nothing of the library is on its standard output.
    """
    (tmp_path / "app.py").write_text(file_in(ROOT / "README.md", "app.py"))
    port = free_port()
    environment = {**os.environ, "PORT": str(port), "HOME": str(tmp_path), "CUTOVER_CACHE": "off"}
    with subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        served = until(lambda: SERVED.search(metrics_at(port)), PATIENCE)
        process.terminate()
        output, log = process.communicate(timeout=PATIENCE)

    assert served, log
    assert (process.returncode, output) == (0, "")
    assert "cutover.store_empty" in log or "cutover.store_unavailable" in log
    assert "cutover.not_ready" in log
