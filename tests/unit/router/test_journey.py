"""
Entering a journey: as the rules say, whatever a client brings, and on the side where the visit was.
"""

import threading
import tracemalloc
from datetime import timedelta

import attrs
import pytest
from circumstances import NOW, TOKENS, Desk, circumstances
from hypothesis import given
from hypothesis import strategies as st
from routers import events, logged, totals
from strategies import (
    COHORTS,
    FLOWS,
    JOURNEYS,
    KEYS,
    NAME,
    SECRET,
    Liar,
    Mixed,
    Rude,
    Unmasked,
    at,
    begun,
    claims,
    definition_of,
    hostile_keys,
    perform,
    short,
)
from turns import taking_turns

from cutover.core import changes
from cutover.core.backend import UNSET, Backend
from cutover.core.break_glass import broken_glass_unread
from cutover.core.bucketing import PARTS, position_of
from cutover.core.checkin import Kind
from cutover.core.decide import decide
from cutover.core.defined import Cohort, Flow, Journey
from cutover.core.visit import UNVERSIONED, entered, resumed
from cutover.router.compiled import Circumstances
from cutover.router.tokens import Tokens

OLD, NEW = Backend.OLD, Backend.NEW
PURCHASE = Journey(
    name="purchase", flows=("cart", "pay"), together=True, idle=timedelta(minutes=30), ttl=timedelta(hours=4)
)
LOOK = Journey(name="look", flows=("browse", "checkout"), together=False)
SHOP = definition_of(
    *FLOWS,
    journeys={"purchase": PURCHASE, "look": LOOK},
    cohorts={name: Cohort(name=name, title=name) for name in COHORTS},
)
ALL_NEW = [at(flow, PARTS) for flow in FLOWS]


def after(*verbs, definition=SHOP):
    """
    Give the snapshot of a shop after some verbs.
    """
    return perform(definition, verbs)[1]


def back(target: str):
    """
    Give the verb that rolls a flow back.
    """
    return lambda s: changes.rollback(s, target)


def redefined(**journeys: Journey):
    """
    Give the verb that applies the shop with other journeys.
    """
    definition = attrs.evolve(SHOP, journeys={**SHOP.journeys, **journeys})
    return lambda s: changes.apply(s, definition, s)


def desk_at(*verbs, **options) -> Desk:
    """
    Give a desk that holds the shop after some verbs.
    """
    desk = Desk(**options)
    desk.take(after(*verbs))
    return desk


def said(token: str):
    """
    Read a token.
    """
    return TOKENS.read(token, None)[0]


def brought(desk: Desk, key: object = "user-42", **changed) -> str:
    """
    Give the token of a visit that a desk has opened, with other claims.
    """
    return TOKENS.write(said(desk.journey().enter(key).token)._replace(**changed))


class Explosive(str):
    """
    Text that raises when it is compared or hashed.
    """

    __slots__ = ()

    __hash__ = Rude.__hash__
    __eq__ = Rude.__eq__
    __ne__ = Rude.__eq__


hostile = hostile_keys | st.builds(Explosive, st.just("staff")) | st.builds(Mixed, st.just("x"))
homes = st.just(UNSET) | st.sampled_from((None, OLD, NEW, "old", "new", "tiktok", "tokopedia", "lazada"))
cohorts = st.none() | st.sampled_from((*COHORTS, "stranger"))
honoured = claims.map(lambda c: c._replace(born=NOW, seen=NOW, until=NOW + 14_400, idle=1800))


