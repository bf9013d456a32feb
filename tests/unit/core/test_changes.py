"""
The verbs of operators: what each asks for, refuses and leaves as it is.
"""

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
    at,
    begun,
    definition_of,
    empty,
    performed,
    put,
    sides,
    snapshots,
)

from cutover.core import changes
from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS, digest_of, position_of
from cutover.core.decide import decide
from cutover.core.defined import Cohort, Journey, WorkItem
from cutover.core.snapshot import Eviction, Override
from cutover.errors import ConfigurationError, Refused

OLD, NEW = Backend.OLD, Backend.NEW
JOURNEYS = {
    "purchase": Journey(name="purchase", flows=("cart", "pay"), together=True),
    "look": Journey(name="look", flows=("browse", "checkout"), together=False),
}
SHOP = definition_of(
    *FLOWS,
    journeys=JOURNEYS,
    work={"branding": WorkItem(name="branding", title="Texts")},
    cohorts={name: Cohort(name=name, title=name) for name in COHORTS},
)
KEY = KEYS[1]
after = partial(performed, SHOP)
DIGEST = digest_of(SECRET, KEY.encode())


# set


def test_set_a_flow():
    """
    A flow's dial changes, and nothing else does.
    """
    before = after(at("cart", 1_000), at("browse", 1_000, "staff"))
    proposal = changes.set_dial(before, "browse", 25_000)

    assert proposal.after == attrs.evolve(before, dials={**before.dials, "browse": 25_000})
    assert proposal.arguments == {"target": "browse", "parts": 25_000, "evict": False, "all_cohorts": False}
    assert proposal.before is before
    assert not proposal.is_empty


def test_a_journey_that_is_no_more():
    """
    An apply that renames a journey moves no key, and says whose visits are over.
    """
    before = after()
    renamed = {"buying": attrs.evolve(JOURNEYS["purchase"], name="buying"), "look": JOURNEYS["look"]}
    proposal = changes.apply(before, attrs.evolve(SHOP, journeys=renamed), before)

    assert (proposal.moves, proposal.notes) == ((), ("visits of purchase end: the journey is removed",))
    assert changes.apply(before, attrs.evolve(SHOP, title="Other"), before).notes == ()


def test_set_a_journey():
    """
    A journey's name stands for all its flows, whether they go together or not.
    """
    snapshot = after(at("purchase", 25_000), at("look", 1_000))

    assert snapshot.dials == {"browse": 1_000, "checkout": 1_000, "cart": 25_000, "pay": 25_000}


def test_set_a_cohort():
    """
    A cohort gets a dial of its own, in each flow of the target, until it inherits again.
    """
    snapshot = after(at("purchase", 25_000), at("purchase", PARTS, "staff"))
    inherits = changes.set_dial(snapshot, "pay", None, cohort="staff")

    assert snapshot.cohort_dials == {"cart": {"staff": PARTS}, "pay": {"staff": PARTS}}
    assert snapshot.dials["pay"] == 25_000
    assert inherits.after.cohort_dials == {"cart": {"staff": PARTS}}
    assert inherits.after.effective_parts("pay", "staff") == 25_000
    assert changes.set_dial(inherits.after, "pay", None, cohort="staff").after == inherits.after


def test_set_all_cohorts():
    """
    With all cohorts, those that had a dial of their own follow the flow; without, they are named as left behind.
    """
    snapshot = after(at("browse", 1_000, "staff"), at("browse", PARTS, "jakarta"))
    alone = changes.set_dial(snapshot, "browse", 50_000)
    along = changes.set_dial(snapshot, "browse", 50_000, all_cohorts=True)

    assert alone.notes == ("cohort staff stays at 1% in browse", "cohort jakarta stays at 100% in browse")
    assert along.notes == ()
    assert along.after.cohort_dials == {}


def test_set_tells_who_is_not_where_the_dial_puts_them():
    """
    A set dial is told with the cohorts and overrides that stay elsewhere, and with every flow that they move, at every
    target; those that are where the dial puts them are not named.
    """
    snapshot = after(
        at("purchase", 50_000),
        at("purchase", PARTS, "staff"),
        put("pay", NEW),
        put("pay", OLD, KEYS[2]),
        put("pay", OLD, KEYS[3]),
    )
    staff = "cohort staff stays at 100% in cart, pay"
    new, old = "1 override on NEW in cart, pay", "2 overrides on OLD in cart, pay"

    assert changes.set_dial(snapshot, "purchase", 0).notes == (staff, new)
    assert changes.set_dial(snapshot, "purchase", 20_000).notes == (staff, new, old)
    assert changes.set_dial(snapshot, "purchase", PARTS).notes == (old,)
    assert changes.set_dial(snapshot, "cart", 0).notes[-2:] == (staff, new)
    assert changes.set_dial(snapshot, "browse", 0).notes == ()
    assert changes.set_dial(snapshot, "purchase", 0, cohort="staff").notes == (new, old)


