"""
Named queries.
"""

import re
import sqlite3
from contextlib import closing

from cutover.engines.queries import load_queries


def test_every_query_is_valid():
    """
    Every query of the SQLite store is one that SQLite accepts on the store's own tables.
    """
    queries = dict(load_queries("cutover.engines.sqlite", "store.sql"))
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(queries.pop("create"))
        for query in queries.values():
            connection.execute(f"EXPLAIN {query}", dict.fromkeys(re.findall(r":(\w+)", query), 1))

    assert "head" in queries