@given(
    circumstances, st.sampled_from(JOURNEYS), st.none() | honoured, st.sampled_from(KEYS) | hostile_keys, cohorts, homes
)
def test_decides_as_the_rules_say(given_, name, brings, key, cohort, home):
    """
    Whatever holds and whatever is brought, each flow is where the two rules of the core put it, and the token says so.
    """
    desk = Desk(given_)
    snapshot = given_.snapshot
    journey = None if snapshot is None else snapshot.definition.journeys.get(name)
    known = {} if snapshot is None else snapshot.definition.cohorts
    if brings is not None:
        brings = brings._replace(audience=f"{NAME}/{name}", bearer=TOKENS.bearer(key))
        expected_cohort = brings.cohort if cohort is None else cohort if cohort in known else None
    else:
        expected_cohort = cohort if cohort in known else None
    facts = {"cohort": expected_cohort, "break_glass": given_.break_glass, "secret": given_.secret}

    def flags(flow):
        return decide(snapshot, flow, key, **facts).backend

    if brings is None:
        kept, evicted = {} if journey is None else entered(journey, flags), False
    else:
        kept, evicted = resumed(journey, brings, {} if snapshot is None else snapshot.evictions, flags)
    if snapshot is None and home is UNSET:
        kept = broken_glass_unread(given_.break_glass, name, kept)
    expected = {f: decide(snapshot, f, key, home=home, visit=side, **facts).backend for f, side in kept.items()}
    visit = desk.journey(name).enter(
        key, token=None if brings is None else TOKENS.write(brings), cohort=cohort, home=home
    )

    assert visit.sides == expected
    assert visit.cohort == expected_cohort
    assert visit.rewritten is (
        brings is None or evicted or (expected, expected_cohort) != (brings.sides, brings.cohort)
    )
    assert desk.events(name) == {"entered" if brings is None else "resumed": 1} | ({"evicted": 1} if evicted else {})
    if brings is None and journey is None:
        assert visit.token == ""
    else:
        written, signer = TOKENS.read(visit.token, f"{NAME}/{name}")
        assert (written.sides, written.cohort) == (expected, expected_cohort)
        assert TOKENS.is_bound(written, signer, key)
        assert written.order >= (UNVERSIONED if brings is None else brings.order)


@given(
    circumstances,
    *[hostile] * 5,
)
def test_never_raises(given_, key, token, cohort, was, home):
    """
    Whatever an application or a client hands over, there is a visit, and its token can be asked for.
    """
    desk = Desk(given_, migration=NAME)
    visit = desk.journey().enter(key, token, cohort, was, home)

    assert isinstance(visit.backend, Backend)
    assert type(visit.token) is str
    assert isinstance(desk.flow("pay").route(visit), Backend)


def test_the_token_carries_the_visit():
    """
    A visit keeps its side by its token alone, in whatever router it is entered next, whatever the dials are by then.
    """
    before, later = desk_at(*ALL_NEW), desk_at(*ALL_NEW, at("purchase", 0))
    visit = before.journey().enter("user-42")
    again = later.journey().enter("user-42", token=visit.token)

    assert (visit.backend, again.backend) == (NEW, NEW)
    assert later.journey().enter("user-42").backend is OLD
    assert (again.token, again.rewritten) == (visit.token, False)


def test_what_a_new_token_says():
    """
    A token says where the visit is, when it was entered, how long it lives, and up to which version it was decided.
    """
    desk = desk_at(*ALL_NEW)
    token = desk.journey().enter("user-42", cohort="staff").token

    assert said(token) == (
        "shop/purchase",
        TOKENS.bearer("user-42"),
        {"cart": NEW, "pay": NEW},
        (1, 5),
        "staff",
        NOW,
        NOW,
        NOW + 14_400,
        1800,
    )


def test_no_token():
    """
    Without a token a visit is entered, and nothing is counted as rejected.
    """
    desk = desk_at()
    for nothing in (None, "", Liar("")):
        assert desk.journey().enter("user-42", token=nothing).rewritten

    assert desk.events() == {"entered": 3}


@pytest.mark.parametrize(
    ("changed", "event"),
    [
        ({"bearer": TOKENS.bearer("user-43")}, "rejected"),
        ({"bearer": ""}, "rejected"),
        ({"audience": "other/purchase"}, "rejected"),
        ({"audience": "shop/look"}, "rejected"),
        ({"audience": "purchase"}, "rejected"),
        ({"born": NOW + 61}, "rejected"),
        ({"seen": NOW + 61}, "rejected"),
        ({"seen": NOW - 1861}, "expired"),
        ({"until": NOW - 61}, "expired"),
        ({"until": 0}, "expired"),
    ],
    ids=short,
)
def test_tokens_that_are_not_honoured(changed, event):
    """
    A token of another user, migration or journey, from the future or over is counted, and the visit begins anew.
    """
    desk = desk_at(*ALL_NEW)
    token = brought(desk, **changed)
    desk.take(after())
    visit = desk.journey().enter("user-42", token=token)

    assert (visit.backend, visit.rewritten) == (OLD, True)
    assert said(visit.token).born == NOW
    assert desk.events() == {"entered": 2, event: 1}


