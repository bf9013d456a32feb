"""
How the application calls its two back ends: a function of two for each flow, and a write that reaches both.
"""

from collections.abc import Callable, Mapping
from functools import partial
from threading import get_ident
from typing import Any, Final

import attrs

import cutover
from demo.shop_client import ShopClient
from demo.shop_database import Asked
from demo.traffic import Step

__all__ = ["Calls", "Shops"]

Shops = Mapping[cutover.Backend, ShopClient]
Note = Callable[[Step, cutover.Backend], None]

PATIENCE: Final = 30.0  # seconds; the demo claims that everything is compared, and a machine may be busy
# Visits keep their side whatever the dial does, so a new dial need not wait for the last line of a cart.
ALLOWED_BACKLOG: Final = 100


class Calls:
    """
    The calls of one process.

    Attributes:
        browse: Called with user and step. It changes nothing, so the other side may be asked too.
        checkout: Called with user or visit, step, and where the order lives.
        pay: As `checkout`; an attempt to pay stays on the side where it was made first.
        put: Called with visit, step as JSON, and the visit's side: changes a cart, on both sides.
    """

    def __init__(self, router: cutover.Router, homes: cutover.Homes, shops: Shops, note: Note) -> None:
        self._shops = shops
        self._note = note
        self._thread = get_ident()
        old, new = cutover.Backend.OLD, cutover.Backend.NEW
        self.browse = router.flow("browse").switch(
            old=partial(self._look, old),
            new=partial(self._look, new),
            safe=True,
            redact=lambda _, price: price,  # everybody may see prices
            shadow_deadline=PATIENCE,
        )
        self.checkout = router.flow("checkout").switch(
            old=partial(self._ask, old), new=partial(self._ask, new), home=_home
        )
        self.pay = router.flow("pay").switch(
            old=partial(self._ask, old), new=partial(self._ask, new), home=_home, attempt=_attempt, homes=homes
        )
        self.put: Callable[..., None] = router.flow("cart").write(
            name="cart.put",
            old=partial(self._put, old),
            new=partial(self._put, new),
            confirm=self._was_put,
            allowed_backlog=ALLOWED_BACKLOG,
        )

    def _look(self, side: cutover.Backend, _user: str, step: Step) -> Mapping[str, Any]:
        # Users are served by one thread: whatever is asked by another one is asked in order to compare.
        return self._shops[side].send(_asked(step, is_copy=get_ident() != self._thread))

    def _ask(self, side: cutover.Backend, _key: str, step: Step, _home: object) -> None:
        self._note(step, side)
        self._shops[side].send(_asked(step))

    def _put(self, side: cutover.Backend, _user: str, step: Mapping[str, Any], first: str, *, sequence: int) -> None:
        is_first = side == first
        if is_first:
            self._note(Step(**step), side)
        self._shops[side].send(_asked(Step(**step), sequence=sequence, is_copy=not is_first))

    def _was_put(
        self, user: str, _step: Mapping[str, Any], _first: str, *, sequence: int, side: cutover.Backend
    ) -> bool:
        return self._shops[side].has_line(user, sequence)


def _home(_key: str, _step: Step, home: object) -> object:
    return home


def _attempt(_key: str, step: Step, _home: object) -> str | None:
    return step.payment or None


def _asked(step: Step, **more: Any) -> Asked:
    asked = Asked(step.event, step.session, step.user, step.payment, step.lost, step.number)
    return attrs.evolve(asked, **more)