def test_set_a_flow_that_is_held():
    """
    Whoever raises a flow above another that goes together with it is told what holds it.
    """
    proposal = changes.set_dial(after(at("pay", 10_000)), "cart", 25_000)

    assert proposal.notes == ("cart is set to 25%, limited to 10% by pay (lowest in purchase)",)


@pytest.mark.parametrize(
    ("target", "parts", "options", "message"),
    [
        ("fly", 0, {}, "there is no flow or journey 'fly'; allowed: browse, cart, checkout, pay, purchase, look"),
        ("pay", 0, {"cohort": "vip"}, "there is no cohort 'vip'; allowed: staff, jakarta"),
        ("pay", None, {}, "inherit is for a cohort: name one"),
        ("pay", 0, {"cohort": "staff", "all_cohorts": True}, "all cohorts and one cohort cannot both be meant"),
        ("pay", PARTS + 1, {}, "the dial would be at 100001 parts; allowed: 0 to 100000"),
        ("pay", -1, {"cohort": "staff"}, "the dial would be at -1 parts; allowed: 0 to 100000"),
        ("pay", 25.0, {}, "the dial would be at 25.0 parts; allowed: 0 to 100000"),
        ("pay", True, {}, "the dial would be at True parts; allowed: 0 to 100000"),
    ],
)
def test_set_what_cannot_be(target, parts, options, message):
    """
    A target, cohort or dial that there is not is one error that names what is allowed.
    """
    with pytest.raises(ConfigurationError) as caught:
        changes.set_dial(begun(SHOP), target, parts, **options)

    assert str(caught.value) == message


def test_no_cohorts_at_all():
    """
    Where no cohort is defined, the error says so.
    """
    with pytest.raises(ConfigurationError, match=r"^there is no cohort 'staff'; allowed: none is defined$"):
        changes.set_dial(begun(definition_of("pay")), "pay", 0, cohort="staff")


# evict


def test_evict_with_a_lowered_dial():
    """
    Visits on NEW end at the version of the change, in all that goes together with the lowered flow.
    """
    snapshot = after(at("purchase", 25_000), at("look", 25_000))
    together = changes.set_dial(snapshot, "pay", 1_000, evict=True)
    sticky = changes.set_dial(snapshot, "browse", 1_000, evict=True)

    mark = Eviction(1, snapshot.version + 1)
    assert together.after.evictions == {"cart": mark, "pay": mark}
    assert sticky.after.evictions == {"browse": mark}


@pytest.mark.parametrize(("target", "parts", "cohort"), [("pay", 25_000, None), ("pay", 50_000, None)])
def test_evict_without_a_lowered_dial(target, parts, cohort):
    """
    Whoever does not lower a dial cannot end visits.
    """
    with pytest.raises(Refused, match=r"^evict is for a lowered dial, and pay would go from 25% to "):
        changes.set_dial(after(at("pay", 25_000)), target, parts, cohort=cohort, evict=True)


def test_evict_a_cohort():
    """
    Lowering a cohort below what it had, its own dial or the flow's, may end visits; letting it rise may not.
    """
    snapshot = after(at("pay", 25_000))
    lowered = changes.set_dial(snapshot, "pay", 1_000, cohort="staff", evict=True)

    assert set(lowered.after.evictions) == {"cart", "pay"}
    with pytest.raises(Refused, match=r"pay would go from 1% to 25%; "):
        changes.set_dial(lowered.after, "pay", None, cohort="staff", evict=True)


def test_evict_a_journey_that_is_partly_there():
    """
    A journey's visits may be ended where one of its flows is lowered and none is raised.
    """
    lowered = changes.set_dial(after(at("pay", 25_000)), "purchase", 0, evict=True)

    assert set(lowered.after.evictions) == {"cart", "pay"}
    with pytest.raises(Refused, match=r"cart would go from 0% to 1%; "):
        changes.set_dial(after(at("pay", 25_000)), "purchase", 1_000, evict=True)


def test_mark_of_a_removed_flow():
    """
    A flow that is removed and comes back keeps the mark of its last eviction: older visits on NEW stay ended.
    """
    rolled_back = after(at("browse", 25_000), lambda s: changes.rollback(s, "browse"))
    flows = {name: flow for name, flow in rolled_back.definition.flows.items() if name != "browse"}
    journeys = {"purchase": rolled_back.definition.journeys["purchase"]}
    without = attrs.evolve(rolled_back.definition, flows=flows, journeys=journeys)
    returned = after(
        at("browse", 25_000),
        lambda s: changes.rollback(s, "browse"),
        lambda s: changes.apply(s, without, s),
        lambda s: changes.apply(s, rolled_back.definition, s),
    )

    assert returned.evictions == rolled_back.evictions