@pytest.mark.parametrize(
    "changed",
    [
        {"seen": NOW - 1860},
        {"until": NOW - 60},
        {"born": NOW + 60, "seen": NOW + 60},
        {"order": (1, 99)},
        {"order": (7, 1)},
    ],
    ids=short,
)
def test_tokens_that_are_just_honoured(changed):
    """
    A minute is allowed to clocks on either side, and a router that is ahead is believed, in a higher epoch, too.
    """
    desk = desk_at(*ALL_NEW)
    token = brought(desk, **changed)
    desk.take(after())
    visit = desk.journey().enter("user-42", token=token)

    assert visit.backend is NEW
    assert desk.events() == {"entered": 1, "resumed": 1}
    assert said(visit.token).order == changed.get("order", said(visit.token).order)


def test_things_that_are_no_tokens():
    """
    Whatever else comes as a token is counted as rejected, and the visit begins anew.
    """
    odd = ("x", "a.b.c", "x" * 1_000_000, b"x", 7, Rude(), Unmasked(), Explosive("a.b.c"))
    desk = desk_at()
    for token in odd:
        assert desk.journey().enter("user-42", token=token).rewritten

    assert desk.events() == {"entered": len(odd), "rejected": len(odd)}


def test_a_subclass_of_text():
    """
    A token that a framework hands over as text of its own kind is honoured by what it holds.
    """
    desk = desk_at(*ALL_NEW)
    token = brought(desk)
    for kind in (Liar, Mixed, Explosive):
        desk.journey().enter("user-42", token=kind(token))

    assert desk.events() == {"entered": 1, "resumed": 3}


@pytest.mark.parametrize(("before", "now"), [("guest-9f", "user-42"), ("user-42", "guest-9f")])
def test_login_and_logout(before, now):
    """
    A visit goes on under another key where `was` names the one before, with its side, its age and a new token.
    """
    desk = desk_at(*ALL_NEW)
    token = brought(desk, before)
    desk.take(after())
    desk.now += 10
    visit = desk.journey().enter(now, token=token, was=before)

    assert (visit.key, visit.backend, visit.rewritten) == (now, NEW, True)
    assert (said(visit.token).born, said(visit.token).until) == (NOW, NOW + 14_400)
    assert desk.events() == {"entered": 1, "resumed": 1, "renamed": 1}
    assert desk.journey().enter(now, token=visit.token, was=before).rewritten is False
    assert desk.journey().enter(before, token=visit.token).backend is OLD


@pytest.mark.parametrize("was", [None, "", "user-43", b"user", Rude()], ids=short)
def test_was_somebody_else(was):
    """
    `was` opens a token to the key that it names and to no other.
    """
    desk = desk_at()
    desk.journey().enter("user-42", token=brought(desk, "guest-9f"), was=was)

    assert desk.events() == {"entered": 2, "rejected": 1}


@pytest.mark.parametrize(("was", "event"), [(None, "rejected"), ("", "renamed")])
def test_a_visit_without_a_key(was, event):
    """
    A visit that was entered without a key goes on without one, and under a key only where `was` says so.
    """
    desk = desk_at()
    token = brought(desk, None)
    assert not desk.journey().enter("", token=token).rewritten

    desk.journey().enter("user-42", token=token, was=was)
    assert desk.events()[event] == 1


def test_was_is_not_needed():
    """
    A token that is bound to the key already goes on as it is, whatever `was` says.
    """
    desk = desk_at()
    visit = desk.journey().enter("user-42", token=brought(desk), was="guest-9f")

    assert not visit.rewritten
    assert desk.events() == {"entered": 1, "resumed": 1}


@pytest.mark.parametrize(("idle", "waits"), [(1800, 60), (240, 60), (100, 25), (2, 0)])
def test_when_a_token_is_written_anew(idle, waits):
    """
    A token is written anew once its last step is a minute back, or a quarter of the idle time if that is less.
    """
    desk = desk_at()
    token = brought(desk, idle=idle)
    desk.now += waits
    assert desk.journey().enter("user-42", token=token).rewritten is False

    desk.now += 1
    visit = desk.journey().enter("user-42", token=token)
    assert visit.rewritten
    assert said(visit.token) == said(token)._replace(seen=desk.now)


