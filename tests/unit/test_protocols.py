"""
What an object offers, whichever way it offers it, on every version of Python.
"""

from typing import Protocol, runtime_checkable

import pytest

from cutover.claims.homes import Homes
from cutover.engines.memory.store import MemoryStore
from cutover.integrations.carriers import Carrier, Cookie
from cutover.ports.store import Source, Store
from cutover.protocols import Checked, missing_of
from cutover.router.calls.switch import Claiming


@runtime_checkable
class Talking(Protocol, metaclass=Checked):
    """
    A protocol of a property and a method.
    """

    @property
    def name(self) -> str:
        """
        A name.
        """
        ...

    def talk(self) -> str:
        """
        A sentence.
        """
        ...


class Delegating:
    """
    Hands everything on to another object.
    """

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


class Whole:
    """
    A class with both members; its property asks a server that is down.
    """

    @property
    def name(self):
        """
        A name.
        """
        raise ConnectionError

    def talk(self):
        """
        A sentence.
        """
        return "good morning"


class Inheriting(Talking):
    """
    A class that takes the empty method of the protocol for its own.
    """

    name = "nobody"


class Declining(Whole):
    """
    A class that says that it has no such method.
    """

    talk = None


class Assigning:
    """
    An object whose members are its own.
    """

    def __init__(self):
        self.name, self.talk = "", lambda: "good morning"


@pytest.mark.parametrize("thing", [Whole(), Delegating(Whole()), Delegating(Delegating(Whole())), Assigning()])
def test_a_member_counts_wherever_it_stands(thing):
    """
    A member of the class, of the object and behind `__getattr__` counts, also where reading it fails.
    """
    assert isinstance(thing, Talking)
    assert missing_of(thing, Talking) == ()


@pytest.mark.parametrize(
    ("thing", "missing"),
    [
        (object(), ("name", "talk")),
        (None, ("name", "talk")),
        (Inheriting(), ("talk",)),
        (Declining(), ("talk",)),
        (Delegating(Declining()), ("talk",)),
    ],
)
def test_what_is_missing_has_a_name(thing, missing):
    """
    An absent member, a method that is None and the empty method of the protocol are missing.
    """
    assert not isinstance(thing, Talking)
    assert missing_of(thing, Talking) == missing


@pytest.mark.parametrize(
    ("thing", "protocol"),
    [(MemoryStore("protocols"), Store), (MemoryStore("protocols"), Source), (Cookie(), Carrier)],
)
def test_a_wrapper_is_what_it_wraps(thing, protocol):
    """
    An object that delegates is a store, a source or a carrier where the object behind it is one.
    """
    assert isinstance(thing, protocol)
    assert isinstance(Delegating(thing), protocol)


def test_homes_behind_a_wrapper_claim():
    """
    A switch takes homes behind an object that delegates.
    """
    assert isinstance(Delegating(Homes.__new__(Homes)), Claiming)
