"""
What a router process tells the store about itself every few seconds, and what the store makes of it.

Counts travel as cumulative totals of whole UTC minutes: sending a minute again, late or out of order does no harm,
because for each instance and minute the check-in with the highest sequence holds.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, NamedTuple, Self

import attrs

from cutover.core.canonical import LARGEST_INTEGER, decode, encode
from cutover.core.defined import NAME, frozen_mapping
from cutover.core.fields import counter, field, items, typed
from cutover.core.instants import format_instant, parse_instant
from cutover.core.names import LONGEST_ASKED, Asked, NameKind
from cutover.core.schema import SCHEMA, check_schema
from cutover.core.snapshot import Head
from cutover.core.verdict import Mismatch
from cutover.errors import Corrupt

__all__ = [
    "FOLD_AFTER",
    "LEASE",
    "LONGEST_NAME",
    "MOST_RAN",
    "TOO_LATE",
    "CheckIn",
    "Counted",
    "Fleet",
    "InstanceState",
    "Kind",
    "Ran",
    "Totals",
    "add",
    "minute_of",
    "titled",
]

FOLD_AFTER: Final = timedelta(minutes=15)  # then minutes are folded into hours
TOO_LATE: Final = timedelta(days=1)  # so old counts are refused: what would tell a repetition may be forgotten
LEASE: Final = timedelta(seconds=15)  # an instance that is silent for longer is lost
MILLISECOND: Final = timedelta(milliseconds=1)
OLDEST_RAN: Final = timedelta(days=36525)
LONGEST_NAME: Final = 64
ENTERED: Final = ("entered", "resumed")  # what each use of a journey is counted as, one of the two
MOST_RAN: Final = 50  # so many of the versions that it ran does an instance tell, the last ones


class Kind(StrEnum):
    """
    What is counted.
    """

    REQUESTS = "requests"  # decisions; the detail is the reason
    SYNTHETIC = "synthetic"  # decisions for load tests, probes and bots; no detail
    CALLS = "calls"  # calls to a back end; the detail is the outcome
    FALLBACKS = "fallbacks"  # calls that OLD answered because NEW failed; no detail
    SHADOWS = "shadows"  # calls that the other side was asked for, too; the detail is the verdict
    VISITS = "visits"  # what happens to visits; a journey stands for the flow, the detail is the event


class Counted(NamedTuple):
    """
    What one number counts.
    """

    kind: Kind
    flow: str
    backend: str
    detail: str


Totals = Mapping[Counted, int]


class Ran(NamedTuple):
    """
    A version that an instance ran.

    Attributes:
        age: How long before the report it began to, by a clock that nobody puts back. A store dates a report when it
            takes it: the age before that date is never too early, whatever the instance's clock says.
    """

    epoch: int
    version: int
    age: timedelta


class InstanceState(StrEnum):
    """
    How an instance stands to the store; a closed set, used as a metric label.
    """

    CURRENT = "current"  # the last change is on the chain that it runs
    BEHIND = "behind"  # it runs an older version, or none yet
    REGRESSED = "regressed"  # it runs a version that the store does not have
    LOST = "lost"  # it has not checked in for longer than the lease


@attrs.frozen(kw_only=True)
class CheckIn:
    """
    One report of one router process.

    Attributes:
        instance: 128 random bits as hex, drawn anew after a fork.
        sequence: 1, 2, 3 ... for one instance.
        at: When it was made, by the instance's clock; in a store, when that took it, by its own. Aware, UTC.
        library: The version of this library.
        majors: The schema majors that the instance reads.
        head: What it runs; None if it runs nothing yet.
        regressed: It keeps a version that the store does not have.
        break_glass: The flows that its break-glass file or a relay's floor sets, "*" for every one.
        closing: Its last report.
        minutes: Cumulative totals by UTC minute, counted from the epoch; all that is not yet acknowledged.
        since_version: Totals since it began to run this head; of a flow that this head left as it was, since it began
            to run the last change that turned the flow.
        ran: The versions that it ran, oldest first, up to 50: where it tells as many, it may have run older ones. None
            where it does not say, as a library before this field.
        mismatches: The first that its comparisons found, with values as the application shows them.
        name: What the process is called, up to 64 characters; empty where it does not say.
        asked: The flows, journeys and cohorts that the application asks for by name. None where it does not say, as a
            library before this field.
    """

    instance: str
    sequence: int
    at: datetime
    host: str
    pid: int
    started: datetime
    library: str
    majors: tuple[int, ...] = (1,)
    head: Head | None = None
    regressed: bool = False
    break_glass: tuple[str, ...] = ()
    closing: bool = False
    minutes: Mapping[int, Totals] = attrs.field(factory=dict, converter=frozen_mapping)
    since_version: Totals = attrs.field(factory=dict, converter=frozen_mapping)
    ran: tuple[Ran, ...] | None = None
    mismatches: tuple[Mismatch, ...] = ()
    name: str = ""
    asked: tuple[Asked, ...] | None = None

    @property
    def who(self) -> str:
        """
        Name the process for operators.
        """
        return titled(self.name, self.host, self.pid)

    @property
    def where(self) -> str:
        """
        Say where the process runs, as ``web-3/4711``.
        """
        return titled("", self.host, self.pid)

    @property
    def asks(self) -> tuple[Asked, ...]:
        """
        The names that the application asks for; where the instance does not say, those that it counted something for.
        """
        if self.asked is not None:
            return self.asked
        requests: dict[tuple[NameKind, str], int] = {}
        for (kind, name, _, detail), number in self.since_version.items():
            if kind in (Kind.REQUESTS, Kind.SYNTHETIC):
                key = (NameKind.FLOW, name)
            elif kind is Kind.VISITS and detail in ENTERED:
                key = (NameKind.JOURNEY, name)
            else:
                continue
            requests[key] = requests.get(key, 0) + number
        return tuple(Asked(*key, number) for key, number in sorted(requests.items()))

    def is_lost(self, now: datetime) -> bool:
        """
        Tell whether nothing was heard of the instance for longer than the lease.
        """
        return now - self.at > LEASE

    def encode(self) -> str:
        """
        Write the check-in as canonical JSON.
        """
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "instance": self.instance,
            "sequence": self.sequence,
            "at": format_instant(self.at),
            "host": self.host,
            "pid": self.pid,
            "started": format_instant(self.started),
            "library": self.library,
            "majors": list(self.majors),
            "head": None if self.head is None else attrs.asdict(self.head),
            "regressed": self.regressed,
            "break_glass": list(self.break_glass),
            "closing": self.closing,
            "minutes": {str(minute): totals_document(t) for minute, t in self.minutes.items()},
            "since_version": totals_document(self.since_version),
        }
        if self.ran is not None:
            document["ran"] = [[ran.epoch, ran.version, ran.age // MILLISECOND] for ran in self.ran]
        if self.name:
            document["name"] = self.name
        if self.mismatches:
            document["mismatches"] = [mismatch.document() for mismatch in self.mismatches]
        if self.asked is not None:
            document["asked"] = [list(one) for one in self.asked]
        return encode(document)

    @classmethod
    def decode(cls, text: str | bytes) -> Self:
        """
        Read a check-in back.

        Raises:
            Corrupt: If it is no check-in, or of an unknown major.
        """
        document = decode(text, "the check-in")
        check_schema(document, "the check-in")
        try:
            return cls(
                instance=field(document, "instance", str),
                sequence=counter(document["sequence"], "sequence", least=1),
                at=parse_instant(document["at"]),
                host=field(document, "host", str),
                pid=field(document, "pid", int),
                started=parse_instant(document["started"]),
                library=field(document, "library", str),
                majors=items(document, "majors", int),
                head=None if document["head"] is None else _head(field(document, "head", dict)),
                regressed=field(document, "regressed", bool),
                break_glass=items(document, "break_glass", str),
                closing=field(document, "closing", bool),
                minutes={_minute(m): read_totals(t) for m, t in field(document, "minutes", dict).items()},
                since_version=read_totals(field(document, "since_version", dict)),
                ran=_ran(items(document, "ran", list)) if "ran" in document else None,
                name=_name(field({"name": "", **document}, "name", str)),
                mismatches=tuple(
                    map(Mismatch.from_document, items({"mismatches": [], **document}, "mismatches", dict))
                ),
                asked=_asked(items(document, "asked", list)) if "asked" in document else None,
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise Corrupt(f"the check-in is not valid: {error!r:.300}") from error


@attrs.frozen(kw_only=True)
class Fleet:
    """
    All that a store knows of the processes of one migration.

    Attributes:
        instances: The last check-in of each instance that has not closed; their `minutes` are empty.
        minutes: Totals of all instances by UTC minute, closed ones included, that are not folded yet.
        hours: Totals by UTC hour, counted from the epoch, folded from minutes.
    """

    instances: tuple[CheckIn, ...] = ()
    minutes: Mapping[int, Totals] = attrs.field(factory=dict, converter=frozen_mapping)
    hours: Mapping[int, Totals] = attrs.field(factory=dict, converter=frozen_mapping)

    def totals(self) -> Totals:
        """
        Give all that was ever counted.
        """
        return add((*self.hours.values(), *self.minutes.values()))


def titled(name: str, host: str, pid: int) -> str:
    """
    Name a process for operators: ``checkout-api web-3/4711``, or ``web-3/4711`` where it has no name.
    """
    return f"{name} {host}/{pid}".lstrip()


def _name(name: str) -> str:
    if len(name) > LONGEST_NAME:
        raise ValueError(f"the name has {len(name)} characters; allowed: {LONGEST_NAME}")
    return name


def _head(document: Mapping[str, Any]) -> Head:
    return Head(
        counter(document["epoch"], "epoch", least=1),
        counter(document["version"], "version", least=1),
        field(document, "hash", str),
    )


def _ran(entries: Iterable[list[Any]]) -> tuple[Ran, ...]:
    ran = tuple(
        Ran(
            counter(epoch, "epoch", least=1),
            counter(version, "version", least=1),
            counter(age, "an age in milliseconds") * MILLISECOND,
        )
        for epoch, version, age in entries
    )
    if any(one.age > OLDEST_RAN for one in ran):
        raise ValueError("ran goes back more than a century")
    if any(one[:2] >= later[:2] or one.age < later.age for one, later in pairwise(ran)):
        raise ValueError("ran does not go from the oldest version to the newest")
    return ran


def _asked(entries: Iterable[list[Any]]) -> tuple[Asked, ...]:
    """
    Read the names that were asked for; kinds that this version does not know are ignored.
    """
    kinds = {kind.value: kind for kind in NameKind}
    return tuple(
        Asked(kinds[kind], typed(name, str, "a name")[:LONGEST_ASKED], counter(requests, "a count"))
        for kind, name, requests in entries
        if kind in kinds
    )


def _minute(text: str) -> int:
    minute = counter(int(text), "a minute")
    if str(minute) != text or minute > LARGEST_INTEGER:
        raise ValueError(f"{text[:24]!r} is not a minute")
    return minute


def minute_of(instant: datetime) -> int:
    """
    Number the UTC minute that an instant lies in, from the epoch.
    """
    return int(instant.timestamp() // 60)


def add(many: Iterable[Totals]) -> dict[Counted, int]:
    """
    Add totals up.
    """
    result: dict[Counted, int] = {}
    for totals in many:
        for counted, number in totals.items():
            result[counted] = result.get(counted, 0) + number
    return result


def totals_document(totals: Totals) -> dict[str, Any]:
    """
    Nest totals by kind, flow, backend and detail, for JSON.

    What an application routed by a name that no flow can have stays out: it may be no key of canonical JSON. Such
    names are among what the check-in says was asked for.
    """
    document: dict[str, Any] = {}
    for (kind, flow, backend, detail), number in totals.items():
        if not NAME.fullmatch(flow):
            continue
        by_flow = document.setdefault(kind.value, {})
        by_flow.setdefault(flow, {}).setdefault(backend, {})[detail] = number
    return document


def read_totals(document: Mapping[str, Any]) -> dict[Counted, int]:
    """
    Read what `totals_document` wrote; kinds that this version does not know are ignored.
    """
    kinds = {kind.value: kind for kind in Kind}
    return {
        Counted(kinds[kind], flow, backend, detail): counter(number, "a count")
        for kind, flows in document.items()
        if kind in kinds
        for flow, backends in flows.items()
        for backend, details in backends.items()
        for detail, number in details.items()
    }