def test_a_visit_ends_with_its_time_to_live():
    """
    However busy a visit is, it ends by its `ttl`, and it goes on until then.
    """
    desk = desk_at(*ALL_NEW)
    token = brought(desk)
    desk.take(after())
    steps = 0
    while (visit := desk.journey().enter("user-42", token=token)).backend is NEW:
        assert steps < 1000, "the visit never ends"
        token, steps = visit.token, steps + 1
        desk.now += 100

    assert NOW + 14_400 + 60 < desk.now <= NOW + 14_400 + 160
    assert desk.events() == {"entered": 2, "resumed": steps, "expired": 1}


def test_times_are_kept_from_the_entry():
    """
    `idle` and `ttl` hold for a visit as they were when it was entered, whatever the definition says later.
    """
    desk = desk_at(*ALL_NEW)
    token = brought(desk)
    desk.take(after(redefined(purchase=attrs.evolve(PURCHASE, idle=timedelta(minutes=1), ttl=timedelta(minutes=1)))))
    desk.now += 1000
    visit = desk.journey().enter("user-42", token=token)

    assert (said(visit.token).until, said(visit.token).idle, visit.backend) == (NOW + 14_400, 1800, NEW)
    assert said(desk.journey().enter("user-42").token).idle == 60


def test_a_clock_that_steps_back():
    """
    Where a clock is set back, a visit goes on within a minute, its last step is not undone, and nothing is written.
    """
    desk = desk_at(*ALL_NEW)
    token = brought(desk)
    desk.now -= 60
    visit = desk.journey().enter("user-42", token=token)
    renamed = desk.journey().enter("guest-9f", token=token, was="user-42")

    assert (visit.backend, visit.rewritten) == (NEW, False)
    assert said(renamed.token).seen == NOW


def test_a_rollback_meets_a_visit_once():
    """
    A visit on NEW is evicted by a rollback, decided anew, and goes on by its new token; one on OLD is not evicted.
    """
    desk = desk_at(*ALL_NEW)
    on_new, on_old = brought(desk), brought(desk, sides={"cart": OLD, "pay": OLD})
    desk.take(after(*ALL_NEW, back("purchase"), at("purchase", PARTS)))
    visit = desk.journey().enter("user-42", token=on_new)
    assert (visit.backend, visit.rewritten) == (NEW, True)
    desk.take(after(*ALL_NEW, back("purchase")))
    again = desk.journey().enter("user-42", token=visit.token)
    other = desk.journey().enter("user-42", token=on_old)

    assert (again.backend, again.rewritten, other.backend) == (NEW, False, OLD)
    assert desk.events() == {"entered": 2, "resumed": 3, "evicted": 1}


def test_a_frozen_token():
    """
    A client that keeps an evicted token meets the evict each time, on the side where the flags say; no process minds.
    """
    desk = desk_at(*ALL_NEW)
    frozen = brought(desk)
    desk.take(after(*ALL_NEW, back("pay")))
    visits = [desk.journey().enter("user-42", token=frozen) for _ in range(1000)]

    assert {(visit.backend, visit.rewritten) for visit in visits} == {(OLD, True)}
    assert desk.events() == {"entered": 1, "resumed": 1000, "evicted": 1000}


def test_an_adopted_history():
    """
    A higher epoch than the token's evicts as its evictions say, and one that is not higher does not.
    """
    desk = desk_at(*ALL_NEW)
    token = brought(desk)
    desk.take(after(*ALL_NEW, changes.adopt))

    assert desk.journey().enter("user-42", token=token).rewritten
    assert desk.events()["evicted"] == 1


@pytest.mark.parametrize(("line", "moved"), [("pay", True), ("purchase", True), ("*", True), ("browse", False)])
def test_the_break_glass_file_moves_a_visit(line, moved):
    """
    A line moves the whole of a `together` visit, which stays there when the line is gone.
    """
    desk = desk_at(*ALL_NEW)
    token = brought(desk)
    desk.holding.take_break_glass({line: OLD})
    visit = desk.journey().enter("user-42", token=token)
    desk.holding.take_break_glass({})
    again = desk.journey().enter("user-42", token=visit.token)

    assert set(visit.sides.values()) == set(again.sides.values()) == {OLD if moved else NEW}
    assert (visit.rewritten, again.rewritten) == (moved, False)


@pytest.mark.parametrize(
    ("lines", "sides"), [({"pay": OLD}, {OLD}), ({"purchase": OLD}, {OLD}), ({"browse": OLD}, {NEW})]
)
def test_the_break_glass_file_where_nothing_is_known(lines, sides):
    """
    A new process that never read anything obeys its file for a visit that a client brings, and does not split it.
    """
    token = brought(desk_at(*ALL_NEW))
    desk = Desk(migration=NAME)
    desk.holding.take_break_glass(lines)
    visit = desk.journey().enter("user-42", token=token)

    assert {desk.flow(flow).route(visit) for flow in ("cart", "pay")} == set(visit.sides.values()) == sides


