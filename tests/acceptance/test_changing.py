"""
The verbs that change something, as an operator runs them.
"""

import json

import pytest

VERBS = {
    "set": ("set", "browse", "25"),
    "set a journey": ("set", "purchase", "25"),
    "set a cohort": ("set", "browse", "25", "--cohort", "staff"),
    "set a share": ("set", "browse", "--shadow", "5"),
    "rollback": ("rollback", "pay"),
    "rollback --all": ("rollback", "--all"),
    "freeze": ("freeze",),
    "override": ("override", "pay", "user-42", "new"),
    "work": ("work", "texts", "40"),
    "adopt": ("adopt", "--yes"),
}


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_writes_one_change(shop, name):
    """
    Every verb exits 0, adds one version with the texts that were given, and prints version:head and durability.
    """
    done = shop.run(*VERBS[name], "--reason", "why not", "--ticket", "OPS-1", "--actor", "rina")

    assert (done.returncode, done.stderr) == (0, "")
    change = json.loads(shop.texts()[-1])
    assert (change["version"], change["verb"]) == (2, VERBS[name][0])
    assert (change["actor"], change["reason"], change["ticket"]) == ("rina", "why not", "OPS-1")
    assert f"2:{change['hash'][:12]}, durable, by rina" in done.stdout


@pytest.mark.parametrize("name", VERBS)
def test_a_dry_run_changes_nothing(shop, name):
    """
    A dry run of any verb exits 0 and leaves the ledger to the letter.
    """
    before = shop.texts()

    document = shop.json(*VERBS[name], "--reason", "x", "--dry-run")

    assert document["dry_run"] is True
    assert shop.texts() == before


def test_apply_creates_the_migration_and_is_repeatable(bare):
    """
    The first apply creates the store; the same again exits 0 and adds nothing.
    """
    first = bare.run("apply", "cutover.toml")
    second = bare.run("apply", "cutover.toml")

    assert (first.returncode, second.returncode) == (0, 0)
    assert "nothing to change" in second.stdout
    assert len(bare.texts()) == 1
    assert json.loads(bare.texts()[0])["reason"] == "definition applied"


def test_a_dry_run_of_the_first_apply_creates_nothing(bare):
    """
    Trying an apply leaves no file behind.
    """
    assert bare.run("apply", "cutover.toml", "--dry-run").returncode == 0
    assert not (bare.folder / "cutover.db").exists()


def test_apply_that_moves_keys_lists_them_and_needs_yes(shop):
    """
    Without a terminal an apply that would move keys exits 2 with the list; with --yes it is done.
    """
    shop.run("set", "browse", "50", "--reason", "x")
    path = shop.folder / "cutover.toml"
    path.write_text(path.read_text().replace('["cart", "pay"]', '["browse", "cart", "pay"]'))

    asked = shop.run("apply", "cutover.toml")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "50% of browse's users move from NEW to OLD" in asked.stderr
    assert "--yes" in asked.stderr
    assert len(shop.texts()) == 2

    assert shop.run("apply", "cutover.toml", "--yes").returncode == 0
    assert len(shop.texts()) == 3


@pytest.mark.parametrize("arguments", [("set", "browse", "10", "--evict", "--reason", "x"), ("adopt", "--reason", "x")])
def test_verbs_that_ask_exit_2_without_a_terminal(shop, arguments):
    """
    Where nobody can be asked, nothing is done unless --yes is given.
    """
    shop.run("set", "browse", "50", "--reason", "x")

    assert shop.run(*arguments).returncode == 2
    assert len(shop.texts()) == 2
    assert shop.run(*arguments, "--yes").returncode == 0
    assert len(shop.texts()) == 3


def test_a_raise_over_a_rollback_asks(shop):
    """
    Within an hour of somebody else's rollback a raise exits 2 without a terminal and says who rolled back and why;
    a dry run shows it, and --expect or --yes goes on.
    """
    shop.run("set", "purchase", "80", "--reason", "x")
    shop.run("rollback", "purchase", "--reason", "payments fail", "--actor", "one")
    again = ("set", "purchase", "20", "--reason", "lower it", "--actor", "another")

    asked, tried = shop.run(*again), shop.run(*again, "--dry-run")

    assert (asked.returncode, asked.stdout) == (2, "")
    assert "change 3: one rolled back purchase" in asked.stderr
    assert "payments fail" in asked.stderr
    assert (tried.returncode, tried.stderr) == (0, "")
    assert "would ask first:" in tried.stdout
    assert "one rolled back purchase" in tried.stdout
    assert "one rolled back" in shop.json(*again, "--dry-run")["questions"][0]["details"][0]
    assert len(shop.texts()) == 3
    assert shop.run(*again, "--expect", "3").returncode == 0
    assert shop.run("set", "pay", "30", *again[3:], "--yes").returncode == 0


