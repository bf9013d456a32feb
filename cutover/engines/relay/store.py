"""
``http://`` and ``https://``: a relay (`cutover serve`) in front of a store, for processes that may not reach that.

Waiting is a long poll. What it answers is given to the read that follows, so that a change costs one round trip.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import attrs

from cutover.chance import CHANCE
from cutover.core.canonical import decode
from cutover.core.checkin import CheckIn, Fleet, read_totals
from cutover.core.fields import field, items
from cutover.core.floor import Emergency
from cutover.core.instants import format_instant, parse_instant
from cutover.core.snapshot import Head
from cutover.engines.relay.link import Answer, Link, tls_context
from cutover.engines.relay.url import RelayAddress
from cutover.engines.writing import check_append
from cutover.errors import Conflict, Corrupt, Refused, StoreError, Unavailable
from cutover.forks import PerProcess
from cutover.ports.store import Durability, Reading

__all__ = ["Floor", "HttpStore", "opened"]

T = TypeVar("T")

LONGEST_WAIT: Final = 25.0  # seconds of one long poll; relays end them after 30
FRESH_CLOCK: Final = 60.0  # seconds that the relay's clock is trusted to go on as this machine's does
FRESH_ANSWER: Final = 0.5  # seconds that a long poll's answer may wait for the read that follows
AFTER_A_FAILURE: Final = 0.2  # seconds of a wait that could not wait
EARLY: Final = 0.1  # seconds
SPREAD: Final = 2.0  # seconds over which clients that were let go come back
REFUSALS: Final = (400, 403, 413, 422)
NO_FLOOR: Final[frozenset[str]] = frozenset()
NO_MIGRATION: Final = "no_migration"


@attrs.frozen(kw_only=True)
class _Clock:
    """
    The relay's clock when it was last heard of.
    """

    said: datetime
    heard: float


@attrs.frozen(kw_only=True)
class _HandedOver:
    """
    What a long poll answered, for the read of the same thread that follows.
    """

    migration: str
    seen: Head | None
    reading: Reading | None
    heard: float


@attrs.frozen(kw_only=True)
class Floor:
    """
    What a relay holds on OLD by itself.

    Attributes:
        emergencies: What was given and not lifted, oldest first.
        flows: All that follows from them, with those of relays behind it.
        kept: It outlives the relay's process.
    """

    emergencies: tuple[Emergency, ...]
    flows: tuple[str, ...]
    kept: bool


class HttpStore:
    """
    A store behind a relay.

    Making it does no I/O but for reading certificates. Connections are kept per process and used by one thread at a
    time.
    """

    def __init__(self, address: RelayAddress) -> None:
        self._address = address
        self._closed = False
        self._wake = PerProcess(threading.Event)
        tls = tls_context(address)
        self._link = PerProcess(lambda: Link(address, tls))
        self._clock: _Clock | None = None
        self._durability: Durability | None = None
        self._handed = threading.local()
        self._floors: dict[str, frozenset[str]] = {}  # by migration, as they were last read

    @property
    def url(self) -> str:
        """
        Name the source, without credentials.
        """
        return self._address.url

    @property
    def durability(self) -> Durability:
        """
        Say what the store behind the relay promises, as the relay says.

        Raises:
            Unavailable: If it was never reached.
        """
        if self._durability is None:
            self._durability = self._described()
        return self._durability

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that the source holds, sorted.
        """
        return self._parsed(self._get("/v1/migrations"), lambda document: items(document, "migrations", str))

    def read(self, migration: str, *, seen: Head | None = None) -> Reading | None:
        """
        Read one migration, as `Source.read` says.
        """
        self._check_open()
        handed = getattr(self._handed, "over", None)
        self._handed.over = None
        if (
            handed is not None
            and (handed.migration, handed.seen) == (migration, seen)
            and time.monotonic() - handed.heard < FRESH_ANSWER
        ):
            reading: Reading | None = handed.reading
            return reading
        return self._read(migration, seen, wait=0)

    def wait(self, migration: str, *, seen: Head | None, timeout: float) -> None:
        """
        Return when the relay has something else than *seen*, or after *timeout* seconds, or when closed.
        """
        deadline = time.monotonic() + timeout
        while not self._closed and (left := deadline - time.monotonic()) > 0:
            floor = self._floors.get(migration, NO_FLOOR)
            try:
                reading = self._read(migration, seen, wait=min(left, LONGEST_WAIT))
            except StoreError:
                self._wake.get().wait(min(left, AFTER_A_FAILURE))
                return
            self._handed.over = _HandedOver(migration=migration, seen=seen, reading=reading, heard=time.monotonic())
            if (None if reading is None else reading.head) != seen or self._floors.get(migration, NO_FLOOR) != floor:
                return
            if (left := deadline - time.monotonic()) > EARLY:
                # The relay is ending and has let go of all its clients: they must not come back at once.
                self._wake.get().wait(CHANCE.uniform(0, min(left, SPREAD)))

    def close(self) -> None:
        """
        End every call that is under way, and refuse what comes later.
        """
        self._closed = True
        self._wake.get().set()
        self._link.get().close()

    def append(
        self,
        migration: str,
        *,
        expect: Head | None,
        head: Head,
        change: str,
        snapshot: str,
        secret: bytes | None = None,
    ) -> None:
        """
        Write one change and the snapshot after it, as `Store.append` says.

        Raises:
            Refused: If the relay finds that the change is not what it says, or the token may not write.
        """
        check_append(expect, head, secret)
        body: dict[str, Any] = {
            "expect": None if expect is None else attrs.asdict(expect),
            "head": attrs.asdict(head),
            "change": change,
            "snapshot": snapshot,
        }
        if secret is not None:
            body["secret"] = secret.hex()
        answer = self._call("POST", _path(migration, "changes"), body=_encoded(body), writes=True)
        if answer.status in REFUSALS:
            error = _error(answer)
            raise Refused(str(error.get("message")), details=error.get("details", ()))
        self._check(answer, writes=True)
        try:
            written = self._parsed(answer, lambda document: _head(field(document, "head", dict)))
        except Corrupt as error:
            raise Unavailable(str(error), in_doubt=True) from error
        if written != head:
            raise Unavailable(f"{self.url} answered for another change", in_doubt=True)

    def history(self, migration: str, *, after: int = 0) -> Sequence[str]:
        """
        Give the texts of all changes above a version, oldest first; none where there is no such migration.
        """
        texts: list[str] = []
        more = True
        while more:
            answer = self._get(_path(migration, "changes", after=max(after, 0) + len(texts)))
            page, more = self._parsed(answer, lambda d: (items(d, "changes", str), field(d, "more", bool)))
            texts.extend(page)
        return tuple(texts)

    def now(self) -> datetime:
        """
        Read the store's clock, as the relay told it with its last answer.
        """
        clock = self._clock
        if clock is None or time.monotonic() - clock.heard > FRESH_CLOCK:
            self._durability = self._described()
            clock = self._clock
        if clock is None:
            raise Corrupt(f"{self.url} did not tell its time")
        return clock.said + timedelta(seconds=time.monotonic() - clock.heard)

    def check_in(self, migration: str, report: CheckIn, *, now: datetime) -> None:
        """
        Take a report of a router process, as `Store.check_in` says; a relay dates it by the clock of its store.
        """
        body = f'{{"now":"{format_instant(now)}","report":{report.encode()}}}'.encode()
        self._check(self._call("POST", _path(migration, "check-ins"), body=body))

    def fleet(self, migration: str) -> Fleet:
        """
        Give what is known of the processes; empty where none ever checked in.
        """
        return self._parsed(self._get(_path(migration, "fleet")), _fleet)

    def emergencies(self, migration: str) -> Floor:
        """
        List the emergency rollbacks that the relay holds.
        """
        return self._parsed(self._get(_path(migration, "emergency")), _floor)

    def give_emergency(self, migration: str, target: str | None, *, actor: str, reason: str, ticket: str = "") -> Floor:
        """
        Have the relay hold a flow or journey on OLD at once, None for every flow, whatever its store does.

        Raises:
            Refused: If the relay knows no such target, or the token may not.
        """
        body = _encoded({"target": target, "actor": actor, "reason": reason, "ticket": ticket})
        return self._floor_after("PUT", _path(migration, "emergency"), body)

    def lift_emergencies(self, migration: str, *, discard: bool = False) -> Floor:
        """
        Let the dials hold again.

        Args:
            discard: Also what the ledger does not show yet.

        Raises:
            Refused: If the ledger does not show a rollback yet, or the token may not.
        """
        path = _path(migration, "emergency", discard=str(discard).lower())
        return self._floor_after("DELETE", path, None)

    def _floor_after(self, method: str, path: str, body: bytes | None) -> Floor:
        answer = self._call(method, path, body=body)
        error = _error(answer)
        if answer.status in (*REFUSALS, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            raise Refused(str(error.get("message") or f"{self.url} gives no emergency floor"))
        self._check(answer)
        return self._parsed(answer, _floor)

    def _read(self, migration: str, seen: Head | None, *, wait: float) -> Reading | None:
        query: dict[str, Any] = {} if seen is None else attrs.asdict(seen)
        query["floor"] = ",".join(sorted(self._floors.get(migration, NO_FLOOR)))
        if wait:
            query["wait"] = f"{wait:.3f}"
        answer = self._call("GET", _path(migration, "snapshot", **query), wait=wait)
        if answer.status == HTTPStatus.NOT_FOUND and _error(answer).get("code") == NO_MIGRATION:
            return None
        self._check(answer)
        reading = self._parsed(answer, _reading)
        self._floors[migration] = reading.floor
        return reading

    def _described(self) -> Durability:
        return self._parsed(self._get("/v1/store"), lambda document: Durability(field(document, "durability", str)))

    def _get(self, path: str) -> Answer:
        answer = self._call("GET", path)
        self._check(answer)
        return answer

    def _call(
        self, method: str, path: str, *, body: bytes | None = None, wait: float = 0, writes: bool = False
    ) -> Answer:
        self._check_open()
        try:
            answer = self._link.get().call(method, path, body=body, wait=wait, writes=writes)
        except Unavailable:
            self._check_open()
            raise
        if answer.now:
            self._clock = _Clock(said=_instant(answer.now), heard=time.monotonic())
        return answer

    def _check(self, answer: Answer, *, writes: bool = False) -> None:
        """
        Raise what an answer that is no success says.
        """
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return
        error = _error(answer)
        code, message = error.get("code"), f"{self.url}: {error.get('message') or f'status {answer.status}'}"
        if code == "conflict":
            raise Conflict(message, expected=str(error.get("expected", "")), actual=str(error.get("actual", "")))
        if code == "corrupt":
            raise Corrupt(message)
        # a proxy's 502 or 504 says nothing of what the relay did
        is_own = bool(code)
        in_doubt = (
            writes and answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and (not is_own or bool(error.get("in_doubt")))
        )
        raise Unavailable(message, in_doubt=in_doubt)

    def _parsed(self, answer: Answer, parse: Callable[[Mapping[str, Any]], T]) -> T:
        try:
            return parse(decode(answer.body, "the answer"))
        except (Corrupt, KeyError, TypeError, ValueError, AttributeError) as error:
            raise Corrupt(f"{self.url} gave an answer that is none of a relay: {error!r:.200}") from error

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"{self.url} was closed")


