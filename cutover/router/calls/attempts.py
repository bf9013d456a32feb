"""
The home of an attempt: the kind and the id under which a switch claims the side of a call.
"""

from hashlib import sha256
from typing import Final

from cutover.claims.ids import LONGEST
from cutover.core.bucketing import BUFFERS, key_bytes
from cutover.errors import ConfigurationError
from cutover.router.strangers import kind_of

__all__ = ["ATTEMPT", "attempt_id"]

ATTEMPT: Final = "attempt"  # the kind of home


def attempt_id(flow: str, key: object) -> str | None:
    """
    Give the id of an attempt: the flow, a colon, and the idempotency key.

    Returns:
        The id. A key that makes it too long, or that is no text, is in it as its SHA-256. None for a key that is None
        or blank, also behind a proxy: such a call has no idempotency key.

    Raises:
        ConfigurationError: If the key names no attempt: its type.
    """
    data = key_bytes(key)
    if data is None and not _is_blank(key):
        raise ConfigurationError(
            f"attempt gave a {kind_of(key)}, which names no attempt; allowed: text, bytes, int, UUID or None"
        )
    if data is None or not data.strip():
        return None
    try:
        id_ = f"{flow}:{data.decode()}"
    except UnicodeDecodeError:
        id_ = ""
    return id_ if 0 < len(id_.encode()) <= LONGEST else f"{flow}:sha256:{sha256(data).hexdigest()}"


def _is_blank(key: object) -> bool:
    try:
        kind = key.__class__  # a proxy gives the class of its object
        if issubclass(kind, type(None)):
            return True
        return not (memoryview(key).tobytes() if issubclass(kind, BUFFERS) else str(key)).strip()  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - a stranger's methods may raise anything
        return False
