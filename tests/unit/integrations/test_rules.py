"""
Middleware that can never work is refused when it is made.
"""

import pytest
from visitors import DRIVERS, shop

from cutover.errors import ConfigurationError
from cutover.integrations import Cookie, Header
from cutover.integrations.rules import Rules


async def ask(request):
    """
    Give a coroutine, which is no key.
    """
    return request


class Asked:
    """
    An object whose call gives a coroutine.
    """

    async def __call__(self, request):
        """
        Give the request, later.
        """
        return request


WRONG = [
    ({"key": ask}, "key is an async def; allowed: a function made with def, or None"),
    ({"key": Asked()}, "key is an async def; allowed: a function made with def, or None"),
    ({"cohort": ask}, "cohort is an async def; allowed: a function made with def"),
    ({"was": ask}, "was is an async def; allowed: a function made with def"),
    ({"key": "user"}, "key is 'user'; allowed: a function of the request, or None"),
    ({"cohort": "staff"}, "cohort is 'staff'; allowed: a function"),
    ({"was": "guest"}, "was is 'guest'; allowed: a function"),
    ({"carrier": Cookie(name="a"), "guest": Cookie(name="a")}, "both named 'a'; allowed: two names"),
    ({"carrier": "cookie"}, "carrier is 'cookie'; allowed: a Cookie, a Header, a Session, or None"),
    ({"carrier": Cookie}, "carrier is <class 'cutover.integrations.carriers.Cookie'>; allowed: a Cookie, a Header"),
    ({"guest": True}, "guest is True; allowed: a Cookie, a Header, a Session, or None"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)
def test_wrong(driver, arguments, message):
    """
    A wrong argument is one error, which names it and what is allowed.
    """
    with pytest.raises(ConfigurationError) as caught:
        driver.middleware(None, shop().journey("purchase"), **{"key": None, **arguments})

    assert message in str(caught.value)


def test_name_of_a_journey():
    """
    The name of a journey is no journey: it takes the router's secret to carry visits.
    """
    with pytest.raises(ConfigurationError, match="journey is 'purchase'; allowed: what router"):
        Rules("purchase", key=None)


@pytest.mark.parametrize(
    ("carrier", "guest"),
    [(Cookie(), Header()), (Header(name="a"), Cookie(name="a")), (Cookie(), None), (Cookie(), Cookie(name="visitor"))],
)
def test_guests(carrier, guest):
    """
    Guests' ids may be carried in another way, under another name, or not at all.
    """
    assert Rules(shop().journey("purchase"), key=None, carrier=carrier, guest=guest).guest == guest
