"""
The router: what an application process holds, from `connect` to `close`.
"""

import atexit
import os
import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Final, Self

from cutover.core.bucketing import well_formed
from cutover.core.snapshot import Snapshot
from cutover.errors import ConfigurationError
from cutover.ports.store import Source
from cutover.router.background.follower import Follower
from cutover.router.background.housekeeping import Housekeeper
from cutover.router.background.reporting import Reporter
from cutover.router.flow import Flow
from cutover.router.fork_hook import leaked, look_after
from cutover.router.holding import Holding
from cutover.router.journey import Journey
from cutover.router.listeners import Listener
from cutover.router.log import log
from cutover.router.metrics.telemetry import Telemetry
from cutover.router.tokens import Tokens

__all__ = ["Parts", "Router"]

LEAVE_WITHIN: Final = 0.7  # seconds that `close` waits for a store that does not answer


class Worker:
    """
    A daemon thread that runs until told to stop.
    """

    def __init__(self, name: str, run: Callable[[Callable[[float], bool]], None]) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=run, args=(self._stop.wait,), name=f"cutover-{name}", daemon=True)

    def start(self) -> None:
        """
        Begin.
        """
        self._thread.start()

    def stop(self) -> None:
        """
        Ask it to end, without waiting.
        """
        self._stop.set()

    def join(self, until: float) -> bool:
        """
        Wait for its end, up to an instant of the monotonic clock; False where it goes on.
        """
        self._thread.join(max(0.0, until - monotonic()))
        return not self._thread.is_alive()


class Parts:
    """
    What a router is made of; `connect` puts it together, tests may as well.

    Attributes:
        reopen: Gives the source again for a child process; what was opened before a fork is not used after it.
        tokens: Signs visits; None without a secret.
    """

    def __init__(
        self,
        holding: Holding,
        follower: Follower,
        housekeeper: Housekeeper,
        telemetry: Telemetry,
        reporter: Reporter,
        reopen: Callable[[], Source],
        tokens: Tokens | None = None,
    ) -> None:
        self.holding = holding
        self.follower = follower
        self.housekeeper = housekeeper
        self.telemetry = telemetry
        self.reporter = reporter
        self.reopen = reopen
        self.tokens = tokens


class Router:
    """
    Routes flows of one migration in this process. Make one with `cutover.connect`, and close it at the end.

    A context manager. One that is not closed lives until the process ends. It survives forks: parent and child each go
    on with threads, counts and an identity of their own.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._holding = parts.holding
        self._telemetry = parts.telemetry
        self._tokens = parts.tokens
        self._pid = os.getpid()
        self._closed = False
        self._start()
        look_after(self)
        # It keeps the router: whoever holds only a flow of it still has its last counts delivered.
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        snapshot = self.snapshot
        held = "nothing yet" if snapshot is None else f"{snapshot.migration} {snapshot.head}"
        return f"<{type(self).__name__} with {held}>"

    def flow(self, name: str) -> Flow:
        """
        Give the handle of a flow. One that the migration does not have routes everything to OLD, reason ``default``.
        """
        self.after_fork()
        flow = self._holding.flow(_readable(name))
        flow.keeps = self._telemetry
        return flow

    def journey(self, name: str) -> Journey:
        """
        Give the handle of a journey. One that the migration does not have gives visits that keep nothing.

        Raises:
            ConfigurationError: If the router was made without a secret: there is nothing to sign tokens with.
        """
        self.after_fork()
        if self._tokens is None:
            raise ConfigurationError(
                f"the journey {name!r} needs a secret for its tokens; allowed: connect(secret=...) or CUTOVER_SECRET"
            )
        journey = self._holding.journey(_readable(name), self._tokens, self._migration)
        journey.keeps = self._telemetry
        return journey

    @property
    def snapshot(self) -> Snapshot | None:
        """
        The snapshot that holds; None where nothing was ever read.
        """
        return self._holding.snapshot

    @property
    def ready(self) -> bool:
        """
        Whether a snapshot holds, from the store, the last-known-good copy or the bootstrap.
        """
        return self.snapshot is not None

    @property
    def regressed(self) -> bool:
        """
        Whether the store has another history than this process runs; it keeps what it has.
        """
        return self._parts.follower.regressed

    def wait_ready(self, timeout: float = 5.0) -> bool:
        """
        Wait until a snapshot holds. Go on where none does: until the store answers, every flow goes to OLD.

        Args:
            timeout: Seconds.

        Returns:
            Whether one holds now. Where none does, that is logged once, as ``cutover.not_ready``.
        """
        return self._holding.loaded.wait(timeout) or self._not_ready()

    async def wait_ready_async(self, timeout: float = 5.0) -> bool:  # noqa: ASYNC109 - as `wait_ready`
        """
        `wait_ready`, for coroutines of asyncio: it holds up no event loop and uses no thread.
        """
        return await self._holding.loaded.wait_async(timeout) or self._not_ready()

    def on_change(self, listener: Listener) -> Callable[[], None]:
        """
        Have a function called with each snapshot that holds from now on, once it holds for every flow.

            stop = router.on_change(lambda snapshot: cache.clear())

        It is called in a thread of the library, never in a request, and not for the snapshot that holds already: read
        `snapshot` after this call. Where changes come faster than it returns, it gets the last one. What it raises is
        logged once for each type, as ``cutover.listener_raised``, and stops nothing. The router holds it, also in
        forked children, until it is removed.

        Args:
            listener: A function made with ``def``. To reach an event loop, it calls `loop.call_soon_threadsafe`.

        Returns:
            A function that removes it; it may be called twice.

        Raises:
            ConfigurationError: If the listener is no such function.
        """
        return self._holding.listen(listener)

    def close(self) -> None:
        """
        Hand over the last counts and end the threads, in under a second also where the store hangs.

        Handles go on routing by what held last, and their counts still reach the metrics. May be called twice.
        """
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        atexit.unregister(self.close)
        until = monotonic() + LEAVE_WITHIN
        for worker in self._workers:
            worker.stop()
        if self._holding.writing is not None:
            self._holding.writing.close()
        ended = [worker.join(until) for worker in self._workers]
        if not all(ended):
            log.warning("cutover.closed_without_store", store=self._parts.follower.source.url)

    def after_fork(self) -> None:
        """
        Go on in a forked child, if this is one; to be called there by servers that run no Python fork hooks (uWSGI).
        """
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        parts = self._parts
        parts.holding.after_fork()
        parts.telemetry.after_fork()
        parts.reporter.after_fork()
        if not self._closed:
            leaked.append((parts.follower.source, self._workers))
            parts.follower.after_fork(parts.reopen())
            self._start()

    def _not_ready(self) -> bool:
        self._holding.note_not_ready()
        return False

    @property
    def _migration(self) -> str | None:
        return self._parts.follower.migration

    def _start(self) -> None:
        parts = self._parts
        self._workers = (
            Worker("housekeeper", parts.housekeeper.run),
            Worker("follower", parts.follower.run),
        )
        for worker in self._workers:
            worker.start()


def _readable(name: object) -> str:
    # A name is a label too, and one lone surrogate in a label would break the whole scrape.
    return well_formed(name if isinstance(name, str) else str(name)).decode()
