"""
From errors to exit codes and messages.
"""

import json
import subprocess
import sys
from uuid import uuid4

import click
import pytest
import structlog

from cutover.cli.app import run
from cutover.cli.failures import ExitCode, Failure, document_of, exit_code_of, report
from cutover.core.migration import Migration
from cutover.engines.registry import open_store
from cutover.errors import (
    ConfigurationError,
    Conflict,
    Corrupt,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from cutover.operations.control import Control


@pytest.fixture
def unconfigured():
    """
    Take back what a run of the command line configures for its own process.
    """
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (Refused("x"), 1, "refused"),
        (Conflict("x"), 1, "conflict"),
        (ConfigurationError("x"), 2, "configuration_error"),
        (click.UsageError("x"), 2, "usage"),
        (click.BadParameter("x"), 2, "usage"),
        (Unavailable("x"), 3, "unavailable"),
        (Corrupt("x"), 3, "corrupt"),
        (Failure("x", ExitCode.UNCONFIRMED), 4, "unconfirmed"),
        (OutcomeUnknown("x", hash="9f"), 5, "outcome_unknown"),
        (ZeroDivisionError("x"), 70, "defect"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
    ],
)
def test_each_error_has_its_code(error, code, kind):
    """
    The codes are those of the contract, and every error has a kind for programs.
    """
    assert exit_code_of(error) == code
    assert document_of(error)["error"]["kind"] == kind
    assert document_of(error)["error"]["exit_code"] == code


def test_facts_of_an_error_go_into_its_document():
    """
    What an error knows is given to programs as fields.
    """
    conflict = document_of(Conflict("x", expected="1", actual="2:9f"))["error"]
    unknown = document_of(OutcomeUnknown("x", hash="9f"))["error"]

    assert (conflict["expected"], conflict["actual"], unknown["hash"]) == ("1", "2:9f", "9f")


def test_details_stand_below_the_message(capsys):
    """
    The message is one line, and each detail one below it; control characters are taken out.
    """
    report(Refused("no\x1b", details=["a", "b\nc"]), as_json=False, verbose=False)

    assert capsys.readouterr().err == "cutover: no�\n  a\n  b c\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [(OutcomeUnknown("lost", hash="9f" * 32), 5), (Unavailable("locked"), 3), (ZeroDivisionError("bug"), 70)],
)
def test_a_run_ends_with_the_code_of_its_error(monkeypatch, capsys, unconfigured, error, code):
    """
    Whatever a store raises, the run ends with that code, one JSON error and nothing on stdout.
    """

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("cutover.cli.session.control", fail)

    assert run(["rollback", "pay", "--reason", "x", "--store", "memory:x", "--json"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["error"]["exit_code"] == code


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_extra_is_one_line_that_names_it(missing):
    """
    Without click or rich the command line exits 2 and says what to install.
    """
    code = f"import sys; sys.modules[{missing!r}] = None; from cutover.cli import main; main(['status'])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "pip install 'cutover-controller[cli]'" in done.stderr


def test_importing_the_command_line_imports_nothing_heavy():
    """
    The package of the command line can be imported without what it needs to run.
    """
    code = "import sys; import cutover.cli; sys.exit(not {'click', 'cutover.cli.app'}.isdisjoint(sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_a_store_that_goes_away_during_the_wait_does_not_undo_the_change(monkeypatch, capsys, unconfigured):
    """
    What is in force is never reported as not done: without a confirmation the code is 4.
    """
    url = f"memory:{uuid4().hex}"
    store = open_store(url)
    control = Control(store, actor="rina")
    control.apply(Migration.parse('name = "m"\nold = "a"\nnew = "b"\n[flows.pay]\n'))

    def fail(*args, **kwargs):
        raise Unavailable("gone")

    monkeypatch.setattr("cutover.operations.observer.wait_for", fail)

    assert run(["set", "pay", "5", "--reason", "x", "--wait", "--store", url]) == 4
    captured = capsys.readouterr()
    assert f"2:{control.snapshot().head.hash[:12]}" in captured.out
    assert "in force, but who runs it could not be read: gone" in captured.err
    assert run(["set", "pay", "6", "--reason", "x", "--store", url, "--wait", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["wait"] == {"complete": False, "error": "gone"}
