"""
A machine of the test's own for each test of the router.
"""

import pytest

VARIABLES = ("STORE", "MIGRATION", "SECRET", "CACHE", "BOOTSTRAP", "BREAK_GLASS", "OUTBOX")


@pytest.fixture(autouse=True)
def own_machine(monkeypatch, tmp_path):
    """
    No variable of the caller's, and a home of the test's own.
    """
    for name in VARIABLES:
        monkeypatch.delenv(f"CUTOVER_{name}", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
