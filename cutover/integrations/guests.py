"""
Ids for people who have no user's key yet.
"""

import re
import secrets
from collections.abc import Iterable
from typing import Final

__all__ = ["guest_id_in", "new_guest_id"]

ID: Final = re.compile(r"guest-[A-Za-z0-9_-]{22}")


def new_guest_id() -> str:
    """
    Make an id that nobody else has, nor can guess: 128 bits of chance.
    """
    return f"guest-{secrets.token_urlsafe(16)}"


def guest_id_in(brought: Iterable[str]) -> str | None:
    """
    Find an id of our form. Anything else a client brings is none: it could be the key of a user.
    """
    return next((text for text in brought if ID.fullmatch(text)), None)
