"""
Mirrored writes whose processes are killed at every point around the two writes.
"""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import cutover
from cutover.core.defined import Flow
from cutover.testing import router as router_for_tests

WORKER = Path(__file__).with_name("mirror_worker.py")
CARTS = "SELECT key, sequence, item FROM carts ORDER BY place"


@pytest.fixture(params=["sqlite", "postgresql"])
def outbox(request, tmp_path):
    """
    Where intents are kept.
    """
    return f"sqlite:///{tmp_path}/outbox.db" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")


def carts(path):
    """
    Give what a back end has, by key, in the order in which it came.
    """
    connection = sqlite3.connect(path)
    found = {}
    for key, sequence, item in connection.execute(CARTS):
        found.setdefault(key, []).append((sequence, item))
    connection.close()
    return found


def authority_of(key):
    """
    Tell where a key's writes go first, as the worker's definition and dial say.
    """
    definition = cutover.Migration(
        name="shop", title="Shop", old="a", new="b", salt="shop", flows={"cart": Flow(name="cart")}
    )
    return router_for_tests(definition, cart=50).flow("cart").peek(key).backend


def test_killed_at_every_point(outbox, tmp_path):
    """
    Killed a hundred times at every point around both writes: what the authoritative side has the other one gets, what
    it never had the other one never gets, and each key's writes come in their order.
    """
    rounds = 112 if outbox.startswith("sqlite") else 28
    ended = subprocess.run(
        [sys.executable, str(WORKER), outbox, str(tmp_path), str(rounds)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
    )
    summary = json.loads(ended.stdout.splitlines()[-1])
    sides = {side: carts(tmp_path / f"{side}.db") for side in cutover.Backend}
    keys = {key for side in sides.values() for key in side}

    assert summary["finished"]
    assert set(summary["killed"].values()) == {rounds // len(summary["killed"])}
    assert {authority_of(key) for key in keys} == set(cutover.Backend)
    for key in keys:
        authority = authority_of(key)
        (other,) = set(cutover.Backend) - {authority}
        assert sorted(sides[authority][key]) == sides[other].get(key, [])
