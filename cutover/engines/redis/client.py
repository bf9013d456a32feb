"""
Connections to one Redis or Valkey server: each call with a deadline, the driver's errors translated.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError, RedisError, ResponseError

from cutover.engines.queries import load_queries
from cutover.engines.redis.errors import REFUSED, lost, meaning
from cutover.engines.redis.url import Link, Target
from cutover.errors import Unavailable
from cutover.forks import PerProcess

__all__ = ["DRIVER_ERRORS", "Client"]

CONNECT_WITHIN: Final = 2.0  # seconds
REPLY_WITHIN: Final = 5.0
DRIVER_ERRORS: Final = (RedisError, OSError)
SCRIPTS: Final = load_queries(__package__, "store.lua")

Command = Sequence[str | bytes | int]
Reply = Any


class Client:
    """
    Sends commands from any thread of any process: each has a connection of its own while it needs one.

    The driver's pool and client are not used: they repeat commands whose answer was lost, and a change must not be
    repeated unknown to its writer.
    """

    def __init__(self, target: Target, scripts: Mapping[str, str] = SCRIPTS) -> None:
        self.target = target
        self.closed: bool = False
        self._scripts = scripts
        self._digests = {name: _digest(text) for name, text in scripts.items()}
        self._idle: PerProcess[list[Link]] = PerProcess(list)

    def connect(self, *, reply_within: float = REPLY_WITHIN) -> Link:
        """
        Make a connection, which the caller lets go of.

        Raises:
            One of `DRIVER_ERRORS`.
        """
        connection = self.target.kind(
            **self.target.options,
            socket_connect_timeout=CONNECT_WITHIN,
            socket_timeout=reply_within,
            protocol=2,
        )
        try:
            connection.connect()
        except BaseException:
            connection.disconnect()
            raise
        return connection

    def call(self, *command: str | bytes | int) -> Reply:
        """
        Send a command that writes nothing, and give its reply.
        """
        return self._checked(self.exchange([command], writing=False)[0])

    def run(self, script: str, keys: Sequence[str], *arguments: str | bytes | int, writing: bool = False) -> Reply:
        """
        Run a script by its name, and give its reply.
        """
        return self.run_and(script, keys, *arguments, then=(), writing=writing)[0]

    def run_and(
        self,
        script: str,
        keys: Sequence[str],
        *arguments: str | bytes | int,
        then: Sequence[Command],
        writing: bool = True,
    ) -> Sequence[Reply]:
        """
        Run a script and send further commands right behind it, in one round trip.

        Returns:
            The script's reply, and those of the others; among them a refusal is an error as a value.
        """
        rest = (len(keys), *keys, *arguments)
        replies = self.exchange([("EVALSHA", self._digests[script], *rest), *then], writing=writing)
        if isinstance(replies[0], NoScriptError):  # a server that was restarted forgets its scripts
            replies = self.exchange([("EVAL", self._scripts[script], *rest), *then], writing=writing)
        return [self._checked(replies[0]), *replies[1:]]

    def exchange(self, commands: Sequence[Command], *, writing: bool) -> Sequence[Reply]:
        """
        Send commands in one go and read as many replies; a refusal is an error as a value.

        Raises:
            Unavailable: If there is no connection, or it was lost; in doubt if *writing* and something was sent.
        """
        connection = self._take()
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            replies = [_reply(connection) for _ in commands]
        except REFUSED as error:
            connection.disconnect()
            raise meaning(self.target.url, error) from error
        except DRIVER_ERRORS as error:
            connection.disconnect()
            raise lost(self.target.url, error, in_doubt=writing) from error
        except BaseException:  # a signal in the middle: the next reply would be taken for another's
            connection.disconnect()
            raise
        self._give_back(connection)
        return replies

    def close(self) -> None:
        """
        Let go of every connection that nobody uses now; the others follow when they come back.
        """
        self.closed = True
        idle = self._idle.get()
        while idle:
            _pop_and_disconnect(idle)

    def _take(self) -> Link:
        if self.closed:
            raise Unavailable(f"the store {self.target.url} was closed")
        idle = self._idle.get()
        while idle:
            try:
                connection = idle.pop()
            except IndexError:
                break
            if _is_clean(connection):
                return connection
            connection.disconnect()
        try:
            return self.connect()
        except REFUSED as error:
            raise meaning(self.target.url, error) from error
        except DRIVER_ERRORS as error:
            raise lost(self.target.url, error, in_doubt=False) from error

    def _give_back(self, connection: Link) -> None:
        idle = self._idle.get()
        idle.append(connection)
        if self.closed:
            _pop_and_disconnect(idle)

    def _checked(self, reply: Reply) -> Reply:
        if isinstance(reply, ResponseError):
            raise meaning(self.target.url, reply) from reply
        return reply


def _digest(script: str) -> str:
    return hashlib.sha1(script.encode()).hexdigest()  # noqa: S324 - Redis names scripts by it


def _reply(connection: Link) -> Reply:
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def _is_clean(connection: Link) -> bool:
    """
    Tell whether a connection is open and has nothing to read: a server that went away leaves its end to be read.
    """
    try:
        return not connection.can_read(timeout=0)
    except DRIVER_ERRORS:
        return False


def _pop_and_disconnect(idle: list[Link]) -> None:
    try:
        idle.pop().disconnect()
    except IndexError:  # another thread was faster
        return
