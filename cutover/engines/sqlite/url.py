"""
The path that a ``sqlite:`` URL names.
"""

from typing import Final

from cutover.engines.redaction import redacted
from cutover.errors import ConfigurationError

__all__ = ["path_in"]

PREFIX: Final = "sqlite:///"
ALLOWED: Final = "sqlite:///relative/path.db or sqlite:////absolute/path.db, without options"


def path_in(url: str) -> str:
    """
    Give the path of the file.

    Raises:
        ConfigurationError: If the URL can never work: what is allowed.
    """
    path = url.removeprefix(PREFIX)
    wrong = path in {url, ""} or path.endswith("/") or "?" in path
    if wrong or path == ":memory:":
        allowed = ALLOWED if wrong else f"{ALLOWED}; memory:NAME is the store without a file"
        raise ConfigurationError(f"the URL {redacted(url)!r} cannot be opened; allowed: {allowed}")
    return path
