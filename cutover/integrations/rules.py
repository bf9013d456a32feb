"""
What holds for every request of one middleware.
"""

from collections.abc import Callable
from typing import Any, Final

from cutover.callables import is_coroutine_function
from cutover.errors import ConfigurationError
from cutover.integrations.carriers import Carrier, Cookie
from cutover.router.journey import Journey
from cutover.router.log import log

__all__ = ["LIKE_THE_VISIT", "Asking", "GuestCarrier", "Rules"]

Asking = Callable[[Any], Any]  # a function of the application, called with the request


class _LikeTheVisit:
    """
    The value of `guest` that means: carried as the token is.
    """

    def __repr__(self) -> str:
        return "LIKE_THE_VISIT"


LIKE_THE_VISIT: Final = _LikeTheVisit()
GuestCarrier = Carrier | _LikeTheVisit | None


class Rules:
    """
    The arguments of every middleware; `docs/reference/middleware.md` describes them.

    Args:
        journey: What `Router.journey` gave.
        key: Gives the user's key, or None for a guest.
        carrier: Of the token; left out, a `Cookie`.
        guest: Carrier of guests' ids; left out, like that of the token. None: guests have no key.
        cohort: Gives the key's cohort.
        was: Gives the key that the token may be bound to besides; the guest's id is known anyway.
        synthetic: Tells whether a load test, a probe or a bot sent the request.

    Raises:
        ConfigurationError: If an argument can never work.
    """

    __slots__ = ("_told", "carrier", "cohort", "guest", "journey", "key", "synthetic", "was")

    def __init__(
        self,
        journey: Journey,
        *,
        key: Asking | None,
        carrier: Carrier | None = None,
        guest: GuestCarrier = LIKE_THE_VISIT,
        cohort: Asking | None = None,
        was: Asking | None = None,
        synthetic: Asking | None = None,
    ) -> None:
        if not isinstance(journey, Journey):
            raise ConfigurationError(f'journey is {journey!r}; allowed: what router.journey("NAME") gives')
        for name, function in (("key", key), ("cohort", cohort), ("was", was), ("synthetic", synthetic)):
            if function is None:
                continue
            if not callable(function):
                raise ConfigurationError(f"{name} is {function!r}; allowed: a function of the request, or None")
            if is_coroutine_function(function):
                raise ConfigurationError(f"{name} is an async def; allowed: a function made with def, or None")
        for name, given in (("carrier", carrier), ("guest", guest)):
            if isinstance(given, type) or not isinstance(given, Carrier | _LikeTheVisit | None):
                raise ConfigurationError(f"{name} is {given!r}; allowed: a Cookie, a Header, a Session, or None")
        self._told = False
        self.journey: Journey = journey
        self.key: Asking | None = key
        self.cohort: Asking | None = cohort
        self.was: Asking | None = was
        self.synthetic: Asking | None = synthetic
        self.carrier: Carrier | Cookie = (carrier or Cookie()).named_for(journey.name)
        self.guest: Carrier | None = _guest_carrier(self.carrier, guest)

    def check_beside(self, other: "Rules") -> None:
        """
        Refuse to carry two journeys in one place.

        Raises:
            ConfigurationError: If the other carries its own as this one does.
        """
        if self.carrier == other.carrier and self.journey.name != other.journey.name:
            names = f"{other.journey.name} and {self.journey.name}"
            raise ConfigurationError(f"{names} are both carried in {self.carrier.name!r}; allowed: a name for each")

    def tell_not_given(self) -> None:
        """
        Log, once, that a page asks for a visit and forbids to give its token to a client that has none.
        """
        if not self._told:
            self._told = True
            log.warning("cutover.visit_not_given", journey=self.journey.name)


def _guest_carrier(carrier: Carrier, guest: GuestCarrier) -> Carrier | None:
    chosen = carrier.for_guests() if isinstance(guest, _LikeTheVisit) else guest
    if chosen is None:
        return None
    named = chosen.named_for("guest")
    if type(named) is type(carrier) and named.name == carrier.name:
        raise ConfigurationError(f"guest and carrier are both named {named.name!r}; allowed: two names")
    return named
