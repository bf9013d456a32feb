"""
Counts that an ending process could not deliver: left on disk, and delivered by the next one.

A report says which instance counted what in which minute, so it does no harm that it may be delivered twice.
"""

from collections.abc import Callable
from pathlib import Path

from cutover.core.checkin import CheckIn
from cutover.errors import Corrupt
from cutover.files import write_whole
from cutover.ports.store import Store
from cutover.router.log import log

__all__ = ["Leftovers"]

SUFFIX = ".report"


class Leftovers:
    """
    The undelivered reports for one store and migration.

    Args:
        folder: Where they are kept, beside the last-known-good copies.
        name: What tells this store and migration from others.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name

    def keep(self, report: CheckIn) -> None:
        """
        Leave a report on disk; a failure is a warning.
        """
        try:
            write_whole(self._path(report.instance), report.encode().encode())
        except OSError as error:
            log.warning("cutover.report_not_kept", folder=str(self._folder), error=str(error))

    def drop(self, report: CheckIn) -> None:
        """
        Take a report away again, once it is delivered.
        """
        _remove(self._path(report.instance))

    def deliver(self, store: Store, migration: str, tell: Callable[[CheckIn], None]) -> None:
        """
        Bring the store what earlier processes left.

        Args:
            tell: Is given each report before the store is, which then counts its process as closed.

        Raises:
            StoreError: If it does not take them; they stay.
        """
        for path in sorted(self._folder.glob(f"{self._name}.*{SUFFIX}")):
            try:
                report = CheckIn.decode(path.read_bytes())
            except OSError:  # another process was faster
                continue
            except Corrupt as error:
                log.warning("cutover.report_corrupt", path=str(path), error=str(error))
            else:
                tell(report)
                store.check_in(migration, report, now=store.now())
            _remove(path)

    def _path(self, instance: str) -> Path:
        return self._folder / f"{self._name}.{instance}{SUFFIX}"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # the store has it; that it may be brought there again does no harm
        log.warning("cutover.report_not_removed", path=str(path), error=str(error))
