"""
Verification of what a store holds, with stores that were tampered with.
"""

import sqlite3

import attrs
import pytest

from cutover.errors import ConfigurationError
from cutover.operations.control import Control
from cutover.operations.control import control as open_control


def tamper(path, old, new):
    """
    Replace text in every column of every table, as somebody with the file could.
    """
    connection = sqlite3.connect(path)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            if kind == "TEXT":
                connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))
    connection.commit()
    connection.close()


def verify(path, **arguments):
    """
    Verify the store with a control that never saw it before.
    """
    with open_control(f"sqlite:///{path}") as control:
        return control.verify(**arguments)


def test_an_untouched_store_verifies(path):
    """
    What was never touched is found to be right, and its head is named.
    """
    found = verify(path)

    assert (found.ok, found.versions) == (True, 3)
    assert verify(path, expect=found.head).ok


def test_an_edited_reason_is_found(path):
    """
    A changed word in the ledger is found at its version.
    """
    tamper(path, "five", "four")

    assert ("altered", 2) in {(p.code, p.version) for p in verify(path).problems}


def test_an_edited_snapshot_is_found(path):
    """
    A changed dial in the snapshot no longer is the merge of all effects.
    """
    tamper(path, '"pay":6000}', '"pay":99000}')

    assert not verify(path).ok


def test_a_snapshot_that_cannot_be_read_is_found(path):
    """
    A snapshot that is no document any more is a problem of the verification, not an error.
    """
    tamper(path, '"evictions"', '"evictions')

    found = verify(path)

    assert "unreadable" in {problem.code for problem in found.problems}


def test_a_control_that_saw_the_snapshot_before_finds_the_edit(path):
    """
    A verification looks at what is stored, not at what was read earlier.
    """
    with open_control(f"sqlite:///{path}") as control:
        assert control.status().version == 3
        tamper(path, '"pay":6000}', '"pay":99000}')
        assert not control.verify().ok


@pytest.mark.parametrize("expect", ["4", f"3:{'0' * 64}"])
def test_a_head_that_was_written_down_is_looked_for(path, expect):
    """
    A cut tail and a rewritten chain show beside a head that was kept elsewhere.
    """
    assert not verify(path, expect=expect).ok


def test_a_migration_that_is_not_there(store, definition):
    """
    There is nothing to verify where there is no migration, and that is an error.
    """
    Control(store, actor="rina").apply(definition)

    with pytest.raises(ConfigurationError, match="other"):
        Control(store, actor="rina", migration="other").verify()


def write(path, statement):
    """
    Write into the file past the store.
    """
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE changes SET hash = replace(hash, substr(hash, 1, 8), '00000000') WHERE version = 3", "index_differs"),
        ("UPDATE changes SET hash = replace(hash, substr(hash, 1, 8), '00000000') WHERE version = 1", "index_differs"),
        ("UPDATE migrations SET version = 2", "unreadable"),
        ("UPDATE migrations SET epoch = 9", "unreadable"),
        ("UPDATE migrations SET hash = replace(hash, substr(hash, 1, 8), '00000000')", "unreadable"),
    ],
    ids=["hash of the head", "hash of an old change", "version", "epoch", "head"],
)
def test_what_routers_are_told(path, statement, code):
    """
    Whatever routers are told beside the ledger is held against it.
    """
    write(path, statement)

    assert code in [problem.code for problem in verify(path).problems]


def test_the_time_of_the_snapshot(path):
    """
    The snapshot bears the time of its last change.
    """
    write(path, 'UPDATE snapshots SET document = replace(document, \'"at":"2\', \'"at":"1\')')

    assert [problem.code for problem in verify(path).problems] == ["snapshot_differs"]


def test_the_ledger_of_another(path, definition):
    """
    A ledger that belongs to another migration is found, also where it is whole.
    """
    other = attrs.evolve(definition, name="other", salt="other")
    with open_control(f"sqlite:///{path}", actor="rina", migration="other") as control:
        control.apply(other)
        control.set("pay", 5, reason="five")
        control.set("pay", 6, reason="six")
    for table in ("changes", "snapshots"):
        for was, now in (("other", "x"), (definition.name, "other"), ("x", definition.name)):
            write(path, f"UPDATE {table} SET migration = '{now}' WHERE migration = '{was}'")
    with open_control(f"sqlite:///{path}", migration=definition.name) as control:
        assert "foreign" in {problem.code for problem in control.verify().problems}
