"""
The verbs that only look.
"""

import json
import re
import sqlite3
import subprocess

import pytest

from cutover.core.snapshot import Snapshot


@pytest.fixture
def busy(shop):
    """
    A shop with a few changes, one of whose reasons holds a character that some readers take for a line's end.
    """
    with shop.control() as control:
        control.set("browse", 25, reason="week 3\u2028[red]")
        control.set("pay", 10, reason="week 4", ticket="OPS-2")
        control.set("cart", 50, reason="week 4")
    return shop


def test_status_json(busy):
    """
    The status document names the head, the progress and every flow.
    """
    document = busy.json("status")

    assert (document["version"], document["migration"], document["durability"]) == (4, "shop", "durable")
    assert {flow["name"]: flow["target_ratio"] for flow in document["flows"]} == {
        "browse": 0.25,
        "cart": 0.1,
        "pay": 0.1,
    }
    assert document["flows"][1]["held_by"] == "pay"


@pytest.mark.parametrize("columns", [60, 80, 120, 160])
def test_status_fits_the_terminal(busy, columns):
    """
    The picture fits the terminal, and says what each flow waits for beside or below its figures.
    """
    done = busy.run("status", environment={"COLUMNS": str(columns)})

    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    (cart,) = (number for number, line in enumerate(lines) if line.startswith("cart"))
    assert "10%" in lines[cart]
    assert "to 10% by pay" in " ".join(lines[cart : cart + 2])
    assert re.search(r"nothing counted\s+since\s+the\s+last\s+change\s+\(\d+\s+s\s+ago\)", done.stdout)


def test_history_json_is_what_is_stored(busy):
    """
    One change a line, to the letter as it is stored and hashed.
    """
    done = busy.run("history", "--json")

    assert done.stdout.removesuffix("\n").split("\n") == busy.texts()
    assert busy.run("history", "--json", "--after", "2").stdout.removesuffix("\n").split("\n") == busy.texts()[2:]


def test_history_shows_who_what_and_why(busy):
    """
    The table of changes names actor, verb, reason and ticket.
    """
    text = busy.run("history", environment={"COLUMNS": "200"}).stdout

    assert "set pay 10%" in text
    assert "week 4 [OPS-2]" in text
    assert "beside" in text


def test_verify_names_the_head(busy):
    """
    A right ledger exits 0 and prints the head to write down.
    """
    done = busy.run("verify")
    head = json.loads(busy.texts()[-1])["hash"]

    assert (done.returncode, done.stdout) == (0, f"ok: 4 versions, head 4:{head}\n")
    assert busy.run("verify", "--expect", f"4:{head}").returncode == 0
    assert busy.run("verify", "--expect", "5").returncode == 1


def test_verify_finds_an_edit(busy):
    """
    An edited ledger exits 1 and names the version.
    """
    connection = sqlite3.connect(busy.folder / "cutover.db")
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            if kind == "TEXT":
                connection.execute(f"UPDATE {table} SET {column} = replace({column}, 'week 4', 'week 9')")
    connection.commit()
    connection.close()

    done = busy.run("verify", "--json")

    assert done.returncode == 1
    assert {(p["code"], p["version"]) for p in json.loads(done.stdout)["problems"]} >= {("altered", 3), ("altered", 4)}


def test_an_exported_ledger_verifies_offline(busy):
    """
    An auditor verifies an exported ledger without the store, from a file or a pipe, and finds an edit in it.
    """
    exported = busy.run("history", "--json").stdout
    (busy.folder / "ledger.jsonl").write_text(exported, encoding="utf-8")
    (busy.folder / "edited.jsonl").write_text(exported.replace("week 4", "week 9"), encoding="utf-8")
    (busy.folder / "cut.jsonl").write_text("".join(exported.splitlines(keepends=True)[:2]), encoding="utf-8")
    offline = {"CUTOVER_STORE": ""}

    assert busy.run("verify", "--file", "ledger.jsonl", environment=offline).returncode == 0
    assert busy.run("verify", "--file", "-", stdin=exported, environment=offline).returncode == 0
    assert busy.run("verify", "--file", "edited.jsonl", environment=offline).returncode == 1
    assert busy.run("verify", "--file", "cut.jsonl", "--expect", "4", environment=offline).returncode == 1
    assert busy.run("verify", "--file", "missing.jsonl", environment=offline).returncode == 2


def test_explain_lists_every_rule(busy):
    """
    An explanation names the side, the reason and every rule in order; the home goes first.
    """
    document = busy.json("explain", "browse", "user-1")
    at_home = busy.json("explain", "browse", "user-1", "--home", "modern")
    unmarked = busy.json("explain", "browse", "user-1", "--home", "none")

    assert document["reason"] == "percent"
    assert [rule["rule"] for rule in document["rules"] if rule["decides"]] == ["percent"]
    assert (at_home["backend"], at_home["reason"]) == ("new", "home")
    assert (unmarked["backend"], unmarked["reason"]) == ("old", "home")
    assert "because of percent" in busy.run("explain", "browse", "user-1", "--cohort", "staff").stdout


def test_instances_without_any(busy):
    """
    Without an instance the list is empty and stdout holds no chatter.
    """
    assert busy.json("instances") == {"instances": []}
    assert busy.run("instances").stdout == ""


def test_export_snapshot(busy):
    """
    The exported snapshot is the document that routers start from; written to a file it replaces the old one.
    """
    printed = busy.run("export", "snapshot").stdout
    (busy.folder / "snapshot.json").write_text("older")

    assert busy.run("export", "snapshot", "--output", "snapshot.json").returncode == 0

    assert (busy.folder / "snapshot.json").read_text() == printed
    assert Snapshot.decode(printed).version == 4
    assert busy.run("export", "snapshot", "--output", "missing/snapshot.json").returncode == 2
    assert sorted(p.name for p in busy.folder.iterdir()) == ["cutover.db", "cutover.toml", "snapshot.json"]