def test_no_evict():
    """
    Without evict, a lowered dial drains: no visit is ended.
    """
    snapshot = after(at("pay", 25_000), at("pay", 0))

    assert snapshot.evictions == {}


# rollback


@given(snapshots(), st.sampled_from((*FLOWS, *JOURNEYS, None)))
def test_rollback_leaves_nobody_on_new(snapshot, target):
    """
    After a rollback no key and no cohort of the target, nor of what goes together with it, is on NEW.
    """
    definition = snapshot.definition
    if target is not None and target not in (*definition.flows, *definition.journeys):
        with pytest.raises(ConfigurationError, match="there is no flow or journey"):
            changes.rollback(snapshot, target)
        return
    proposal = changes.rollback(snapshot, target)
    asked = definition.flows if target is None else changes.flows_of(definition, target)
    flows = {member for flow in asked for member in definition.together_with(flow)}
    before, now = sides(snapshot), sides(proposal.after)

    assert set(proposal.arguments["flows"]) == flows
    assert {side for (flow, *_), side in now.items() if flow in flows} == {OLD}
    assert all(side is before[asked] for asked, side in now.items() if asked[0] not in flows)
    assert {proposal.after.evictions[flow] for flow in flows} == {Eviction(snapshot.epoch, snapshot.version + 1)}


def test_rollback_in_detail():
    """
    A rollback zeroes the dial and the cohorts' dials and takes NEW overrides off; OLD ones and other flows stay.
    """
    snapshot = after(
        at("purchase", 25_000),
        at("pay", PARTS, "staff"),
        at("browse", 50_000),
        put("purchase", NEW),
        put("purchase", OLD, KEYS[2]),
        put("browse", NEW),
    )
    proposal = changes.rollback(snapshot, "pay")

    assert proposal.after.dials == {"browse": 50_000, "cart": 0, "checkout": 0, "pay": 0}
    assert proposal.after.cohort_dials == {"pay": {"staff": 0}}
    assert {flow: set(own) for flow, own in proposal.after.overrides.items()} == {
        "cart": {digest_of(SECRET, KEYS[2].encode())},
        "pay": {digest_of(SECRET, KEYS[2].encode())},
        "browse": {DIGEST},
    }
    assert proposal.arguments == {"target": "pay", "flows": ["cart", "pay"]}


def test_rollback_while_frozen():
    """
    A rollback is never refused: not while frozen, and not where all is at 0 already.
    """
    frozen = after(at("pay", 25_000), changes.freeze)

    assert changes.rollback(frozen, "pay").after.dials["pay"] == 0
    assert changes.rollback(frozen, "pay").after.frozen
    assert changes.rollback(begun(SHOP), None).after.dials == begun(SHOP).dials


# override


def test_override():
    """
    An override stands in every flow that goes together, as position and digest; the key stands nowhere.
    """
    proposal = changes.override(begun(SHOP), "pay", KEY, NEW, secret=SECRET)
    position = position_of(b"shop", KEY.encode())
    own = {DIGEST: Override(position, NEW)}

    assert proposal.after.overrides == {"cart": own, "pay": own}
    assert proposal.arguments == {"target": "pay", "side": "new", "position": position, "digest": DIGEST}
    assert KEY not in repr(proposal)


@pytest.mark.parametrize("key", [KEY, KEY.encode(), 42, "\ud83d"])
def test_override_reaches_the_key_as_it_is_routed(key):
    """
    A key of any type is overridden as it is bucketed, and set free again.
    """
    snapshot = after(put("browse", NEW, key))

    assert decide(snapshot, "browse", key, secret=SECRET).backend is NEW
    assert changes.override(snapshot, "browse", key, None, secret=SECRET).after.overrides == {}


def test_override_turned_over():
    """
    A second override of the same key replaces the first.
    """
    snapshot = after(put("browse", NEW), put("browse", OLD))

    assert [o.backend for o in snapshot.overrides["browse"].values()] == [OLD]


def test_override_of_none():
    """
    Taking back an override that is not there changes nothing.
    """
    assert changes.override(begun(SHOP), "pay", KEY, None, secret=SECRET).after == begun(SHOP)


@pytest.mark.parametrize("key", [None, "", b""])
def test_override_without_a_key(key):
    """
    What is never bucketed cannot be overridden.
    """
    with pytest.raises(
        ConfigurationError,
        match=r"^the key names nobody; allowed: a key that the application routes with, such as user-42$",
    ):
        changes.override(begun(SHOP), "pay", key, NEW, secret=SECRET)


# work, adopt


def test_work():
    """
    A work item goes up and down, also while frozen: it is no traffic.
    """
    snapshot = after(changes.freeze, lambda s: changes.set_work(s, "branding", 50_000))

    assert snapshot.work == {"branding": 50_000}
    assert changes.set_work(snapshot, "branding", 0).after.work == {"branding": 0}


