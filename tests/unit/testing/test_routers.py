"""
The router for application tests: production's rules, without store or thread.
"""

import threading

import pytest

import cutover
import cutover.testing
from cutover import Backend
from cutover.core.migration import Migration
from cutover.errors import ConfigurationError

DEFINITION = Migration.parse("""
name = "move"
old = "tiktok"
new = "tokopedia"
[flows.browse]
[flows.cart]
[flows.pay]
[journeys.purchase]
flows = ["cart", "pay"]
""")


def test_dials():
    """
    A dial is a side or a percentage, and a flow without one is unknown, as in production.
    """
    router = cutover.testing.router(pay="new", cart=25, browse=Backend.OLD)

    assert router.flow("pay").route("anyone") is Backend.NEW
    assert router.flow("browse").route("anyone") is Backend.OLD
    assert {router.flow("cart").route(f"user-{n}") for n in range(100)} == {Backend.OLD, Backend.NEW}
    assert router.flow("fly").decide("anyone").reason == "default"


def test_a_router_like_any_other():
    """
    It can stand wherever a router is wanted, and starts no thread.
    """
    before = set(threading.enumerate())
    with cutover.testing.router(pay="new") as router:
        assert isinstance(router, cutover.Router)
        assert (router.ready, router.regressed, router.wait_ready(0)) == (True, False, True)
        router.after_fork()
    assert set(threading.enumerate()) <= before
    assert "TestRouter with test 1:" in repr(router)
    assert repr(router.flow("pay")) == "<Flow 'pay', version 1>"


def test_move_a_dial():
    """
    A dial that is moved in the middle of a test holds for the handles that are there, and keeps the others.
    """
    router = cutover.testing.router(pay="new", cart="new")
    pay, cart = router.flow("pay"), router.flow("cart")

    router.set(pay=0)

    assert (pay.route("anyone"), cart.route("anyone")) == (Backend.OLD, Backend.NEW)
    assert pay.peek("anyone").version == 2


def test_a_definition():
    """
    With the application's own definition, names of sides and journeys are as in production.
    """
    router = cutover.testing.router(DEFINITION, pay="new")
    pay = router.flow("pay")

    assert pay.decide("anyone").backend is Backend.OLD  # held by cart
    assert pay.decide("anyone", home="tokopedia") == ("pay", Backend.NEW, "home", 1, pay.peek("anyone").position)
    router.set(cart="new")
    assert pay.route("anyone") is Backend.NEW


def test_visits():
    """
    A journey of the application's own definition is there with its visits, without a secret to be given.
    """
    router = cutover.testing.router(DEFINITION, pay="new", cart="new")
    visit = router.journey("purchase").enter("anyone")
    router.set(pay="old")
    again = router.journey("purchase").enter("anyone", token=visit.token)

    assert (visit.backend, again.backend) == (Backend.NEW, Backend.NEW)
    assert router.flow("pay").route(again) is Backend.NEW
    assert router.journey("purchase").enter("anyone").backend is Backend.OLD
    labels = {"migration": "move", "journey": "purchase"}
    counted = {
        event: router.registry.get_sample_value("cutover_visits_total", {**labels, "event": event})
        for event in ("entered", "resumed", "bypassed")
    }
    assert counted == {"entered": 2, "resumed": 1, "bypassed": 0}


def test_bypassed():
    """
    A test sees where an application forgets the visit.
    """
    router = cutover.testing.router(DEFINITION, pay="new", cart="new")
    pay = router.flow("pay")
    pay.route("anyone")
    pay.route(router.journey("purchase").enter("anyone"))
    pay.route("anyone", home="new")

    labels = {"migration": "move", "journey": "purchase", "event": "bypassed"}
    assert router.registry.get_sample_value("cutover_visits_total", labels) == 1


def test_counts():
    """
    What was routed can be looked up in the router's own registry.
    """
    router = cutover.testing.router(pay="new")
    router.flow("pay").route("anyone")

    labels = {"migration": "test", "flow": "pay", "backend": "new", "reason": "percent"}
    assert router.registry.get_sample_value("cutover_requests_total", labels) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (cutover.testing.router, r"^no flow is given; allowed: dials such as router\(pay=\"new\", cart=25\)$"),
        (
            lambda: cutover.testing.router(pay="New"),
            '^dial pay is \'New\'; allowed: 0 to 100 in steps of 0.001, or "old", or "new"$',
        ),
        (lambda: cutover.testing.router(DEFINITION, fly=1), "^there is no flow 'fly'; allowed: browse, cart, pay$"),
        (lambda: cutover.testing.router(pay=1).set(fly=1), "^there is no flow 'fly'; allowed: pay$"),
        (lambda: cutover.testing.router(pay=1, cohort_of="staff"), "^cohort_of is a str; allowed: a function"),
    ],
)
def test_mistakes(make, message):
    """
    A dial that is wrong or for no flow is one error, and so is a `cohort_of` that a real router would refuse.
    """
    with pytest.raises(ConfigurationError, match=message):
        make()
