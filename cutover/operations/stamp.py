"""
Who changes something and why: the texts that go into the ledger with every change.
"""

import getpass
import os
import socket
import unicodedata
from typing import Final

import attrs

from cutover.errors import ConfigurationError

__all__ = ["LONGEST_REASON", "Stamp", "actor_of", "checked_text"]

LONGEST_REASON: Final = 1000
LONGEST_NAME: Final = 200


@attrs.frozen(kw_only=True)
class Stamp:
    """
    What an operator says about a change.
    """

    actor: str
    reason: str
    ticket: str = ""

    @classmethod
    def make(cls, *, actor: str, reason: object, ticket: object = "") -> "Stamp":
        """
        Check the texts.

        Raises:
            ConfigurationError: If there is no reason, or a text is too long or cannot stand in a ledger.
        """
        reason = checked_text("reason", reason, longest=LONGEST_REASON)
        if not reason:
            raise ConfigurationError("reason is empty; allowed: a few words that say why")
        return cls(actor=actor, reason=reason, ticket=checked_text("ticket", ticket, longest=LONGEST_NAME))


def actor_of(given: object = None) -> str:
    """
    Name who acts: as given, else CUTOVER_ACTOR, else user@host.

    Raises:
        ConfigurationError: If the name is too long or cannot stand in a ledger.
    """
    named = os.environ.get("CUTOVER_ACTOR") if given is None else given
    actor = checked_text("actor", named or f"{_user()}@{socket.gethostname()}", longest=LONGEST_NAME)
    if not actor:
        raise ConfigurationError("actor is empty; allowed: a name")
    return actor


def checked_text(what: str, value: object, *, longest: int) -> str:
    """
    Strip a text that goes into the ledger, and refuse one that cannot.

    Raises:
        ConfigurationError: If it is no text, is too long, or holds a lone surrogate or a control character.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{what} is {value!r}; allowed: text")
    text = value.strip()
    if len(text) > longest:
        raise ConfigurationError(f"{what} has {len(text)} characters; allowed: up to {longest}")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t":
            raise ConfigurationError(f"{what} holds {character!r}; allowed: text without control characters")
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container's user may have no name; which error depends on the version
        return f"uid-{os.getuid()}"
