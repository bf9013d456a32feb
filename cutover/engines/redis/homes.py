"""
``redis://`` and ``rediss://``: homes in one Redis or Valkey server that has each claim on its disk before it answers.

A server that loses claims would send a payment to both sides, so that one which does not flush its log before each
reply, or which evicts keys, is refused. All keys lie in one slot of a cluster, by the tag ``{PREFIX}``.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any, Final

from redis.exceptions import ResponseError

from cutover.core.backend import Backend
from cutover.engines.queries import load_queries
from cutover.engines.redis.client import Client
from cutover.engines.redis.url import Target
from cutover.errors import ConfigurationError, Corrupt, Unavailable
from cutover.ports.homes import PIECE, Rehomed, Sides, side_in

__all__ = ["RedisEngine", "opened"]

SCRIPTS: Final = load_queries(__package__, "homes.lua")
FLUSH_WITHIN: Final = 2000  # milliseconds that a claim waits for the server's disk
# All are asked for each claim, in its round trip: some releases (from Redis 7.4, Valkey 8.1; redis/redis#13793) answer
# WAITAOF before the disk has it, unless the log is flushed before every reply; and settings may change.
DURABLY: Final = (
    ("WAITAOF", 1, 0, FLUSH_WITHIN),
    ("CONFIG", "GET", "appendfsync"),
    ("CONFIG", "GET", "maxmemory-policy"),
)
NO_REPLICA: Final = ("WAITAOF", 0, 0, 1)  # refused by a replica, and waits for nothing elsewhere
WORD_HOLDS: Final = 30.0  # seconds
NEEDED: Final = (
    "homes need Redis 7.2 or later, or Valkey, with appendonly yes, appendfsync always and maxmemory-policy "
    "noeviction, and a user who may run WAITAOF and CONFIG GET"
)


class RedisEngine:
    """
    Homes under one prefix of a Redis or Valkey server.
    """

    def __init__(self, url: str) -> None:
        self._target = Target.parse(url)
        self._client = Client(self._target, SCRIPTS)
        self._checked_at = -WORD_HOLDS

    @property
    def url(self) -> str:
        """
        Name the place, without credentials.
        """
        return self._target.url

    def create(self) -> None:
        """
        Make the place, empty; nothing where it is.
        """
        self._check_server()
        self._client.run("create", [self._key("homes")], writing=True)

    def migrations(self) -> Sequence[str]:
        """
        Name the migrations that there are homes of.
        """
        return tuple(sorted({migration for migration, _ in self._kinds()}))

    def claim(
        self, migration: str, kind: str, wanted: Mapping[bytes, Backend], keep: timedelta | None
    ) -> Mapping[bytes, Backend]:
        """
        Claim, as `Engine.claim` says, in one round trip.
        """
        sides = self._put("claim", migration, kind, wanted, keep)
        return {id_: self._side(side) for id_, side in zip(wanted, sides, strict=True)}

    def find(self, migration: str, kind: str, ids: Sequence[bytes]) -> Mapping[bytes, Backend]:
        """
        Give the sides of those ids that have a home.
        """
        self._check_server()
        keys = (self._key("homes"), self._key(migration, "homes", kind))
        reply, refusal = self._client.run_and("find", keys, *ids, then=(NO_REPLICA,), writing=False)
        self._check_answers([refusal])  # a replica may lack a claim, and a server becomes one at any time
        sides = self._there(reply)
        return {id_: self._side(side) for id_, side in zip(ids, sides, strict=True) if side}

    def rehome(self, migration: str, kind: str, ids: Sequence[bytes], keep: timedelta | None) -> Rehomed:
        """
        Put each id on NEW, as `Engine.rehome` says.
        """
        sides = self._put("rehome", migration, kind, dict.fromkeys(ids, Backend.NEW), keep)
        return Rehomed.of({id_: self._side(side) for id_, side in zip(ids, sides, strict=True) if side}, ids)

    def counts(self, migration: str) -> Mapping[str, Sides]:
        """
        Count the homes of each kind. While the server makes room for more or fewer, it may give some of them twice.
        """
        seconds, microseconds = map(int, self._client.call("TIME"))
        counted = {
            kind: self._count(self._key(migration, "homes", kind), now=seconds * 1000 + microseconds // 1000)
            for of, kind in self._kinds()
            if of == migration
        }
        return {kind: sides for kind, sides in sorted(counted.items()) if sides != Sides()}

    def close(self) -> None:
        """
        Let go of connections; may be called twice, and from any thread.
        """
        self._client.close()

    def _put(
        self, verb: str, migration: str, kind: str, wanted: Mapping[bytes, Backend], keep: timedelta | None
    ) -> Sequence[bytes]:
        self._check_server()
        keys = [self._key("homes"), self._key(migration, "homes", kind), self._key(migration, "homes-due", kind)]
        length = 0 if keep is None else keep // timedelta(milliseconds=1)
        pairs = [part for id_, side in wanted.items() for part in (id_, side.value)]
        reply, *durably = self._client.run_and("put", keys, verb, f"{migration} {kind}", length, *pairs, then=DURABLY)
        sides: Sequence[bytes] = self._there(reply)
        self._check_durable(durably, in_doubt=True)
        return sides

    def _kinds(self) -> Sequence[tuple[str, str]]:
        """
        Give migration and kind of everything that there may be homes of.
        """
        self._check_server()
        fields = self._there(self._client.run("migrations", [self._key("homes")]))
        return [self._pair(field) for field in fields if field != b"layout"]

    def _count(self, key: str, *, now: int) -> Sides:
        sides, cursor = Sides(), b"0"
        while True:
            cursor, rows = self._client.call("HSCAN", key, cursor, "COUNT", PIECE)
            for row in rows[1::2]:
                side, until = self._home(row)
                if until == 0 or until > now:
                    sides += Sides(**{side.value: 1})
            if cursor == b"0":
                return sides

    def _pair(self, field: bytes) -> tuple[str, str]:
        try:
            migration, kind = field.decode().split(" ")
        except ValueError as error:
            raise self._foreign() from error
        return migration, kind

    def _home(self, row: bytes) -> tuple[Backend, int]:
        try:
            side, _, until = row.decode().split(" ")
            return side_in(self.url, side), int(until)
        except ValueError as error:
            raise self._foreign() from error

    def _foreign(self) -> Corrupt:
        return Corrupt(f"{self.url} has homes that this library did not write")

    def _check_server(self) -> None:
        """
        Look now and then whether the server can keep homes at all, before anything is written.
        """
        if monotonic() - self._checked_at >= WORD_HOLDS:
            self._check_durable(self._client.exchange(DURABLY, writing=False), in_doubt=False)
            self._checked_at = monotonic()

    def _check_durable(self, replies: Sequence[Any], *, in_doubt: bool) -> None:
        """
        Check what the server says of a write, or of none.

        Raises:
            ConfigurationError: If the server is not set up to keep what it acknowledges.
            Unavailable: If its disk does not have it in time.
        """
        self._check_answers(replies)
        flushed, policy, eviction = replies
        for setting, wanted, (_, *actual) in (
            ("appendfsync", b"always", policy or (None,)),
            ("maxmemory-policy", b"noeviction", eviction or (None,)),
        ):
            if actual != [wanted]:
                shown = actual[0].decode(errors="replace") if actual else "hidden"
                raise ConfigurationError(f"{self.url} has {setting} {shown}: {NEEDED}")
        if flushed[0] < 1:
            raise Unavailable(f"{self.url} does not have it on its disk in time", in_doubt=in_doubt)

    def _check_answers(self, replies: Sequence[Any]) -> None:
        for reply in replies:
            if isinstance(reply, ResponseError):
                said = str(reply)[:200]
                if "replica" in said:
                    raise Unavailable(f"{self.url} is a replica, which may lack a claim and is not asked ({said})")
                raise ConfigurationError(f"{self.url} refuses ({said}): {NEEDED}")

    def _there(self, reply: Any) -> Any:
        if reply is None:
            raise Unavailable(f"{self.url} holds no homes yet", missing=True)
        return reply

    def _side(self, text: bytes) -> Backend:
        return side_in(self.url, text.decode(errors="replace"))

    def _key(self, *parts: str) -> str:
        return ":".join((f"{{{self._target.prefix}}}", *parts))


opened = RedisEngine
