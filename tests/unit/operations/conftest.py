"""
A migration in a memory store of its own, and a clock that stands still.
"""

from uuid import uuid4

import pytest
from clocks import Clock

from cutover.core.migration import Migration
from cutover.engines.registry import open_store
from cutover.operations.control import Control
from cutover.operations.control import control as open_control

TOML = """
name = "shop"
title = "Old shop to new"
old = "legacy"
new = "modern"
started = 2026-01-01
deadline = 2026-01-31
timezone = "Asia/Jakarta"
[flows.browse]
weight = 1
[flows.cart]
weight = 1
[flows.pay]
weight = 2
[journeys.purchase]
flows = ["cart", "pay"]
together = true
[work.texts]
title = "Texts"
weight = 1
[cohorts.staff]
title = "Employees"
"""


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def definition():
    return Migration.parse(TOML)


@pytest.fixture
def store():
    opened = open_store(f"memory:{uuid4().hex}")
    yield opened
    opened.close()


@pytest.fixture
def control(store, clock, definition):
    """
    The operator of an applied migration, all dials at 0.
    """
    made = Control(store, actor="rina", now=clock)
    made.apply(definition)
    return made


@pytest.fixture
def path(tmp_path, definition):
    """
    A SQLite store with three changes.
    """
    path = tmp_path / "cutover.db"
    with open_control(f"sqlite:///{path}", actor="rina") as control:
        control.apply(definition)
        control.set("pay", 5, reason="five")
        control.set("pay", 6, reason="six")
    return path
