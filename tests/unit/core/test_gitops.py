"""
Rollouts that are kept in a file.
"""

from datetime import UTC, datetime

import pytest

from cutover.core.gitops import read_rollout
from cutover.core.snapshot import Eviction, Snapshot
from cutover.errors import ConfigurationError

AT = datetime(2024, 3, 4, 9, tzinfo=UTC)
DEFINITION = """\
name = "shop"
old = "left"
new = "right"
[flows.browse]
[flows.cart]
[flows.pay]
[journeys.purchase]
flows = ["cart", "pay"]
[work.texts]
[work.data]
[cohorts.staff]
"""
DIALS = """\
[dials]
browse = 100
cart = 12.5
pay = "12.345%"
"""


def rollout(more="", *, version="version = 7\n", dials=DIALS):
    """
    Read a rollout with something more in it.
    """
    return read_rollout(version + DEFINITION + dials + more, "rollout.toml", at=AT)


def test_whole():
    """
    Every section ends up where a snapshot has it.
    """
    snapshot = rollout("[cohort_dials.staff]\npay = 100\n[progress]\ntexts = 40\n[evict]\npay = 5\n")

    assert (snapshot.migration, snapshot.epoch, snapshot.version, snapshot.at) == ("shop", 1, 7, AT)
    assert snapshot.dials == {"browse": 100_000, "cart": 12_500, "pay": 12_345}
    assert snapshot.cohort_dials == {"pay": {"staff": 100_000}}
    assert snapshot.work == {"texts": 40_000, "data": 0}
    assert snapshot.evictions == {"cart": Eviction(1, 5), "pay": Eviction(1, 5)}
    assert Snapshot.decode(snapshot.encode()) == snapshot


def test_the_later_eviction_holds():
    """
    Where flows that go together name two evictions, the later one holds for all of them.
    """
    snapshot = rollout("[evict]\npay = 5\ncart = 3\n")

    assert snapshot.evictions == {"cart": Eviction(1, 5), "pay": Eviction(1, 5)}


def test_hash_is_of_the_content():
    """
    The hash is the same however and whenever the file was written, and another where anything in it differs.
    """
    head = rollout().head
    later = read_rollout(
        "# a comment\nversion=7\n" + DEFINITION + DIALS.replace("12.5", "12.500"), "x", at=AT.replace(year=2025)
    )

    assert later.head == head
    assert rollout("[progress]\ntexts = 1\n").head.hash != head.hash
    assert rollout(version="version = 8\n").head.hash != head.hash


@pytest.mark.parametrize(
    ("more", "line", "text"),
    [
        ("tax = 1\n", 17, "dials.tax is unknown; allowed: browse, cart, pay"),
        ("[cohort_dials]\nstaff = 5\n", 18, "cohort_dials.staff is 5; allowed: a table [cohort_dials.staff]"),
        ("[cohort_dials.guests]\npay = 5\n", 17, "cohort_dials.guests is unknown; allowed: staff"),
        ("[cohort_dials.staff]\ntax = 5\n", 18, "cohort_dials.staff.tax is unknown; allowed: browse, cart, pay"),
        ("[cohort_dials.staff]\npay = -1\n", 18, "cohort_dials.staff.pay is -1; allowed: 0 to 100"),
        ("[progress]\ntext = 5\n", 18, "progress.text is unknown; allowed: texts, data"),
        ("[evict]\npay = 8\n", 18, "evict.pay is 8; allowed: 1 to 7"),
        ("[evict]\npay = true\n", 18, "evict.pay is True; allowed: 1 to 7"),
        ("[evict]\ntax = 1\n", 18, "evict.tax is unknown; allowed: browse, cart, pay"),
        ("[limits]\n", 17, "limits is unknown; allowed: "),
    ],
)
def test_mistakes(more, line, text):
    """
    A mistake is one error that names the line, the key and what is allowed.
    """
    with pytest.raises(ConfigurationError) as caught:
        rollout(more)

    assert str(caught.value).startswith(f"rollout.toml, line {line}: {text}")


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("", "version is missing"),
        ("version = 0\n", "version is 0"),
        ("version = true\n", "version is True"),
        ('version = "7"\n', "version is '7'"),
        ("version = 9007199254740992\n", "version is 9007199254740992"),
        (f"version = 1{'0' * 4000}\n", "version is "),
    ],
)
def test_wrong_version(version, text):
    """
    A version is a whole number from 1 that the ledger could hold.
    """
    with pytest.raises(ConfigurationError, match=rf"line 1: {text}.*allowed: 1 to 9007199254740991, higher"):
        rollout(version=version)


@pytest.mark.parametrize("flow", ["browse", "cart", "pay"])
def test_no_dial_is_not_0(flow):
    """
    A flow without a dial is a mistake: what is missing is never 0%.
    """
    lines = [line for line in DIALS.splitlines(keepends=True) if not line.startswith(flow)]

    with pytest.raises(ConfigurationError, match=rf"line 13: dials.{flow} is missing; allowed: 0 to 100"):
        rollout(dials="".join(lines))
    with pytest.raises(ConfigurationError, match=r"dials\.browse is missing"):
        rollout(dials="")