def _path(migration: str, what: str, **query: Any) -> str:
    path = f"/v1/migrations/{quote(migration, safe='')}/{what}"
    return f"{path}?{urlencode(query)}" if query else path


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _error(answer: Answer) -> Mapping[str, Any]:
    try:
        error = json.loads(answer.body).get("error")
    except (ValueError, AttributeError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def _instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise Corrupt(f"the relay's time cannot be read: {error}") from error


def _reading(document: Mapping[str, Any]) -> Reading:
    secret, ancestor, text = (document.get(name) for name in ("secret", "ancestor", "document"))
    return Reading(
        head=_head(field(document, "head", dict)),
        document=None if text is None else field(document, "document", str),
        secret=None if secret is None else bytes.fromhex(field(document, "secret", str)),
        ancestor=None if ancestor is None else field(document, "ancestor", str),
        age=field(document, "age_ms", int) / 1000,
        floor=frozenset(items(document, "floor", str)),
    )


def _head(document: Mapping[str, Any]) -> Head:
    return Head(field(document, "epoch", int), field(document, "version", int), field(document, "hash", str))


def _floor(document: Mapping[str, Any]) -> Floor:
    return Floor(
        emergencies=tuple(map(Emergency.from_document, items(document, "emergencies", dict))),
        flows=items(document, "floor", str),
        kept=field(document, "kept", bool),
    )


def _fleet(document: Mapping[str, Any]) -> Fleet:
    return Fleet(
        instances=tuple(CheckIn.decode(json.dumps(report)) for report in items(document, "instances", dict)),
        minutes={int(number): read_totals(totals) for number, totals in field(document, "minutes", dict).items()},
        hours={int(number): read_totals(totals) for number, totals in field(document, "hours", dict).items()},
    )


def opened(url: str) -> HttpStore:
    """
    Give what a URL names.
    """
    return HttpStore(RelayAddress.parse(url))
