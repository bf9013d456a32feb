"""
A flow that gets another name: whatever was kept under the old one goes on, and both names are one flow.
"""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import (
    COHORTS,
    KEYS,
    NOON,
    SECRET,
    at,
    definition_of,
    empty,
    migrations,
    overrides,
    perform,
    performed,
    put,
    rollbacks,
    sets,
)

from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.break_glass import broken_glass, reached_by, unknown_lines
from cutover.core.changes import Proposal
from cutover.core.checkin import Counted, Fleet, Kind
from cutover.core.decide import decide
from cutover.core.defined import Flow, Journey
from cutover.core.drain_book import DrainBook
from cutover.core.fleet import called_now
from cutover.core.ledger import seal, verify
from cutover.core.merge import merge
from cutover.core.migration import Migration
from cutover.core.snapshot import Snapshot
from cutover.core.visit import Claims, entered, resumed
from cutover.errors import Refused

NEW, OLD = Backend.NEW, Backend.OLD
SHOP = definition_of("cart", "pay", journeys={"purchase": Journey(name="purchase", flows=("cart", "pay"))})
STEPS = st.lists(st.one_of(sets, overrides, rollbacks), max_size=6)


def called(definition: Migration, old: str, new: str, *was: str) -> Migration:
    """
    Give a definition with another name for a flow, and with what `was` says of it; the old name, unless given.
    """
    flows = {flow: attrs.evolve(one, name=flow) for flow, one in _called(definition.flows, old, new).items()}
    flows[new] = attrs.evolve(flows[new], was=was or (old,))
    journeys = {
        name: attrs.evolve(journey, flows=tuple(new if flow == old else flow for flow in journey.flows))
        for name, journey in definition.journeys.items()
    }
    return attrs.evolve(definition, flows=flows, journeys=journeys)


def _called(flows, old, new):
    return {new if name == old else name: flow for name, flow in flows.items()}


def apply(snapshot: Snapshot, definition: Migration) -> Proposal:
    """
    Propose to store a definition.
    """
    return changes.apply(snapshot, definition, empty(definition))


def sides_of(snapshot: Snapshot, flow: str) -> list[Backend]:
    """
    Ask where every key and cohort goes with a name.
    """
    asked = ((key, cohort) for key in KEYS for cohort in (None, *COHORTS))
    return [decide(snapshot, flow, key, cohort=cohort, secret=SECRET).backend for key, cohort in asked]


@settings(max_examples=60)
@given(migrations(), STEPS, st.data())
def test_a_rename_moves_nobody(definition, steps, data):
    """
    After a rename the old and the new name send every key where the old one sent it, and the ledger still adds up.
    """
    done, before = perform(definition, steps)
    old = data.draw(st.sampled_from(list(definition.flows)))
    proposal = apply(before, called(definition, old, "settle"))
    change, after = seal(proposal, at=NOON + timedelta(hours=1), actor="rina", reason="a better name")

    assert proposal.moves == ()
    assert proposal.evicted == frozenset()
    assert sides_of(after, "settle") == sides_of(after, old) == sides_of(before, old)
    for other in definition.flows:
        assert sides_of(after, other) == sides_of(before, other)
    assert after.turned["settle"] == before.turned_by(old)
    assert after.left_alone(before) == {"settle", *definition.flows}
    assert verify([one.encode() for one in (*done, change)], after).ok
    assert merge(before.state(), change.effects) == after.state()


@settings(max_examples=60)
@given(migrations(), STEPS, STEPS, st.data())
def test_drains_go_on(definition, steps, later, data):
    """
    What drains goes on under the new name, as if the flow had always had it.
    """
    old = data.draw(st.sampled_from(list(definition.flows)))
    done, before = perform(definition, steps)
    change, after = seal(apply(before, called(definition, old, "settle")), at=NOON, actor="rina", reason="x")
    plain, same = seal(apply(before, attrs.evolve(definition, title="Same")), at=NOON, actor="rina", reason="x")

    names = {old: "settle"}
    ours = DrainBook().extended([*done, change]).drains()
    theirs = DrainBook().extended([*done, plain]).drains()
    assert same.version == after.version
    assert ours == {names.get(flow, flow): drains for flow, drains in theirs.items()}


