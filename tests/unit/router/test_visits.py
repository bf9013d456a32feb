"""
A visit stands wherever a key stands, and each flow keeps the side that the visit has it on.
"""

import asyncio
import copy

import attrs
import pytest
from circumstances import TOKENS, Desk, circumstances
from hypothesis import given
from hypothesis import strategies as st
from routers import FIRST, SHOP, after, totals
from strategies import COHORTS, FLOWS, JOURNEYS, KEYS, NAME, SECRET, Rude, at, begun, definition_of, hostile_keys

from cutover.core.backend import UNSET, Backend, Reason
from cutover.core.bucketing import PARTS
from cutover.core.decide import decide
from cutover.core.defined import Journey
from cutover.router.compiled import Circumstances
from cutover.router.visits import Visit

OLD, NEW = Backend.OLD, Backend.NEW
ALL_NEW = after(at("browse", PARTS), at("cart", PARTS), at("pay", PARTS))
BOTH_NEW = Circumstances(snapshot=ALL_NEW, secret=SECRET)
sides_of_homes = st.sampled_from((None, OLD, NEW, "old", "new", "tiktok", "tokopedia", "lazada"))
homes = st.just(UNSET) | sides_of_homes
cohorts = st.none() | st.sampled_from((*COHORTS, "stranger"))


def expected_of(given_, flow, visit, cohort, home):
    """
    Ask the rule where a flow goes with a visit.
    """
    side = visit.sides.get(flow)
    journey = None if given_.snapshot is None else given_.snapshot.definition.journey_of(flow)
    if side is None and journey is not None and journey.together and journey.name == visit.journey:
        side = visit.backend
    if home is UNSET and (side is not None or not visit.sides):
        home = visit.home
    return decide(
        given_.snapshot,
        flow,
        visit.key,
        cohort=visit.cohort if cohort is None else cohort,
        home=home,
        visit=side,
        break_glass=given_.break_glass,
        secret=given_.secret,
    )


@given(
    circumstances,
    circumstances,
    st.sampled_from(JOURNEYS),
    st.sampled_from(FLOWS),
    st.sampled_from(KEYS) | hostile_keys,
    st.tuples(cohorts, homes),
    st.tuples(cohorts, homes),
)
def test_decides_as_the_rule_says(entered_by, given_, journey, name, key, at_entry, at_request):
    """
    `route`, `decide`, `peek` and `request` give with a visit what the rule gives with its sides, its key and its home.
    """
    visit = Desk(entered_by).journey(journey).enter(key, cohort=at_entry[0], home=at_entry[1])
    flow = Desk(given_).flow(name)
    expected = expected_of(given_, name, visit, *at_request)
    with flow.request(visit, *at_request) as request:
        pass

    assert flow.decide(visit, *at_request) == expected
    assert flow.peek(visit, *at_request) == expected
    assert flow.route(visit, *at_request) is expected.backend
    assert flow.route(visit, *at_request, synthetic=True) is expected.backend
    assert request.decision == expected
    assert totals(flow) == {
        ("requests", name, str(expected.backend), str(expected.reason)): 3,
        ("synthetic", name, str(expected.backend), ""): 1,
        ("calls", name, str(expected.backend), "ok"): 1,
    }


def test_keeps_its_side():
    """
    While dials move, every flow of the visit goes where the visit is, reason `visit`, and others go their own way.
    """
    desk = Desk(BOTH_NEW)
    visit = desk.journey().enter("user-42")
    desk.take(FIRST)

    assert [desk.flow(flow).decide(visit)[1:3] for flow in ("cart", "pay")] == [(NEW, Reason.VISIT)] * 2
    assert desk.flow("browse").decide(visit)[1:3] == (OLD, Reason.PERCENT)
    assert (desk.flow("pay").route(visit), desk.flow("browse").route(visit)) == (NEW, OLD)


@pytest.mark.parametrize("is_blind", [True, False])
def test_flags_that_come_under_way(is_blind):
    """
    Where the first flags, or another flow of the journey, become known within a request, it stays on one side.
    """
    alone = definition_of("cart", "pay", journeys={"purchase": Journey(name="purchase", flows=("cart",))})
    desk = Desk(Circumstances(snapshot=None if is_blind else begun(alone)))
    visit = desk.journey().enter("user-42")
    before = desk.flow("cart").route(visit)
    desk.take(ALL_NEW)

    assert (before, desk.flow("cart").route(visit), desk.flow("pay").route(visit)) == (OLD, OLD, OLD)


def test_a_load_test_on_a_visit():
    """
    A load test on a visit goes where the visit is, and is counted apart.
    """
    desk = Desk(BOTH_NEW)
    visit = desk.journey().enter("probe-1")
    desk.take(FIRST)
    pay = desk.flow("pay")

    assert pay.route(visit, synthetic=True) is NEW
    assert totals(pay) == {("synthetic", "pay", "new", ""): 1}


def test_a_removed_flow():
    """
    A flow that the migration does not have any more goes where the visit has it.
    """
    visit = Desk(BOTH_NEW).journey().enter("user-42")

    assert Desk().flow("pay").decide(visit)[1:3] == (NEW, Reason.VISIT)