@pytest.mark.parametrize(
    ("target", "percent", "wrong", "code"),
    [("nope", "0", "there is no flow", 2), ("browse", "60", "evict", 1)],
    ids=["unknown", "raised"],
)
def test_what_is_refused_is_not_asked_about(shop, target, percent, wrong, code):
    """
    An --evict that cannot be says so at once, also where nobody can be asked.
    """
    shop.run("set", "browse", "50", "--reason", "x")

    refused = shop.run("set", target, percent, "--evict", "--reason", "x")

    assert refused.returncode == code
    assert wrong in refused.stderr
    assert "--yes" not in refused.stderr
    assert len(shop.texts()) == 2


def test_rollback_never_asks_and_works_while_frozen(shop):
    """
    A rollback needs no terminal and no unfreeze.
    """
    shop.run("set", "purchase", "50", "--reason", "x")
    shop.run("freeze", "--reason", "x")

    assert shop.run("rollback", "pay", "--reason", "time-outs").returncode == 0
    with shop.control() as control:
        assert set(control.snapshot().dials.values()) == {0}


def test_a_rollback_says_whose_visits_it_ends(shop):
    """
    A rollback of dials at 0% says that it ends visits; a flow in no journey has none.
    """
    shop.run("set", "purchase", "50", "--reason", "x")
    shop.run("set", "purchase", "0", "--reason", "x")

    done = shop.run("rollback", "--all", "--reason", "time-outs").stdout

    assert done.splitlines()[:2] == ["rollback every flow", "  ends visits on NEW of cart, pay"]


def test_set_prints_before_and_after_and_whom_it_moves(shop):
    """
    An operator sees the dial before and after, who moves, and who stays behind.
    """
    shop.run("set", "browse", "10", "--cohort", "staff", "--reason", "x")

    done = shop.run("set", "browse", "25", "--reason", "x")

    assert "25% of browse's users move from OLD to NEW" in done.stdout
    assert "browse: 0% -> 25%" not in done.stdout
    assert "cohort staff stays at 10%" in done.stdout


def test_a_share_alone_moves_nobody(shop):
    """
    Comparing more or less needs no word of the dial, which stays where it is.
    """
    shop.run("set", "browse", "25", "--reason", "x")

    done = shop.run("set", "browse", "--shadow", "50", "--reason", "compare")

    assert done.stdout.splitlines()[:3] == [
        "set browse shadow 50%",
        "  shadow of browse: 0% -> 50%",
        "  no user changes sides",
    ]
    assert shop.json("status")["flows"][0]["dial_ratio"] == 0.25


@pytest.mark.parametrize("arguments", [(), ("--cohort", "staff", "--shadow", "5"), ("inherit", "--shadow", "5")])
def test_set_needs_a_dial_or_a_share(shop, arguments):
    """
    A `set` that says neither where to put a dial nor what to compare exits with 2 and writes nothing.
    """
    before = shop.texts()

    assert shop.run("set", "browse", *arguments, "--reason", "x").returncode == 2
    assert shop.texts() == before


def test_set_json(shop):
    """
    The JSON of a change holds the change as stored, before and after, the moves and the durability.
    """
    document = shop.json("set", "browse", "25", "--reason", "x")

    assert document["change"] == json.loads(shop.texts()[-1])
    assert document["before"]["version"] == 1
    assert document["differences"] == [{"what": "browse", "before": "0%", "after": "25%"}]
    assert [move["flow"] for move in document["moves"]] == ["browse"]
    assert (document["durability"], document["written"], document["version"]) == ("durable", True, 2)


def test_expect_guards_against_another_change(shop):
    """
    With --expect a verb is done only at that change, named by version or version and head.
    """
    head = json.loads(shop.texts()[-1])["hash"]

    assert shop.run("set", "browse", "5", "--reason", "x", "--expect", "2").returncode == 1
    assert shop.run("set", "browse", "5", "--reason", "x", "--expect", "1:0000").returncode == 1
    assert len(shop.texts()) == 1
    assert shop.run("set", "browse", "5", "--reason", "x", "--expect", f"1:{head[:8]}").returncode == 0


def test_the_actor_comes_from_the_environment(shop):
    """
    CUTOVER_ACTOR names who acts.
    """
    shop.run("freeze", "--reason", "x", environment={"CUTOVER_ACTOR": "budi"})

    assert json.loads(shop.texts()[-1])["actor"] == "budi"


def test_texts_of_any_script_go_through(shop):
    """
    A reason of any script is stored and printed to the letter; brackets and control characters do no harm.
    """
    reason = "[red]минимум[/red] 🚦 «تجربة»"
    shop.run("freeze", "--reason", reason)

    assert json.loads(shop.texts()[-1])["reason"] == reason
    assert "минимум[/red] 🚦" in shop.run("history", environment={"COLUMNS": "200"}).stdout
    assert shop.run("freeze", "--reason", "\x1b[31mred").returncode == 2