@pytest.mark.parametrize(
    ("home", "side"),
    [(None, OLD), ("old", OLD), ("tokopedia", NEW), (NEW, NEW), ("lazada", OLD), (Rude(), OLD)],
    ids=short,
)
def test_home_moves_a_visit(home, side):
    """
    A visit goes where the thing lives that it is about, above break-glass and token, and stays there.
    """
    desk = desk_at(*(ALL_NEW if side is OLD else []))
    token = brought(desk)
    desk.holding.take_break_glass({"*": OLD if side is NEW else NEW})
    visit = desk.journey().enter("user-42", token=token, home=home)
    desk.holding.take_break_glass({})
    again = desk.journey().enter("user-42", token=visit.token)

    assert (visit.backend, visit.rewritten) == (side, True)
    assert (again.backend, again.rewritten) == (side, False)


@pytest.mark.parametrize(("home", "side"), [("new", NEW), (None, OLD), ("tokopedia", OLD)])
def test_home_where_nothing_is_known(home, side):
    """
    Where no snapshot is there, a visit with a home is where the thing lives, and so is every flow that it is given to.
    """
    desk = Desk(migration=NAME)
    visit = desk.journey().enter("user-42", home=home)

    assert visit.backend is side
    assert desk.flow("pay").route(visit) is side
    assert desk.flow("pay").peek(visit).backend is side


def test_leave():
    """
    Who leaves a visit is given an empty token, and is counted once; what is in hand routes on.
    """
    desk = desk_at(*ALL_NEW)
    visit = desk.journey().enter("user-42", token=brought(desk))
    desk.take(after())
    visit.leave()
    visit.leave()

    assert (visit.token, visit.rewritten, visit.backend) == ("", True, NEW)
    assert desk.flow("pay").route(visit) is NEW
    assert desk.events()["left"] == 1


def test_before_anything_is_known():
    """
    A visit that is entered before the first snapshot is on OLD for good; who comes afterwards goes where the flags say.
    """
    desk = Desk(migration=NAME)
    visit = desk.journey().enter("user-42")
    assert (said(visit.token).order, visit.backend) == (UNVERSIONED, OLD)
    assert desk.flow("pay").route(visit) is OLD

    desk.take(after(*ALL_NEW))
    again = desk.journey().enter("user-42", token=visit.token)
    later = desk.journey().enter("user-42", token=again.token)
    assert (again.backend, later.backend, desk.journey().enter("user-42").backend) == (OLD, OLD, NEW)
    assert (again.rewritten, later.rewritten) == (True, False)


def test_without_snapshot_and_name():
    """
    Where not even the migration's name is known, there is no token to give, and one that is brought is honoured.
    """
    token = brought(desk_at(*ALL_NEW))
    desk = Desk()
    visit = desk.journey().enter("user-42", token=token)

    assert (visit.backend, visit.token) == (NEW, token)
    assert desk.journey().enter("user-42").token == ""
    assert desk.journey("look").enter("user-42", token=token).backend is OLD


def test_a_journey_that_is_not_defined():
    """
    A journey that the migration does not have keeps nothing and gives no token; the log tells it once.
    """
    desk = desk_at(*ALL_NEW)
    visit = desk.journey("payment").enter("user-42")

    assert (visit.sides, visit.token, visit.backend) == ({}, "", OLD)
    assert desk.flow("pay").route(visit) is NEW
    assert events(logged(desk.notices)) == ["cutover.journey_unknown"]


def test_a_journey_that_was_removed():
    """
    Who is on a visit when its journey is removed keeps the side until the visit ends.
    """
    desk = desk_at(*ALL_NEW)
    token = brought(desk)
    desk.take(begun(definition_of(*FLOWS)))
    visit = desk.journey().enter("user-42", token=token)

    assert (visit.backend, visit.rewritten, desk.flow("pay").route(visit)) == (NEW, False, NEW)
    desk.now += 100
    assert said(desk.journey().enter("user-42", token=token).token).sides == {"cart": NEW, "pay": NEW}


