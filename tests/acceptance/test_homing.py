"""
The verbs about homes, as an operator runs them.
"""

import json

import pytest

from cutover.claims.homes import homes
from cutover.claims.ids import digest_of

IDS = "1\n2\n3\n"
DIGEST = digest_of([b"1", b"2", b"3"])


@pytest.fixture
def url(shop):
    """
    Homes in a file of their own: order 1 lives on OLD, order 2 and a cart on NEW.
    """
    url = f"sqlite:///{shop.folder}/homes.db"
    with homes(url, migration="shop") as place:
        place.claim_many("order", {"1": "old", "2": "new"})
        place.claim("cart", "c", "new")
    (shop.folder / "ids.txt").write_text(IDS)
    return url


def rehome(*more):
    """
    Give a command line.
    """
    return ("rehome", "order", "--file", "ids.txt", "--reason", "copied", *more)


def on_new(url):
    """
    Give how many orders live on NEW.
    """
    with homes(url, migration="shop") as place:
        return place.counts()["order"].new


def test_homes(shop, url):
    """
    Homes are counted by kind and side, as a table and as JSON; where they are comes from an option or the environment.
    """
    done = shop.run("homes", environment={"CUTOVER_HOMES": url})

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["KIND", "OLD", "NEW"],
        ["cart", "0", "1"],
        ["order", "1", "1"],
    ]
    kinds = {"cart": {"old": 0, "new": 1}, "order": {"old": 1, "new": 1}}
    assert shop.json("homes", "--homes", url) == {"migration": "shop", "homes": kinds}


def test_homes_without_a_store(shop, url):
    """
    Homes need no store where only one migration has any, and none at all is a word on stderr.
    """
    alone = {"CUTOVER_STORE": ""}
    assert "order" in shop.run("homes", "--homes", url, environment=alone).stdout

    empty = shop.run("homes", "--homes", f"sqlite:///{shop.folder}/none.db", "--migration", "shop", environment=alone)
    assert (empty.returncode, empty.stdout) == (0, "")
    assert empty.stderr.startswith("nothing was ever claimed there: no homes of shop in ")


@pytest.mark.parametrize("verb", [("homes",), rehome("--yes")])
def test_which_homes(shop, url, verb):
    """
    Without a place the verbs are wrong usage and say how to give one.
    """
    done = shop.run(*verb)

    assert done.returncode == 2
    assert "which homes? Give --homes URL or set CUTOVER_HOMES" in done.stderr


def test_rehome(shop, url):
    """
    Rehome prints what was moved, already there and new, writes that and a digest into the ledger, and may be repeated.
    """
    done = shop.run(*rehome("--homes", url, "--yes"))

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.strip() for line in done.stdout.splitlines()[:4]] == [
        "rehome order, 3 in all",
        "1 moved from OLD to NEW",
        "1 on NEW already",
        "1 without a home before, now on NEW",
    ]
    change = json.loads(shop.texts()[-1])
    assert (change["verb"], change["effects"]) == ("rehome", {})
    assert change["arguments"] == {"kind": "order", "moved": 1, "already": 1, "new": 1, "sha256": DIGEST}
    assert on_new(url) == 3
    assert "rehome order, 3 in all" in shop.run("history").stdout
    assert shop.run("verify").returncode == 0

    again = shop.json(*rehome("--homes", url, "--yes"))
    assert again["arguments"] == {"kind": "order", "moved": 0, "already": 3, "new": 0, "sha256": DIGEST}


def test_rehome_from_stdin(shop, url):
    """
    Ids may come from a pipe.
    """
    arguments = ("rehome", "order", "--file", "-", "--reason", "copied", "--homes", url, "--yes")

    assert shop.run(*arguments, stdin=IDS).returncode == 0
    assert on_new(url) == 3


def test_rehome_dry_run(shop, url):
    """
    A dry run tells the numbers and writes neither homes nor ledger.
    """
    before = shop.texts()

    document = shop.json(*rehome("--homes", url, "--dry-run"))

    assert document["dry_run"] is True
    assert (document["arguments"]["moved"], document["arguments"]["new"]) == (1, 1)
    assert on_new(url) == 1
    assert shop.texts() == before


