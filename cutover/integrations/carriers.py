"""
Who carries a token between responses and requests: a cookie, a header, or the framework's session.
"""

import re
from collections.abc import Callable, Iterable, MutableMapping
from datetime import timedelta
from typing import Any, Final, Literal, Protocol, Self, runtime_checkable

import attrs

from cutover.callables import is_coroutine_function
from cutover.errors import ConfigurationError
from cutover.integrations.cookies import NAME, cookie_line, cookies_named
from cutover.protocols import Checked
from cutover.returned import finished

__all__ = ["Carrier", "Cookie", "Header", "HeadersOf", "Pair", "Session"]

# Every value of a request's header, by its name in small letters; `:method` is the method, as in HTTP/2.
HeadersOf = Callable[[str], Iterable[str]]
Pair = tuple[str, str]

# What may stand in Path and Domain: nothing unprintable, no ";", and no blank, quote or backslash, after which Django
# would forget what follows.
ATTRIBUTE: Final = re.compile(r"[\x21\x23-\x3a\x3c-\x5b\x5d-\x7e]+")
LONGEST_AGE: Final = timedelta(days=400)  # browsers keep no cookie for longer
SAME_SITE: Final = ("Lax", "Strict", "None")
SAFE: Final = frozenset(("GET", "HEAD"))
HEADER: Final = "Cutover-Visit"
GUEST_HEADER: Final = "Cutover-Guest"
GUEST: Final = "cutover-guest"
GUEST_AGE: Final = timedelta(days=180)


@runtime_checkable
class Carrier(Protocol, metaclass=Checked):
    """
    Takes a text to the client, and gives back what the client brings; which may be anything.
    """

    @property
    def name(self) -> str:
        """
        Under which it carries.
        """
        ...

    def named_for(self, journey: str) -> Self:
        """
        Give the carrier with a name, that of the journey where it has none yet.
        """
        ...

    def for_guests(self) -> "Carrier":
        """
        Give a like carrier for the ids of guests.
        """
        ...

    def read(self, headers: HeadersOf, where: Any) -> list[str]:
        """
        Give every text that the client brought, as it came.

        Args:
            where: The request, as the application's callables get it.
        """
        ...

    def is_withheld(self, headers: HeadersOf) -> bool:
        """
        Tell whether a client that brought nothing may have something all the same.
        """
        ...

    def write(self, text: str, seconds: int, where: Any) -> list[Pair]:
        """
        Give the response headers that hand a text over, or put it where no header is needed.

        Args:
            text: Empty takes away what the client has.
            seconds: For how long it is of use.
        """
        ...


def _is_all(pattern: re.Pattern[str], given: object) -> bool:
    return isinstance(given, str) and pattern.fullmatch(given) is not None


def _check(fine: object, problem: str, allowed: str) -> None:
    if not fine:
        raise ConfigurationError(f"{problem}; allowed: {allowed}")


@attrs.frozen(kw_only=True)
class Cookie:
    """
    A cookie, for browsers.

    Attributes:
        name: Left out, ``cutover-`` and the journey's name. ``__Host-`` and ``__Secure-`` in front of it are minded.
        secure: Sent over https only. Development over http needs False.
        httponly: Not for scripts.
        samesite: Strict would hide it also from links on other sites; None is sent always, and needs `secure`.
        path: Below which it is sent; every page of the journey must be below it.
        domain: Left out, only the host that set it gets it.
        max_age: How long the browser keeps it; left out, as long as the token is honoured.
    """

    name: str = ""
    secure: bool = True
    httponly: bool = True
    samesite: Literal["Lax", "Strict", "None"] = "Lax"
    path: str = "/"
    domain: str | None = None
    max_age: timedelta | None = None

    def __attrs_post_init__(self) -> None:
        name, domain, age = self.name, self.domain, self.max_age
        _check(name == "" or _is_all(NAME, name), f"name is {name!r}", "letters, digits and !#$%&'*+.^_`|~-")
        _check(self.samesite in SAME_SITE, f"samesite is {self.samesite!r}", ", ".join(SAME_SITE))
        _check(
            _is_all(ATTRIBUTE, self.path) and self.path.startswith("/"),
            f"path is {self.path!r}",
            "/ and more, without blanks, quotes, \\ and ;",
        )
        _check(domain is None or _is_all(ATTRIBUTE, domain), f"domain is {domain!r}", "a host name")
        is_age = isinstance(age, timedelta) and timedelta(seconds=1) <= age <= LONGEST_AGE
        _check(age is None or is_age, f"max_age is {age}", "a timedelta of 1 second to 400 days")
        for flag in ("secure", "httponly"):
            _check(isinstance(getattr(self, flag), bool), f"{flag} is {getattr(self, flag)!r}", "True, False")
        _check(self.secure or self.samesite != "None", "samesite is 'None' without secure", "Lax, Strict")
        prefixed = name.startswith(("__Host-", "__Secure-"))
        _check(self.secure or not prefixed, f"name is {name!r} without secure", "another prefix, or secure=True")
        whole = self.path == "/" and domain is None
        _check(
            whole or not name.startswith("__Host-"), f"name is {name!r} with a path or domain", 'path="/", no domain'
        )

    def named_for(self, journey: str) -> Self:
        """
        Give it with a name.
        """
        return self if self.name else attrs.evolve(self, name=f"cutover-{journey}")

    def for_guests(self) -> "Cookie":
        """
        Give a like cookie that outlasts many visits, and is one for all journeys, wherever their pages are.
        """
        prefix = re.match(r"(__Host-|__Secure-)?", self.name)
        return attrs.evolve(self, name=f"{prefix[0] if prefix else ''}{GUEST}", path="/", max_age=GUEST_AGE)

    def read(self, headers: HeadersOf, where: Any) -> list[str]:
        """
        Give the values of all cookies of that name.
        """
        del where
        return cookies_named(self.name, headers("cookie"))

    def is_withheld(self, headers: HeadersOf) -> bool:
        """
        Tell whether a browser sends no such cookie with this request: another site has made it, and not by a link.

        A payment provider that posts its customer back is one: a cookie that is set there would replace the real one.
        """
        if self.samesite == "None" or "cross-site" not in headers("sec-fetch-site"):
            return False
        link = "document" in headers("sec-fetch-dest") and not SAFE.isdisjoint(headers(":method"))
        return self.samesite == "Strict" or not link

    def write(self, text: str, seconds: int, where: Any) -> list[Pair]:
        """
        Set the cookie, or take it away.
        """
        del where
        if text and self.max_age is not None:
            seconds = int(self.max_age.total_seconds())
        return [("Set-Cookie", cookie_line(self.name, text, seconds if text else 0, self._attributes()))]

    def _attributes(self) -> str:
        parts = [f"; Path={self.path}"]
        if self.domain is not None:
            parts.append(f"; Domain={self.domain}")
        if self.secure:
            parts.append("; Secure")
        if self.httponly:
            parts.append("; HttpOnly")
        return f"{''.join(parts)}; SameSite={self.samesite}"


