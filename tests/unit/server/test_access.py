"""
Tokens and roles.
"""

import pytest

from cutover.errors import ConfigurationError
from cutover.server.access import Access, Role, Token, new_token, parse_tokens
from cutover.server.answers import Problem

DIGEST = "a" * 64


def test_roles():
    """
    Each role may do what those before it may, and nothing more.
    """
    held = {role: new_token(role, "someone") for role in Role}
    access = Access(token for _, token in held.values())

    def may(role, needed):
        try:
            return access.admit(f"Bearer {held[role][0]}", needed).role is role
        except Problem as problem:
            return problem.status

    assert {(role, needed): may(role, needed) for role in Role for needed in Role} == {
        (role, needed): True if role >= needed else 403 for role in Role for needed in Role
    }


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic {token}", "{token}", f"Bearer {DIGEST}"]
)
def test_unknown(header):
    """
    Without a known token nobody is admitted; the hash that the relay keeps is no token.
    """
    text, token = new_token(Role.ADMIN, "someone")
    known = Access([token, Token(role=Role.ADMIN, name="other", digest=DIGEST)])
    with pytest.raises(Problem) as caught:
        known.admit(header and header.format(token=text), Role.VIEWER)

    assert (caught.value.status, caught.value.headers) == (401, {"WWW-Authenticate": 'Bearer realm="cutover"'})


def test_token_file():
    """
    Remarks and empty lines are left out, and a line that was made is read back.
    """
    _, made = new_token(Role.ROUTER, "web")
    assert parse_tokens(f"# ours\n\n{made}  # in Jakarta\n", "tokens") == (made,)


@pytest.mark.parametrize(
    "line",
    [
        "root:rina:" + DIGEST,
        "admin:rina",
        "admin::" + DIGEST,
        "admin:rina:" + DIGEST[:-1],
        "admin:rina:" + DIGEST.upper(),
        "secret",
    ],
)
def test_wrong_line(line):
    """
    A wrong line is named by its number and not shown: it may hold a token.
    """
    with pytest.raises(ConfigurationError, match="tokens, line 2") as caught:
        parse_tokens(f"\n{line}\n", "tokens")

    assert line not in str(caught.value)
