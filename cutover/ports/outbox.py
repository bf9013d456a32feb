"""
What an outbox does, and the values that it keeps and answers with.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

import attrs

from cutover.core.backend import Backend
from cutover.errors import Corrupt, Unavailable

__all__ = [
    "DEAD",
    "Act",
    "Entry",
    "Intent",
    "Outbox",
    "Rule",
    "Shortfall",
    "State",
    "Statements",
    "intent_in",
    "no_tables",
    "state_in",
]


class State(StrEnum):
    """
    How far an intent has come; one that has reached both sides, or neither for good, is taken out.
    """

    CALLING = "calling"  # the authoritative side is being called by its holder, while that renews the lease
    UNKNOWN = "unknown"  # nobody knows whether the authoritative side has it; it is to be asked
    PENDING = "pending"  # the authoritative side has it, the other one lacks it
    UNCONFIRMED = "unconfirmed"  # dead letter: nobody can tell whether the authoritative side has it
    UNDELIVERED = "undelivered"  # dead letter: the other side failed too often


DEAD: Final = (State.UNCONFIRMED, State.UNDELIVERED)


@attrs.frozen(kw_only=True)
class Entry:
    """
    What is to be written, before the outbox has it.

    Attributes:
        lane: A digest of the key: what has the same lane in a flow is delivered in order.
        key: The key as JSON.
        side: The authoritative side.
        arguments: The arguments as JSON.
    """

    migration: str
    flow: str
    write: str
    lane: str
    key: str = attrs.field(repr=False)
    side: Backend
    arguments: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Intent:
    """
    What is to be written, as an outbox has it.

    Attributes:
        sequence: Counts the writes of a flow and key; never used twice.
        attempts: How often its side failed in this state.
        error: How the last attempt ended.
        age: Seconds since it was made.
        is_behind: An earlier one of its lane was not delivered when this one was made.
    """

    id: int
    entry: Entry
    sequence: int
    state: State
    attempts: int = 0
    error: str = attrs.field(default="", repr=False)
    age: float = 0.0
    is_behind: bool = False


@attrs.frozen(kw_only=True)
class Rule:
    """
    What is on record of a write, for operators and other processes.

    Attributes:
        allowed_backlog: The largest backlog at which the flow's dial may be changed.
        confirms: Whether the authoritative side can be asked what became of a write.
    """

    flow: str
    name: str
    allowed_backlog: int = 0
    confirms: bool = False


@attrs.frozen(kw_only=True)
class Shortfall:
    """
    What one side lacks of one write.

    Attributes:
        backlog: How many intents; those whose first call is under way are not among them.
        dead: How many of them wait for an operator.
        oldest: Seconds since the oldest was made.
        lacks: By side, how many it lacks; where the outcome is unknown, it may be none.
        blocked: How many keys have a dead letter, which holds up their later writes.
        under_way: How many of the backlog some process is delivering now.
        seen: Seconds since a process put the write on record last; None where none did.
    """

    rule: Rule
    backlog: int = 0
    dead: int = 0
    oldest: float = 0.0
    lacks: Mapping[Backend, int] = attrs.field(factory=dict)
    blocked: int = 0
    under_way: int = 0
    seen: float | None = None


@attrs.frozen(kw_only=True)
class Act:
    """
    What an operator did to dead letters.
    """

    at: datetime
    actor: str
    verb: str
    reason: str
    ids: tuple[int, ...]


class Statements(Protocol):
    """
    What records an intent through a connection of the application, in its open transaction.
    """

    def record(self, connection: Any, entry: Entry) -> Intent:
        """
        Insert an intent that is pending as soon as the transaction is committed.

        Raises:
            ConfigurationError: If the connection has no transaction open that could be rolled back.
            Unavailable: If its database has no outbox, or another one.
        """
        ...

    def withdraw(self, connection: Any, intent: Intent) -> None:
        """
        Take it out again in the same transaction; nothing where that has failed already.
        """
        ...

    def put_back(self, connection: Any, intent: Intent) -> None:
        """
        Write its state and error in the same transaction; nothing where that has failed already.
        """
        ...


class Outbox(Protocol):
    """
    A place that keeps intents. Safe to use from any thread and after a fork; making one connects to nothing.

    Every method but `create` and `close` raises `Unavailable` with `missing` where the place was never made, and
    `Unavailable` where it cannot be reached. What an acknowledged call wrote is durable.

    A holder is a process. What it holds is left alone by the others until its lease is over.
    """

    @property
    def url(self) -> str:
        """
        Name the place, without credentials.
        """
        ...

    def create(self) -> None:
        """
        Make the place, empty; nothing where it is.
        """
        ...

    def register(self, migration: str, rule: Rule) -> None:
        """
        Put a write on record.
        """
        ...

    def record(self, entry: Entry, holder: str, lease: float) -> Intent:
        """
        Store a new intent, calling, with the next sequence of its lane.
        """
        ...

    def transaction(self) -> Statements:
        """
        Give what records intents through connections of the application to the same database.
        """
        ...

    def done(self, intent: Intent) -> None:
        """
        Take an intent out, whoever holds it; nothing where it is gone.
        """
        ...

    def put_back(self, intent: Intent, pause: float, holder: str | None = None) -> None:
        """
        Write an intent's state, attempts and error, and let anybody take it after so many seconds.

        Args:
            holder: Only while it is held by that; None writes it in any case, anew where it is gone.
        """
        ...

    def take(self, migration: str, writes: Collection[str], holder: str, lease: float, limit: int) -> Sequence[Intent]:
        """
        Give intents whose time has come and which are the first of their lane, and hold them.

        One that was still calling has lost its holder: it is given as unknown.

        Args:
            writes: Only of these, each as ``flow name``.
        """
        ...

    def renew(self, ids: Collection[int], holder: str, lease: float) -> None:
        """
        Hold intents for longer.
        """
        ...

    def shortfalls(self, migration: str) -> Sequence[Shortfall]:
        """
        Count what is undelivered, for each write that is on record or has some.
        """
        ...

    def dead(self, migration: str, limit: int) -> Sequence[Intent]:
        """
        List dead letters, oldest first.
        """
        ...

    def revive(self, migration: str, states: Mapping[int, State], act: Act) -> Sequence[int]:
        """
        Give dead letters another state, at once and from no attempt on; tell which were there.
        """
        ...

    def drop(self, migration: str, ids: Collection[int], act: Act) -> Sequence[int]:
        """
        Take dead letters out for good; tell which were there.
        """
        ...

    def acts(self, migration: str, limit: int) -> Sequence[Act]:
        """
        List what operators did, latest first.
        """
        ...

    def close(self) -> None:
        """
        Let go of connections; may be called twice, and from any thread.
        """
        ...


def no_tables(url: str) -> Unavailable:
    """
    Give the error of a place that was never made.
    """
    return Unavailable(f"{url} has no outbox yet; make it with `cutover mirror init`", missing=True)


def intent_in(url: str, row: tuple[Any, ...], *, age: float) -> Intent:
    """
    Read an intent as it was written.

    Args:
        row: Its columns, from the id to the error.
        age: Seconds since it was recorded; by two clocks it may be below 0.

    Raises:
        Corrupt: If it is in no state that there is.
    """
    id_, migration, flow, write, lane, key, side, arguments, sequence, state, attempts, error = row
    return Intent(
        id=id_,
        entry=Entry(
            migration=migration,
            flow=flow,
            write=write,
            lane=lane,
            key=key,
            side=Backend(side),
            arguments=arguments,
        ),
        sequence=sequence,
        state=state_in(url, state),
        attempts=attempts,
        error=error,
        age=max(0.0, age),
    )


def state_in(url: str, text: str) -> State:
    """
    Read a state as it was written.

    Raises:
        Corrupt: If it is none.
    """
    try:
        return State(text)
    except ValueError as error:
        raise Corrupt(f"{url} holds a write in the state {text!r:.50}; allowed: {', '.join(State)}") from error
