"""
The order of rules, and what each of them says.
"""

from collections.abc import Sequence
from functools import partial

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    COHORTS,
    FLOWS,
    KEYS,
    SECRET,
    Rude,
    at,
    begun,
    definition_of,
    hostile_keys,
    perform,
    performed,
    put,
    short,
    snapshots,
)

from cutover.core import changes
from cutover.core.backend import UNSET, Backend, Reason
from cutover.core.bucketing import PARTS, key_bytes, position_of
from cutover.core.decide import decide
from cutover.core.defined import Cohort, Journey
from cutover.core.snapshot import Override

OLD, NEW = Backend.OLD, Backend.NEW
SHOP = definition_of(
    "browse",
    "cart",
    "pay",
    journeys={"purchase": Journey(name="purchase", flows=("cart", "pay"), together=True)},
    cohorts={name: Cohort(name=name, title=name) for name in COHORTS},
)
FIRST, *_, LAST = KEYS  # at 0 and at 99,999
after = partial(performed, SHOP)


def test_order_of_rules():
    """
    Taking the rules away one by one shows them in their order: home, break-glass, visit, override, cohort, flow.
    """
    snapshot = after(put("browse", NEW, FIRST), at("browse", 25_000, "staff"))
    rules: Sequence[tuple[str, object, Reason, Backend]] = (
        ("home", "new", Reason.HOME, NEW),
        ("break_glass", {"browse": OLD}, Reason.BREAK_GLASS, OLD),
        ("visit", OLD, Reason.VISIT, OLD),
        ("secret", SECRET, Reason.OVERRIDE, NEW),
        ("cohort", "staff", Reason.COHORT, NEW),
    )
    for first in range(len(rules)):
        given_ = {name: value for name, value, *_ in rules[first:]}
        decision = decide(snapshot, "browse", FIRST, **given_)

        assert (decision.reason, decision.backend) == rules[first][2:]
    assert decide(snapshot, "browse", FIRST)[1:3] == (OLD, Reason.PERCENT)


def test_what_a_decision_tells():
    """
    A decision names the flow, the snapshot's version and the key's position.
    """
    snapshot = after(at("browse", 25_000))

    assert decide(snapshot, "browse", FIRST) == ("browse", NEW, Reason.PERCENT, 2, 0)
    assert decide(snapshot, "browse", LAST) == ("browse", OLD, Reason.PERCENT, 2, 99_999)
    assert decide(snapshot, "browse", None) == ("browse", OLD, Reason.NO_KEY, 2, None)
    assert decide(None, "browse", FIRST) == ("browse", OLD, Reason.DEFAULT, 0, None)


@pytest.mark.parametrize(
    ("home", "reason", "side"),
    [
        (OLD, Reason.HOME, OLD),
        (NEW, Reason.HOME, NEW),
        ("old", Reason.HOME, OLD),
        ("new", Reason.HOME, NEW),
        ("tiktok", Reason.HOME, OLD),
        ("tokopedia", Reason.HOME, NEW),
        (None, Reason.HOME, OLD),
        ("lazada", Reason.HOME_UNKNOWN, OLD),
        ("", Reason.HOME_UNKNOWN, OLD),
        (1, Reason.HOME_UNKNOWN, OLD),
        (Rude(), Reason.HOME_UNKNOWN, OLD),
    ],
    ids=short,
)
def test_home(home, reason, side):
    """
    A home decides alone; an unmarked thing is OLD, a home that nobody knows is OLD too, and says so.
    """
    everything = {"break_glass": {"*": NEW}, "cohort": "staff", "secret": SECRET}
    snapshot = after(at("browse", PARTS), put("browse", NEW, FIRST))

    assert decide(snapshot, "browse", FIRST, home=home, **everything)[1:3] == (side, reason)


def test_home_without_a_snapshot():
    """
    Before anything was read, a home by the common names holds, and a side's own name cannot be known.
    """
    assert decide(None, "pay", FIRST, home="new")[1:3] == (NEW, Reason.HOME)
    assert decide(None, "pay", FIRST, home="tokopedia")[1:3] == (OLD, Reason.HOME_UNKNOWN)


@pytest.mark.parametrize("lines", [{"pay": NEW}, {"*": NEW}, {"pay": NEW, "*": OLD}])
def test_break_glass_without_a_snapshot(lines):
    """
    The operators' file holds where nothing was ever read.
    """
    assert decide(None, "pay", FIRST, break_glass=lines)[1:3] == (NEW, Reason.BREAK_GLASS)


