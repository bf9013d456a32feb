"""
For how many keys the other side is asked too: how that is set, written down and read, and what instances tell of it.
"""

import json
from datetime import UTC, datetime

import attrs
import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOWS, NOON, definition_of, empty, perform

from cutover.core import changes
from cutover.core.bucketing import PARTS
from cutover.core.checkin import CheckIn, Counted, Kind, totals_document
from cutover.core.defined import Cohort, Journey
from cutover.core.gitops import read_rollout
from cutover.core.ledger import verify
from cutover.core.snapshot import Head, Snapshot
from cutover.core.verdict import Mismatch, Verdict
from cutover.errors import ConfigurationError, Corrupt
from cutover.server.schemas import SCHEMAS

SHOP = definition_of(*FLOWS, journeys={"purchase": Journey(name="purchase", flows=("cart", "pay"), together=True)})
ROLLOUT = 'version = 7\nname = "shop"\nold = "a"\nnew = "b"\n[flows.browse]\n[flows.pay]\n[dials]\nbrowse=0\npay=0\n'
MISMATCH = Mismatch(flow="pay", at=NOON, differences=(("items.0.price", "int", "text of 3"), ("", "absent", "None")))
REPORT = CheckIn(
    instance="0123456789abcdef" * 2,
    sequence=1,
    at=NOON,
    host="pod-1",
    pid=42,
    started=NOON,
    library="0.1.0",
    head=Head(1, 2, "9f3c" * 16),
    mismatches=(MISMATCH,),
)


@given(st.lists(st.tuples(st.sampled_from([*FLOWS, "purchase"]), st.integers(0, PARTS)), max_size=6))
def test_shadows_follow_the_ledger(asked):
    """
    Each flow of the target gets the share, dials stay as they were set, and the ledger verifies.
    """
    verbs = [lambda s, t=target, p=parts: changes.set_dial(s, t, 0, shadow=p) for target, parts in asked]
    done, snapshot = perform(SHOP, verbs)
    expected = dict.fromkeys(FLOWS, 0)
    for target, parts in asked:
        expected |= dict.fromkeys(("cart", "pay") if target == "purchase" else (target,), parts)

    assert dict(snapshot.shadows) == {flow: parts for flow, parts in expected.items() if parts}
    assert not any(snapshot.dials.values())
    assert Snapshot.decode(snapshot.encode()) == snapshot
    assert verify([change.encode() for change in done]).ok


def test_left_out_it_stays():
    """
    A dial that is turned without a share leaves that as it is; a share that is set again changes nothing.
    """
    once = changes.set_dial(empty(SHOP), "browse", 0, shadow=5_000).after
    turned = changes.set_dial(once, "browse", 25_000)

    assert turned.after.shadows == {"browse": 5_000}
    assert "shadow" not in turned.arguments
    assert changes.set_dial(once, "browse", 0, shadow=5_000).after == once


@given(st.integers(0, PARTS), st.integers(0, PARTS))
def test_a_share_alone(dial, parts):
    """
    A share that is set without a dial leaves every dial as it is, whatever it is, and moves no key.
    """
    once = changes.set_dial(empty(SHOP), "browse", dial).after
    proposal = changes.set_dial(once, "browse", None, shadow=parts)

    assert (proposal.after.dials, proposal.after.cohort_dials) == (once.dials, once.cohort_dials)
    assert proposal.after.shadows.get("browse", 0) == parts
    assert not proposal.moves


def test_a_frozen_migration_may_compare():
    """
    Comparing sends no key to NEW: it is allowed while the migration is frozen.
    """
    frozen = changes.freeze(empty(SHOP)).after

    assert changes.set_dial(frozen, "browse", 0, shadow=5_000).after.shadows == {"browse": 5_000}


@pytest.mark.parametrize("parts", [-1, PARTS + 1])
def test_no_share(parts):
    """
    A share is 0 to 100%.
    """
    with pytest.raises(ConfigurationError):
        changes.set_dial(empty(SHOP), "browse", 0, shadow=parts)


def test_in_a_file():
    """
    A rollout in a file may hold shares, and none where it holds no such section.
    """
    at = datetime(2024, 3, 4, tzinfo=UTC)

    assert read_rollout(ROLLOUT, "rollout.toml", at=at).shadows == {}
    assert read_rollout(ROLLOUT + "[shadows]\nbrowse = 5\n", "rollout.toml", at=at).shadows == {"browse": 5_000}


@pytest.mark.parametrize("line", ["cart = 5", "browse = 101", 'browse = "some"', "browse = true"])
def test_wrong_in_a_file(line):
    """
    A share of an unknown flow, or one that is no percentage, is refused with its place.
    """
    with pytest.raises(ConfigurationError, match=r"shadows"):
        read_rollout(f"{ROLLOUT}[shadows]\n{line}\n", "rollout.toml", at=NOON)


def test_mismatches_travel():
    """
    What a process keeps of mismatches is read back from its check-in, and a check-in without any does not tell of it.
    """
    assert CheckIn.decode(REPORT.encode()) == REPORT
    without = attrs.evolve(REPORT, mismatches=())
    assert "mismatches" not in json.loads(without.encode())
    assert CheckIn.decode(without.encode()) == without


@pytest.mark.parametrize("mismatches", [{}, [5], [{"flow": "pay"}], [{**MISMATCH.document(), "at": "noon"}]])
def test_wrong_mismatches(mismatches):
    """
    A check-in with something else in their place is refused.
    """
    with pytest.raises(Corrupt):
        CheckIn.decode(json.dumps({**json.loads(REPORT.encode()), "mismatches": mismatches}))


def test_a_relay_takes_them():
    """
    What a check-in tells of comparisons is as the relay's description says.
    """
    numbers = {Counted(Kind.SHADOWS, "pay", "", verdict): 3 for verdict in Verdict}
    report = attrs.evolve(REPORT, since_version={**numbers, Counted(Kind.FALLBACKS, "pay", "", ""): 1})
    schema = {"$ref": "#/components/schemas/CheckIn", "components": {"schemas": dict(SCHEMAS)}}
    wrong = {**json.loads(report.encode()), "mismatches": [{"flow": "pay"}]}

    assert jsonschema_rs.is_valid(schema, {"report": json.loads(report.encode())})
    assert not jsonschema_rs.is_valid(schema, {"report": wrong})
    assert totals_document(numbers) == {"shadows": {"pay": {"": dict.fromkeys(map(str, Verdict), 3)}}}


def test_a_rollback_leaves_new_alone():
    """
    A rollback ends the comparisons of the flows that it sends back, and of no other.
    """
    verbs = [
        lambda s: changes.set_dial(s, "browse", 0, shadow=5_000),
        lambda s: changes.set_dial(s, "purchase", 0, shadow=7_000),
        lambda s: changes.rollback(s, "pay"),
    ]
    _, after = perform(SHOP, verbs)

    assert after.shadows == {"browse": 5_000}


def test_a_cohort_has_no_share_of_its_own():
    """
    A share for one cohort is refused: keys are chosen before anybody asks for their cohort.
    """
    shop = attrs.evolve(SHOP, cohorts={"staff": Cohort(name="staff", title="Employees")})
    with pytest.raises(ConfigurationError, match="the shadow share is the flow's, not a cohort's"):
        changes.set_dial(empty(shop), "browse", 0, cohort="staff", shadow=1)