@pytest.mark.parametrize(
    ("ids", "more", "code", "said"),
    [
        (IDS, (), 2, "add --yes"),
        ("\n", ("--yes",), 2, "no id is given"),
        ("1\n" + "x" * 513, ("--yes",), 2, "line 2: the id has 513 bytes"),
        (IDS, ("--yes", "--expect", "7"), 1, "expected 7"),
        (IDS, ("--yes", "--reason", " "), 2, "reason is empty"),
    ],
)
def test_rehome_refused(shop, url, ids, more, code, said):
    """
    What is wrong is said before anything is written.
    """
    (shop.folder / "ids.txt").write_text(ids)
    before = shop.texts()

    done = shop.run(*rehome("--homes", url, *more))

    assert done.returncode == code
    assert said in done.stderr
    assert (on_new(url), shop.texts()) == (1, before)


def test_rollback_counts_what_stays(shop, url):
    """
    A rollback says how much still reaches NEW by its home, by kind.
    """
    done = shop.run("rollback", "pay", "--reason", "timeouts", "--homes", url)
    dry = shop.run("rollback", "pay", "--reason", "timeouts", "--dry-run", environment={"CUTOVER_HOMES": url})

    assert (done.returncode, done.stderr) == (0, "")
    assert "still reaches NEW by its home: 1 cart, 1 order" in done.stdout
    assert "still reaches NEW by its home: 1 cart, 1 order" in dry.stdout
    document = shop.json("rollback", "--all", "--reason", "timeouts", "--homes", url)
    assert document["homes"] == {"cart": {"old": 0, "new": 1}, "order": {"old": 1, "new": 1}}
    assert "homes" not in shop.json("rollback", "--all", "--reason", "timeouts")


def test_rehome_of_no_kind(shop, url):
    """
    A kind that is none is said of the kind, and not of the file.
    """
    done = shop.run("rehome", "Or der", "--file", "ids.txt", "--reason", "copied", "--yes", "--homes", url)

    assert done.returncode == 2
    assert done.stderr.startswith("cutover: the kind is 'Or der'; allowed: ")


@pytest.mark.parametrize("place", ["sqlite:////nowhere/at/all.db", "sqlite:///misspelt.db", "mysql://h/d"])
def test_rollback_without_the_homes(shop, place):
    """
    A rollback is done whatever is wrong with the homes, and says that they could not be counted.
    """
    done = shop.run("rollback", "pay", "--reason", "timeouts", environment={"CUTOVER_HOMES": place})

    assert done.returncode == 0
    assert "what still reaches NEW by its home could not be counted: " in done.stderr
    assert json.loads(shop.texts()[-1])["verb"] == "rollback"
    document = shop.json("rollback", "pay", "--reason", "timeouts", "--homes", place)
    assert list(document["homes"]) == ["error"]


def test_one_home_is_looked_up(shop, url):
    """
    `homes find` says where one thing lives, as text and as JSON; what nobody claimed is no error.
    """
    environment = {"CUTOVER_HOMES": url}

    assert shop.run("homes", "find", "order", "2", environment=environment).stdout == "order 2 lives on NEW\n"
    none = shop.run("homes", "find", "order", "17", "--homes", url)
    assert (none.returncode, none.stdout) == (0, "order 17 has no home: nobody claimed it, so it is on OLD\n")
    told = {"migration": "shop", "kind": "order", "id": "2", "home": "new"}
    assert shop.json("homes", "find", "order", "2", "--homes", url) == told
    assert shop.json("homes", "find", "order", "17", "--homes", url)["home"] is None
    assert shop.run("homes", "find", "No Kind", "2", "--homes", url).returncode == 2
    empty = f"sqlite:///{shop.folder}/another.db"
    for look in (("homes", "find", "order", "2"), ("explain", "pay", "k", "--home-of", "order", "2")):
        assert "nothing was ever claimed" not in shop.run(*look, "--homes", url).stderr
        said = shop.run(*look, "--homes", empty).stderr
        assert f"nothing was ever claimed in {empty}; is it the right place?" in said
    assert shop.run("homes", "find", "order", "2").returncode == 2


def test_explain_looks_up_a_home(shop, url):
    """
    `explain --home-of` routes a request by the home of a thing; one that nobody claimed is on OLD.
    """
    done = shop.run("explain", "pay", "user-42", "--home-of", "order", "2", "--homes", url)

    assert done.stdout.startswith("pay: NEW, because of home\norder 2 lives on NEW\n")
    assert shop.json("explain", "pay", "user-42", "--home-of", "order", "17", "--homes", url)["backend"] == "old"
    assert shop.run("explain", "pay", "user-42", "--home-of", "order", "2").returncode == 2
    both = shop.run("explain", "pay", "user-42", "--home-of", "order", "2", "--home", "new", "--homes", url)
    assert (both.returncode, "not both" in both.stderr) == (2, True)
