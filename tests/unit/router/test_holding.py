"""
What holds reaches every flow, whenever the flow was made.
"""

from circumstances import Desk
from routers import FIRST, SHOP, Parts, Script, after, events, logged, reading, totals
from strategies import KEYS, SECRET, at, begun, definition_of

from cutover.core import changes
from cutover.core.backend import UNSET, Backend
from cutover.core.bucketing import PARTS
from cutover.core.names import LONGEST_ASKED, Asked, NameKind

NEW = after(at("browse", PARTS), at("purchase", PARTS))


def parts_of(snapshot=None, secret=None) -> Parts:
    """
    Give parts that hold a snapshot.
    """
    parts = Parts(Script(reading(FIRST)))
    if snapshot is not None:
        parts.holding.take_snapshot(snapshot, secret)
    return parts


def test_the_same_handle_for_the_same_name():
    """
    A flow that is asked for twice is counted in one place.
    """
    parts = parts_of()

    assert parts.flow("pay") is parts.flow("pay")


def test_the_same_journey_for_the_same_name():
    """
    A journey that is asked for twice is counted in one place.
    """
    desk = Desk()

    assert desk.journey() is desk.journey()
    assert desk.journey() is not desk.journey("look")


def test_reaches_journeys_made_before_and_after():
    """
    A snapshot and a line hold for the journeys that there are, and for those made later.
    """
    for early in (True, False):
        desk = Desk()
        if early:
            desk.journey()
        desk.take(NEW)
        assert desk.journey().enter("user-1").backend is Backend.NEW
        desk.holding.take_floor(frozenset({"pay"}))
        assert desk.journey().enter("user-1").backend is Backend.OLD


def test_an_unknown_journey_is_told_once():
    """
    A journey that the migration does not have is told once, whichever came first; a known one is not.
    """
    desk = Desk()
    desk.journey("early")
    desk.journey()
    for _ in range(2):
        desk.take(FIRST)
    desk.journey("late")

    assert [(entry["event"], entry["journey"]) for entry in logged(desk.notices)] == [
        ("cutover.journey_unknown", "early"),
        ("cutover.journey_unknown", "late"),
    ]


def test_bypassed_follows_the_definition():
    """
    A bare key counts as bypassed while its flow is in a `together` journey; a visit, a home and a load test do not.
    """
    desk = Desk()
    pay, purchase = desk.flow("pay"), desk.journey()
    pay.route("user-1")
    assert desk.events() == {}

    desk.take(NEW)
    visit = purchase.enter("user-1")
    for key, home, synthetic in (("user-1", "new", False), ("user-1", "lazada", False), (visit, UNSET, False)):
        pay.route(key, home=home, synthetic=synthetic)
    pay.route("user-1", synthetic=True)
    pay.peek("user-1")
    assert "bypassed" not in desk.events()

    pay.route("user-1")
    pay.decide(None)
    assert desk.events()["bypassed"] == 2

    desk.take(begun(definition_of(*SHOP.flows)))
    pay.route("user-1")
    assert desk.events()["bypassed"] == 2
    desk.take(NEW)
    pay.route("user-1")
    assert desk.events()["bypassed"] == 3


def test_reaches_flows_made_before_and_after():
    """
    A snapshot holds for the flows that there are, and for those made later.
    """
    parts = parts_of()
    before = parts.flow("browse")
    parts.holding.take_snapshot(NEW, None)

    assert before.route("user-1") is parts.flow("pay").route("user-1") is Backend.NEW


def test_break_glass_and_snapshot_do_not_replace_each_other():
    """
    Another snapshot leaves the lines in force, and other lines leave the snapshot.
    """
    parts = parts_of(FIRST)
    parts.holding.take_break_glass({"pay": Backend.OLD})
    parts.holding.take_snapshot(NEW, None)
    assert parts.flow("pay").peek("user-1").reason == "break_glass"
    assert parts.flow("browse").peek("user-1").backend is Backend.NEW

    parts.holding.take_break_glass({})
    assert parts.flow("pay").peek("user-1").backend is Backend.NEW


def test_ready_with_a_snapshot():
    """
    Whoever waits for a snapshot is let go when there is one, in a child process too.
    """
    parts = parts_of()
    assert not parts.holding.loaded.is_set()

    parts.holding.take_snapshot(FIRST, None)
    parts.holding.after_fork()
    assert parts.holding.loaded.is_set()