@pytest.mark.parametrize(
    ("lines", "flow", "side"),
    [
        ({"browse": NEW}, "browse", NEW),
        ({"browse": NEW, "*": OLD}, "browse", NEW),
        ({"pay": OLD}, "cart", OLD),
        ({"pay": NEW}, "cart", NEW),
        ({"pay": NEW, "cart": OLD}, "pay", OLD),
        ({"pay": NEW, "*": OLD}, "pay", OLD),
        ({"pay": OLD, "*": NEW}, "cart", OLD),
    ],
)
def test_break_glass(lines, flow, side):
    """
    A line of the file holds for all that goes together, and where lines differ, OLD wins.
    """
    for parts in (0, PARTS):
        snapshot = after(at(flow, parts))

        assert decide(snapshot, flow, FIRST, break_glass=lines)[1:3] == (side, Reason.BREAK_GLASS)


def test_break_glass_for_another_flow():
    """
    A line for a flow that goes its own way says nothing about the others.
    """
    assert decide(after(), "browse", FIRST, break_glass={"pay": NEW}).reason is Reason.PERCENT


def test_unknown_flow():
    """
    A flow that the definition does not have goes OLD, whatever the cohort.
    """
    assert decide(after(), "fly", FIRST, cohort="staff", secret=SECRET)[1:3] == (OLD, Reason.DEFAULT)


@pytest.mark.parametrize(("first", "second", "side"), [(OLD, NEW, OLD), (NEW, OLD, OLD), (NEW, NEW, NEW)])
def test_override_of_a_journey_put_together_later(first, second, side):
    """
    Where the flows of a journey were overridden differently before they went together, OLD wins for all.
    """
    apart = definition_of("cart", "pay")
    together = definition_of("cart", "pay", journeys=SHOP.journeys)
    _, snapshot = perform(
        apart, [put("cart", first, FIRST), put("pay", second, FIRST), lambda s: changes.apply(s, together, s)]
    )

    assert decide(snapshot, "cart", FIRST, secret=SECRET)[1:3] == (side, Reason.OVERRIDE)
    assert decide(snapshot, "pay", FIRST, secret=SECRET)[1:3] == (side, Reason.OVERRIDE)


def test_override_needs_its_secret():
    """
    Without the secret, or with another, an override is passed over.
    """
    snapshot = after(put("pay", NEW, FIRST))

    assert decide(snapshot, "cart", FIRST, secret=SECRET).reason is Reason.OVERRIDE
    assert decide(snapshot, "cart", FIRST, secret=b"another").reason is Reason.PERCENT
    assert decide(snapshot, "cart", FIRST).reason is Reason.PERCENT
    assert decide(snapshot, "cart", LAST, secret=SECRET).reason is Reason.PERCENT


def test_override_at_another_position():
    """
    An override holds only for the key at its position: elsewhere nobody even computes a digest.
    """
    snapshot = after(put("browse", NEW, FIRST))
    (digest,) = snapshot.overrides["browse"]
    moved = attrs.evolve(snapshot, overrides={"browse": {digest: Override(7, NEW)}})

    assert decide(moved, "browse", FIRST, secret=SECRET).reason is Reason.PERCENT


def test_cohort_dial_goes_up_and_down():
    """
    A cohort's dial replaces the flow's for its members, upwards and downwards; everyone else has the flow's.
    """
    snapshot = after(at("browse", 50_000), at("browse", PARTS, "staff"), at("browse", 0, "jakarta"))

    assert decide(snapshot, "browse", LAST, cohort="staff")[1:3] == (NEW, Reason.COHORT)
    assert decide(snapshot, "browse", FIRST, cohort="jakarta")[1:3] == (OLD, Reason.COHORT)
    assert decide(snapshot, "browse", FIRST, cohort="stranger")[1:3] == (NEW, Reason.PERCENT)
    assert decide(snapshot, "browse", FIRST)[1:3] == (NEW, Reason.PERCENT)


@pytest.mark.parametrize("cohort", [7, ["staff"], b"staff", object()], ids=short)
def test_cohort_that_is_no_text(cohort):
    """
    A cohort of another type counts as none, and raises nothing.
    """
    snapshot = after(at("browse", PARTS, "staff"))

    assert decide(snapshot, "browse", FIRST, cohort=cohort)[1:3] == (OLD, Reason.PERCENT)


