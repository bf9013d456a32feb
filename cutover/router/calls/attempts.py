"""
The home of an attempt: the kind and the id under which a switch claims the side of a call.
"""

from hashlib import sha256
from typing import Final

from cutover.claims.ids import LONGEST
from cutover.core.bucketing import key_bytes
from cutover.errors import ConfigurationError
from cutover.router.strangers import nameless_kind

__all__ = ["ATTEMPT", "attempt_id"]

ATTEMPT: Final = "attempt"  # the kind of home


def attempt_id(flow: str, key: object) -> str | None:
    """
    Give the id of an attempt: the flow, a colon, and the idempotency key.

    Returns:
        The id. A key that makes it too long, or that is no text, is in it as its SHA-256. None for a key that is None
        or blank: such a call has no idempotency key.

    Raises:
        ConfigurationError: If the key names no attempt: its type.
    """
    data = key_bytes(key)
    if data is None and (kind := nameless_kind(key)) is not None:
        raise ConfigurationError(
            f"attempt gave a {kind}, which names no attempt; allowed: text, bytes, int, UUID or None"
        )
    if data is None or not data.strip():
        return None
    try:
        id_ = f"{flow}:{data.decode()}"
    except UnicodeDecodeError:
        id_ = ""
    return id_ if 0 < len(id_.encode()) <= LONGEST else f"{flow}:sha256:{sha256(data).hexdigest()}"
