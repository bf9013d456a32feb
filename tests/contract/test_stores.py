"""
Every store, held to the contract.
"""

import itertools

import pytest

from cutover.engines.registry import open_store
from cutover.testing import StoreContract
from cutover.testing.store_helpers import Place

NUMBERS = itertools.count()
URLS = {
    "memory": lambda folder: f"memory:contract-{next(NUMBERS)}",
    "sqlite": lambda folder: f"sqlite:///{folder}/cutover.db",
}
SERVERS = (
    "postgresql_url",
    "old_postgresql_url",
    "valkey_url",
    "valkey_with_log_url",
    "old_redis_url",
    "relay_url",
)


class TestStores(StoreContract):
    """
    The stores that come with the library.
    """

    @pytest.fixture(params=[*URLS, *SERVERS])
    def place(self, request, tmp_path) -> Place:
        """
        A fresh place of each kind.
        """
        kind = request.param
        url = request.getfixturevalue(kind) if kind in SERVERS else URLS[kind](tmp_path)
        return lambda: open_store(url)
