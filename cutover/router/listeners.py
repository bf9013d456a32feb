"""
The functions of the application that are told of each snapshot, on a thread of their own.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from cutover.callables import is_coroutine_function, is_generator_function
from cutover.core.snapshot import Snapshot
from cutover.errors import ConfigurationError
from cutover.returned import NotRun, finished
from cutover.router.log import log
from cutover.router.strangers import kind_of

__all__ = ["Listener", "Listeners"]

Listener = Callable[[Snapshot], object]


class Listeners:
    """
    Calls functions one after the other, each with the newest snapshot that came after it was added.

    They have a thread while there is something to tell: a function that hangs must hold up neither the follower nor a
    request. It misses the snapshots that come meanwhile, but for the last one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[object, Listener] = {}
        self._owed: dict[object, Snapshot] = {}
        self._thread: threading.Thread | None = None
        self._complaints: set[tuple[str, str]] = set()

    def add(self, listener: Listener) -> Callable[[], None]:
        """
        Call a function from now on; give what removes it again.

        Raises:
            ConfigurationError: If it is no function that can be called from a thread.
        """
        if not callable(listener) or is_coroutine_function(listener) or is_generator_function(listener):
            raise ConfigurationError(
                f"the listener is {listener!r:.100}; allowed: a function made with def, called as listener(snapshot)"
            )
        number = object()
        with self._lock:
            self._listeners[number] = listener
        return partial(self._remove, number)

    def tell(self, snapshot: Snapshot) -> None:
        """
        Have every function called with a snapshot; never waits for one.
        """
        with self._lock:
            self._owed = dict.fromkeys(self._listeners, snapshot)
            if self._owed and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cutover-listeners", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the process ends
                    self._thread = None

    def join(self) -> None:
        """
        Wait until every function has been called, unless one of them waits.
        """
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def after_fork(self) -> None:
        """
        Begin anew in a child: the thread is the parent's. The functions stay.
        """
        self._lock = threading.Lock()
        self._owed = {}
        self._thread = None

    def _run(self) -> None:
        while (call := self._next()) is not None:
            listener, snapshot = call
            try:
                finished(listener(snapshot), "listener")
            except BaseException as error:  # noqa: BLE001 - the application's function may raise anything
                self._complain(listener, str(error) if isinstance(error, NotRun) else kind_of(error))

    def _next(self) -> tuple[Listener, Snapshot] | None:
        with self._lock:
            for number in tuple(self._owed):
                snapshot = self._owed.pop(number)
                if number in self._listeners:
                    return self._listeners[number], snapshot
            self._thread = None
            return None

    def _remove(self, number: object) -> None:
        with self._lock:
            self._listeners.pop(number, None)

    def _complain(self, listener: Listener, error: str) -> None:
        with suppress(Exception):
            name = getattr(listener, "__qualname__", kind_of(listener))
            if (name, error) not in self._complaints:
                self._complaints.add((name, error))
                log.error("cutover.listener_raised", listener=name, error=error)
