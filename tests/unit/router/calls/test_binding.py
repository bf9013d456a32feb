"""
A switch as an attribute of a class is a method: the functions get the object, and the key is the argument after it.
"""

import asyncio
import functools
import inspect
import pickle
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from routers import SHOP
from switching import NEW, OLD, PATIENCE, Place, as_async, called, until_async

import cutover
import cutover.testing
from cutover.core.bucketing import PARTS

QUARTER = PARTS // 4
KINDS = {"sync": lambda function: function, "async": as_async}
WAYS: dict[str, dict[str, Any]] = {"short": {}, "by steps": {"failed": lambda _: False}, "safe": {"safe": True}}
USERS = [f"user-{number}" for number in range(200)]


@pytest.fixture(params=KINDS)
def kind(request):
    """
    What makes a function of the kind that is tested.
    """
    return KINDS[request.param]


@pytest.fixture(params=WAYS)
def terms(request):
    """
    What a switch is told besides: each way makes its calls in another place.
    """
    return WAYS[request.param]


def answers(side):
    """
    Give a method that tells its side, its object and all it was called with.
    """

    def method(self, *arguments, **named):
        return side, self, arguments, named

    return method


def service_of(flow, kind, **terms):
    """
    Give a class that holds a switch.
    """
    return type("Service", (), {"find": flow.switch(old=kind(answers(OLD)), new=kind(answers(NEW)), **terms)})


def test_the_key_is_the_argument_after_the_object(kind, terms):
    """
    Each user has the side that the flow gives, whatever object is asked, and the functions get that object.
    """
    place = Place(QUARTER)
    service = service_of(place.flow, kind, **terms)

    for user in USERS:
        one, another = service(), service()
        assert called(one.find, user, 1, more=2) == (place.flow.peek(user).backend, one, (user, 1), {"more": 2})
        assert called(another.find, user)[:2] == (place.flow.peek(user).backend, another)


def test_through_super_and_the_class(kind):
    """
    `super()`, a call through the class and `functools.partialmethod` bind as they do for a function.
    """
    base = service_of(Place(QUARTER).flow, kind)

    class Derived(base):
        def find(self, user):
            return super().find(user)

        def found(self, user):
            return base.find(self, user)

        one = functools.partialmethod(base.find, "user-1")

    own = Derived()
    for ask in (own.find, own.found, functools.partial(base.find, own)):
        assert [called(ask, user)[1:3] for user in USERS] == [(own, (user,)) for user in USERS]
    assert called(own.one)[1:3] == (own, ("user-1",))


def test_a_class_is_also_a_place_to_keep_a_switch(kind):
    """
    With `staticmethod`, and where a class is asked that has no object, the key comes first.
    """
    place = Place(QUARTER)
    switch = place.flow.switch(old=kind(lambda key: (OLD, key)), new=kind(lambda key: (NEW, key)))

    class Service:
        unbound = staticmethod(switch)
        named = switch

    @dataclass
    class Parts:
        find: Any = switch

    for ask in (switch, Service.unbound, Service().unbound, Service.named, Parts().find):
        assert [called(ask, user) for user in USERS] == [(place.flow.peek(user).backend, user) for user in USERS]


def test_objects_that_hold_nothing_else(kind):
    """
    Objects that are frozen, have slots or compare as equal are bound like any others.
    """
    switch = Place(PARTS).flow.switch(old=kind(answers(OLD)), new=kind(answers(NEW)))

    @dataclass(frozen=True, slots=True)
    class Frozen:
        number: int

    Frozen.find = switch

    class Slots:
        __slots__ = ()
        find = switch

    for one in (Frozen(1), Slots()):
        side, own, arguments, _ = called(one.find, "user-1")
        assert (side, arguments) == (NEW, ("user-1",))
        assert own is one


def test_a_visit_as_the_key():
    """
    A visit stands where the key stands: its side is kept, and the functions get its key.
    """
    router = cutover.testing.router(SHOP, cart=25, pay=25)
    pay = router.flow("pay")
    one = service_of(pay, lambda function: function)()

    for user in USERS:
        visit = router.journey("purchase").enter(user)
        assert one.find(visit, 1) == (pay.peek(user).backend, one, (user, 1), {})


