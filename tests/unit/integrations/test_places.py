"""
The visit is found from whatever a framework hands to its handlers.
"""

from types import SimpleNamespace

import pytest
from visitors import shop

from cutover.errors import ConfigurationError
from cutover.integrations.places import begin, visit_of
from cutover.integrations.rules import Rules

HOLDERS = {
    "scope or environ": lambda place: place,
    "request of Django": lambda place: SimpleNamespace(META=place, environ=place),
    "asynchronous request of Django": lambda place: SimpleNamespace(META=place, scope={}),
    "request of Django behind ASGI middleware": lambda place: SimpleNamespace(META={}, scope=place),
    "request of Starlette": lambda place: SimpleNamespace(scope=place),
    "request of Flask": lambda place: SimpleNamespace(environ=place),
}


def place_with(*journeys):
    """
    Give the place of a request with middleware for some journeys.
    """
    router, place = shop(), {}
    for name in journeys:
        begin(Rules(router.journey(name), key=lambda place: "user-42"), place, lambda name: ())
    return place


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_found(hold):
    """
    It is found in a scope, an environ, and the requests that hold one.
    """
    place = place_with("purchase")

    assert visit_of(hold(place)) is visit_of(place)
    assert visit_of(place).key == "user-42"


def test_subject():
    """
    Functions of the application are called with the request, where a framework has one of its own.
    """
    place = {}
    rules = Rules(shop().journey("purchase"), key=lambda request: request.user)
    begin(rules, place, lambda name: (), SimpleNamespace(user="ann"))

    assert visit_of(place).key == "ann"


def test_one_of_two():
    """
    Where there are two journeys, the one that was asked for is entered.
    """
    place = place_with("purchase", "claim")

    assert visit_of(place, "claim").journey == "claim"
    assert visit_of(place, "purchase").journey == "purchase"


def test_which_of_two():
    """
    Where there are two journeys, one must be named.
    """
    with pytest.raises(ConfigurationError, match="journey is None; allowed: purchase, claim"):
        visit_of(place_with("purchase", "claim"))


def test_another_journey():
    """
    A journey without middleware has no visit here, and the error names those that have.
    """
    with pytest.raises(ConfigurationError, match="journey is 'claim'; allowed: purchase"):
        visit_of(place_with("purchase"), "claim")


@pytest.mark.parametrize("where", [{}, None, SimpleNamespace(scope={}), "text"])
def test_no_middleware(where):
    """
    Where no middleware stands around, the error says so.
    """
    with pytest.raises(ConfigurationError, match="no middleware carries visits for this"):
        visit_of(where)
