"""
Exit codes and errors: each code from a real cause, and nothing changed where something is wrong.
"""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from cutover.core.checkin import CheckIn

WRONG_USAGE = {
    "no reason": ("set", "pay", "25"),
    "an empty reason": ("set", "pay", "25", "--reason", " "),
    "an overlong reason": ("set", "pay", "25", "--reason", "x" * 1001),
    "too many percent": ("set", "pay", "101", "--reason", "x"),
    "too fine a percent": ("set", "pay", "0.0001", "--reason", "x"),
    "no number": ("set", "pay", "nan", "--reason", "x"),
    "negative": ("set", "--reason", "x", "--", "pay", "-1"),
    "inherit without cohort": ("set", "pay", "inherit", "--reason", "x"),
    "unknown flow": ("set", "nothing", "5", "--reason", "x"),
    "unknown cohort": ("set", "pay", "5", "--cohort", "nobody", "--reason", "x"),
    "cohort and all cohorts": ("set", "pay", "5", "--cohort", "staff", "--all-cohorts", "--reason", "x"),
    "unknown verb": ("sett", "pay", "5"),
    "unknown option": ("set", "pay", "5", "--because", "x"),
    "a bad expectation": ("set", "pay", "5", "--reason", "x", "--expect", "latest"),
    "a bad duration": ("set", "pay", "5", "--reason", "x", "--wait", "soon"),
    "rollback of nothing": ("rollback", "--reason", "x"),
    "rollback of both": ("rollback", "pay", "--all", "--reason", "x"),
    "rollback with expect": ("rollback", "pay", "--reason", "x", "--expect", "1"),
    "an unknown side": ("override", "pay", "k", "sideways", "--reason", "x"),
    "an empty key": ("override", "pay", "", "new", "--reason", "x"),
    "an unknown work item": ("work", "nothing", "5", "--reason", "x"),
    "a missing definition": ("apply", "missing.toml"),
    "an unknown migration": ("status", "--migration", "other"),
    "an unknown scheme": ("status", "--store", "carrier-pigeon:coop"),
    "no store": ("status", "--store", ""),
    "no verb": (),
    "nothing to export": ("export",),
}


@pytest.mark.parametrize("name", WRONG_USAGE)
def test_wrong_usage_exits_2_and_changes_nothing(shop, name):
    """
    What cannot be meant exits 2 with one clear error on stderr, nothing on stdout, and the ledger as it was.
    """
    before = shop.texts()

    done = shop.run(*WRONG_USAGE[name])

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert shop.texts() == before


def test_a_wrong_definition_exits_2_and_names_the_line(shop):
    """
    A wrong file is one error with the key, the line and what is allowed; the store is as it was.
    """
    path = shop.folder / "cutover.toml"
    path.write_text(path.read_text().replace("together = true", "together = 7"))
    before = shop.texts()

    done = shop.run("apply", "cutover.toml")

    assert done.returncode == 2
    assert "line 14" in done.stderr
    assert "journeys.purchase.together" in done.stderr
    assert shop.texts() == before


def test_a_refused_change_exits_1_with_the_list(shop):
    """
    A rule that forbids a change exits 1 and lists what stands in the way.
    """
    shop.run("freeze", "--reason", "x")

    done = shop.run("set", "browse", "50", "--reason", "x")

    assert done.returncode == 1
    assert "frozen" in done.stderr
    assert "50% of browse's users move from OLD to NEW" in done.stderr


@pytest.mark.parametrize("verb", [("status",), ("set", "pay", "5", "--reason", "x"), ("history",), ("verify",)])
def test_a_store_that_is_not_there_exits_3(bare, verb):
    """
    A store that cannot be reached exits 3, and no file is made.
    """
    done = bare.run(*verb)

    assert (done.returncode, done.stdout) == (3, "")
    assert not (bare.folder / "cutover.db").exists()


@pytest.mark.parametrize(
    ("target", "line", "relay"),
    [
        ("pay", '"pay" = "old"', "cutover rollback pay --emergency --store https://RELAY"),
        ("--all", '"*" = "old"', "cutover rollback --all --emergency --store https://RELAY"),
    ],
)
def test_a_rollback_without_a_store_names_the_other_ways(bare, target, line, relay):
    """
    A rollback that cannot reach its store exits 3 and names the break-glass file with its line, and --emergency.
    """
    done = bare.run("rollback", target, "--reason", "x")
    error = json.loads(bare.run("rollback", target, "--reason", "x", "--json").stderr)["error"]

    assert (done.returncode, done.stdout) == (3, "")
    assert f"in the break-glass file of each host (CUTOVER_BREAK_GLASS): {line}\n" in done.stderr
    assert relay in done.stderr
    assert error["kind"] == "unavailable"
    assert any(line in detail for detail in error["details"])


def test_a_rollback_over_a_relay_that_is_away_names_its_emergency(bare):
    """
    Where the store is a relay, its own --emergency is named without another store.
    """
    done = bare.run("rollback", "pay", "--reason", "x", "--store", "http://127.0.0.1:1")

    assert done.returncode == 3
    assert "cutover rollback pay --emergency --reason ..." in done.stderr


