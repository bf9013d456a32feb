"""
``file:PATH``: a source that is only read: an exported snapshot, or a definition with its dials in version control.
"""

import os
import stat
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs

from cutover.core.gitops import read_rollout
from cutover.core.snapshot import Head, Snapshot
from cutover.engines.redaction import redacted
from cutover.engines.waiting import wait_for_change
from cutover.errors import ConfigurationError, Corrupt, StoreError, Unavailable
from cutover.forks import LOADING, PerProcess
from cutover.ports.store import Reading

__all__ = ["FileSource", "opened"]

SETTLE: Final = 0.1  # seconds; an editor that writes in place is given that long to finish

Signature = tuple[int, ...]


@attrs.frozen
class _Parsed:
    """
    What was in the file, and how it looked from outside then.
    """

    signature: Signature
    snapshot: Snapshot
    document: str


class FileSource:
    """
    A file that others write. It has no secret, so that overrides are ignored, and no chain.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path).absolute()  # a later chdir must not lead to another file
        self._closed = False
        self._wake = PerProcess(threading.Event)
        self._parsed: _Parsed | None = None

    @property
    def url(self) -> str:
        """
        Name the source, without credentials.
        """
        return f"file:{self.path}"

    def migrations(self) -> Sequence[str]:
        """
        Name the migration that the file describes.
        """
        return (self._current().snapshot.migration,)

    def read(self, migration: str, *, seen: Head | None = None) -> Reading | None:
        """
        Read one migration, as `Source.read` says.
        """
        parsed = self._current()
        if parsed.snapshot.migration != migration:
            return None
        head = parsed.snapshot.head
        return Reading(head=head, document=None if head == seen else parsed.document)

    def wait(self, migration: str, *, seen: Head | None, timeout: float) -> None:
        """
        Return when the file may hold something else than *seen*, or after *timeout* seconds, or when closed.
        """
        wait_for_change(
            seen=seen,
            timeout=timeout,
            token=self._token,
            glimpse=lambda: self._glimpse(migration),
            pause=self._pause,
        )

    def close(self) -> None:
        """
        Wake every `wait` and refuse what comes later.
        """
        self._closed = True
        self._wake.get().set()

    def _current(self) -> _Parsed:
        """
        Give what is in the file now; read and checked only where it was changed.
        """
        if self._closed:
            raise Unavailable(f"{self.url} was closed")
        status = self._status()
        parsed = self._parsed
        if parsed is None or parsed.signature != _signature(status):
            parsed = self._parsed = self._load(status)
        return parsed

    def _load(self, status: os.stat_result) -> _Parsed:
        unsettled = SETTLE - (time.time() - status.st_mtime)
        if unsettled > 0:
            self._pause(min(unsettled, SETTLE))  # a half-written file may well be a valid one
        status = self._status()
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise _unavailable(self.path, error) from error
        if _signature(self._status()) != _signature(status):
            raise Unavailable(f"{self.path} is being written")
        at = datetime.fromtimestamp(status.st_mtime, UTC)
        with LOADING.held():
            snapshot, document = _parse(content, str(self.path), at)
        return _Parsed(_signature(status), snapshot, document)

    def _status(self) -> os.stat_result:
        try:
            status = self.path.stat()
        except OSError as error:
            raise _unavailable(self.path, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise Unavailable(f"{self.path} is not a file")
        return status

    def _token(self) -> object:
        try:
            return _signature(self._status())
        except StoreError as error:
            return str(error)

    def _glimpse(self, migration: str) -> Head | str | None:
        try:
            reading = self.read(migration)
        except StoreError as error:
            return str(error)
        return None if reading is None else reading.head

    def _pause(self, seconds: float) -> bool:
        return self._closed or self._wake.get().wait(seconds)


def _parse(content: bytes, source: str, at: datetime) -> tuple[Snapshot, str]:
    try:
        text = content.decode("utf-8-sig")  # Windows editors put a byte order mark first
    except UnicodeDecodeError as error:
        raise Corrupt(f"{source} is not UTF-8: {error}") from error
    if not text.strip():
        raise Corrupt(f"{source} is empty; allowed: an exported snapshot, or a definition with version and [dials]")
    try:
        if text.lstrip().startswith("{"):
            return Snapshot.decode(text), text
        snapshot = read_rollout(text, source, at=at)
    except ConfigurationError as error:
        raise Corrupt(str(error)) from error
    except Corrupt as error:
        raise Corrupt(f"{source}: {error}") from error
    return snapshot, snapshot.encode()


def _signature(status: os.stat_result) -> Signature:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _unavailable(path: Path, error: OSError) -> Unavailable:
    if isinstance(error, FileNotFoundError):
        return Unavailable(f"{path} does not exist")
    return Unavailable(f"{path} cannot be read: {error.strerror or error}")


def opened(url: str) -> FileSource:
    """
    Give what a URL names.

    Raises:
        ConfigurationError: If the URL can never work: what is allowed.
    """
    path = url.removeprefix("file:")
    path = path.removeprefix("//") if path.startswith("///") else path
    if not path or path.startswith("//") or path.endswith("/"):
        allowed = "file:relative/path or file:/absolute/path"
        raise ConfigurationError(f"the URL {redacted(url)!r} cannot be opened; allowed: {allowed}")
    return FileSource(path)
