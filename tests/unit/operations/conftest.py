"""
A migration in a memory store of its own, and a clock that stands still.
"""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cutover.core.migration import Migration
from cutover.operations.control import Control
from cutover.stores.registry import open_store

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


class Clock:
    """
    A clock that stands still until it is moved.
    """

    def __init__(self):
        self.now = datetime(2026, 1, 11, 12, tzinfo=UTC)

    def __call__(self):
        """
        Tell the time.
        """
        return self.now

    def forward(self, **span):
        """
        Move on by a span.
        """
        self.now += timedelta(**span)


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
