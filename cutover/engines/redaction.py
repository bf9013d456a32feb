"""
URLs without what must not be shown.
"""

import re
from typing import Final

__all__ = ["redacted"]

LOCAL: Final = ("memory", "sqlite", "file")
SECRET_OPTION: Final = re.compile(r"([?&][^=&#]*(?:pass|secret|token|key)[^=&#]*=)[^&#]*", re.IGNORECASE)


def redacted(url: str) -> str:
    """
    Name a store without credentials: user, password and secret options are taken out.
    """
    scheme, colon, rest = url.partition(":") if ":" in url else ("", "", url)
    if scheme in LOCAL and not rest.startswith("//"):
        return url
    slashes = "//" if rest.startswith("//") else ""
    body = rest.removeprefix(slashes)
    if body.startswith("/"):
        return url if scheme in LOCAL else SECRET_OPTION.sub(r"\1***", url)
    _, at, host = body.rpartition("@")  # a password may hold anything, "@", "/" and "?" too
    shown = f"***@{host}" if at else body
    return SECRET_OPTION.sub(r"\1***", f"{scheme}{colon}{slashes}{shown}")
