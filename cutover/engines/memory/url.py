"""
The name that a ``memory:`` URL holds.
"""

import re
from typing import Final

from cutover.engines.redaction import redacted
from cutover.errors import ConfigurationError

__all__ = ["name_in"]

NAME: Final = re.compile(r"memory:([A-Za-z0-9._-]{1,64})")
ALLOWED: Final = "memory:NAME, with 1 to 64 letters, digits, '.', '_' and '-'"


def name_in(url: str) -> str:
    """
    Give the name.

    Raises:
        ConfigurationError: If the URL can never work: what is allowed.
    """
    if (found := NAME.fullmatch(url)) is None:
        raise ConfigurationError(f"the URL {redacted(url)!r} cannot be opened; allowed: {ALLOWED}")
    return found[1]