@pytest.mark.parametrize(
    ("journey", "sides"),
    [
        (attrs.evolve(PURCHASE, flows=("cart", "pay", "extra")), {"cart": NEW, "pay": NEW, "extra": NEW}),
        (
            attrs.evolve(PURCHASE, flows=("cart", "pay", "extra"), together=False),
            {"cart": NEW, "pay": NEW, "extra": OLD},
        ),
        (attrs.evolve(PURCHASE, flows=("cart",)), {"cart": NEW, "pay": NEW}),
        (attrs.evolve(PURCHASE, flows=("extra", "cart")), {"cart": NEW, "pay": NEW, "extra": NEW}),
        (attrs.evolve(PURCHASE, together=False), {"cart": NEW, "pay": NEW}),
    ],
    ids=["added", "added to a sticky one", "taken out", "exchanged", "apart"],
)
def test_a_definition_that_changes_under_way(journey, sides):
    """
    A flow that comes into a journey follows the visit, and one that leaves it stays with the visit.
    """
    desk = desk_at(*ALL_NEW)
    token = brought(desk)
    desk.take(begun(definition_of(*FLOWS, "extra", journeys={"purchase": journey})))
    visit = desk.journey().enter("user-42", token=token)

    assert visit.sides == sides
    assert visit.rewritten is (set(sides) != {"cart", "pay"})


def test_a_sticky_journey():
    """
    In a sticky journey each flow keeps the side that it first got, the visit's back end is OLD where they differ, and a
    rollback ends that of its own flow only.
    """
    desk = desk_at(at("browse", PARTS))
    visit = desk.journey("look").enter("user-42")
    desk.take(after(at("checkout", PARTS)))
    again = desk.journey("look").enter("user-42", token=visit.token)
    desk.take(after(at("browse", PARTS), at("checkout", PARTS), back("checkout")))
    third = desk.journey("look").enter("user-42", token=again.token)

    assert visit.sides == again.sides == third.sides == {"browse": NEW, "checkout": OLD}
    assert (visit.backend, again.rewritten, third.rewritten) == (OLD, False, False)


def test_cohorts():
    """
    A visit is entered by the dial of the key's cohort, which its token remembers; a cohort of no migration is not.
    """
    desk = desk_at(at("cart", PARTS, "staff"), at("pay", PARTS, "staff"))
    visit = desk.journey().enter("user-42", cohort="staff")
    again = desk.journey().enter("user-42", token=visit.token)
    other = desk.journey().enter("user-42", token=visit.token, cohort="jakarta")
    stranger = desk.journey().enter("user-42", cohort="x" * 10_000)

    assert (visit.backend, visit.cohort, again.cohort, again.rewritten) == (NEW, "staff", "staff", False)
    assert (other.backend, other.cohort, other.rewritten) == (NEW, "jakarta", True)
    assert (stranger.backend, stranger.cohort) == (OLD, None)
    assert len(stranger.token) < 450


def test_hostile_cohorts():
    """
    A cohort is the text that it holds, whatever its methods do, and what is no text is none.
    """
    journey = desk_at().journey()
    for cohort in (Explosive("staff"), Liar("staff"), Mixed("staff")):
        visit = journey.enter("user-42", cohort=cohort)

        assert (type(visit.cohort), visit.cohort) == (str, "staff")
    for cohort in (Explosive("x"), Mixed("x"), ["staff"], Rude(), Unmasked(), 7):
        assert journey.enter("user-42", cohort=cohort).cohort is None


def test_cohort_of():
    """
    The router's `cohort_of` is asked where the call gives none; where it raises there is none, which is logged once.
    """
    desk = desk_at(at("cart", PARTS, "staff"), at("pay", PARTS, "staff"), cohort_of={"rina": "staff"}.__getitem__)

    assert desk.journey().enter("rina").backend is NEW
    assert desk.journey().enter("rina", cohort="jakarta").backend is OLD
    assert {desk.journey().enter("user-42").backend for _ in range(2)} == {OLD}
    assert events(logged(desk.notices)) == ["cutover.cohort_of_failed"]


def test_keys_that_name_nobody():
    """
    A visit without a key goes OLD, and the log names each type of key that names nobody once; None is none.
    """
    desk = desk_at(at("purchase", 50_000))
    for key in (None, "", False, object(), object(), {"a"}):
        assert desk.journey().enter(key).backend is OLD

    told = [(one["event"], one["journey"], one["kind"]) for one in logged(desk.notices)]
    assert told == [("cutover.no_key", "purchase", kind) for kind in ("bool", "object", "set")]


