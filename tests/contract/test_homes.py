"""
Every engine of homes, held to the contract.
"""

import itertools

import pytest

from cutover.claims.homes import homes
from cutover.testing import HomesContract
from cutover.testing.homes_contract import HomesPlace

NUMBERS = itertools.count()
URLS = {
    "memory": lambda folder: f"memory:homes-{next(NUMBERS)}",
    "sqlite": lambda folder: f"sqlite:///{folder}/homes.db",
}
SERVERS = ("postgresql_url", "old_postgresql_url", "valkey_with_log_url")


class TestHomes(HomesContract):
    """
    The engines that come with the library.
    """

    @pytest.fixture(params=[*URLS, *SERVERS])
    def place(self, request, tmp_path, monkeypatch) -> HomesPlace:
        """
        A fresh place of each kind.
        """
        monkeypatch.delenv("CUTOVER_MIGRATION", raising=False)
        kind = request.param
        url = request.getfixturevalue(kind) if kind in SERVERS else URLS[kind](tmp_path)
        return lambda **given: homes(url, **given)