def test_an_exported_snapshot_is_a_source(busy):
    """
    What was exported can be looked at like a store, and refuses changes.
    """
    busy.run("export", "snapshot", "--output", "snapshot.json")
    source = ("--store", f"file:{busy.folder}/snapshot.json")

    assert busy.json("status", *source)["version"] == 4
    assert busy.run("set", "pay", "5", "--reason", "x", *source).returncode == 2


def test_a_reader_that_has_enough_ends_the_output(busy):
    """
    A closed pipe ends the output without an error.
    """
    with busy.start("history", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(busy, shell):
    """
    Each shell gets a script that asks this program.
    """
    done = busy.run("completion", shell)

    assert done.returncode == 0
    assert "_CUTOVER_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("cutover se", {"serve", "set"}),
        ("cutover set p", {"pay", "purchase"}),
        ("cutover explain p", {"pay"}),
        ("cutover set pay 25 --cohort ", {"staff"}),
        ("cutover work ", {"texts"}),
        ("cutover override pay k n", {"new", "none"}),
        ("cutover status --migration ", {"shop"}),
    ],
)
def test_completion_offers_names_from_the_store(busy, words, offered):
    """
    After a Tab the shell offers verbs, and names of flows, journeys, cohorts and work items from the store.
    """
    parts = words.split(" ")
    environment = {
        "_CUTOVER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(parts) - 1),
    }

    done = busy.run(environment=environment)

    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == offered


def test_completion_is_silent_where_there_is_no_store(bare):
    """
    A shell that completes shows no error.
    """
    environment = {"_CUTOVER_COMPLETE": "bash_complete", "COMP_WORDS": "cutover set ", "COMP_CWORD": "2"}

    done = bare.run(environment=environment)

    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_instances_dead(shop):
    """
    Whoever declares a process dead that nobody knows changes nothing, and is told so.
    """
    ended = shop.run("instances", "dead", "abc", "--reason", "gone")

    assert ended.returncode == 2
    assert "instance is 'abc', and none is named so" in ended.stderr
    assert len(shop.texts()) == 1


def test_history_says_what_an_apply_did(shop):
    """
    An apply is told with the names that it added and removed and every value that it changed, also with --after; so is
    it in the status.
    """
    path = shop.folder / "cutover.toml"
    text = path.read_text().replace("deadline = 2026-12-31", "deadline = 2027-01-31")
    text = text.replace("[flows.pay]", "[flows.pay]\nweight = 3\n[flows.wish]").replace(
        "together = true", "together = false"
    )
    path.write_text(text.replace('[cohorts.staff]\ntitle = "Employees"\n', ""))
    shop.run("apply", "cutover.toml", "--yes", "--reason", "a long reason " * 20)
    said = (
        "apply: adds flow wish; removes cohort staff; deadline: 2026-12-31 -> 2027-01-31; flows.pay.weight: 1 -> 3; "
        "journeys.purchase.together: True -> False"
    )

    for arguments, columns in ((("history",), 300), (("history", "--after", "1"), 300), (("status",), 300)):
        assert said in shop.run(*arguments, environment={"COLUMNS": str(columns)}).stdout
    first = shop.run("history", environment={"COLUMNS": "300"}).stdout
    assert (
        "apply: adds flows browse, cart, pay; adds journey purchase; adds work item texts; adds cohort staff" in first
    )


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("verb", ["history", "status"])
def test_a_long_reason_is_cut_and_not_the_change(shop, verb, columns):
    """
    At every width of a terminal the whole change is there, and a long reason ends with dots.
    """
    shop.run("set", "purchase", "12.345", "--cohort", "staff", "--reason", "as was agreed with everybody " * 10)

    done = shop.run(verb, environment={"COLUMNS": str(columns)}).stdout

    assert "set purchase 12.345% for staff" in " ".join(done.split())
    assert "as was agreed with everybody " * 5 not in " ".join(done.split())
    assert max(map(len, done.splitlines())) <= columns


def test_explain_says_where_a_user_stands(shop):
    """
    The dial is explained with the user's place as a percentage, above or below it.
    """
    shop.run("set", "browse", "10", "--reason", "x")

    done = shop.run("explain", "browse", "user-42").stdout
    limited = shop.run("set", "cart", "50", "--reason", "x").stdout

    assert "this user is at 53.872%, version 2\n" in done
    assert "this user is at 53.872%, above the dial of 10%" in done
    assert "note: cart is set to 50%, limited to 0% by pay (lowest in purchase)" in limited


def test_verify_says_what_is_wrong_in_words(shop):
    """
    Problems are sentences in the text, and codes in the JSON.
    """
    shop.run("set", "browse", "10", "--reason", "x")
    lines = [text.replace('"reason":"x"', '"reason":"y"') for text in shop.texts()]
    (shop.folder / "ledger.jsonl").write_text("\n".join(lines))

    done = shop.run("verify", "--file", "ledger.jsonl", "--expect", "2:0000")
    document = json.loads(shop.run("verify", "--file", "ledger.jsonl", "--json").stdout)

    assert done.returncode == 1
    assert "  change 2 was edited: its hash is not the one that it names\n" in done.stdout
    assert "  change 2 is not the expected one: " in done.stdout
    assert [problem["code"] for problem in document["problems"]] == ["altered"]
