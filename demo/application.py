"""
What the shop's application does for each request: it enters visits, knows where orders live, and calls a back end.
"""

from contextlib import suppress

import attrs

import cutover
from cutover.core.backend import UNSET
from demo.calls import Calls, Shops
from demo.clickstream import ORDERING
from demo.shop_client import ShopFailed
from demo.traffic import RETRY, WEB_HOOK, Step
from demo.trail import Trail

__all__ = ["Application"]


class Application:
    """
    The shop, as users, payment provider and background jobs see it.
    """

    def __init__(self, router: cutover.Router, homes: cutover.Homes, shops: Shops, trail: Trail) -> None:
        self._router = router
        self._purchase = router.journey("purchase")
        self._homes = homes
        self._calls = Calls(router, homes, shops, self._note)
        self._trail = trail

    def serve(self, step: Step, token: str | None) -> str | None:
        """
        Serve one request. That a back end fails is counted by the router, and life goes on.

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
            with suppress(ShopFailed):
                self._calls.browse(step.user, step)
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
        if step.event in ORDERING:
            # Whoever comes later will ask where the order lives: that is written down before a back end is called.
            home = self._homes.claim("order", step.session, visit.backend)
        with suppress(ShopFailed):
            if step.flow == "cart":
                self._calls.put(visit, attrs.asdict(step), visit.backend.value)
            else:
                call = self._calls.pay if step.flow == "pay" else self._calls.checkout
                call(visit, step, home if step.event in ORDERING else UNSET)
        return visit.token if visit.rewritten else None

    def _try_again(self, step: Step) -> None:
        """
        Try a payment again of which nobody knows whether it worked. Its key is known: it goes where it went first.
        """
        with suppress(ShopFailed):
            self._calls.pay(step.user, step, UNSET)

    def _confirm(self, step: Step) -> None:
        """
        Serve the web hook of the payment provider, which knows nothing but the order.
        """
        home = self._homes.find("order", step.session)
        with suppress(ShopFailed):
            self._calls.pay(step.session, step, home)

    def _note(self, step: Step, side: cutover.Backend) -> None:
        if self._router.snapshot is not None:
            self._trail.note(step, side, self._router.snapshot)