def test_home_of_a_request():
    """
    A home that is given with a request goes before the visit, and the visit's own before its sides.
    """
    desk = Desk(BOTH_NEW)
    visit = desk.journey().enter("user-42", home="new")
    pay = desk.flow("pay")

    for home in (OLD, "tiktok", None):
        assert pay.route(desk.journey().enter("user-42"), home=home) is OLD
    assert pay.decide(visit)[1:3] == (NEW, Reason.HOME)
    assert pay.decide(visit, home="old")[1:3] == (OLD, Reason.HOME)
    assert pay.route(visit, home=Rude()) is OLD
    assert desk.flow("browse").decide(visit).reason is Reason.PERCENT


@pytest.mark.parametrize(("line", "side"), [("pay", OLD), ("browse", NEW)])
def test_break_glass_moves_a_visit_in_hand(line, side):
    """
    The break-glass file moves a visit that is in hand; its other flows follow in a `together` journey.
    """
    desk = Desk(BOTH_NEW)
    visit = desk.journey().enter("user-42")
    desk.holding.take_break_glass({line: OLD})

    assert {desk.flow(flow).route(visit) for flow in ("cart", "pay")} == {side}


def test_the_cohort_of_a_visit():
    """
    A flow that is in no visit is decided by the visit's cohort, unless the call gives another.
    """
    desk = Desk(Circumstances(snapshot=after(at("browse", PARTS, "staff"))))
    visit = desk.journey().enter("user-42", cohort="staff")
    browse = desk.flow("browse")

    assert (browse.route(visit), browse.route(visit, "jakarta")) == (NEW, OLD)


def test_a_visit_is_itself():
    """
    A visit equals itself only, can stand in sets, and is told from empty text as any key is.
    """
    journey = Desk(BOTH_NEW).journey()
    one, other = journey.enter("user-42"), journey.enter("user-42")

    assert len({one, other, one}) == 2
    assert one == one  # noqa: PLR0124 - the point
    assert (one != other, one != "user-42", one != None) == (True, True, True)  # noqa: E711 - the point
    assert one not in ["user-42", other, None, 1]


def test_no_attribute_more():
    """
    A visit takes no attribute that it does not have: a spelling mistake is an error, and visits stay small.
    """
    visit = Desk(BOTH_NEW).journey().enter("user-42")
    with pytest.raises(AttributeError):
        visit.bakcend = NEW


def test_a_copy():
    """
    A copy of a visit routes as the visit does, and leaving it leaves the visit alone.
    """
    desk = Desk(BOTH_NEW)
    visit = desk.journey().enter("user-42")
    copied = copy.copy(visit)
    desk.take(FIRST)
    token = visit.token
    copied.leave()

    assert desk.flow("pay").route(copied) is NEW
    assert (visit.token, copied.token) == (token, "")


def test_a_token_is_signed_once():
    """
    The token of a visit is the same each time it is asked for, and what was brought where nothing is new.
    """
    desk = Desk(BOTH_NEW)
    visit = desk.journey().enter("user-42")
    token = visit.token

    assert visit.token is token
    assert desk.journey().enter("user-42", token=token).token is token


def test_an_async_block():
    """
    A visit may open a block around an async call, too.
    """
    desk = Desk(BOTH_NEW)
    visit = desk.journey().enter("user-42")
    desk.take(FIRST)

    async def call() -> Backend:
        async with desk.flow("pay").request(visit) as request:
            return request.backend

    assert asyncio.run(call()) is NEW


@pytest.mark.parametrize(
    ("sides", "backend"),
    [
        ({}, OLD),
        ({"cart": NEW, "pay": NEW}, NEW),
        ({"cart": OLD, "pay": NEW}, OLD),
        ({"cart": OLD, "pay": OLD}, OLD),
    ],
)
def test_backend(sides, backend):
    """
    A visit is on NEW where all of it is, and else on OLD.
    """
    visit = Visit(Desk(BOTH_NEW).journey(), "user-42", None, sides, None)

    assert visit.backend is backend


def test_who_it_was_entered_by():
    """
    A visit tells its key as it was given, its journey, and whom its token is bound to.
    """
    visit = Desk(BOTH_NEW).journey().enter(42)
    said, signer = TOKENS.read(visit.token, f"{NAME}/purchase")

    assert (visit.key, type(visit.key), visit.journey) == (42, int, "purchase")
    assert TOKENS.is_bound(said, signer, "42")


def test_a_visit_of_another_migration():
    """
    Of a visit of another migration only its key counts: a flow of the same name there has another back end.
    """
    desk, other = Desk(BOTH_NEW), Desk()
    other.take(begun(attrs.evolve(SHOP, name="psp")))
    visit = other.journey().enter("user-42", cohort="staff", home="old")
    pay, cart = desk.flow("pay"), other.flow("cart")

    assert (pay.route(visit), pay.decide(visit)[1:3]) == (NEW, (NEW, Reason.PERCENT))
    assert pay.peek(visit) == pay.peek("user-42")
    assert pay.decide(visit, home="old")[1:3] == (OLD, Reason.HOME)
    assert cart.route(desk.journey().enter("user-42")) is OLD
