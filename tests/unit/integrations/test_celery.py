"""
Homes and tokens go into the headers of a task, and come out of them.
"""

import json
from enum import Enum
from types import SimpleNamespace

import pytest
from visitors import shop, user_on

from cutover.core.backend import UNSET, Backend
from cutover.errors import ConfigurationError
from cutover.integrations.celery import task_headers, task_home, task_visit


class Column(Enum):
    """
    A home as an enum column gives it back.
    """

    NEW = 1


def task(headers):
    """
    Give a task as a worker sees it that was sent with headers.
    """
    return SimpleNamespace(
        request=SimpleNamespace(headers=None if headers is None else json.loads(json.dumps(headers)))
    )


@pytest.mark.parametrize(
    ("home", "came"),
    [(Backend.OLD, "old"), (Backend.NEW, "new"), ("tokopedia", "tokopedia"), (Column.NEW, "new"), (None, None)],
)
def test_home(home, came):
    """
    A home comes out as what `route` takes; that of an unmarked thing stays none, which is OLD.
    """
    assert task_home(task(task_headers(home=home))) == came


@pytest.mark.parametrize("headers", [None, {}, {"other": "1"}, task_headers()])
def test_no_home(headers):
    """
    A task that was sent without a home has none, and the dials decide.
    """
    assert task_home(task(headers)) is UNSET
    assert shop(100).flow("pay").decide("user-42", home=task_home(task(headers))).reason == "percent"


def test_visit():
    """
    The visit goes on in the worker on its side, while the dial moves.
    """
    router = shop()
    journey = router.journey("purchase")
    user = user_on("new", journey)
    headers = task_headers(journey.enter(user))
    router.set(cart=0, pay=0)

    assert task_visit(task(headers), journey, user).backend is Backend.NEW
    assert task_visit(task(None), journey, user).backend is Backend.OLD
    assert task_visit(task(headers), journey, "somebody").backend is Backend.OLD


def test_wrong_visits():
    """
    Of two visits of one journey neither is dropped unseen, and a token is no visit.
    """
    journey = shop().journey("purchase")
    one, other = journey.enter("user-42"), journey.enter("user-43")

    with pytest.raises(ConfigurationError, match=r"^two visits are of the journey 'purchase'; allowed: one of each"):
        task_headers(one, other)
    with pytest.raises(ConfigurationError, match=r"^a visit is a str; allowed: what Journey"):
        task_headers(one.token)


def test_load_test():
    """
    The worker says whether a load test sent the task.
    """
    journey = shop().journey("purchase")
    headers = task_headers(journey.enter("user-42", synthetic=True))

    assert task_visit(task(headers), journey, "user-42", synthetic=True).synthetic is True
    assert task_visit(task(headers), journey, "user-42").synthetic is False


def test_visits_of_two_journeys():
    """
    Visits of several journeys travel with one task.
    """
    router = shop()
    purchase, claim = router.journey("purchase"), router.journey("claim")
    sent = task(task_headers(purchase.enter("user-42"), claim.enter("user-42"), home="old"))

    assert not task_visit(sent, purchase, "user-42", home=UNSET).rewritten
    assert not task_visit(sent, claim, "user-42").rewritten


@pytest.mark.parametrize("side", ["old", "new"])
def test_home_of_visit(side):
    """
    A visit is where the home is that came along; one that is given to `task_visit` counts before it.
    """
    journey = shop().journey("purchase")
    sent = task(task_headers(journey.enter("user-42"), home=side))

    assert task_visit(sent, journey, "user-42").backend.value == side
    assert task_visit(sent, journey, "user-42", home="tiktok").backend is Backend.OLD


def test_nothing_to_send():
    """
    Without home and visit there are no headers.
    """
    assert task_headers() == {}
