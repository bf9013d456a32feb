"""
What a relay keeps on disk, so that it can serve the last known good when it is started while its store is away.

One file for each migration: a line of JSON with a checksum, then what is held. Written whole, at mode 0600.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import attrs

from cutover.core.instants import format_instant, parse_instant
from cutover.core.snapshot import Head
from cutover.errors import Corrupt
from cutover.files import write_whole
from cutover.router.background.cache import place_of
from cutover.router.log import log
from cutover.server.held import Held

__all__ = ["Copies", "Copy"]

FORMAT: Final = 1
ENDING: Final = ".relay"
FLOOR: Final = ".floor"
UNREADABLE: Final = (Corrupt, ValueError, KeyError, TypeError, AttributeError)


@attrs.frozen(kw_only=True)
class Copy:
    """
    One file's content.

    Attributes:
        confirmed_at: When the store last said that this holds; aware, UTC.
    """

    migration: str
    held: Held
    confirmed_at: datetime


class Copies:
    """
    The files of one store in a folder.

    Args:
        folder: Where they are; None to keep nothing.
        store: The store's URL without credentials.
    """

    def __init__(self, folder: Path | None, store: str) -> None:
        self._folder = folder
        self._store = store

    def read(self) -> Iterator[Copy]:
        """
        Read all that are whole; another is left out, with a warning.
        """
        if self._folder is None:
            return
        for path in sorted(self._folder.glob(f"*{ENDING}")):
            try:
                copy = _decode(path.read_bytes())
            except (OSError, *UNREADABLE) as error:
                log.warning("cutover.relay_copy_unreadable", path=str(path), error=str(error))
                continue
            if path == self._path(copy.migration):
                yield copy

    def write(self, copy: Copy) -> None:
        """
        Replace the file of one migration; a failure is a warning.
        """
        if self._folder is None:
            return
        try:
            write_whole(self._path(copy.migration), _encode(copy))
        except OSError as error:
            log.warning("cutover.relay_copy_not_written", migration=copy.migration, error=str(error))

    def floor_path(self, migration: str) -> Path | None:
        """
        Say where a migration's emergencies are kept; None for nowhere.
        """
        return None if self._folder is None else self._path(migration).with_suffix(FLOOR)

    def _path(self, migration: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{place_of(self._store, migration)}{ENDING}"


def _encode(copy: Copy) -> bytes:
    held = copy.held
    body = json.dumps(
        {
            "migration": copy.migration,
            "confirmed_at": format_instant(copy.confirmed_at),
            "head": attrs.asdict(held.head),
            "secret": None if held.secret is None else held.secret.hex(),
            "chain": held.chain,
            "document": held.document,
        }
    ).encode()
    header = {"format": FORMAT, "checksum": hashlib.sha256(body).hexdigest()}
    return json.dumps(header).encode() + b"\n" + body


def _decode(content: bytes) -> Copy:
    first, _, body = content.partition(b"\n")
    header = json.loads(first)
    if header["format"] != FORMAT or header["checksum"] != hashlib.sha256(body).hexdigest():
        raise Corrupt("the checksum does not match")
    document: dict[str, Any] = json.loads(body)
    held = Held(
        head=Head(**document["head"]),
        document=document["document"],
        secret=None if document["secret"] is None else bytes.fromhex(document["secret"]),
        chain=tuple(document["chain"]),
    )
    return Copy(migration=document["migration"], held=held, confirmed_at=parse_instant(document["confirmed_at"]))
