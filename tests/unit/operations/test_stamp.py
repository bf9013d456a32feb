"""
Who and why: texts that go into the ledger.
"""

import pytest

from cutover.errors import ConfigurationError
from cutover.operations.stamp import Stamp, actor_of


def test_the_actor_is_given_or_from_the_environment_or_the_user(monkeypatch):
    """
    A given actor goes before CUTOVER_ACTOR, and that before user@host.
    """
    monkeypatch.setenv("CUTOVER_ACTOR", "budi")
    assert actor_of("rina") == "rina"
    assert actor_of() == "budi"
    monkeypatch.delenv("CUTOVER_ACTOR")
    assert "@" in actor_of()


def test_a_user_without_a_name_has_a_number(monkeypatch):
    """
    In a container whose user has no name the actor still is somebody.
    """
    monkeypatch.delenv("CUTOVER_ACTOR", raising=False)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)

    assert actor_of().startswith("uid-")


@pytest.mark.parametrize("reason", ["", "  \n", None, 5, "x" * 1001, "a\ud800", "a\x1b[31m", "a\0"])
def test_a_reason_is_needed_and_limited(reason):
    """
    An empty, overlong or unprintable reason is refused.
    """
    with pytest.raises(ConfigurationError, match="reason"):
        Stamp.make(actor="rina", reason=reason)


def test_texts_are_stripped():
    """
    Spaces around a text are no part of it, line breaks within are.
    """
    stamp = Stamp.make(actor="rina", reason=" two\nlines ", ticket=" OPS-1 ")

    assert (stamp.reason, stamp.ticket) == ("two\nlines", "OPS-1")


@pytest.mark.parametrize("actor", ["x" * 201, "a\nb\x07", 7])
def test_an_actor_that_cannot_stand_in_a_ledger_is_refused(actor):
    """
    An actor is a short text.
    """
    with pytest.raises(ConfigurationError, match="actor"):
        actor_of(actor)