def test_a_chain_of_renames():
    """
    A flow goes by every name that it had, also where a file names the last one alone or leaves one out.
    """
    first = performed(SHOP, at("purchase", 25_000), put("pay", NEW, KEYS[-1]))
    settle = called(SHOP, "pay", "settle")
    last = called(settle, "settle", "close")
    for steps in ([settle, last], [called(SHOP, "pay", "close", "settle", "pay")]):
        snapshot = first
        for definition in steps:
            _, snapshot = seal(apply(snapshot, definition), at=NOON, actor="rina", reason="x")
        assert snapshot.definition.flows["close"].was == ("settle", "pay")
        assert snapshot.dials["close"] == 25_000
        assert sides_of(snapshot, "close") == sides_of(snapshot, "settle") == sides_of(first, "pay")

    assert apply(snapshot, last).is_empty
    skipped = called(settle, "settle", "end", "pay")
    assert apply(seal(apply(first, settle), at=NOON, actor="r", reason="x")[1], skipped).after.dials["end"] == 25_000


def test_was_may_stay():
    """
    Once the flow has its new name, `was` does nothing but to keep the old one; nor does it in a first apply.
    """
    definition = called(SHOP, "pay", "settle")
    _, snapshot = seal(apply(performed(SHOP), definition), at=NOON, actor="rina", reason="x")

    assert apply(snapshot, definition).is_empty
    assert changes.apply(None, definition, empty(definition)).after.definition == definition
    without = attrs.evolve(definition, flows={**definition.flows, "settle": Flow(name="settle")})
    assert apply(snapshot, without).after.definition.former == {}


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (
            called(SHOP, "pay", "settle", "paying"),
            r"flows\.settle\.was is paying, which the migration never had; .*pay",
        ),
        (
            attrs.evolve(SHOP, flows={"cart": Flow(name="cart", was=("pay",))}, journeys={}),
            r"flows\.cart\.was names 'pay', and the migration has both 'pay' and 'cart'; allowed: remove one of them",
        ),
        (
            attrs.evolve(SHOP, flows={"purchase": Flow(name="purchase", was=("pay",))}, journeys={}),
            r"flows\.purchase\.was renames a flow to 'purchase', which is a journey; allowed: rename the journey first",
        ),
    ],
)
def test_a_name_that_never_was(definition, message):
    """
    A former name that the flow cannot have had is one clear error.
    """
    with pytest.raises(Refused, match=message):
        apply(performed(SHOP), definition)


def test_two_flows_cannot_have_been_one():
    """
    Of two flows that claim one former flow by different names, the second is refused.
    """
    known = performed(called(SHOP, "pay", "settle"))
    flows = {"cart": Flow(name="cart"), "a": Flow(name="a", was=("settle",)), "b": Flow(name="b", was=("pay",))}

    with pytest.raises(Refused, match=r"flows\.b\.was is pay, which is 'settle' now; allowed: "):
        apply(known, attrs.evolve(SHOP, flows=flows, journeys={}))


def test_a_frozen_migration_may_be_renamed():
    """
    A rename brings nobody to NEW, so a freeze does not refuse it.
    """
    frozen = performed(SHOP, at("purchase", 50_000), changes.freeze)

    assert apply(frozen, called(SHOP, "pay", "settle")).after.dials["settle"] == 50_000


def test_verbs_take_a_former_name():
    """
    Operators may give a verb the name that the flow had; the ledger shows the name that it has.
    """
    snapshot = performed(called(SHOP, "pay", "settle"))

    for verb in (at("pay", 1000), lambda s: changes.rollback(s, "pay"), put("pay", NEW)):
        proposal = verb(snapshot)
        assert proposal.arguments["target"] == "settle"
    assert at("pay", 1000)(snapshot).after.dials == {"cart": 0, "settle": 1000}


