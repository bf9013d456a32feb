"""
The emergencies of one migration at one relay, kept on disk.
"""

import json
import threading
from collections.abc import Iterable
from pathlib import Path

import attrs

from cutover.core.fields import typed
from cutover.core.floor import Emergency
from cutover.errors import Corrupt
from cutover.files import write_whole
from cutover.router.log import log

__all__ = ["Floors"]


class Floors:
    """
    What was given and not lifted yet, oldest first; at most one for each target.

    Args:
        path: The file; None to keep nothing.

    Attributes:
        kept: What holds is on disk.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.kept: bool = path is not None
        self.emergencies: tuple[Emergency, ...] = tuple(self._read())

    @property
    def pending(self) -> tuple[Emergency, ...]:
        """
        Give those that the ledger does not show yet.
        """
        return tuple(one for one in self.emergencies if not one.change)

    def give(self, emergency: Emergency) -> Emergency:
        """
        Hold one more; where one for the target holds already, that one stays: giving twice does no harm.

        Returns:
            What holds for the target.
        """
        with self._lock:
            for one in self.emergencies:
                if one.target == emergency.target:
                    return one
            self._set((*self.emergencies, emergency))
        return emergency

    def entered(self, emergency: Emergency, change: str) -> None:
        """
        Note that the ledger shows one.
        """
        with self._lock:
            self._set(attrs.evolve(o, change=change) if o == emergency else o for o in self.emergencies)

    def lift(self) -> None:
        """
        Hold nothing any more.
        """
        with self._lock:
            self._set(())

    def _set(self, emergencies: Iterable[Emergency]) -> None:
        """
        Hold in memory whatever the disk says: it is an emergency.
        """
        self.emergencies = tuple(emergencies)
        if self._path is None:
            return
        try:
            content = json.dumps([one.document() for one in self.emergencies])
            write_whole(self._path, content.encode())
            self.kept = True
        except OSError as error:
            log.error("cutover.floor_not_kept", path=str(self._path), error=str(error))
            self.kept = False

    def _read(self) -> list[Emergency]:
        """
        Read the file.

        Raises:
            Corrupt: If it cannot be read: to go on without a floor would send users back to what was left in a hurry.
        """
        if self._path is None:
            return []
        try:
            documents = typed(json.loads(self._path.read_bytes()), list)
            return [Emergency.from_document(typed(document, dict)) for document in documents]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Corrupt(
                f"the floor in {self._path} cannot be read ({error!r:.200}); mend it or move it away"
            ) from error
