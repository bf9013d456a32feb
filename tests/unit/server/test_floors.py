"""
Emergencies at one relay, and how they reach the ledger.
"""

from datetime import UTC, datetime

import attrs
import pytest

from cutover.core.floor import Emergency
from cutover.errors import Corrupt, Unavailable
from cutover.server.entering import enter
from cutover.server.floors import Floors

GIVEN = Emergency(
    target="pay",
    flows=("cart", "pay"),
    actor="rina",
    reason="timeouts",
    ticket="INC-7",
    at=datetime(2026, 1, 11, 3, tzinfo=UTC),
    version=2,
)


@pytest.fixture
def path(tmp_path):
    """
    Where emergencies are kept.
    """
    return tmp_path / "shop.floor"


def test_kept(path):
    """
    What was given outlives the process, at mode 0600, and what was lifted does not.
    """
    Floors(path).give(GIVEN)
    assert path.stat().st_mode & 0o777 == 0o600
    again = Floors(path)
    assert (again.emergencies, again.pending, again.kept) == ((GIVEN,), (GIVEN,), True)

    again.lift()
    assert Floors(path).emergencies == ()


def test_given_twice(path):
    """
    A second one for the same target changes nothing: a retry is no second rollback.
    """
    floors = Floors(path)
    floors.give(GIVEN)

    assert floors.give(attrs.evolve(GIVEN, reason="again")) == GIVEN
    assert floors.emergencies == (GIVEN,)


def test_disk_is_full(tmp_path):
    """
    What cannot be written holds in memory all the same, and the answer says so.
    """
    floors = Floors(tmp_path / "folder" / "shop.floor")
    (tmp_path / "folder").write_text("no folder can be made here")
    floors.give(GIVEN)

    assert (floors.emergencies, floors.kept) == ((GIVEN,), False)


@pytest.mark.parametrize("content", ["", "{}", "[{}]", "x"])
def test_damaged(path, content):
    """
    A floor that cannot be read stops the relay: to go on without it would send users back to NEW.
    """
    path.write_text(content)
    with pytest.raises(Corrupt, match="mend it"):
        Floors(path)


def test_entered(followed, store, control):
    """
    The ledger gets the rollback with who, why and when it was given; once, also if the relay ends before it notes that.
    """
    followed.give(GIVEN)
    enter(followed, store)
    (change,) = control.history(after=2)
    assert [change.verb, change.actor, change.reason, change.ticket, change.at] == [
        "rollback",
        "rina",
        "timeouts",
        "INC-7",
        GIVEN.at,
    ]
    assert followed.floors.emergencies == (attrs.evolve(GIVEN, change=change.hash),)

    followed.floors._set([GIVEN])
    enter(followed, store)
    assert len(control.history()) == 3
    assert followed.floors.pending == ()


def test_the_store_goes_away_again(followed, store, control):
    """
    What could not be entered stays pending and in force.
    """
    followed.give(GIVEN)
    store.close()
    with pytest.raises(Unavailable):
        enter(followed, store)

    assert followed.floors.pending == (GIVEN,)
    assert followed.floor == ("cart", "pay")


def test_a_flow_that_is_gone(followed, store, control):
    """
    A rollback of a flow that the definition no longer has stays pending, and the others are entered.
    """
    followed.give(attrs.evolve(GIVEN, target="removed", flows=("removed",)))
    followed.give(GIVEN)
    enter(followed, store)

    assert [one.target for one in followed.floors.pending] == ["removed"]
    assert len(control.history()) == 3
