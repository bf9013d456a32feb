"""
The folder of one run.
"""

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import attrs

from demo.errors import DemoFailed

__all__ = ["Folder", "fresh_folder"]

MARK: Final = ".cutover-demo"
DEFINITION: Final = Path(__file__).parent / "cutover.toml"
DAY: Final = re.compile(r"^(started|deadline) = (\S+)$", re.MULTILINE)


@attrs.frozen
class Folder:
    """
    Where everything of a run lies.
    """

    path: Path

    @property
    def store(self) -> str:
        """
        The URL of the store, relative to the current folder where it can be.
        """
        return f"sqlite:///{self.path / 'cutover.db'}"

    @property
    def homes(self) -> str:
        """
        The URL of the homes: a file of their own, so that orders do not wait for what routers tell the store.
        """
        return f"sqlite:///{self.path / 'homes.db'}"

    @property
    def outbox(self) -> str:
        """
        The URL of the outbox of mirrored writes, for the same reason a file of its own.
        """
        return f"sqlite:///{self.path / 'outbox.db'}"

    @property
    def definition(self) -> Path:
        """
        The definition that is applied.
        """
        return self.path / "cutover.toml"

    @property
    def logs(self) -> Path:
        """
        What the processes log.
        """
        return self.path / "logs"

    @property
    def metrics(self) -> Path:
        """
        Where the application's processes leave their counters for the exporter.
        """
        return self.path / "prometheus"

    @property
    def cache(self) -> Path:
        """
        The last-known-good copies of the routers.
        """
        return self.path / "cache"

    @property
    def trails(self) -> Path:
        """
        What the application's processes write down of the requests of purchases.
        """
        return self.path / "trails"

    def database(self, shop: str) -> Path:
        """
        The database of a back end.
        """
        return self.path / f"{shop}.db"


@contextmanager
def fresh_folder(path: Path, *, today: date) -> Iterator[Folder]:
    """
    Make the folder anew for a block; a migration that begins today is defined in it.

    Raises:
        DemoFailed: If the path holds something that no demo has left there, or another demo runs in it.
    """
    folder = Folder(path)
    with _only_run_in(path):
        for one in set(path.iterdir()) - {path / MARK}:
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        for one in (folder.logs, folder.metrics, folder.cache, folder.trails):
            one.mkdir()
        folder.definition.write_text(_beginning(DEFINITION.read_text(encoding="utf-8"), today), encoding="utf-8")
        yield folder


@contextmanager
def _only_run_in(path: Path) -> Iterator[None]:
    """
    Keep other runs out of the folder for a block. The system lets them in again when this process ends.
    """
    if path.exists() and not (path / MARK).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise DemoFailed(f"{path} is there and was not left by a demo; move it away, or give --folder")
    path.mkdir(parents=True, exist_ok=True)
    with (path / MARK).open("a") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            own = "python -m demo --folder ANOTHER"
            raise DemoFailed(f"another demo runs in {path}; wait for its end, or run this one by: {own}") from error
        yield


def _beginning(text: str, today: date) -> str:
    """
    Move the dates of a definition so that it begins today and takes as long.
    """
    days = {name: date.fromisoformat(day) for name, day in DAY.findall(text)}
    moved = today - days["started"]
    return DAY.sub(lambda found: f"{found[1]} = {days[found[1]] + timedelta(moved.days)}", text)