def test_an_unknown_flow_is_told_once():
    """
    A flow that the migration does not have is told once, whichever came first; a known one is not.
    """
    parts = parts_of()
    parts.flow("early")
    parts.flow("pay")
    for _ in range(2):
        parts.holding.take_snapshot(FIRST, None)
    parts.flow("payments")

    logs = logged(parts.notices)
    assert [(entry["event"], entry["flow"], entry.get("closest")) for entry in logs] == [
        ("cutover.flow_unknown", "early", None),
        ("cutover.flow_unknown", "payments", "pay"),
    ]


def test_what_the_application_asks_for():
    """
    A name is told that the application gave, with how often it was used, and no handle that a journey made by itself.
    """
    desk = Desk()
    desk.take(NEW)
    pay, pya = desk.flow("pay"), desk.flow("pya")
    purchase = desk.journey()
    desk.flow("unused")
    pay.route("user-1")
    pay.peek("user-1")
    pya.decide(None)
    pya.route("user-1", synthetic=True)
    visit = purchase.enter("user-1")
    purchase.enter("user-1", token=visit.token, synthetic=True)

    asked = desk.holding.asked()
    assert asked == (
        Asked(NameKind.FLOW, "pay", 1),
        Asked(NameKind.FLOW, "pya", 2),
        Asked(NameKind.FLOW, "unused", 0),
        Asked(NameKind.JOURNEY, "purchase", 2),
    )
    assert [one.name for one in desk.holding.unknown()] == ["pya", "unused"]
    desk.holding.after_fork()
    assert {one.requests for one in desk.holding.asked()} == {0}


def test_cohorts_that_the_migration_does_not_have():
    """
    A cohort that a call names and the migration lacks is told with its count, cut and readable; a known one is not.
    """
    desk = Desk()
    desk.take(NEW)
    pay, purchase = desk.flow("pay"), desk.journey()
    for cohort in ("staff", "Staff", "Staff", "\ud800" * 200, None, 7):
        pay.route("user-1", cohort=cohort)
    purchase.enter("user-1", cohort="stuff")

    told = [(one.name, one.requests) for one in desk.holding.asked() if one.kind is NameKind.COHORT]
    assert told == [("Staff", 2), ("stuff", 1), ("\ufffd" * LONGEST_ASKED, 1)]


def test_nothing_is_unknown_before_a_definition_is_known():
    """
    Where no snapshot was ever read, nobody can say that a name is wrong.
    """
    desk = Desk()
    desk.flow("pya")

    assert [one.name for one in desk.holding.asked()] == ["pya"]
    assert desk.holding.unknown() == ()


def test_a_flow_of_a_journey_that_is_removed_was_not_asked_for():
    """
    A handle that a journey made by itself is not told as unknown once the flow is gone.
    """
    desk = Desk()
    desk.take(NEW)
    desk.journey()
    desk.take(begun(definition_of("browse")))

    assert [entry["event"] for entry in logged(desk.notices)] == ["cutover.journey_unknown"]


def test_break_glass_lines_that_do_nothing_are_told():
    """
    A line of the break-glass file that names nothing of the migration is told once, whichever came first.
    """
    parts = parts_of()
    parts.holding.take_break_glass({"pya": Backend.OLD, "pay": Backend.OLD})
    for _ in range(2):
        parts.holding.take_snapshot(FIRST, None)
    parts.holding.take_break_glass({"prchase": Backend.OLD, "*": Backend.OLD})

    logs = logged(parts.notices)
    assert [(entry["event"], entry["line"]) for entry in logs] == [
        ("cutover.break_glass_unknown", "pya"),
        ("cutover.break_glass_unknown", "prchase"),
    ]


def test_overrides_without_the_secret_are_told():
    """
    Where overrides cannot be looked up, they are ignored, and the log says so once.
    """
    [key, *_] = KEYS
    snapshot = after(lambda s: changes.override(s, "browse", key, Backend.NEW, secret=SECRET))
    parts = parts_of(snapshot, None)
    parts.holding.take_snapshot(snapshot, None)
    assert parts.flow("browse").route(key) is Backend.OLD
    assert events(logged(parts.notices)) == ["cutover.overrides_ignored"]

    parts.holding.take_snapshot(snapshot, SECRET)
    assert parts.flow("browse").route(key) is Backend.NEW


def test_a_child_counts_from_zero():
    """
    After a fork the handles that there are route on, and count from zero.
    """
    parts = parts_of(NEW)
    pay = parts.flow("pay")
    pay.route("user-1")
    pay.decide("user-1")
    parts.holding.after_fork()
    assert totals(pay) == {}

    pay.route("user-1")
    with pay.request("user-1"):
        pass
    assert totals(pay) == {("requests", "pay", "new", "percent"): 2, ("calls", "pay", "new", "ok"): 1}