def test_an_ascii_terminal_gets_ascii(shop):
    """
    A terminal that speaks no UTF-8 gets bars of ASCII and no error.
    """
    shop.run("set", "browse", "50", "--reason", "é")

    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    status = shop.run("status", environment=environment)
    history = shop.run("history", environment=environment)

    assert (status.returncode, history.returncode) == (0, 0)
    assert "====" in status.stdout
    assert "\\xe9" in history.stdout


def test_override_hides_the_key(shop):
    """
    No output and no ledger line repeats the key.
    """
    done = shop.run("override", "pay", "user-42", "new", "--reason", "tester")

    assert "user-42" not in done.stdout + done.stderr + "".join(shop.texts())


def test_all_cohorts_are_taken_along(shop):
    """
    With --all-cohorts no cohort stays behind.
    """
    shop.run("set", "browse", "10", "--cohort", "staff", "--reason", "x")
    shop.run("set", "browse", "100", "--all-cohorts", "--reason", "x")

    with shop.control() as control:
        assert control.snapshot().is_complete("browse")


def test_inherit_takes_a_cohorts_dial_away(shop):
    """
    A cohort whose dial is "inherit" follows the flow again.
    """
    shop.run("set", "browse", "10", "--cohort", "staff", "--reason", "x")
    shop.run("set", "browse", "inherit", "--cohort", "staff", "--reason", "x")

    with shop.control() as control:
        assert control.snapshot().cohort_dials == {}


def test_a_second_migration_in_a_store(shop):
    """
    Whoever stores a second migration, perhaps with a mistake in its name, is asked, and told that names are needed.
    """
    text = (shop.folder / "cutover.toml").read_text().replace('name = "shop"', 'name = "shpo"')
    (shop.folder / "cutover.toml").write_text(text)

    asked = shop.run("apply", "cutover.toml")
    done = shop.run("apply", "cutover.toml", "--yes")
    ended = shop.run("status")

    assert asked.returncode == 2
    assert "The store holds shop; shpo would be another migration. There is no terminal" in asked.stderr
    assert done.returncode == 0
    assert "note: this store holds 2 migrations (shop, shpo); name one from now on" in done.stderr
    assert ended.returncode == 2
    assert "holds several: shop, shpo; name one, as --migration or CUTOVER_MIGRATION" in ended.stderr


def test_a_side_in_capitals(shop):
    """
    A side may be written as the pages show it.
    """
    assert shop.run("override", "pay", "user-1", "NEW", "--reason", "tester").returncode == 0


@pytest.mark.parametrize(
    "again",
    [
        ("set", "purchase", "25"),
        ("set", "browse", "50", "--cohort", "staff"),
        ("override", "pay", "user-42", "new"),
        ("override", "pay", "user-43", "none"),
        ("freeze",),
        ("work", "texts", "40"),
        ("rollback", "browse"),
        ("apply", "cutover.toml"),
    ],
    ids=" ".join,
)
def test_what_holds_already_writes_nothing(shop, again):
    """
    A verb that changes nothing says so with the change that holds, exits 0, waits if asked, and adds no version.
    """
    with shop.control() as control:
        control.set("purchase", 25, reason="x")
        control.set("browse", 0 if again[0] == "rollback" else 50, cohort="staff", reason="x")
        control.override("pay", "user-42", "new", reason="x")
        control.work("texts", 40, reason="x")
        control.freeze(reason="x")
    before = shop.texts()

    done = shop.run(*again, "--reason", "again", "--wait", "0s")

    assert (done.returncode, done.stderr) == (0, "")
    assert "  nothing to change\n" in done.stdout
    assert f"{len(before)}:" in done.stdout
    assert "no instance has checked in" in done.stdout
    assert shop.texts() == before
    assert shop.json(*again, "--reason", "again")["written"] is False


def test_who_stays_on_new_is_told_with_the_change_and_in_the_status(shop):
    """
    A dial at 0% is told with the cohorts and overrides that stay on NEW, and with all flows that they move.
    """
    shop.run("set", "purchase", "30", "--reason", "x")
    shop.run("set", "purchase", "100", "--cohort", "staff", "--reason", "x")
    shop.run("override", "pay", "user-7", "new", "--reason", "x")

    done = shop.run("set", "purchase", "0", "--reason", "stop").stdout
    status = shop.json("status")

    said = ["cohort staff stays at 100% in cart, pay", "1 override on NEW in cart, pay"]
    assert [line for line in done.splitlines() if "note" in line] == [f"  note: {one}" for one in said]
    assert f"Beside the dials: {said[0]}; {said[1]}\n" in shop.run("status").stdout
    assert status["exceptions"] == said
    assert [flow["override_sides"] for flow in status["flows"]] == [{"old": 0, "new": n} for n in (0, 1, 1)]
