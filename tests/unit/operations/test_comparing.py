"""
What the command that shows mismatches is made of.
"""

from collections import Counter
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.cli.comparing import GIVEN_UP
from cutover.core.checkin import LEASE, CheckIn, Counted, Kind
from cutover.core.verdict import Mismatch, Verdict
from cutover.engines.registry import open_store
from cutover.errors import ConfigurationError
from cutover.operations.comparing import DIFFERENT, SAME, FlowComparisons
from cutover.operations.control import Control


def checked_in(store, clock, instance="a" * 32, *, verdicts=None, kept=(), flow="browse", sequence=1, minute=None):
    """
    Take a check-in with comparisons.
    """
    totals = {Counted(Kind.SHADOWS, flow, "", verdict): number for verdict, number in (verdicts or {}).items()}
    report = CheckIn(
        instance=instance,
        sequence=sequence,
        at=clock(),
        host="pod",
        pid=1,
        started=clock(),
        library="0.1.0",
        minutes={int(clock().timestamp() // 60) if minute is None else minute: totals},
        mismatches=tuple(kept),
    )
    store.check_in("shop", report, now=clock())


def mismatch(clock, name, flow="browse", **ago):
    """
    Give a mismatch at a place of this name.
    """
    return Mismatch(flow=flow, at=clock() - timedelta(**ago), differences=((name, "int", "int"),))


def only(found):
    """
    Give the one flow that was found.
    """
    (flow,) = found.flows
    return flow


def test_over_all_instances(control, store, clock):
    """
    Verdicts are added up over the instances, by flow, and every verdict has its number.
    """
    checked_in(store, clock, "a" * 32, verdicts={"match": 90, "mismatch": 3, "dropped": 7})
    checked_in(store, clock, "b" * 32, verdicts={"match": 9, "new_error": 1, "noise_match": 50, "unheard_of": 4})

    found = only(control.mismatches())

    assert found.flow == "browse"
    assert {v: n for v, n in found.verdicts.items() if n} == Counter(
        match=99, mismatch=3, new_error=1, dropped=7, noise_match=50
    )
    assert (found.differing, found.noise) == ((4, 103), (0, 50))
    assert found.stands_out is False


def test_which_flows(control, store, clock):
    """
    Shown are the flows that compare or have compared, or the one that was asked for.
    """
    control.set("pay", 0, shadow=5, reason="compare")
    checked_in(store, clock, verdicts={"match": 1})

    assert [(one.flow, one.shadow) for one in control.mismatches().flows] == [("browse", 0), ("pay", 5_000)]
    assert only(control.mismatches("cart")).differing == (0, 0)
    with pytest.raises(ConfigurationError, match=r"flow is 'purchase'; allowed: browse, cart, pay"):
        control.mismatches("purchase")


def test_of_the_last_hours(control, store, clock):
    """
    With hours, older comparisons are left out; what a store has folded into hours counts all the same.
    """
    for hours in (30, 2, 0):
        clock.now -= timedelta(hours=hours)
        checked_in(store, clock, f"{hours:032x}", verdicts={"match": 1 + hours})
        clock.now += timedelta(hours=hours)

    assert only(control.mismatches(hours=1)).differing.cases == 1
    assert only(control.mismatches(hours=3)).differing.cases == 4
    assert only(control.mismatches()).differing.cases == 35
    with pytest.raises(ConfigurationError, match="hours is 0; allowed: an integer from 1"):
        control.mismatches(hours=0)


def test_what_is_kept(control, store, clock):
    """
    The first mismatches of the live instances are shown, newest last, up to twenty; those of lost ones are not.
    """
    checked_in(store, clock, "c" * 32, kept=[mismatch(clock, "lost", minutes=9)])
    clock.forward(seconds=LEASE.total_seconds() + 1)
    checked_in(store, clock, "a" * 32, kept=[mismatch(clock, f"a{n}", seconds=100 - n) for n in range(10)])
    checked_in(store, clock, "b" * 32, kept=[mismatch(clock, f"b{n}", seconds=200 - n) for n in range(13)])
    checked_in(store, clock, "d" * 32, kept=[mismatch(clock, "paid", flow="pay")])

    places = [one.differences[0][0] for one in control.mismatches("browse").flows[0].mismatches]

    assert places == [*(f"b{n}" for n in range(13)), *(f"a{n}" for n in range(7))]


@given(numbers=st.dictionaries(st.sampled_from(Verdict), st.integers(0, 10**6)))
def test_every_verdict_has_its_place(numbers):
    """
    Each verdict that says how two answers compare counts once; none that gives up does.
    """
    verdicts = dict.fromkeys(Verdict, 0) | numbers
    flow = FlowComparisons(flow="browse", shadow=0, verdicts=verdicts)
    given_up = sum(verdicts[v] for v in GIVEN_UP)

    assert flow.differing.cases + flow.noise.cases + given_up == sum(verdicts.values())
    assert not {*SAME} & {*DIFFERENT}
    document = flow.document()
    assert document["stands_out"] in ((True, False) if flow.differing.cases and flow.noise.cases else (None,))
    assert (document["noise"]["interval"] is None) is (not flow.noise.cases)


@pytest.mark.parametrize(
    ("verdicts", "stands_out"),
    [
        ({}, None),
        ({"mismatch": 100}, None),
        ({"noise_mismatch": 5}, None),
        ({"mismatch": 31, "match": 969, "noise_mismatch": 2, "noise_match": 998}, True),
        ({"new_error": 31, "match": 969, "noise_mismatch": 2, "noise_match": 998}, True),
        ({"mismatch": 31, "match": 969, "noise_mismatch": 30, "noise_match": 970}, False),
        ({"mismatch": 1, "match": 9, "noise_match": 10}, False),
        ({"mismatch": 10, "noise_mismatch": 10}, False),
    ],
)
def test_more_than_noise(verdicts, stands_out):
    """
    NEW stands out where it differs clearly more often than OLD from itself, and nothing is said where one was not
    measured.
    """
    numbers = dict.fromkeys(Verdict, 0) | {Verdict(name): number for name, number in verdicts.items()}

    assert FlowComparisons(flow="browse", shadow=0, verdicts=numbers).stands_out is stands_out


def test_the_document(control, store, clock):
    """
    The document holds what the page says, as JSON can carry it.
    """
    kept = mismatch(clock, "total")
    checked_in(store, clock, verdicts={"match": 3, "mismatch": 1}, kept=[kept])
    control.set("browse", None, shadow="0.5", reason="compare")

    document = control.mismatches(hours=5).document()

    (flow,) = document["flows"]
    assert (document["hours"], flow["flow"], flow["shadow_ratio"]) == (5, "browse", 0.005)
    assert flow["differing"] == {"found": 1, "cases": 4, "ratio": 0.25, "interval": [0.04559, 0.69936]}
    assert flow["noise"] == {"found": 0, "cases": 0, "ratio": None, "interval": None}
    assert flow["mismatches"] == [kept.document()]
    assert set(flow["verdicts"]) == {verdict.value for verdict in Verdict}
    assert control.status().document()["flows"][0]["shadow_ratio"] == 0.005


def test_a_source_that_only_reads(control, tmp_path):
    """
    Where no instances report, there is nothing to show, and that is no error.
    """
    path = tmp_path / "snapshot.json"
    path.write_text(control.export_snapshot())

    assert Control(open_store(f"file:{path}"), actor="rina").mismatches().flows == ()


def test_an_older_library(control, store, clock):
    """
    A report without mismatches counts as one that keeps none.
    """
    checked_in(store, clock, verdicts={"match": 1})

    assert attrs.asdict(only(control.mismatches()))["mismatches"] == ()
