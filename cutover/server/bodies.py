"""
What readers of a snapshot are answered, put together once for all that are woken together.
"""

from time import monotonic
from typing import Any, Final

import attrs
from starlette.responses import Response

from cutover.core.canonical import encode
from cutover.core.instants import format_instant
from cutover.core.snapshot import Head
from cutover.server.followed import Followed
from cutover.server.held import Held

__all__ = ["Bodies", "etag_of"]

GOOD_FOR: Final = 0.05  # seconds; the answer's age is that much off
MOST: Final = 32  # a fleet that is woken runs one version, or a few


@attrs.frozen
class _Made:
    """
    An answer, and what it was made of.
    """

    held: Held
    floor: tuple[str, ...]
    at: float
    answer: Response


class Bodies:
    """
    The last answers by migration, reader's version and whether they hold the secret; used on the loop alone.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[str, Head | None, bool], _Made] = {}

    def get(self, followed: Followed, seen: Head | None, *, with_secret: bool) -> Response:
        """
        Give the answer; several requests may be given the same one.
        """
        key = (followed.migration, seen, with_secret)
        made = self._made.get(key)
        held, floor = followed.held, followed.floor
        assert held is not None
        if made is None or made.held is not held or made.floor != floor or monotonic() - made.at > GOOD_FOR:
            if len(self._made) >= MOST:
                self._made.clear()
            headers = {"ETag": etag_of(followed), "Cache-Control": "no-cache"}
            body = _body(followed, held, seen, with_secret=with_secret)
            answer = Response(body, headers=headers, media_type="application/json")
            made = self._made[key] = _Made(held, floor, monotonic(), answer)
        return made.answer


def etag_of(followed: Followed) -> str:
    """
    Tell states apart for HTTP caches.
    """
    held = followed.held
    if held is None:
        return '""'
    floor = "".join(f"-{flow}" for flow in followed.floor)
    return f'"{held.head.epoch}-{held.head.version}-{held.head.hash}{floor}"'


def _body(followed: Followed, held: Held, seen: Head | None, *, with_secret: bool) -> bytes:
    """
    Put the answer together around the document, which is encoded already.
    """
    confirmed = followed.confirmed_at
    small: dict[str, Any] = {
        "migration": followed.migration,
        "head": attrs.asdict(held.head),
        "ancestor": None if seen is None else held.hash_at(seen.version),
        "floor": list(followed.floor),
        "age_ms": round(followed.age() * 1000),
        "confirmed_at": None if confirmed is None else format_instant(confirmed),
    }
    if with_secret and held.secret is not None:
        small["secret"] = held.secret.hex()
    text = encode(small).encode()
    return text if seen == held.head else text[:-1] + b',"document":' + held.encoded + b"}"
