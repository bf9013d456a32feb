"""
A visit: one client's passage through a journey, and the rule by which it keeps its side.

All of a visit stands in a token that the client carries. No process and no store remembers it, so a visit ends by time
alone, and `ttl` bounds how long a lowered dial can drain.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple, Self

from cutover.core.backend import Backend
from cutover.core.defined import Journey
from cutover.core.schema import SCHEMA, check_schema

__all__ = ["SKEW", "SKEW_SECONDS", "UNVERSIONED", "Claims", "Order", "entered", "resumed"]

SKEW: Final = timedelta(seconds=60)  # by so much the clocks of two hosts may differ
SKEW_SECONDS: Final = int(SKEW.total_seconds())
RENEW_AFTER: Final = 60  # seconds; a token that is written at each step would be a cookie in each response

Order = tuple[int, int]  # an epoch and a version

NO_NAMES: Final[Mapping[str, str]] = {}
UNVERSIONED: Final[Order] = (0, 0)  # entered before any snapshot was known, on OLD


class Claims(NamedTuple):
    """
    What a token says. A tuple, because one is made for each request that brings a token.

    Attributes:
        audience: The migration and the journey that it is for, as ``tokopedia/purchase``.
        bearer: A digest of the key that it is bound to.
        sides: By flow, where the visit is served.
        order: The (epoch, version) up to which evictions have been heeded.
        cohort: The key's cohort when it was last given.
        born: When the visit was entered; seconds since 1970, as are `seen` and `until`.
        seen: Its last step, to a minute.
        until: The end of its time to live, by the definition that held when it was entered.
        idle: Seconds without a step after which it ends, by the same definition.
    """

    audience: str
    bearer: str
    sides: Mapping[str, Backend]
    order: Order
    cohort: str | None
    born: int
    seen: int
    until: int
    idle: int

    @property
    def expires(self) -> int:
        """
        When the visit is over unless there is another step.
        """
        return min(self.until, self.seen + self.idle)

    def is_over(self, now: float) -> bool:
        """
        Tell whether the visit has ended, by a clock that may be a minute behind the one that wrote the token.
        """
        return now > self.expires + SKEW_SECONDS

    def is_early(self, now: float) -> bool:
        """
        Tell whether the token was written further in the future than clocks may differ.
        """
        return max(self.born, self.seen) > now + SKEW_SECONDS

    def is_due(self, now: float) -> bool:
        """
        Tell whether the client needs a newer token, lest an active visit looks idle.
        """
        return now - self.seen > min(RENEW_AFTER, self.idle // 4)

    def document(self) -> dict[str, Any]:
        """
        Give the claims as they stand in a token; the format is `docs/reference/token.md`.
        """
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "aud": self.audience,
            "sub": self.bearer,
            "old": " ".join(flow for flow, side in self.sides.items() if side is Backend.OLD),
            "new": " ".join(flow for flow, side in self.sides.items() if side is Backend.NEW),
            "at": list(self.order),
            "iat": self.born,
            "seen": self.seen,
            "until": self.until,
            "idle": self.idle,
            "exp": self.expires,
        }
        if self.cohort is not None:
            document["cohort"] = self.cohort
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """
        Read claims; fields that this version does not know are ignored.

        Raises:
            Corrupt: If the schema's major is unknown.
            KeyError, TypeError, ValueError: If a field is missing, or is not what `document` writes.
        """
        if document["schema"] != SCHEMA:
            check_schema(document, "the token")
        epoch, version = document["at"]
        cohort = document.get("cohort")
        old, new = document["old"], document["new"]
        born, seen, until, idle = document["iat"], document["seen"], document["until"], document["idle"]
        numbers = (epoch, version, born, seen, until, idle, document["exp"])
        texts = (document["aud"], document["sub"], old, new, "" if cohort is None else cohort)
        # As two sets, because this is done for each request that brings a token.
        if set(map(type, numbers)) != {int} or min(numbers) < 0 or set(map(type, texts)) != {str}:
            raise ValueError("a field of the token is of another type")
        sides = dict.fromkeys(old.split(), Backend.OLD)
        sides.update(dict.fromkeys(new.split(), Backend.NEW))
        claims = cls(document["aud"], document["sub"], sides, (epoch, version), cohort, born, seen, until, idle)
        if claims.expires != document["exp"]:
            raise ValueError(f"exp is {document['exp']}, and the rest says {claims.expires}")
        return claims


def entered(
    journey: Journey, decide: Callable[[str], Backend], former: Mapping[str, str] = NO_NAMES
) -> dict[str, Backend]:
    """
    Give the sides of a visit that begins: every flow is decided once, those of a `together` journey as one.

    Args:
        decide: Gives the side that the flags say for a flow and the visit's key.
        former: By a name that a flow had before, the name that it has. A visit holds the side under each of them, so
            that processes of an older release keep it too.
    """
    if journey.together:
        sides = dict.fromkeys(journey.flows, decide(journey.flows[0]))
    else:
        sides = {flow: decide(flow) for flow in journey.flows}
    return _with_former(sides, former)


def resumed(
    journey: Journey | None,
    claims: Claims,
    evictions: Mapping[str, Order],
    decide: Callable[[str], Backend],
    former: Mapping[str, str] = NO_NAMES,
) -> tuple[dict[str, Backend], bool]:
    """
    Give the sides of a visit that goes on, and whether it was evicted.

    A flow keeps the side that the token says, also one that has left the journey since. A NEW side is evicted iff the
    token is older than the last eviction of the flow, in a `together` journey of any flow; it is then decided as if the
    visit began now. A flow that came into the journey since follows the others of a `together` journey. Without others
    it is decided by itself, and OLD where the visit was entered before anything was known.

    Args:
        journey: As it is defined now; None where it is not, or not known.
        evictions: By flow, the (epoch, version) of its last eviction; as in `Snapshot.evictions`.
        decide: As for `entered`.
        former: As for `entered`. A flow that was renamed since keeps the side that the token says under an older name.
    """
    sides = dict(claims.sides)
    for old, flow in former.items():
        if old in sides:
            sides.setdefault(flow, sides[old])
    claims = claims._replace(sides=dict(sides)) if former else claims
    flows = () if journey is None else journey.flows
    evicted = _evicted(journey, claims, evictions)
    for flow in evicted:
        if flow in flows:
            sides[flow] = decide(flow)
        else:
            del sides[flow]
    newcomers = [flow for flow in flows if flow not in sides]
    if journey is not None and newcomers:
        followed = _followed(journey, claims, sides)
        for flow in newcomers:
            sides[flow] = followed or decide(flow)
    return _with_former(sides, former), bool(evicted)


def _with_former(sides: dict[str, Backend], former: Mapping[str, str]) -> dict[str, Backend]:
    return {**sides, **{old: sides[flow] for old, flow in former.items() if flow in sides}} if former else sides


def _evicted(journey: Journey | None, claims: Claims, evictions: Mapping[str, Order]) -> list[str]:
    """
    Name the flows whose NEW side is older than an eviction that holds for them.
    """
    on_new = [flow for flow, side in claims.sides.items() if side is Backend.NEW]
    together = journey.flows if journey is not None and journey.together else ()
    late = {flow for flow in (*claims.sides, *together) if claims.order < evictions.get(flow, UNVERSIONED)}
    return on_new if together and late else [flow for flow in on_new if flow in late]


def _followed(journey: Journey, claims: Claims, sides: Mapping[str, Backend]) -> Backend | None:
    """
    Give the side that a flow goes to which came into the journey since; None where it is decided by itself.
    """
    others = {sides[flow] for flow in journey.flows if flow in sides} if journey.together else set()
    if others:
        return Backend.OLD if Backend.OLD in others else Backend.NEW
    return Backend.OLD if claims.order == UNVERSIONED else None