def test_together():
    """
    In a journey that goes together, one flow's dial or cohort dial holds all of them down.
    """
    snapshot = after(at("cart", PARTS), at("pay", 1), at("cart", 0, "staff"), at("pay", PARTS, "jakarta"))

    for flow in ("cart", "pay"):
        assert decide(snapshot, flow, FIRST)[1:3] == (NEW, Reason.PERCENT)
        assert decide(snapshot, flow, KEYS[1])[1:3] == (OLD, Reason.PERCENT)
        assert decide(snapshot, flow, FIRST, cohort="staff")[1:3] == (OLD, Reason.COHORT)
        assert decide(snapshot, flow, LAST, cohort="jakarta")[1:3] == (NEW, Reason.COHORT)


@pytest.mark.parametrize("key", [None, "", b"", Rude()], ids=short)
@pytest.mark.parametrize(
    ("parts", "side", "reason"),
    [(0, OLD, Reason.PERCENT), (1, OLD, Reason.NO_KEY), (99_999, OLD, Reason.NO_KEY), (PARTS, NEW, Reason.PERCENT)],
)
def test_no_key(key, parts, side, reason):
    """
    Without a key a request goes OLD, except that a dial at 0% or 100% needs none.
    """
    snapshot = after(at("browse", parts))

    assert decide(snapshot, "browse", key, secret=SECRET)[1:3] == (side, reason)


@given(st.none() | snapshots(), st.sampled_from((*FLOWS, "fly")), hostile_keys, st.sampled_from(Backend))
def test_a_visit_keeps_its_side(snapshot, flow, key, side):
    """
    Whatever holds, and where nothing is known, a visit that has the flow keeps it on its side.
    """
    assert decide(snapshot, flow, key, visit=side, secret=SECRET)[1:3] == (side, Reason.VISIT)


@given(st.none() | snapshots(), st.sampled_from((*FLOWS, "fly", "")), hostile_keys, hostile_keys, hostile_keys)
def test_never_raises(snapshot, flow, key, cohort, home):
    """
    Whatever an application hands over, the answer is a decision.
    """
    decision = decide(snapshot, flow, key, cohort=cohort, home=home, secret=SECRET)
    routed = decide(snapshot, flow, key, cohort=cohort, home=UNSET, secret=SECRET)

    assert decision.reason in (Reason.HOME, Reason.HOME_UNKNOWN)
    assert isinstance(routed.backend, Backend)
    assert isinstance(routed.reason, Reason)


@given(snapshots(), hostile_keys, st.sampled_from((None, "stranger", *COHORTS)))
def test_position_against_the_dial(snapshot, key, cohort):
    """
    Without overrides, a key is on NEW exactly where its position is below the dial that holds.
    """
    data = key_bytes(key)
    for flow in snapshot.definition.flows:
        parts = snapshot.effective_parts(flow, cohort)
        position = PARTS - 1 if data is None else position_of(b"shop", data)
        decision = decide(snapshot, flow, key, cohort=cohort)

        assert (decision.backend is NEW) is (position < parts)


@given(hostile_keys, st.integers(0, PARTS), st.integers(0, PARTS))
def test_raised_dial_takes_no_key_off_new(key, one, other):
    """
    A dial that is raised never takes a key off NEW, and whoever is in at a percentage is in there in every flow.
    """
    lower, higher = sorted((one, other))
    before = after(at("browse", lower))
    raised = after(at("browse", higher), at("purchase", higher))

    if decide(before, "browse", key).backend is NEW:
        assert {decide(raised, flow, key).backend for flow in ("browse", "cart", "pay")} == {NEW}


@given(snapshots(), st.sampled_from(KEYS), st.sampled_from((None, *COHORTS)))
def test_together_is_never_split(snapshot, key, cohort):
    """
    A key has one back end in all flows that go together, whatever the dials and overrides.
    """
    for flow in snapshot.definition.flows:
        together = snapshot.definition.together_with(flow)

        assert len({decide(snapshot, f, key, cohort=cohort, secret=SECRET).backend for f in together}) == 1


def test_first_apply_sends_nobody_to_new():
    """
    A migration begins with every key on OLD.
    """
    snapshot = begun(SHOP)

    assert {decide(snapshot, flow, key).backend for flow in SHOP.flows for key in (*KEYS, None)} == {OLD}