def test_helpers_get_the_object(kind):
    """
    Every function of the call's own arguments gets what the back ends get: the object first.
    """
    seen = {}

    def helper(name, answer):
        def asked(self, key, *, more):
            seen[name] = (self, key, more)
            return answer

        return asked

    helpers = {"home": "new", "cohort": None, "synthetic": False, "attempt": None}
    terms = {name: helper(name, answer) for name, answer in helpers.items()}
    one = service_of(Place().flow, kind, **terms, homes=cutover.homes("memory:bound", migration="shop"))()

    assert called(one.find, "user-1", more=2)[0] == NEW
    assert seen == dict.fromkeys(helpers, (one, "user-1", 2))


def test_comparisons_get_the_object():
    """
    The other side that is asked in the background gets the same object.
    """
    place, asked = Place(0, PARTS), []

    class Service:
        async def old(self, user):
            return user

        async def new(self, user):
            asked.append((self, user))
            return user

        find = place.flow.switch(old=old, new=new, safe=True, noise=0)

    one = Service()

    async def run():
        assert await one.find("user-1") == "user-1"
        await until_async(lambda: place.verdicts() == {"match": 1})

    asyncio.run(asyncio.wait_for(run(), PATIENCE))
    assert asked == [(one, "user-1")]


def test_async_is_seen():
    """
    A switch of coroutine functions is one for `inspect`, wherever it is held.
    """
    for kind, is_async in ((KINDS["sync"], False), (KINDS["async"], True)):
        service = service_of(Place().flow, kind)
        held = (vars(service)["find"], service.find, service().find)

        assert [inspect.iscoroutinefunction(one) for one in held] == [is_async] * 3


def test_what_it_says_of_itself():
    """
    A switch has the name of its flow, and the docstring and the signature of OLD; bound, it has the name of its
    attribute, and the signature is without the object.
    """

    def old(self, user: str, order: int = 0) -> int:
        """Charge."""

    class Service:
        charge = Place().flow.switch(old=old, new=old)

    for one, name in ((vars(Service)["charge"], "browse"), (Service.charge, "browse"), (Service().charge, "charge")):
        assert (one.__name__, one.__doc__, one.__module__) == (name, "Charge.", __name__)
    assert str(inspect.signature(Service.charge)) == "(self, user: str, order: int = 0) -> int"
    assert str(inspect.signature(Service().charge)) == "(user: str, order: int = 0) -> int"


class Portable:
    """
    What a pool of processes can find by its name.
    """

    def _old(self, user):
        return OLD, user

    def _new(self, user):
        return NEW, user

    find = Place(QUARTER).flow.switch(old=_old, new=_new)


def test_a_bound_switch_goes_to_another_process():
    """
    A bound switch is pickled as a method is: as its object and the name of the attribute.
    """
    carried = pickle.loads(pickle.dumps(Portable().find))

    assert [carried(user) for user in USERS] == [Portable().find(user) for user in USERS]
    assert carried.__qualname__ == "Portable.find"


def test_a_key_by_its_name():
    """
    The key may be given by the name that OLD has for it.
    """

    def old(user, order):
        return user, order

    def method(self, user, order):
        return user, order

    switch = Place().flow.switch(old=old, new=old)
    service = type("Service", (), {"charge": Place().flow.switch(old=method, new=method)})

    assert switch(order=1, user="user-1") == ("user-1", 1)
    assert service().charge(order=1, user="user-1") == ("user-1", 1)
    for ask, after in ((switch, ""), (service().charge, " after the object")):
        with pytest.raises(TypeError, match=f"browse\\(\\) got no key; allowed: the key as the first argument{after}$"):
            ask(order=1)


def test_a_route_of_fastapi():
    """
    A switch of coroutine functions is an endpoint: FastAPI awaits it, and finds the parameters of OLD.
    """

    async def old(user: str, words: str) -> dict[str, str]:
        return {"by": "old", "user": user, "words": words}

    async def new(user: str, words: str) -> dict[str, str]:
        return {"by": "new", "user": user, "words": words}

    flow = cutover.testing.router(browse=100).flow("browse")
    app = FastAPI()
    app.get("/search/{user}")(flow.switch(old=old, new=new))

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            return await client.get("/search/user-1", params={"words": "shoes"})

    found = asyncio.run(ask())

    assert found.json() == {"by": "new", "user": "user-1", "words": "shoes"}
