"""
What becomes of a change whose answer is lost, on a store that loses answers.
"""

import pytest

from cutover.engines.registry import open_store
from cutover.errors import Conflict, OutcomeUnknown, Unavailable
from cutover.operations.control import Control


@pytest.fixture
def losing(store, clock, monkeypatch):
    """
    Make a control over the same store whose next answer to a write is lost, after something was written or not.
    """

    def make(writes, *, is_silent=False, in_doubt=False):
        broken = open_store(store.url)
        append, history, lost = broken.append, broken.history, []

        def losing_append(migration, **arguments):
            if lost:
                return append(migration, **arguments)
            lost.append(True)
            writes(store, migration, arguments)
            raise Unavailable("the connection broke", in_doubt=in_doubt)

        def losing_history(migration, *, after=0):
            if is_silent and lost:
                raise Unavailable("the connection broke")
            return history(migration, after=after)

        monkeypatch.setattr(broken, "append", losing_append)
        monkeypatch.setattr(broken, "history", losing_history)
        return Control(broken, actor="rina", now=clock)

    return make


def it(store, migration, arguments):
    store.append(migration, **arguments)


def nothing(store, migration, arguments):
    pass


def another(store, migration, arguments):
    Control(store, actor="budi").set("cart", 3, reason="first")


def test_a_change_that_went_in_is_found_by_its_hash(control, losing):
    """
    Where the answer was lost but the change is on the chain, the verb succeeds, and there is one change.
    """
    broken = losing(it)

    change = broken.set("pay", 5, reason="x")

    assert [c.hash for c in control.history(after=1)] == [change.hash]


def test_a_change_that_did_not_go_in_is_unavailable(control, losing):
    """
    Where the version is vacant, nothing was written, and the store's own error says why.
    """
    broken = losing(nothing)

    with pytest.raises(Unavailable, match="broke"):
        broken.set("pay", 5, reason="x")
    assert control.history(after=1) == []


def test_another_change_in_its_place_is_a_lost_race(control, losing):
    """
    Where another change took the version, the verb is computed again on top of it.
    """
    broken = losing(another)

    broken.set("pay", 5, reason="second")

    assert [c.reason for c in control.history(after=1)] == ["first", "second"]


def test_another_change_in_its_place_is_a_conflict_where_one_was_expected(control, losing):
    """
    With an expectation the lost race is a conflict.
    """
    broken = losing(another)

    with pytest.raises(Conflict):
        broken.set("pay", 5, reason="second", expect=1)
    assert [c.reason for c in control.history(after=1)] == ["first"]


def test_a_store_that_is_away_and_wrote_nothing(control, losing):
    """
    Where the store itself said that nothing was written, nobody need look.
    """
    broken = losing(nothing, is_silent=True)

    with pytest.raises(Unavailable, match="broke"):
        broken.set("pay", 5, reason="x")
    assert control.history(after=1) == []


def test_a_change_that_may_be_under_way(control, losing):
    """
    Where the answer was lost and the version is vacant still, the change may come later: the outcome is unknown.
    """
    broken = losing(nothing, in_doubt=True)

    with pytest.raises(OutcomeUnknown):
        broken.set("pay", 5, reason="x")
    assert control.history(after=1) == []


@pytest.mark.parametrize("writes", [it, nothing])
def test_an_outcome_that_cannot_be_looked_up_is_unknown(control, losing, writes):
    """
    Where the store does not tell, the error names the hash to look for.
    """
    broken = losing(writes, is_silent=True, in_doubt=True)

    with pytest.raises(OutcomeUnknown) as caught:
        broken.set("pay", 5, reason="x")

    assert len(caught.value.hash) == 64
    assert [c.hash for c in control.history(after=1)] == ([caught.value.hash] if writes is it else [])
