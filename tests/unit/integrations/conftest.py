"""
A shop behind middleware, on either protocol.
"""

import pytest
from visitors import DRIVERS, Answer, Client, shop

from cutover.integrations import visit_of


class Site:
    """
    One application behind middleware.

    Attributes:
        user: Who is logged in; None for a guest. The middleware's `key` gives it.
        handler: What answers requests; it may be replaced.
        journeys: Those that have middleware.
    """

    def __init__(self, driver, **arguments):
        self.router = shop()
        self.user = None
        self.handler = self.ask_for_visit
        self.seen = []
        self._driver = driver
        self._arguments = arguments

    @property
    def journey(self):
        """
        The handle of the journey.
        """
        return self.router.journey("purchase")

    def client(self, *journeys, **arguments):
        """
        Give a new client of the application.
        """
        app = self._driver.app(self._answer)
        arguments = {"key": lambda place: self.user, **arguments}
        for name in journeys or ("purchase",):
            app = self._driver.middleware(app, self.router.journey(name), **arguments)
        return Client(self._driver.asking(app))

    def _answer(self, place):
        return self.handler(place)

    def ask_for_visit(self, place):
        """
        Answer with the visit's side.
        """
        visit = visit_of(place, "purchase")
        self.seen.append(visit)
        return Answer(200, [("Content-Type", "text/plain")], visit.backend.value.encode())


@pytest.fixture(params=DRIVERS)
def site(request):
    """
    A shop with all dials at 50%, behind WSGI or ASGI.
    """
    return Site(DRIVERS[request.param])