def test_cohort_of_that_must_be_awaited():
    """
    A coroutine is no cohort of a visit, which is logged once.
    """

    async def later(_key):
        return "staff"

    def cohort_of(key):
        return later(key)

    desk = desk_at(at("cart", PARTS, "staff"), at("pay", PARTS, "staff"), cohort_of=cohort_of)
    visits = [desk.journey().enter(key) for key in ("rina", "budi")]

    assert [(visit.cohort, visit.backend) for visit in visits] == [(None, OLD)] * 2
    assert events(logged(desk.notices)) == ["cutover.cohort_of_failed"]


def test_an_override_opens_a_visit():
    """
    A key that was put on a side by name enters there, and one that was put elsewhere since keeps its visit.
    """
    put = [lambda s: changes.override(s, "purchase", "user-42", NEW, secret=SECRET)]
    desk = desk_at(*put)
    visit = desk.journey().enter("user-42")
    desk.take(after())

    assert (visit.backend, desk.journey().enter("user-42", token=visit.token).backend) == (NEW, NEW)
    assert desk.journey().enter("user-43").backend is OLD


def test_a_visit_stands_where_a_key_stands():
    """
    The visit of one journey enters another one, by its key and cohort.
    """
    desk = desk_at(at("purchase", 50_000), at("browse", 50_000), at("checkout", PARTS, "staff"))
    for key in KEYS:
        visit = desk.journey().enter(key, cohort="staff")
        other = desk.journey("look").enter(visit)

        assert (other.key, other.cohort) == (key, "staff")
        assert other.sides == desk.journey("look").enter(key, cohort="staff").sides
        assert desk.journey("look").enter(key, token=other.token).rewritten is False


@pytest.mark.parametrize("sides", [{}, {"home": "old"}], ids=short)
@pytest.mark.parametrize("brings", [None, "token", "x"])
def test_load_tests_are_no_visits(brings, sides):
    """
    The visit of a load test goes where a user's would and has a token like it; neither it nor what it decides is
    counted among those of users.
    """
    desk = desk_at(at("purchase", 50_000), at("browse", 50_000))
    for key in KEYS:
        token = desk.journey().enter(key).token if brings == "token" else brings
        users = desk.journey().enter(key, token=token, **sides)
        before = desk.events()
        visit = desk.journey().enter(key, token=token, synthetic=True, **sides)
        visit.leave()

        assert (visit.synthetic, visit.sides, users.synthetic) == (True, users.sides, False)
        assert desk.events() == before
        for flow in ("pay", "browse"):
            side = desk.flow(flow).peek(users).backend
            assert [desk.flow(flow).route(visit), desk.flow(flow).decide(visit).backend] == [side, side]

    assert {kind for kind, *_ in totals(desk.flow("pay"))} == {Kind.SYNTHETIC}
    assert sum(totals(desk.flow("pay")).values()) == 2 * len(KEYS)


def test_a_load_test_stays_one_in_another_journey():
    """
    What enters another journey with the visit of a load test is counted apart there too.
    """
    desk = desk_at()
    visit = desk.journey("look").enter(desk.journey().enter("user-42", synthetic=True))
    desk.flow("browse").route(visit)

    assert visit.synthetic
    assert desk.events("look") == {}
    assert {kind for kind, *_ in totals(desk.flow("browse"))} == {Kind.SYNTHETIC}


def test_rotation():
    """
    A visit goes on from each step of a rotation to the next, is signed by the first secret once it is written anew, and
    nobody meets the change.
    """
    old, new = "o" * 32, "n" * 32
    desks = [Desk(tokens=Tokens(secrets)) for secrets in ((old,), (old, new), (new, old), (new,))]
    for desk in desks:
        desk.take(after(*ALL_NEW))
    token = desks[0].journey().enter("user-42").token
    desks[-1].take(after())
    for step, desk in enumerate(desks[1:], 1):
        desk.now = NOW + step * 100
        visit = desk.journey().enter("user-42", token=token)
        token = visit.token

        assert (visit.backend, visit.rewritten) == (NEW, True)
        assert desk.events() == {"resumed": 1}
    renamed = desks[2].journey().enter("guest-9f", token=desks[1].journey().enter("user-42").token, was="user-42")
    assert desks[3].journey().enter("guest-9f", token=renamed.token).backend is NEW


