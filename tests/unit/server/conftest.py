"""
A migration with two changes in a memory store, and what a relay knows of it.
"""

from uuid import uuid4

import pytest
from clocks import Clock
from servers.relay import DEFINITION

from cutover.core.migration import Migration
from cutover.engines.memory.store import MemoryStore
from cutover.operations.control import Control
from cutover.server.copies import Copies
from cutover.server.followed import Followed


@pytest.fixture
def clock():
    """
    A clock in the middle of the migration.
    """
    return Clock()


@pytest.fixture
def store():
    """
    An empty store of this test's own.
    """
    return MemoryStore(uuid4().hex)


@pytest.fixture
def control(store, clock):
    """
    The operator of a migration at version 2, with browse at 25%.
    """
    control = Control(store, actor="rina", migration="shop", now=clock)
    control.apply(Migration.parse(DEFINITION))
    control.set("browse", 25, reason="week 1")
    return control


@pytest.fixture
def changed():
    """
    The names of migrations of which something else was held.
    """
    return []


@pytest.fixture
def followed_of(tmp_path, clock, changed):
    """
    Follow the migration over any store; all keep their copies in one folder.
    """

    def make(store, name="shop"):
        return Followed(name, store, Copies(tmp_path, "memory:shop"), now=clock, changed=changed.append)

    return make


@pytest.fixture
def followed(followed_of, store, control):
    """
    The migration as a relay knows it that has read version 2.
    """
    followed = followed_of(store)
    followed.refresh()
    return followed
