"""
The definition of one migration: its flows, journeys, work items, cohorts and dates.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

import attrs

from cutover.core.backend import NAMED, Backend
from cutover.core.bucketing import SCHEME
from cutover.core.defined import NAME, NAME_RULE, Cohort, Flow, Journey, WorkItem, Wrong, check_name, frozen_mapping
from cutover.core.fields import field, items, typed
from cutover.errors import ConfigurationError, Corrupt

__all__ = [
    "Migration",
]

SALT: Final = re.compile(r"[A-Za-z0-9._:/@+-]{1,64}")
SALT_RULE: Final = "1 to 64 of A-Z, a-z, 0-9 and ._:/@+-"
MOST_NAMED: Final = 2000  # characters of a journey's flows, with blanks between: its token in a cookie names them
FIRST_DAY: Final = date(1970, 1, 1)
LAST_DAY: Final = date(9998, 12, 31)  # the end of the day after exists in every time zone


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - many applications import this module and need no zones

    return ZoneInfo(name)  # ZoneInfoNotFoundError is a KeyError


def _check_timezone(name: str) -> None:
    try:
        _zone(name)
    except (KeyError, ValueError, OSError) as error:
        raise Wrong(("timezone",), f"is {name!r}", "an IANA name such as Asia/Jakarta") from error


@attrs.frozen(kw_only=True)
class Migration:
    """
    One move of user flows from an OLD to a NEW back end.

    `name`, `salt`, `scheme`, `old` and `new` are fixed by the first apply: changing one of them would move users.

    Attributes:
        old: What people call the OLD back end; metrics keep "old".
        new: What people call the NEW back end.
        started: The first day.
        deadline: The last day, all of it.
        timezone: IANA name; days in reports, windows and forecasts are days there.
        flows: By name, in the order of the file, as are `journeys`, `work` and `cohorts`.
        former: By a name that a flow had before, the name that it has.
    """

    name: str
    title: str
    old: str
    new: str
    started: date | None = None
    deadline: date | None = None
    timezone: str = "UTC"
    salt: str
    scheme: str = SCHEME
    flows: Mapping[str, Flow] = attrs.field(converter=frozen_mapping)
    journeys: Mapping[str, Journey] = attrs.field(factory=dict, converter=frozen_mapping)
    work: Mapping[str, WorkItem] = attrs.field(factory=dict, converter=frozen_mapping)
    cohorts: Mapping[str, Cohort] = attrs.field(factory=dict, converter=frozen_mapping)
    former: Mapping[str, str] = attrs.field(init=False, eq=False, repr=False)

    @former.default
    def _former(self) -> Mapping[str, str]:
        return frozen_mapping({name: flow.name for flow in self.flows.values() for name in flow.was})

    def __attrs_post_init__(self) -> None:
        check_name(("name",), self.name)
        for side, other in (("old", "new"), ("new", "old")):
            name = getattr(self, side)
            if not NAME.fullmatch(name) or name == other:
                raise Wrong((side,), f"is {name!r}", f"{NAME_RULE}; not {other!r}")
        if self.old == self.new:
            raise Wrong(("new",), f"is {self.new!r}, as old is", "another name than old")
        _check_timezone(self.timezone)
        if not SALT.fullmatch(self.salt):
            raise Wrong(("salt",), f"is {self.salt!r}", SALT_RULE)
        if self.scheme != SCHEME:
            raise Wrong(("scheme",), f"is {self.scheme!r}", f'"{SCHEME}"')
        if not self.flows:
            raise Wrong(("flows",), "is missing", "at least one [flows.NAME]")
        for name in ("started", "deadline"):
            day = getattr(self, name)
            if day is not None and not FIRST_DAY <= day <= LAST_DAY:
                raise Wrong((name,), f"is {day}", f"{FIRST_DAY} to {LAST_DAY}")
        if self.started and self.deadline and self.started > self.deadline:
            raise Wrong(("deadline",), f"is {self.deadline}", f"{self.started} (started) or later")
        self._check_former()
        self._check_journeys()

    def _check_former(self) -> None:
        for flow in self.flows.values():
            for name in flow.was:
                path = ("flows", flow.name, "was")
                if name in self.flows or name in self.journeys:
                    kind = "flow" if name in self.flows else "journey"
                    raise Wrong(path, f"names {name!r}, which is a {kind}", "a name that no flow and no journey has")
                if self.former[name] != flow.name:
                    raise Wrong(path, f"names {name!r}, as {self.former[name]!r} does", "a name for one flow")

    def _check_journeys(self) -> None:
        taken: dict[str, str] = {}
        for journey in self.journeys.values():
            path = ("journeys", journey.name)
            if journey.name in self.flows:
                raise Wrong(path, "has the name of a flow", "a name that no flow has")
            for flow in journey.flows:
                if flow not in self.flows:
                    known = ", ".join(self.flows)
                    raise Wrong((*path, "flows"), f"names {flow!r}, which is no flow", known)
                if flow in taken:
                    raise Wrong(
                        (*path, "flows"),
                        f"names {flow!r}, which journey {taken[flow]!r} has already",
                        "each flow in at most one journey",
                    )
                taken[flow] = journey.name
            if (length := len(" ".join(self.names_of(journey.flows)))) > MOST_NAMED:
                raise Wrong(
                    (*path, "flows"), f"has names of {length} characters, with blanks between", f"up to {MOST_NAMED}"
                )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """
        Read a definition from a TOML file. The one place of the core that opens a file.

        Raises:
            ConfigurationError: If the file cannot be read, or is wrong: the key, the line and what is allowed.
        """
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or error}") from error
        return cls.parse(text, source=str(path))

    @classmethod
    def parse(cls, text: str | bytes, *, source: str = "cutover.toml") -> Self:
        """
        Read a definition from TOML text.

        Args:
            source: What to call the text in errors.

        Raises:
            ConfigurationError: If the text is wrong: the key, the line and what is allowed.
        """
        from cutover.core.definition import definition_fields, located  # noqa: PLC0415 - a router reads no TOML

        with located(text, source) as document:
            return cls(**definition_fields(document))

    def current(self, name: str) -> str:
        """
        Give the name that a flow has, for a name that it had before; any other name as it is.
        """
        return self.former.get(name, name)

    def names_of(self, flows: Iterable[str]) -> tuple[str, ...]:
        """
        Give the names of flows, and those that they had before.
        """
        known = (self.flows.get(flow) for flow in flows)
        return tuple(name for flow in known if flow is not None for name in flow.names)

    def journey_of(self, flow: str) -> Journey | None:
        """
        Give the journey that a flow is in.
        """
        return next((j for j in self.journeys.values() if flow in j.flows), None)

    def together_with(self, flow: str) -> tuple[str, ...]:
        """
        Give the flows that must share one back end with this one, itself included.
        """
        journey = self.journey_of(flow)
        return journey.flows if journey is not None and journey.together else (flow,)

    def sides(self) -> dict[object, Backend]:
        """
        Give every name that a side goes by; None is that of an unmarked thing.
        """
        return {**NAMED, self.old: Backend.OLD, self.new: Backend.NEW}

    def deadline_instant(self) -> datetime | None:
        """
        Give the end of the deadline's day as a UTC instant.
        """
        return None if self.deadline is None else self._midnight(self.deadline + timedelta(days=1))

    def started_instant(self) -> datetime | None:
        """
        Give the beginning of the first day as a UTC instant.
        """
        return None if self.started is None else self._midnight(self.started)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), _zone(self.timezone)).astimezone(UTC)

    def document(self) -> dict[str, Any]:
        """
        Give the definition as it stands in the ledger: text, booleans and integers only.
        """
        document: dict[str, Any] = {
            "name": self.name,
            "title": self.title,
            "old": self.old,
            "new": self.new,
            "timezone": self.timezone,
            "salt": self.salt,
            "scheme": self.scheme,
            "flows": [_flow_document(flow) for flow in self.flows.values()],
            "journeys": [
                {
                    "name": j.name,
                    "flows": list(j.flows),
                    "together": j.together,
                    "idle_seconds": int(j.idle.total_seconds()),
                    "ttl_seconds": int(j.ttl.total_seconds()),
                }
                for j in self.journeys.values()
            ],
            "work": [{"name": w.name, "title": w.title, "weight": f"{w.weight:f}"} for w in self.work.values()],
            "cohorts": [{"name": c.name, "title": c.title} for c in self.cohorts.values()],
        }
        if self.started is not None:
            document["started"] = self.started.isoformat()
        if self.deadline is not None:
            document["deadline"] = self.deadline.isoformat()
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """
        Read a definition back from the ledger; fields that this version does not know are ignored.

        Raises:
            Corrupt: If a field is missing or of another type.
        """
        try:
            return cls(
                name=field(document, "name", str),
                title=field(document, "title", str),
                old=field(document, "old", str),
                new=field(document, "new", str),
                started=_day(document.get("started")),
                deadline=_day(document.get("deadline")),
                timezone=field(document, "timezone", str),
                salt=field(document, "salt", str),
                scheme=field(document, "scheme", str),
                flows=_named(document, "flows", _flow),
                journeys=_named(document, "journeys", _journey),
                work=_named(document, "work", _work_item),
                cohorts=_named(document, "cohorts", _cohort),
            )
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise Corrupt(f"the definition in the snapshot is not valid: {error!r:.300}") from error


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def _named(document: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any]], N]) -> dict[str, N]:
    values = [read(item) for item in items(document, name, dict)]
    result = {value.name: value for value in values}
    if len(result) != len(values):
        raise ValueError(f"{name} holds a name twice")
    return result


def _flow_document(flow: Flow) -> dict[str, Any]:
    # A field of a later minor: a definition that was written without it must stay the same definition.
    later = {"was": list(flow.was)} if flow.was else {}
    return {"name": flow.name, "weight": f"{flow.weight:f}", **later}


def _flow(document: Mapping[str, Any]) -> Flow:
    return Flow(
        name=field(document, "name", str),
        weight=Decimal(field(document, "weight", str)),
        was=items({"was": [], **document}, "was", str),
    )


def _journey(document: Mapping[str, Any]) -> Journey:
    return Journey(
        name=field(document, "name", str),
        flows=items(document, "flows", str),
        together=field(document, "together", bool),
        idle=timedelta(seconds=field(document, "idle_seconds", int)),
        ttl=timedelta(seconds=field(document, "ttl_seconds", int)),
    )


def _work_item(document: Mapping[str, Any]) -> WorkItem:
    return WorkItem(
        name=field(document, "name", str),
        title=field(document, "title", str),
        weight=Decimal(field(document, "weight", str)),
    )


def _cohort(document: Mapping[str, Any]) -> Cohort:
    return Cohort(name=field(document, "name", str), title=field(document, "title", str))


def _day(value: object) -> date | None:
    return None if value is None else date.fromisoformat(typed(value, str))
