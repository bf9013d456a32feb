"""
Hearing of changes: an engine's subscription on a thread of its own. What it hears is a hint only.

A connection that is lost, frozen or behind a pooler costs nothing but the hint, because every wait looks too.
"""

import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from cutover.chance import CHANCE

__all__ = ["Deaf", "Hint", "Mark", "Subscription"]

FIRST_PAUSE: Final = 0.1  # seconds until the next attempt to listen at the latest, doubled each time
LONGEST_PAUSE: Final = 10.0
DEAF_PAUSE: Final = 300.0  # where a pooler or a replica is in the way, which does not change often
IDLE: Final = 60.0  # seconds without anyone waiting, after which nobody listens
CLOSE_PATIENCE: Final = 0.5


class Mark(NamedTuple):
    """
    How much was heard of a migration at one moment.

    Attributes:
        subscribed: Counts how often a subscription began or ended: something may have been missed then.
        heard: Counts what was heard.
    """

    subscribed: int
    heard: int


class Deaf(Exception):
    """
    Notifications do not reach this connection, and will not soon.
    """


class Hint:
    """
    What one process heard about changes. The thread begins with the first wait and ends when nobody waits any more.

    Args:
        subscribe: Connects, and calls `listen` with the connection; None where nothing is to be heard.
        endings: What a subscription may end with.

    Attributes:
        closing: Set by `close`.
        is_live: Whether there is a subscription.
        is_deaf: Whether it was found out that there is nothing to be heard.
    """

    def __init__(self, subscribe: "Subscription | None", endings: tuple[type[Exception], ...]) -> None:
        self.closing: threading.Event = threading.Event()
        self.is_live: bool = False
        self.is_deaf: bool = False
        self._subscribe = subscribe
        self._endings = endings
        self._changed = threading.Condition()
        self._heard: Counter[str] = Counter()
        self._subscribed = 0
        self._wanted = 0.0
        self._thread: threading.Thread | None = None
        self._bell: socket.socket | None = None

    @property
    def is_closed(self) -> bool:
        """
        Tell whether it was closed.
        """
        return self.closing.is_set()

    def mark(self, migration: str) -> Mark:
        """
        Give a mark of all that was heard so far.
        """
        with self._changed:
            return self._mark(migration)

    def wait(self, migration: str, mark: Mark, seconds: float) -> None:
        """
        Wait until the mark is another one, or the hint is closed, or for so many seconds.
        """
        with self._changed:
            self._wanted = time.monotonic()
            if self._thread is None and self._subscribe is not None and not self.is_closed:
                self._begin(self._subscribe)
            self._changed.wait_for(lambda: self.is_closed or mark != self._mark(migration), seconds)

    def renew(self) -> None:
        """
        Listen anew: a change was found that was not heard of.
        """
        with self._changed:
            if self.is_live:
                self._ring()

    def close(self) -> None:
        """
        Wake all that wait, and let the thread end.
        """
        with self._changed:
            self.closing.set()
            self._ring()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(CLOSE_PATIENCE)

    def listen(self, connection: object, ear: socket.socket, heard: Callable[[], list[str]]) -> None:
        """
        Listen until the connection is lost, the bell rings or nobody waits any more; for subscriptions.

        Args:
            connection: Has a file descriptor, or is one.
            heard: Reads what came: the migrations that changed.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)  # type: ignore[arg-type]
            selector.register(ear, selectors.EVENT_READ)
            self._tell(is_live=True)
            while time.monotonic() - self._wanted < IDLE:
                if any(key.fileobj is ear for key, _ in selector.select(IDLE)):
                    ear.recv(64)
                    return
                self._take(heard())

    def _mark(self, migration: str) -> Mark:
        return Mark(self._subscribed, self._heard[migration])

    def _begin(self, subscribe: "Subscription") -> None:
        ear, self._bell = socket.socketpair()
        run = threading.Thread(target=self._run, args=(subscribe, ear), name="cutover-listen", daemon=True)
        self._thread = run
        run.start()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.send(b"!")

    def _run(self, subscribe: "Subscription", ear: socket.socket) -> None:
        attempt = 0
        while not self._is_over():
            began = time.monotonic()
            try:
                subscribe(self, ear)
            except Deaf:
                self.is_deaf = True
                self.closing.wait(DEAF_PAUSE)
            except self._endings:
                attempt = 0 if time.monotonic() - began > LONGEST_PAUSE else attempt + 1
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 10))
                self.closing.wait(CHANCE.uniform(0, pause))  # not all at once
            finally:
                self._tell(is_live=False)
        ear.close()

    def _is_over(self) -> bool:
        """
        Tell whether nobody waits any more; then the next one that does begins a new thread.
        """
        with self._changed:
            if not self.is_closed and time.monotonic() - self._wanted < IDLE:
                return False
            bell, self._bell, self._thread = self._bell, None, None
            if bell is not None:
                bell.close()
            return True

    def _tell(self, *, is_live: bool) -> None:
        with self._changed:
            self._subscribed += is_live or self.is_live  # what was missed meanwhile is not known
            self.is_live = is_live
            self.is_deaf = self.is_deaf and not is_live
            self._changed.notify_all()

    def _take(self, migrations: list[str]) -> None:
        with self._changed:
            self._heard.update(migrations)
            self._changed.notify_all()


Subscription = Callable[[Hint, socket.socket], None]