def test_nothing_is_shown_of_the_key():
    """
    Neither a visit nor its journey shows the key where it is printed.
    """
    journey = desk_at(*ALL_NEW).journey()

    assert repr(journey.enter("user-42")) == "<Visit 'purchase' on new>"
    assert repr(journey) == "<Journey 'purchase', version 5>"


def test_a_child_counts_from_zero():
    """
    After a fork visits go on and are counted from zero, also one that was in hand.
    """
    desk = desk_at(*ALL_NEW)
    visit = desk.journey().enter("user-42")
    desk.holding.after_fork()
    assert desk.events() == {}

    visit.leave()
    desk.journey().enter("user-42")
    assert desk.events() == {"left": 1, "entered": 1}


def test_nothing_grows_with_visits():
    """
    A process remembers no visit: entering, going on and being refused leave no memory behind.
    """
    desk = desk_at(*ALL_NEW)
    journey, token = desk.journey(), brought(desk)

    def serve(number: int) -> None:
        for user in range(number):
            journey.enter(user)
            journey.enter("user-42", token=token)
            journey.enter(user, token=token)

    serve(300)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        serve(3000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert grown < 10_000


def test_entering_while_the_dial_moves():
    """
    While dials and lines change in another thread, no visit is split, and every entry is counted.
    """
    desk = Desk()
    held = [Circumstances(snapshot=after(*ALL_NEW), secret=SECRET), Circumstances(snapshot=after(at("cart", 50_000)))]
    held.append(Circumstances(snapshot=held[0].snapshot, break_glass={"pay": OLD}))
    desk.use(held[0])
    journey, wrong = desk.journey(), []

    def client(name: str) -> None:
        for number in range(400):
            visit = journey.enter(f"{name}-{number}")
            again = journey.enter(f"{name}-{number}", token=visit.token)
            wrong.extend(v for v in (visit, again) if len(set(v.sides.values())) != 1)

    threads = [threading.Thread(target=client, args=(f"user-{number}",)) for number in range(4)]
    with taking_turns(1e-5):
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for given_ in held:
                desk.use(given_)
        for thread in threads:
            thread.join()

    assert wrong == []
    assert desk.events() == {"entered": 1600, "resumed": 1600}


def test_populations_are_nested():
    """
    Without tokens, visits enter as keys are bucketed: NEW iff the position is below the smallest of the dials.
    """
    desk = desk_at(at("cart", 50_000), at("pay", 25_000))
    for key in KEYS:
        below = position_of(NAME.encode(), key.encode()) < 25_000

        assert desk.journey().enter(key).backend is (NEW if below else OLD)


@pytest.mark.parametrize("together", [True, False])
def test_a_flow_that_is_renamed_under_a_visit(together):
    """
    A visit that began before a rename stays on its side, for processes that ask for either name, and so does a new one.
    """
    journeys = {"purchase": attrs.evolve(PURCHASE, together=together)}
    definition = definition_of("cart", "pay", journeys=journeys)
    new = attrs.evolve(PURCHASE, flows=("cart", "settle"), together=together)
    flows = {"cart": Flow(name="cart"), "settle": Flow(name="settle", was=("pay",))}
    renamed = attrs.evolve(definition, flows=flows, journeys={"purchase": new})

    def apply(snapshot):
        return changes.apply(snapshot, renamed, snapshot)

    desk, older = Desk(), Desk()
    raised = after(at("purchase", PARTS), definition=definition)
    for one in (desk, older):
        one.take(raised)
    token = desk.journey().enter("user-1").token

    desk.take(after(at("purchase", PARTS), apply, at("settle", 0), definition=definition))
    visit = desk.journey().enter("user-1", token=token)
    assert {desk.flow(name).route(visit) for name in ("cart", "pay", "settle")} == {NEW}
    # A process that has not read the rename yet goes on with the same visit, and gives it back.
    back_again = older.journey().enter("user-1", token=visit.token)
    assert {older.flow(name).route(back_again) for name in ("cart", "pay")} == {NEW}
    last = desk.journey().enter("user-1", token=back_again.token)
    assert {desk.flow(name).route(last) for name in ("cart", "pay", "settle")} == {NEW}
    fresh = desk.journey().enter("user-2")
    assert desk.flow("pay").route(fresh) is desk.flow("settle").route(fresh) is OLD
    assert desk.holding.unknown() == ()
