"""
Who may do what at a relay: bearer tokens, of which only hashes are kept.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, Self

import attrs

from cutover.errors import ConfigurationError
from cutover.server.answers import Problem

__all__ = ["Access", "Role", "Token", "new_token", "parse_tokens"]

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
SCHEME: Final = "bearer"
RANDOM_BYTES: Final = 32


class Role(IntEnum):
    """
    What a token allows; each role may do what those before it may.
    """

    VIEWER = 1  # reads
    ROUTER = 2  # gets the secret of overrides, and checks in
    OPERATOR = 3  # changes, and sets emergency floors
    ADMIN = 4  # adopts, and lifts emergency floors


@attrs.frozen(kw_only=True)
class Token:
    """
    One line of the token file.

    Attributes:
        digest: The hex SHA-256 of the token.
    """

    role: Role
    name: str
    digest: str

    @classmethod
    def parse(cls, line: str, where: str) -> Self:
        """
        Read ``role:name:sha256-hex``.

        Raises:
            ConfigurationError: If it has another form; the line is not shown, as it may hold a token.
        """
        role, _, rest = line.partition(":")
        name, _, digest = rest.partition(":")
        roles = {member.name.lower(): member for member in Role}
        if role not in roles or not NAME.fullmatch(name) or not DIGEST.fullmatch(digest):
            raise ConfigurationError(f"{where} is no token; allowed: ROLE:NAME:SHA256, ROLE one of {', '.join(roles)}")
        return cls(role=roles[role], name=name, digest=digest)

    def __str__(self) -> str:
        return f"{self.role.name.lower()}:{self.name}:{self.digest}"


OPEN: Final = Token(role=Role.ADMIN, name="anybody", digest="")


class Access:
    """
    The tokens that a relay knows; without any, everybody may do everything.
    """

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self.tokens: tuple[Token, ...] = tuple(tokens)

    def admit(self, authorization: str | None, needed: Role) -> Token:
        """
        Give the token that a request's header holds.

        Raises:
            Problem: If there is none that is known, or it may not do this.
        """
        if not self.tokens:
            return OPEN
        holder = self._holder(authorization or "")
        if holder is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="cutover"'}
            raise Problem(401, "unauthorized", "this needs a token that the relay knows", headers=challenge)
        if holder.role < needed:
            has, needs = holder.role.name.lower(), needed.name.lower()
            raise Problem(403, "forbidden", f"the token of {holder.name} is for a {has}, and this needs {needs}")
        return holder

    def _holder(self, authorization: str) -> Token | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != SCHEME:
            return None
        digest = digest_of(token.strip())
        found = None
        for known in self.tokens:  # all of them, so that the time tells nothing
            if hmac.compare_digest(known.digest, digest):
                found = known
        return found


def parse_tokens(text: str, source: str) -> tuple[Token, ...]:
    """
    Read a token file, or what an environment variable holds: one a line, "#" before remarks.

    Raises:
        ConfigurationError: If a line has another form.
    """
    lines = ((number, line.split("#")[0].strip()) for number, line in enumerate(text.splitlines(), start=1))
    return tuple(Token.parse(line, f"{source}, line {number}") for number, line in lines if line)


def new_token(role: Role, name: str) -> tuple[str, Token]:
    """
    Make a token: what its holder is given, and what the relay keeps.
    """
    text = secrets.token_urlsafe(RANDOM_BYTES)
    return text, Token.parse(f"{role.name.lower()}:{name}:{digest_of(text)}", "the name")


def digest_of(token: str) -> str:
    """
    Hash a token; it is random, and so needs no slow hash.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
