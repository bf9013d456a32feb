"""
The visit that a request is on: what application code holds between `enter` and the end of a request.
"""

from collections.abc import Mapping
from typing import Protocol

from cutover.core.backend import UNSET, Backend
from cutover.core.visit import Claims
from cutover.router.tokens import Tokens

__all__ = ["Issuer", "Visit", "is_synthetic"]


class Issuer(Protocol):
    """
    What a visit asks of the journey that it was entered in.

    Attributes:
        name: Of the journey.
        migration: Of the journey, where its name is known.
        tokens: Writes the visit's token.
    """

    name: str
    migration: str | None
    tokens: Tokens

    def left(self) -> None:
        """
        Count that a visit was left.
        """
        ...


class Visit:
    """
    What `Journey.enter` gives. It stands wherever a key stands, and keeps the side that was decided for it.

    It is meant for one request, or one message of a connection that stays open. Only the break-glass file moves it
    afterwards; a rollback meets it when it is entered again.

    Attributes:
        key: The key that it was entered with.
        cohort: The key's cohort.
        sides: By flow, where the visit is served.
        home: What was given as the home of the visit; `UNSET` where nothing was.
        rewritten: The client should be given `token`: it was entered, renamed, moved or left, or its last token is due
            for another.
        migration: Of the journey, where its name is known.
        synthetic: A load test, a probe or a bot is on it: what it does is counted apart.
        kept: For `Flow`: by flow 0 for OLD and 1 for NEW; empty where the visit has a home or is synthetic.
    """

    __slots__ = (
        *("_claims", "_journey", "_lives", "_token", "cohort"),
        *("home", "kept", "key", "migration", "rewritten", "sides", "synthetic"),
    )

    def __init__(
        self,
        journey: Issuer,
        key: object,
        cohort: str | None,
        sides: Mapping[str, Backend],
        claims: Claims | None,
        *,
        home: object = UNSET,
        lives: Backend = Backend.OLD,
        token: str | None = None,
        synthetic: bool = False,
    ) -> None:
        self._journey = journey
        self.migration: str | None = journey.migration
        self._claims = claims
        self._lives = lives
        self._token = token
        self.key = key
        self.cohort = cohort
        self.sides = sides
        self.home = home
        self.rewritten: bool = token is None
        self.synthetic = synthetic
        is_plain = home is UNSET and not synthetic
        self.kept: dict[str, int] = {flow: int(side is Backend.NEW) for flow, side in sides.items()} if is_plain else {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.journey!r} on {self.backend.value}>"

    def __ne__(self, other: object) -> bool:
        # `Flow.route` asks every key whether it is empty text. A visit has no text that could be hashed, and says so
        # in the cheapest way there is.
        return (type(other) is not str or other.__len__() != 0) and self is not other

    @property
    def journey(self) -> str:
        """
        The name of its journey.
        """
        return self._journey.name

    @property
    def backend(self) -> Backend:
        """
        Where the visit is served; where the flows of a sticky journey are on both sides, OLD.

        Where no flow of the journey is known, it is the home that was given, else OLD.
        """
        sides = self.sides.values() or (self._lives,)
        return Backend.NEW if Backend.NEW in sides and Backend.OLD not in sides else Backend.OLD

    @property
    def token(self) -> str:
        """
        What the client brings next time; empty where the visit was left, or where nothing is known to enter.
        """
        if self._token is None:
            self._token = "" if self._claims is None else self._journey.tokens.write(self._claims)
        return self._token

    def leave(self) -> None:
        """
        End the visit: its token becomes empty, to be taken from the client. In hand, it routes on as before.
        """
        if self._claims is not None and not self.synthetic:
            self._journey.left()
        self._claims = None
        self._token = ""
        self.rewritten = True


def is_synthetic(key: object) -> bool:
    """
    Tell whether what stands as a key is the visit of a load test, a probe or a bot.
    """
    return type(key) is Visit and key.synthetic
