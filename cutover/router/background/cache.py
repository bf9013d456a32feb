"""
The last-known-good copy on disk: what a new process runs while the store is away.

One file for each store and migration: a line of JSON with a checksum and the override secret, then the snapshot's
document. It is written whole beside its place and moved there, at mode 0600.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Final

import attrs

from cutover.core.bucketing import well_formed
from cutover.core.snapshot import Snapshot
from cutover.errors import Corrupt
from cutover.files import OWNER_ONLY, write_whole
from cutover.router.log import log

__all__ = ["Cached", "CachedCopy", "default_folder", "place_of"]

FORMAT: Final = 1
PLACE: Final = "cutover"


@attrs.frozen(kw_only=True)
class Cached:
    """
    What the copy holds.
    """

    snapshot: Snapshot
    secret: bytes | None = attrs.field(repr=False)


class CachedCopy:
    """
    The copy of one store and migration.

    Args:
        folder: Where copies are kept; made at the first write.
        store: The store's URL without credentials.
        migration: As it was asked for; None for the only one of the store.
    """

    def __init__(self, folder: Path, store: str, migration: str | None) -> None:
        self.path: Path = folder / f"{place_of(store, migration)}.snapshot"

    def read(self) -> Cached | None:
        """
        Read the copy; one that is not whole is ignored, with a warning.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("cutover.cache_unreadable", path=str(self.path), error=str(error))
            return None
        try:
            return _decode(content)
        except (Corrupt, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("cutover.cache_corrupt", path=str(self.path), error=str(error))
            return None

    def write(self, snapshot: Snapshot, secret: bytes | None) -> None:
        """
        Replace the copy, unless another process has written a newer one; a failure is a warning.
        """
        try:
            held = self.read()
            if held is not None and held.snapshot.head.order > snapshot.head.order:
                return
            write_whole(self.path, _encode(snapshot, secret))
        except OSError as error:
            log.warning("cutover.cache_not_written", path=str(self.path), error=str(error))


def place_of(store: str, migration: str | None) -> str:
    """
    Give the part of a file's name that tells this store and migration from others.
    """
    return hashlib.sha256(well_formed(f"{store}\0{migration or ''}")).hexdigest()[:32]


def default_folder() -> Path | None:
    """
    Give the folder for copies: the user's cache folder, or one of this user alone among the temporary files.

    Returns:
        None where neither is safe: a copy that others may write could route users.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME")
    if home:
        return Path(home, PLACE) if os.environ.get("XDG_CACHE_HOME") else Path(home, ".cache", PLACE)
    folder = Path(tempfile.gettempdir(), f"{PLACE}-{os.getuid()}")
    try:
        folder.mkdir(mode=OWNER_ONLY, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    private = status.st_uid == os.getuid() and status.st_mode & 0o777 == OWNER_ONLY and not folder.is_symlink()
    return folder if private else None


def _encode(snapshot: Snapshot, secret: bytes | None) -> bytes:
    document = snapshot.encode().encode()
    hidden = None if secret is None else secret.hex()
    header = {"format": FORMAT, "checksum": _checksum(hidden, document), "secret": hidden}
    return json.dumps(header).encode() + b"\n" + document


def _decode(content: bytes) -> Cached:
    first, _, document = content.partition(b"\n")
    header = json.loads(first)
    if header["format"] != FORMAT or header["checksum"] != _checksum(header["secret"], document):
        raise Corrupt("the checksum does not match")
    hidden = header["secret"]
    return Cached(snapshot=Snapshot.decode(document), secret=None if hidden is None else bytes.fromhex(hidden))


def _checksum(hidden: str | None, document: bytes) -> str:
    return hashlib.sha256(f"{hidden}\n".encode() + document).hexdigest()
