"""
A snapshot that is damaged, and the ledger beside it.
"""

import json
import sqlite3

import pytest

from cutover.errors import Corrupt, Refused
from cutover.operations import commit
from cutover.operations.control import control as open_control


def damage(path, statement):
    """
    Write into the file past the store.
    """
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE snapshots SET document = ''",
        "UPDATE snapshots SET document = replace(document, '\"pay\":6000', '\"pay\":101000')",
        "UPDATE snapshots SET document = replace(document, '\"version\":3', '\"version\":2')",
    ],
    ids=["empty", "101%", "another version"],
)
def test_the_next_change_heals(path, statement):
    """
    An operator who never saw the store can change it on what the ledger says, and it verifies afterwards.
    """
    damage(path, statement)
    with open_control(f"sqlite:///{path}", actor="rina") as control:
        assert not control.verify().ok
        assert control.snapshot().dials["pay"] == 6000
        control.set("pay", 7, reason="seven")

        assert control.verify().ok
        assert json.loads(control.store.read(control.migration).document)["state"]["dials"]["pay"] == 7000


def test_a_damaged_ledger_heals_nothing(path):
    """
    Where the ledger is damaged too, the damage of the snapshot is what is told, and nothing is made up.
    """
    damage(path, "UPDATE snapshots SET document = '{}'")
    damage(path, "UPDATE changes SET text = replace(text, 'five', 'nine')")
    with open_control(f"sqlite:///{path}", actor="rina") as control, pytest.raises(Corrupt, match="the snapshot"):
        control.set("pay", 7, reason="seven")


def test_too_large_to_be_read(path, monkeypatch):
    """
    A change whose snapshot no router would read is refused, and nothing is written.
    """
    monkeypatch.setattr(commit, "LARGEST_DOCUMENT", 500)
    with open_control(f"sqlite:///{path}", actor="rina") as control:
        with pytest.raises(Refused, match="500 at most"):
            control.set("pay", 7, reason="seven")

        assert control.snapshot().version == 3


def test_a_wrong_epoch_is_not_healed(path):
    """
    An epoch that no adopt gave does not get into a snapshot that is made anew.
    """
    damage(path, "UPDATE migrations SET epoch = 9")

    with open_control(f"sqlite:///{path}", actor="budi") as control, pytest.raises(Corrupt):
        control.set("pay", 7, reason="seven")
