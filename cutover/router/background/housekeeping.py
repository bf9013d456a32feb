"""
What a router does besides following its store, on a thread of its own: a store that hangs must not stop it.
"""

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final

from cutover.core.break_glass import parse_break_glass
from cutover.errors import ConfigurationError
from cutover.forks import LOADING
from cutover.router.background.follower import Follower
from cutover.router.background.reporting import Reporter
from cutover.router.holding import Holding
from cutover.router.log import log
from cutover.router.metrics.telemetry import Telemetry
from cutover.router.notices import NoticeBoard

__all__ = ["BreakGlass", "Housekeeper"]

TICK: Final = 0.25  # seconds between looks at the break-glass file
FLUSH_EVERY: Final = 1.0  # seconds; what a SIGKILL may lose
SILENT_STORE: Final = 5.0  # seconds without an answer after which the store counts as down


class BreakGlass:
    """
    Watches the operators' file; one that is wrong is reported, and the last good lines hold.
    """

    def __init__(self, path: Path | None, holding: Holding) -> None:
        self._path = path
        self._holding = holding
        self._seen: bytes | str | None = None  # the content, or what was wrong with it

    def look(self) -> None:
        """
        Obey the file as it is now; without a file nothing is set.
        """
        if self._path is None:
            return
        try:
            # All of it each time: two edits within one tick of the file system's clock may leave the same size.
            content = self._path.read_bytes()
            if content == self._seen:
                return
            with LOADING.held():
                lines = parse_break_glass(content, str(self._path))
        except FileNotFoundError:
            content, lines = None, {}
        except (OSError, ConfigurationError) as error:
            if str(error) != self._seen:
                log.error("cutover.break_glass_wrong", path=str(self._path), error=str(error))
            self._seen = str(error)
            return
        self._seen = content
        if lines != self._holding.lines:
            self._holding.take_break_glass(lines)
            log.warning("cutover.break_glass", path=str(self._path), lines={f: side.value for f, side in lines.items()})


class Housekeeper:
    """
    Watches the break-glass file, gathers counts, shows health, and logs what requests noticed.
    """

    def __init__(
        self,
        break_glass: BreakGlass,
        holding: Holding,
        follower: Follower,
        telemetry: Telemetry,
        reporter: Reporter,
        notices: NoticeBoard,
    ) -> None:
        self._break_glass = break_glass
        self._holding = holding
        self._follower = follower
        self._telemetry = telemetry
        self._reporter = reporter
        self._notices = notices
        self._flushed = 0.0

    def run(self, stopping: Callable[[float], bool]) -> None:
        """
        Tick until told to stop; then hand over what was counted, and let go of the store.

        Args:
            stopping: Waits so many seconds, and tells whether to stop.
        """
        while not stopping(TICK):
            _guarded(self.tick)
        _guarded(self.flush)
        _guarded(self._follower.leave)

    def tick(self) -> None:
        """
        Do what is due.
        """
        self._break_glass.look()
        if monotonic() - self._flushed >= FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """
        Hand over what was counted, and show how the store stands.
        """
        self._flushed = monotonic()
        self._holding.expire_shadows()
        self._reporter.harvest()
        self._telemetry.refresh_counters()
        self._telemetry.refresh_durations()
        self._telemetry.refresh_age()
        self._telemetry.show_unknown(self._holding.unknown())
        answers = monotonic() - self._follower.stepped < SILENT_STORE
        self._telemetry.show_health(store_up=self._follower.store_up and answers, regressed=self._follower.regressed)
        self._notices.log()


def _guarded(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the thread
        log.error("cutover.housekeeping_failed", error=repr(error))