def test_break_glass_lines_of_a_former_name():
    """
    A line of the break-glass file holds under each name that the flow had; where lines of one flow differ, OLD wins.
    """
    definition = called(SHOP, "pay", "settle")

    for asked in ("pay", "settle", "cart"):
        assert broken_glass({"pay": OLD, "cart": NEW}, definition, asked) is OLD
        assert broken_glass({"pay": NEW, "*": NEW}, definition, asked) is NEW
        assert broken_glass({"settle": NEW, "pay": OLD}, definition, asked) is OLD
    assert unknown_lines({"pay": OLD, "pya": OLD}, definition) == ("pya",)
    assert reached_by(definition, "cart") == {"*", "purchase", "cart", "settle", "pay"}


def claims_of(sides, order=(1, 1)) -> Claims:
    """
    Give what a token says of these sides.
    """
    return Claims("shop/purchase", "b", sides, order, None, born=1000, seen=1000, until=9000, idle=1800)


@given(
    st.booleans(),
    st.dictionaries(st.sampled_from(("cart", "pay", "settle")), st.sampled_from(Backend)),
    st.dictionaries(st.sampled_from(("cart", "settle")), st.just((1, 2))),
    st.sampled_from(Backend),
)
def test_a_visit_keeps_its_side_under_both_names(together, sides, evicted, flags):
    """
    A visit has a renamed flow on one side under all its names, and one that began before the rename on the same side.
    """
    journey = Journey(name="purchase", flows=("cart", "settle"), together=together)
    former = {"pay": "settle"}
    evictions = {**evicted, **({"pay": (1, 2)} if "settle" in evicted else {})}

    found, _ = resumed(journey, claims_of(sides), evictions, lambda _: flags, former)
    new = entered(journey, lambda _: flags, former)

    assert found["pay"] is found["settle"]
    assert new["pay"] is new["settle"] is flags
    if "pay" in sides and "settle" not in sides and not evicted:
        assert found["pay"] is sides["pay"]
    # A process that still runs the older definition goes on with the same sides.
    older = Journey(name="purchase", flows=("cart", "pay"), together=together)
    again, _ = resumed(older, claims_of(found, order=(1, 2)), evictions, lambda _: OLD)
    assert again["pay"] is found["pay"]


def test_an_eviction_before_the_rename_still_ends_visits():
    """
    A visit that a rollback ended does not come back under the new name.
    """
    before = performed(SHOP, at("purchase", 100_000), lambda s: changes.rollback(s, "pay"))
    _, after = seal(apply(before, called(SHOP, "pay", "settle")), at=NOON, actor="rina", reason="x")
    journey = after.definition.journeys["purchase"]

    sides, evicted = resumed(
        journey, claims_of({"cart": NEW, "pay": NEW}, (1, 2)), after.evictions, lambda _: OLD, after.definition.former
    )
    assert evicted
    assert set(sides.values()) == {OLD}
    later = changes.rollback(after, "cart").after
    assert later.evictions["pay"] == later.evictions["settle"] == later.evictions["cart"]


def test_counts_of_a_former_name():
    """
    What processes count under either name is counted for the flow.
    """
    pay, settle = (Counted(Kind.REQUESTS, flow, "new", "percent") for flow in ("pay", "settle"))
    fleet = Fleet(minutes={7: {pay: 2, settle: 3}}, hours={1: {pay: 5}})

    assert called_now(fleet, SHOP) is fleet
    named = called_now(fleet, called(SHOP, "pay", "settle"))
    assert (named.minutes, named.hours) == ({7: {settle: 5}}, {1: {settle: 5}})


def test_an_older_library_reads_it():
    """
    A definition without former names is written as before, and one with them adds a field that older readers pass over.
    """
    plain, named = SHOP.document(), called(SHOP, "pay", "settle").document()

    assert plain["flows"][1] == {"name": "pay", "weight": "1"}
    assert named["flows"][1] == {"name": "settle", "weight": "1", "was": ["pay"]}
    assert Migration.from_document(named) == called(SHOP, "pay", "settle")