@attrs.frozen(kw_only=True)
class Header:
    """
    A header of that name in requests and responses, for clients that keep no cookies.

    A client keeps what a response says, and brings it with the next request; empty text: it forgets it.

    Attributes:
        name: Left out, ``Cutover-Visit``; several journeys need a name each.
    """

    name: str = HEADER

    def __attrs_post_init__(self) -> None:
        _check(_is_all(NAME, self.name), f"name is {self.name!r}", "letters, digits and !#$%&'*+.^_`|~-")

    def named_for(self, journey: str) -> Self:
        """
        Give it as it is.
        """
        del journey
        return self

    def for_guests(self) -> "Header":
        """
        Give the header of guests' ids.
        """
        return attrs.evolve(self, name=GUEST_HEADER)

    def read(self, headers: HeadersOf, where: Any) -> list[str]:
        """
        Give the header, as often as it came.
        """
        del where
        return [value.strip() for value in headers(self.name.lower())]

    def is_withheld(self, headers: HeadersOf) -> bool:
        """
        Never: clients that do so send it always.
        """
        del headers
        return False

    def write(self, text: str, seconds: int, where: Any) -> list[Pair]:
        """
        Set the header.
        """
        del seconds, where
        return [(self.name, text)]


@attrs.frozen(kw_only=True)
class Session:
    """
    The framework's own session: for clients of which the server remembers something anyway.

    Attributes:
        find: Given the request, gives its session, such as ``lambda scope: scope["session"]``.
        name: The key in it; left out, ``cutover-`` and the journey's name.
    """

    find: Callable[[Any], MutableMapping[str, Any]]
    name: str = ""

    def __attrs_post_init__(self) -> None:
        _check(callable(self.find), f"find is {self.find!r}", "a function of the request")
        _check(not is_coroutine_function(self.find), "find is an async def", "a function made with def")
        _check(isinstance(self.name, str), f"name is {self.name!r}", "text")

    def named_for(self, journey: str) -> Self:
        """
        Give it with a name.
        """
        return self if self.name else attrs.evolve(self, name=f"cutover-{journey}")

    def for_guests(self) -> "Session":
        """
        Give the place of a guest's id in the same session.
        """
        return attrs.evolve(self, name=GUEST)

    def read(self, headers: HeadersOf, where: Any) -> list[str]:
        """
        Give what the session holds, if it is text.
        """
        del headers
        held = self._session(where).get(self.name)
        return [held] if isinstance(held, str) else []

    def is_withheld(self, headers: HeadersOf) -> bool:
        """
        Never, as far as this library can tell: the session's own cookie is the framework's.
        """
        del headers
        return False

    def write(self, text: str, seconds: int, where: Any) -> list[Pair]:
        """
        Keep the text in the session, which needs no header of ours.
        """
        del seconds
        session = self._session(where)
        if text:
            session[self.name] = text
        else:
            session.pop(self.name, None)
        return []

    def _session(self, where: Any) -> MutableMapping[str, Any]:
        session: MutableMapping[str, Any] = finished(self.find(where), "find")
        return session
