"""
What the shop's application does for each request: it asks the router for a side, and calls that back end.
"""

from collections.abc import Mapping
from contextlib import suppress

import cutover
from cutover.router.request import Request
from demo.clickstream import EVENTS_OF, ORDERING
from demo.shop_client import ShopClient, ShopFailed
from demo.traffic import RETRY, WEB_HOOK, Step
from demo.trail import Trail

__all__ = ["Application"]


class Application:
    """
    The shop, as users, payment provider and background jobs see it.
    """

    def __init__(
        self,
        router: cutover.Router,
        homes: cutover.Homes,
        shops: Mapping[cutover.Backend, ShopClient],
        trail: Trail,
    ) -> None:
        self._router = router
        self._flows = {name: router.flow(name) for name in EVENTS_OF}
        self._purchase = router.journey("purchase")
        self._homes = homes
        self._shops = shops
        self._trail = trail

    def serve(self, step: Step, token: str | None) -> str | None:
        """
        Serve one request.

        Args:
            token: The one that the client has kept, if there is a client.

        Returns:
            The token that the client is to keep from now on; None where that is the one it has.
        """
        if step.event == WEB_HOOK:
            self._confirm(step)
        elif step.event == RETRY:
            self._try_again(step)
        elif step.flow == "browse":
            self._call(step, self._flows["browse"].request(step.user))
        else:
            return self._buy(step, token)
        return None

    def _buy(self, step: Step, token: str | None) -> str | None:
        """
        Serve a step of a purchase. As soon as there is an order, the visit is where the order is.
        """
        home = self._homes.find("order", step.session)
        enter = self._purchase.enter
        visit = enter(step.user, token) if home is None else enter(step.user, token, home=home)
        flow = self._flows[step.flow]
        if step.event in ORDERING:
            self._call(step, flow.request(visit, home=self._claimed(step, visit.backend)))
        else:
            self._call(step, flow.request(visit))
        return visit.token if visit.rewritten else None

    def _claimed(self, step: Step, side: cutover.Backend) -> cutover.Backend:
        """
        Write down where the order lives, and on which side this attempt to pay is made, before a back end is called:
        whoever comes later will ask.
        """
        home = self._homes.claim("order", step.session, side)
        return self._homes.claim("payment", step.payment, home) if step.payment else home

    def _try_again(self, step: Step) -> None:
        """
        Try a payment again of which nobody knows whether it worked: on the side of the first attempt.
        """
        home = self._homes.find("payment", step.payment)
        self._call(step, self._flows["pay"].request(step.user, home=home))

    def _confirm(self, step: Step) -> None:
        """
        Serve the web hook of the payment provider, which knows nothing but the order.
        """
        home = self._homes.find("order", step.session)
        self._call(step, self._flows["pay"].request(step.session, home=home))

    def _call(self, step: Step, request: Request) -> None:
        """
        Call one back end. That it fails there is counted by the router, and life goes on.
        """
        with suppress(ShopFailed), request:
            self._note(step, request.backend)
            self._shops[request.backend].send(step)

    def _note(self, step: Step, side: cutover.Backend) -> None:
        if step.flow != "browse":
            assert self._router.snapshot is not None  # it was ready before the first request
            self._trail.note(step, side, self._router.snapshot)
