"""
An outbox whose tables a later library changed while this one has it open.
"""

import sqlite3
from contextlib import closing

import psycopg
import pytest

from cutover.core.backend import Backend
from cutover.engines.registry import open_outbox
from cutover.errors import Corrupt
from cutover.ports.outbox import Entry, Rule

ENTRY = Entry(
    migration="shop", flow="cart", write="add", lane="lane", key='"user-1"', side=Backend.OLD, arguments="[[],{}]"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """
    A fresh place of each engine that keeps an outbox for several processes.
    """
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/outbox.db"
    return request.getfixturevalue("postgresql_url")


def change_layout(url, outbox):
    """
    Give the tables a later layout; give what counts their intents.
    """
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("UPDATE cutover_mirror_layout SET version = 2")
            return lambda: connect_and_count(path)
    schema = outbox._tables.place.schema
    with psycopg.connect(url.partition("?")[0], autocommit=True) as client:
        client.execute(f"UPDATE {schema}.layout SET cutover_mirror = 2")

    def count():
        with psycopg.connect(url.partition("?")[0]) as client:
            return client.execute(f"SELECT count(*) FROM {schema}.intents").fetchone()[0]

    return count


def connect_and_count(path):
    """
    Count the intents in a file.
    """
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM cutover_mirror_intents").fetchone()[0]


def test_a_later_layout(url):
    """
    An outbox that is open refuses tables of a later layout at its next call, and writes nothing into them.
    """
    with closing(open_outbox(url)) as outbox:
        outbox.create()
        held = outbox.record(ENTRY, "holder", 30.0)
        count = change_layout(url, outbox)
        calls = (
            lambda: outbox.record(ENTRY, "holder", 30.0),
            lambda: outbox.done(held),
            lambda: outbox.register("shop", Rule(flow="cart", name="add")),
            lambda: outbox.take("shop", ["cart add"], "holder", 30.0, 1),
            lambda: outbox.shortfalls("shop"),
        )
        for call in calls:
            with pytest.raises(Corrupt, match="has an outbox of the layout 2; this version reads 1"):
                call()

        assert count() == 1
