"""
Small words that the store contract is written in.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from cutover.core.checkin import CheckIn, Counted, Kind, Totals
from cutover.core.snapshot import Head
from cutover.ports.store import Store

__all__ = [
    "MIGRATION",
    "NOW",
    "PATIENCE",
    "SECRET",
    "Place",
    "check_in",
    "counted",
    "head_of",
    "in_thread",
    "report",
    "until",
    "write",
    "write_many",
]

MIGRATION: Final = "shop"
SECRET: Final = b"\x00secret\xff"
PATIENCE: Final = 30.0  # seconds until something counts as never happening, on a machine that does much else
NOW: Final = datetime(2024, 3, 4, 9, 30, 20, tzinfo=UTC)

Place = Callable[[], Store]
T = TypeVar("T")


def head_of(version: int, *, branch: str = "", epoch: int = 1) -> Head:
    """
    Give the head that a version has on a branch.
    """
    return Head(epoch, version, hashlib.sha256(f"{branch}/{version}".encode()).hexdigest())


def write(
    store: Store,
    expect: Head | None = None,
    *,
    migration: str = MIGRATION,
    branch: str = "",
    change: str | None = None,
    snapshot: str | None = None,
    secret: bytes | None = SECRET,
) -> Head:
    """
    Write one change after *expect*, and give the head after it.
    """
    version = 1 if expect is None else expect.version + 1
    head = head_of(version, branch=branch)
    store.append(
        migration,
        expect=expect,
        head=head,
        change=f"change {version}{branch}" if change is None else change,
        snapshot=f"snapshot {version}" if snapshot is None else snapshot,
        secret=secret,
    )
    return head


def write_many(store: Store, number: int, *, before: Head | None = None) -> Head:
    """
    Write some changes, and give the last head.
    """
    head = write(store, before)
    for _ in range(number - 1):
        head = write(store, head)
    return head


def counted(flow: str = "pay", backend: str = "new", detail: str = "percent") -> Counted:
    """
    Name one number of the totals.
    """
    return Counted(Kind.REQUESTS, flow, backend, detail)


def report(
    instance: str = "a",
    sequence: int = 1,
    *,
    minutes: Mapping[int, Totals] | None = None,
    closing: bool = False,
    **fields: Any,
) -> CheckIn:
    """
    Make a check-in.
    """
    given: dict[str, Any] = {"at": NOW, "host": "web-1", "pid": 17, "started": NOW, "library": "1.2.3", **fields}
    return CheckIn(instance=instance, sequence=sequence, minutes=minutes or {}, closing=closing, **given)


def check_in(store: Store, instance: str = "a", *, now: datetime = NOW) -> None:
    """
    Check one instance in.
    """
    store.check_in(MIGRATION, report(instance), now=now)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """
    Start a thread that does not keep the process alive.
    """
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until(condition: Callable[[], T], seconds: float = 3 * PATIENCE) -> T:
    """
    Ask again and again until something holds, and give it; what was given last where it does not within the time.
    """
    deadline = time.monotonic() + seconds
    pause, wait = 0.002, threading.Event().wait
    while not (found := condition()) and time.monotonic() < deadline:
        wait(pause)
        pause = min(2 * pause, 0.02)  # whoever works on what is waited for needs the processor, too
    return found
