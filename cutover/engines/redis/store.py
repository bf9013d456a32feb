"""
``redis://`` and ``rediss://``: a store in one Redis or Valkey server, for many processes on many hosts.

All keys lie in one slot of a cluster, by the tag ``{PREFIX}``, so that one script writes a change, its snapshot and the
list of migrations together. None of them ever expires. What an acknowledgement means depends on the server:
docs/how-to/use-redis.md.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, TypeVar

import attrs
from redis.exceptions import RedisError

from cutover.core.canonical import encode
from cutover.core.checkin import TOO_LATE, CheckIn, Fleet, totals_document
from cutover.core.snapshot import Head
from cutover.engines.redis.client import Client
from cutover.engines.redis.hint import hint_of
from cutover.engines.redis.url import Target
from cutover.engines.watch import Watch
from cutover.engines.writing import check_append, check_expected, oldest_open, oldest_taken, sums
from cutover.errors import Corrupt, StoreError, Unavailable
from cutover.forks import PerProcess
from cutover.ports.store import Durability, Reading

__all__ = ["RedisStore", "opened"]

T = TypeVar("T")

FLUSH_WITHIN: Final = 2000  # milliseconds that an append waits for the server's disk
# Both are asked: some releases (from Redis 7.4, Valkey 8.1; redis/redis#13793) answer WAITAOF before the disk has it,
# unless the log is flushed before every reply; and that alone says nothing while a log is begun anew.
FLUSHED: Final = (("WAITAOF", 1, 0, FLUSH_WITHIN), ("CONFIG", "GET", "appendfsync"))
WORD_HOLDS: Final = 30.0  # seconds; somebody may turn the log on or off
FOLD_AT_ONCE: Final = 1000  # minutes; a script holds up everybody else
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class RedisStore:
    """
    A store under one prefix of a Redis or Valkey server.

    Opening connects to nothing.
    """

    def __init__(self, url: str) -> None:
        self._target = Target.parse(url)
        self._client = Client(self._target)
        self._watches: PerProcess[dict[str, Watch]] = PerProcess(dict)
        self._word = (Durability.ACCEPTED, -WORD_HOLDS)

    @property
    def url(self) -> str:
        """
        Name the source, without credentials.
        """
        return self._target.url

    @property
    def durability(self) -> Durability:
        """
        Say what an acknowledgement of `append` means: what the last one was worth, or else what the server offers.

        Never raises: a server that does not answer promises nothing.
        """
        if self._is_stale():
            self._word = (self._offered(), monotonic())
        return self._word[0]

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that the source holds, sorted.
        """
        names = self._client.call("SMEMBERS", self._key("migrations"))
        return tuple(sorted(self._read_reply(lambda: [name.decode() for name in names])))

    def read(self, migration: str, *, seen: Head | None = None) -> Reading | None:
        """
        Read one migration, as `Source.read` says, in one round trip.
        """
        keys = (self._key(migration, "state"), self._key("migrations"), self._key(migration, "hashes"))
        runs = () if seen is None else (seen.epoch, seen.version, seen.hash)
        watch = self._watch(migration)
        mark = watch.mark(migration)
        reply = self._client.run("read", keys, migration, *runs)
        reading = None if reply is None else self._read_reply(lambda: _reading(reply))
        watch.found(migration, None if reading is None else reading.head, mark)
        return reading

    def wait(self, migration: str, *, seen: Head | None, timeout: float) -> None:
        """
        Return when the store may hold something else than *seen*, or after *timeout* seconds, or when closed.

        What is heard only shortens the pauses; a change that was not heard of is found after a second.
        """
        if not self._client.closed:
            self._watch(migration).wait(migration, seen, timeout, lambda: self._glimpse(migration))

    def close(self) -> None:
        """
        Let go of connections and wake every `wait`; may be called twice, and from any thread.
        """
        self._client.close()
        for watch in list(self._watches.get().values()):
            watch.close()

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

        Where the server does not tell in time that the change is on its disk, it is in force all the same, and only
        `durability` says less.
        """
        check_append(expect, head, secret)
        keys = [self._key(migration, "state"), self._key("migrations")]
        keys += [self._key(migration, "hashes"), self._key(migration, "changes")]
        at = (migration, self._key(migration, "changed"), _head_text(expect), head.epoch, head.version, head.hash)
        asks = self._is_stale() or self._word[0] is Durability.DURABLE_ON_NODE
        put = (*at, change, snapshot, secret or b"")
        try:
            written, *flushed = self._client.run_and("append", keys, *put, then=FLUSHED if asks else ())
        except Unavailable as error:
            if error.in_doubt:  # should it turn out to be in force, nobody knows whether it is on a disk
                self._word = (Durability.ACCEPTED, monotonic())
            raise
        if written != b"written":
            actual = self._read_reply(lambda: _head(written.decode().split(" ")[1:]))
            check_expected(migration, expect, actual)
            raise Corrupt(f"{self.url} holds a head of {migration} that this library did not write")
        if asks:
            self._word = (_worth(*flushed), monotonic())

    def history(self, migration: str, *, after: int = 0) -> Sequence[str]:
        """
        Give the texts of all changes above a version, oldest first; none where there is no such migration.
        """
        keys = (self._key(migration, "state"), self._key("migrations"), self._key(migration, "changes"))
        texts = self._client.run("history", keys, migration, max(after, 0))
        return tuple(self._read_reply(lambda: [text.decode() for text in texts]))

    def now(self) -> datetime:
        """
        Read the store's own clock, which is the server's.
        """
        seconds, microseconds = self._client.call("TIME")
        return EPOCH + timedelta(seconds=int(seconds), microseconds=int(microseconds))

    def check_in(self, migration: str, report: CheckIn, *, now: datetime) -> None:
        """
        Take a report of a router process, as `Store.check_in` says, in one round trip.
        """
        keys = [self._key(migration, kind) for kind in ("instances", "closed", "minutes", "due", "hours")]
        kept = attrs.evolve(report, at=now, minutes={}).encode()
        who = (report.instance, report.sequence, int(report.closing), int(now.timestamp()), kept)
        limits = (oldest_taken(now), oldest_open(now), int((now - TOO_LATE).timestamp()), FOLD_AT_ONCE)
        minutes = [part for m, totals in report.minutes.items() for part in (m, encode(totals_document(totals)))]
        while self._client.run("check_in", keys, *who, *limits, *minutes, writing=True):
            pass

    def fleet(self, migration: str) -> Fleet:
        """
        Give what is known of the processes; empty where none ever checked in.
        """
        keys = [self._key(migration, kind) for kind in ("instances", "minutes", "hours")]
        reply = self._client.run("fleet", keys)
        return self._read_reply(lambda: _fleet(*reply))

    def _key(self, *parts: str) -> str:
        return ":".join((f"{{{self._target.prefix}}}", *parts))

    def _watch(self, migration: str) -> Watch:
        watches = self._watches.get()
        watch = watches.get(migration)
        if watch is None:
            hint = hint_of(self._client, self._key(migration, "changed"), migration)
            watch = watches.setdefault(migration, Watch(hint))
        if self._client.closed:  # meanwhile, by another thread
            watch.close()
        return watch

    def _glimpse(self, migration: str) -> Head | str | None:
        """
        Give the head alone, or the name of the error that a read would raise.
        """
        try:
            row = self._client.call("HMGET", self._key(migration, "state"), "epoch", "version", "hash")
            return None if row[0] is None else self._read_reply(lambda: _head([part.decode() for part in row]))
        except StoreError as error:
            return type(error).__name__

    def _offered(self) -> Durability:
        try:
            return _worth(*self._client.exchange(FLUSHED, writing=False))
        except StoreError:
            return Durability.ACCEPTED

    def _is_stale(self) -> bool:
        return monotonic() - self._word[1] >= WORD_HOLDS

    def _read_reply(self, reading: Callable[[], T]) -> T:
        """
        Read what the server gave, which somebody else may have written.
        """
        try:
            return reading()
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            raise Corrupt(f"{self.url} holds what this library did not write: {error!r:.300}") from error


def _worth(flushed: Any, policy: Any) -> Durability:
    refused = isinstance(flushed, RedisError) or isinstance(policy, RedisError)
    if refused or flushed[0] < 1 or policy[1:] != [b"always"]:
        return Durability.ACCEPTED
    return Durability.DURABLE_ON_NODE


def _head_text(head: Head | None) -> str:
    return "" if head is None else f"{head.epoch} {head.version} {head.hash}"


def _head(parts: Sequence[str]) -> Head | None:
    if parts == [""]:
        return None
    epoch, version, hash_ = parts
    return Head(int(epoch), int(version), hash_)


def _reading(reply: Sequence[bytes | None]) -> Reading:
    epoch, version, hash_, secret, document, ancestor = reply
    if not epoch or not version or hash_ is None or not secret:
        raise ValueError("the head is not whole")
    return Reading(
        head=Head(int(epoch), int(version), hash_.decode()),
        document=None if document is None else document.decode(),
        secret=secret,
        ancestor=None if ancestor is None else ancestor.decode(),
    )


def _fleet(instances: Iterable[bytes], minutes: Sequence[bytes], hours: Sequence[bytes]) -> Fleet:
    rows = [row.split(b"\n", 1) for row in instances]
    reports = [CheckIn.decode(report) for head, report in rows if head.split(b" ")[1] == b"0"]
    by_minute = zip(minutes[::2], minutes[1::2], strict=True)
    return Fleet(
        instances=tuple(sorted(reports, key=lambda report: report.instance)),
        minutes=sums((int(field.split(b" ", 1)[0]), row.split(b" ", 1)[1]) for field, row in by_minute),
        hours=sums(zip(map(int, hours[::2]), hours[1::2], strict=True)),
    )


opened = RedisStore