def test_the_package_is_the_command_line():
    """
    `python -m cutover` is the command line, and names the extra where it is not installed.
    """
    blocked = "import sys; sys.modules['click'] = None; import runpy; runpy.run_module('cutover', run_name='__main__')"

    run = subprocess.run([sys.executable, "-m", "cutover", "--version"], capture_output=True, text=True, check=True)
    missing = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False)

    assert run.stdout.startswith("cutover ")
    assert missing.returncode == 2
    assert missing.stderr.endswith("click is missing; install it with: pip install 'cutover-controller[cli]'\n")


def test_apply_where_no_store_can_be_made_exits_3(bare):
    """
    A first apply into a folder that is not there did nothing, and says so.
    """
    done = bare.run("apply", "cutover.toml", "--store", f"sqlite:///{bare.folder}/missing/cutover.db")

    assert done.returncode == 3


@pytest.mark.parametrize("content", [b"", b"not a database, but a longer text than a header would be" * 100])
def test_a_store_that_is_something_else_exits_3_and_stays_as_it_is(bare, content):
    """
    An empty or foreign file is never taken for an empty store, nor overwritten.
    """
    path = bare.folder / "cutover.db"
    path.write_bytes(content)

    assert bare.run("status").returncode == 3
    assert bare.run("apply", "cutover.toml").returncode == 3
    assert path.read_bytes() == content


def check_in(shop, *, behind):
    """
    Make one instance check in, at the head as it is or not yet at any.
    """
    now = datetime.now(UTC) + timedelta(hours=1)  # so that no lease is over while a slow machine runs the test
    with shop.control() as control:
        report = CheckIn(
            instance="a" * 32,
            sequence=1,
            at=now,
            host="shop-1",
            pid=7,
            started=now,
            library="1",
            head=None if behind else control.snapshot().head,
        )
        control.store.check_in("shop", report, now=now)


def test_a_change_that_is_not_confirmed_exits_4(shop):
    """
    With --wait an instance that does not run the change makes the code 4, though the change is in force.
    """
    check_in(shop, behind=True)

    done = shop.run("set", "pay", "5", "--reason", "x", "--wait", "0s")

    assert done.returncode == 4
    assert "in force on 0 of 1 instances" in done.stdout
    assert "behind: shop-1/7" in done.stdout
    assert len(shop.texts()) == 2


def test_a_change_that_is_confirmed_exits_0(shop):
    """
    With --wait a change that every instance runs makes the code 0.
    """
    check_in(shop, behind=False)

    document = shop.json("apply", "cutover.toml", "--wait")

    nobody = {key: [] for key in ("behind", "regressed", "lost", "unknown")}
    assert document["wait"] == {"complete": True, "current": ["shop-1/7"], **nobody}


@pytest.mark.parametrize("reader", ["true", "head -1"])
def test_whoever_reads_may_stop(shop, reader):
    """
    A change whose words nobody reads to the end is done all the same, and exits 0.
    """
    done = shop.shell(f'{{command}} set pay 25 --reason x | {reader}; echo "${{{{PIPESTATUS[0]}}}}"')

    assert done.stdout.splitlines()[-1] == "0"
    assert len(shop.texts()) == 2


def test_output_that_cannot_be_written_exits_5(shop):
    """
    Where the words of a change cannot be written, nobody takes that for a refusal: the change may be in force.
    """
    done = shop.shell("{command} set pay 25 --reason x > /dev/full")

    assert done.returncode == 5
    assert "the output could not be written (No space left on device); what was asked for may be done" in done.stderr
    assert len(shop.texts()) == 2


@pytest.mark.parametrize("stream", [1, 2])
def test_a_closed_stream(shop, stream):
    """
    A stream that is closed is no error: what would stand there goes nowhere.
    """
    done = shop.shell(f"{{command}} set pay 25 --reason x {stream}>&-")

    assert done.returncode == 0
    assert len(shop.texts()) == 2


def test_errors_as_json(shop):
    """
    With --json an error is one JSON document on stderr, also where the command line itself is wrong.
    """
    shop.run("freeze", "--reason", "x")
    refused = json.loads(shop.run("set", "browse", "50", "--reason", "x", "--json").stderr)["error"]
    conflict = json.loads(shop.run("unfreeze", "--reason", "x", "--json", "--expect", "1").stderr)["error"]
    usage = json.loads(shop.run("set", "browse", "--json").stderr)["error"]

    assert (refused["kind"], refused["exit_code"]) == ("refused", 1)
    assert refused["details"] == ["50% of browse's users move from OLD to NEW"]
    assert (conflict["kind"], conflict["expected"]) == ("conflict", "1")
    assert conflict["actual"].startswith("2:")
    assert (usage["kind"], usage["exit_code"]) == ("usage", 2)


def test_a_traceback_only_with_v(shop):
    """
    The traceback of an error is shown to those who ask for it.
    """
    assert "Traceback" not in shop.run("set", "pay", "101", "--reason", "x").stderr
    assert "Traceback" in shop.run("set", "pay", "101", "--reason", "x", "-v").stderr


def test_help_of_every_verb(shop):
    """
    Every verb explains itself and names the variables that give its options.
    """
    assert shop.run("--help").stdout.count("\n  ") > 15
    for verb in ("apply", "set", "rollback", "freeze", "unfreeze", "override", "work", "adopt"):
        text = shop.run(verb, "--help").stdout
        assert "CUTOVER_STORE" in text
        assert "--dry-run" in text
    assert "--expect" not in shop.run("rollback", "--help").stdout