@pytest.mark.parametrize(
    ("item", "parts", "message"),
    [
        ("texts", 0, "there is no work item 'texts'; allowed: branding"),
        ("branding", PARTS + 1, "the dial would be at 100001 parts; allowed: 0 to 100000"),
    ],
)
def test_work_that_cannot_be(item, parts, message):
    """
    An unknown work item or a percentage out of range is one error that names what is allowed.
    """
    with pytest.raises(ConfigurationError) as caught:
        changes.set_work(begun(SHOP), item, parts)

    assert str(caught.value) == message


@pytest.mark.parametrize(("seen", "epoch"), [((), 2), ((1, 1), 2), ((7, 3), 8), (iter(()), 2), (iter((4,)), 5)])
def test_adopt(seen, epoch):
    """
    Adopting raises the epoch above every one that was seen, moves no key and ends every visit on NEW.
    """
    snapshot = after(at("pay", 25_000))
    proposal = changes.adopt(snapshot, seen)

    assert proposal.after.epoch == epoch
    assert proposal.moves == ()
    assert proposal.after.evictions == dict.fromkeys(FLOWS, Eviction(epoch, snapshot.version + 1))
    assert proposal.arguments == {"epoch": epoch}


# apply


def test_apply_for_the_first_time():
    """
    The first apply begins with every dial and work item at 0.
    """
    snapshot = begun(SHOP)

    assert snapshot.dials == dict.fromkeys(FLOWS, 0)
    assert snapshot.work == {"branding": 0}
    assert (snapshot.version, snapshot.epoch, snapshot.frozen) == (1, 1, False)


def test_apply_touches_no_dial():
    """
    A definition that changes keeps every dial, override and eviction of what it still has; what is new begins at 0.
    """
    before = after(
        at("purchase", 25_000),
        at("pay", 50_000, "staff"),
        at("pay", 50_000, "jakarta"),
        put("pay", OLD),
        at("browse", PARTS),
        lambda s: changes.set_dial(s, "pay", 1_000, evict=True),
    )
    definition = definition_of(
        "pay", "cart", "refund", journeys={"purchase": JOURNEYS["purchase"]}, cohorts={"staff": SHOP.cohorts["staff"]}
    )
    now = changes.apply(before, definition, empty(definition)).after

    assert now.dials == {"pay": 1_000, "cart": 25_000, "refund": 0}
    assert now.cohort_dials == {"pay": {"staff": 50_000}}
    assert now.overrides == before.overrides
    assert now.evictions == before.evictions
    assert now.work == {}


def test_apply_without_difference():
    """
    Applying what holds already is empty; any difference is not.
    """
    snapshot = after(at("pay", 25_000))

    assert changes.apply(snapshot, SHOP, empty(SHOP)).is_empty
    assert not changes.apply(snapshot, attrs.evolve(SHOP, title="other"), empty(SHOP)).is_empty


def test_apply_takes_the_last_cohort_away():
    """
    A flow whose last cohort dial goes with its cohort is left without any.
    """
    snapshot = after(at("pay", 25_000, "staff"))
    definition = attrs.evolve(SHOP, cohorts={})

    assert changes.apply(snapshot, definition, empty(definition)).after.cohort_dials == {}


@pytest.mark.parametrize(("field", "value"), [("name", "other"), ("salt", "other")])
def test_apply_what_is_fixed(field, value):
    """
    Name and salt stay as the first apply fixed them.
    """
    with pytest.raises(Refused) as caught:
        changes.apply(begun(SHOP), attrs.evolve(SHOP, **{field: value}), begun(SHOP))

    assert str(caught.value) == (
        f"{field} is 'other', and the first apply fixed it as 'shop': changing it would move users"
    )


@pytest.mark.parametrize("side", ["old", "new"])
def test_names_of_sides_are_fixed(side):
    """
    Applications store a side's name as the home of things, so that no apply changes it: orders would move.
    """
    snapshot = after()

    with pytest.raises(Refused, match=rf"^{side} is 'other', and the first apply fixed it as "):
        changes.apply(snapshot, attrs.evolve(SHOP, **{side: "other"}), snapshot)


def test_cohorts_that_another_flow_holds_back():
    """
    A cohort that a flow of the same journey holds back is named, and taken along where all cohorts are.
    """
    snapshot = after(at("purchase", 50_000), at("cart", 10_000, "staff"))

    behind = changes.set_dial(snapshot, "pay", 50_000)
    along = changes.set_dial(snapshot, "pay", 50_000, all_cohorts=True)

    assert behind.notes == ("cohort staff stays at 10% in cart, pay",)
    assert along.notes == ()
    assert along.after.effective_parts("pay", "staff") == 50_000
