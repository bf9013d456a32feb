"""
Things that were copied: their homes, and then the ledger.
"""

from uuid import uuid4

import pytest

from cutover.claims.homes import Homes, homes
from cutover.claims.ids import digest_of
from cutover.core.backend import Backend
from cutover.errors import ConfigurationError, Conflict, OutcomeUnknown, Refused, Unavailable
from cutover.ports.homes import PIECE

OLD, NEW = Backend.OLD, Backend.NEW
DIGEST = digest_of([b"1", b"2", b"3"])


@pytest.fixture
def place():
    """
    Homes of the migration: order 1 lives on OLD, order 2 on NEW.
    """
    with homes(f"memory:{uuid4().hex}", migration="shop") as opened:
        opened.claim_many("order", {1: OLD, 2: NEW})
        yield opened


def last(control):
    """
    Give the last change.
    """
    return control.history()[-1]


def test_rehome(control, place):
    """
    The homes are moved, and the ledger tells how many by kind and a digest, and no id.
    """
    change = control.rehome("order", [3, "1", "2", 1], homes=place, reason="copied")

    assert place.find_many("order", ["1", "2", "3"]) == dict.fromkeys(("1", "2", "3"), NEW)
    arguments = {"kind": "order", "moved": 1, "already": 1, "new": 1, "sha256": DIGEST}
    assert (change.verb, change.arguments, change.effects) == ("rehome", arguments, {})
    assert control.verify().ok

    again = control.rehome("order", [1, 2, 3], homes=place.url, reason="to be sure")
    assert again.arguments == {**arguments, "moved": 0, "already": 3, "new": 0}
    assert place.find("order", 1) is NEW


def test_dry_run(control, place):
    """
    A dry run tells the same numbers and writes nothing.
    """
    proposal = control.preview.rehome("order", [1, 2, 3], homes=place)

    assert proposal.arguments == {"kind": "order", "moved": 1, "already": 1, "new": 1, "sha256": DIGEST}
    assert place.find_many("order", [1, 3]) == {1: OLD, 3: None}
    assert last(control).verb == "apply"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"kind": "Order"}, ConfigurationError),
        ({"ids": []}, ConfigurationError),
        ({"ids": [""]}, ConfigurationError),
        ({"reason": " "}, ConfigurationError),
        ({"expect": 7}, Conflict),
    ],
)
def test_what_is_refused_touches_no_home(control, place, given, error):
    """
    Whatever is wrong with the request is found before a home is written.
    """
    asked = {"kind": "order", "ids": [1], "reason": "copied", **given}

    with pytest.raises(error):
        control.rehome(asked.pop("kind"), asked.pop("ids"), homes=place, **asked)

    assert place.find("order", 1) is OLD
    assert last(control).verb == "apply"


def test_while_frozen(control, place):
    """
    Things stay where they are while the migration is frozen.
    """
    control.freeze(reason="sales day")

    with pytest.raises(Refused, match="unfreeze first"):
        control.rehome("order", [1], homes=place, reason="copied")

    assert place.find("order", 1) is OLD


def test_homes_of_another_migration(control, place):
    """
    The ledger of one migration does not tell of another's homes.
    """
    with homes(place.url, migration="other") as others, pytest.raises(ConfigurationError, match="'other'"):
        control.rehome("order", [1], homes=others, reason="copied")


def test_homes_that_are_away(control, place):
    """
    Where nothing could be written it says so, and the ledger is silent.
    """
    place.close()

    with pytest.raises(Unavailable, match="closed"):
        control.rehome("order", [1], homes=place, reason="copied")

    assert last(control).verb == "apply"


def test_broken_off_in_the_middle(control, place, monkeypatch):
    """
    Where the homes go away in the middle, the outcome is unknown; run again it is completed, and put on record.
    """
    ids = list(range(PIECE + 5))
    whole = Homes.rehome

    def breaking(self, kind, piece):
        if len(piece) < PIECE:
            raise Unavailable("the cable is out")
        return whole(self, kind, piece)

    with monkeypatch.context() as patch:
        patch.setattr(Homes, "rehome", breaking)
        with pytest.raises(OutcomeUnknown, match=r"some of the homes may be moved .*the cable is out.*again"):
            control.rehome("order", ids, homes=place, reason="copied")
    assert last(control).verb == "apply"

    change = control.rehome("order", ids, homes=place, reason="copied")
    assert (change.arguments["already"], change.arguments["new"]) == (PIECE, 5)


def test_a_ledger_that_is_away(control, place, store, monkeypatch):
    """
    Where the homes are written and the ledger cannot be, the outcome is unknown; run again it is put on record.
    """

    def away(*args, **kwargs):
        raise Unavailable("the cable is out")

    with monkeypatch.context() as patch:
        patch.setattr(store, "append", away)
        with pytest.raises(OutcomeUnknown, match="the homes are moved, and the ledger does not show it"):
            control.rehome("order", [1], homes=place, reason="copied")
    assert place.find("order", 1) is NEW

    assert control.rehome("order", [1], homes=place, reason="copied").arguments["already"] == 1
