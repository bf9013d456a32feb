"""
One request and its response, as far as one visit is concerned: what every middleware does, without its protocol.

The visit is entered when a handler first asks for it. So a page that asks for none is sent as it is, at hardly any
cost; and the key may come from an authentication that runs inside of the middleware.
"""

from collections.abc import Iterable
from threading import RLock
from typing import Any, Final

from cutover.clock import utc_now
from cutover.core.backend import UNSET
from cutover.core.bucketing import key_bytes
from cutover.core.visit import SKEW_SECONDS
from cutover.errors import ConfigurationError
from cutover.integrations.caching import NOT_MODIFIED, is_private, may_be_shared
from cutover.integrations.carriers import GUEST_AGE, Carrier, HeadersOf, Pair
from cutover.integrations.guests import guest_id_in, new_guest_id
from cutover.integrations.rules import Asking, Rules
from cutover.returned import discard, told, unfinished
from cutover.router.visits import Visit

__all__ = ["SWITCHING", "Exchange", "Exchanges"]

SWITCHING: Final = 101  # the status of a handshake that is accepted
PRIVATE: Final = ("Cache-Control", "private")


class Exchanges(dict[str, "Exchange"]):
    """
    Those of one request, by journey.

    Attributes:
        guests: By carrier, the ids that were made in this request: several journeys share one.
    """

    __slots__ = ("guests",)

    def __init__(self) -> None:
        super().__init__()
        self.guests: dict[Carrier, str] = {}


class Exchange:
    """
    One request and its response. `visit` is for handlers, `owes` and `answer` for the driver.

    Args:
        headers: Gives the headers of the request.
        subject: What the application's functions are called with; None: what the handler came with.
        siblings: The exchanges of the same request; this one joins them.
    """

    __slots__ = (
        *("_brought", "_headers", "_lock", "_owed", "_rules"),
        *("_siblings", "_subject", "_visit", "_where", "_withheld"),
    )

    def __init__(self, rules: Rules, headers: HeadersOf, subject: Any, siblings: Exchanges) -> None:
        self._rules = rules
        self._headers = headers
        self._subject = subject
        self._where: Any = None
        self._siblings = siblings
        self._lock = RLock()  # a framework may run parts of one request in several threads
        self._visit: Visit | None = None
        self._brought: str | None = None
        self._owed = False
        self._withheld = False
        for other in siblings.values():
            rules.check_beside(other._rules)  # noqa: SLF001 - of the same class
        siblings[rules.journey.name] = self

    def visit(self, where: Any, *, key: object = UNSET, home: object = UNSET) -> Visit:
        """
        Enter the visit, or give it if it was entered; under another key or with a home it is entered again from there.

        Whatever the application's functions raise goes to the caller: to go on as a guest instead would take a user
        from a visit.

        Args:
            where: The scope or environ that the handler came with.
            key: The user's key, where the handler knows it better; None for a guest.
            home: As for `Journey.enter`.
        """
        with self._lock:
            if self._visit is None or key is not UNSET or home is not UNSET:
                self._where = where if self._subject is None else self._subject
                self._visit = self._entered(self._visit, key, home)
                self._owed = self._owed or self._visit.rewritten
            return self._visit

    @property
    def owes(self) -> bool:
        """
        Whether there may be something to give to the client.
        """
        return self._visit is not None and (self._owed or self._visit.rewritten)

    def answer(self, status: int, headers: Iterable[Pair]) -> list[Pair]:
        """
        Give the headers that the response needs besides its own; none on one that caches may share.

        May be called again, for the response that replaces this one.

        Args:
            headers: The response's own.
        """
        own = [(name.lower(), value) for name, value in headers]
        if self._visit is None or self._withheld:
            return []
        if may_be_shared(status, own):
            if self._brought is None and status != NOT_MODIFIED:
                self._rules.tell_not_given()
            return []
        added = [pair for pair in self._given(self._visit) if (pair[0].lower(), pair[1]) not in own]
        if added and not is_private(own) and status != SWITCHING:
            added.append(PRIVATE)
        return added

    def _entered(self, before: Visit | None, key: object, home: object) -> Visit:
        rules = self._rules
        was: object
        token: str | None
        if key is UNSET:
            key = self._asked("key", rules.key) if before is None else before.key
        if _is_nameless(key):
            rules.journey.note_nameless(key)
            key = self._guest() or self._new_guest()
        if before is not None:
            if key == before.key and home is UNSET:
                return before
            was, token = before.key, before.token
        else:
            was = self._asked("was", rules.was)
            was = self._guest() if _is_nameless(was) else was
            token = self._brought = self._chosen(key, was)
            self._withheld = token is None and rules.carrier.is_withheld(self._headers)
        synthetic = before.synthetic if before is not None else bool(self._asked("synthetic", rules.synthetic))
        cohort = self._asked("cohort", rules.cohort)
        return rules.journey.enter(key, token=token, cohort=cohort, was=was, home=home, synthetic=synthetic)

    def _asked(self, name: str, function: Asking | None) -> Any:
        answer = None if function is None else function(self._where)
        if word := unfinished(answer):  # as a key it would be another one in each request
            discard(answer)
            allowed = "what needs no await; in async code a handler may give visit_of() the key"
            raise ConfigurationError(f"{name} of the middleware gave {word}; allowed: {allowed}")
        # A key that names nobody is a guest; any other function that was not called would count as an answer.
        return answer if name in ("key", "was") else told(answer, f"{name} of the middleware")

    def _guest(self) -> str | None:
        carrier = self._rules.guest
        if carrier is None:
            return None
        return self._siblings.guests.get(carrier) or guest_id_in(carrier.read(self._headers, self._where))

    def _new_guest(self) -> str | None:
        carrier = self._rules.guest
        return None if carrier is None else self._siblings.guests.setdefault(carrier, new_guest_id())

    def _chosen(self, key: object, was: object) -> str | None:
        """
        Choose among the tokens that came: a cookie that was once set for another path or domain comes beside ours.

        Of those that are bound to the key it is the newest: to choose another would undo what has happened since.
        """
        came = self._rules.carrier.read(self._headers, self._where)
        if len(came) < 2:  # noqa: PLR2004
            return came[0] if came else None
        tokens = self._rules.journey.tokens
        read = {text: tokens.read(text, None) for text in came}
        bound = [
            (it[0].seen, it[0].order, text)
            for text, it in read.items()
            if it is not None and (tokens.is_bound(*it, key) or (was is not None and tokens.is_bound(*it, was)))
        ]
        return max(bound)[2] if bound else came[0]

    def _given(self, visit: Visit) -> list[Pair]:
        rules, token = self._rules, visit.token
        if token == (self._brought or ""):
            return []
        given = rules.carrier.write(token, self._seconds(token), self._where)
        guest = self._guest()
        if token and rules.guest is not None and guest is not None and visit.key == guest:
            given += rules.guest.write(guest, int(GUEST_AGE.total_seconds()), self._where)
        return given

    def _seconds(self, token: str) -> int:
        read = self._rules.journey.tokens.read(token, None)
        # With the time for which it is honoured after its end: it may be a minute older than the visit's last step.
        return 0 if read is None else max(1, read[0].expires + SKEW_SECONDS - int(utc_now().timestamp()))


def _is_nameless(key: object) -> bool:
    return type(key) is not Visit and key_bytes(key) is None
