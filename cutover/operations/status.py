"""
The status of a migration: what was asked for, what users see, and what stands between the two.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.core.checkin import InstanceState, titled
from cutover.core.fleet import WINDOW, Calls, Recent
from cutover.core.instants import format_instant
from cutover.core.lacking import Lacking
from cutover.core.ledger import Change
from cutover.core.names import Asked
from cutover.core.schema import SCHEMA
from cutover.core.snapshot import Head
from cutover.core.stages import Stage

__all__ = ["DrainStatus", "FlowStatus", "Instance", "Progress", "Status", "Waiting", "WorkStatus"]

DECIMALS = 5  # of a ratio: one part


@attrs.frozen
class Waiting:
    """
    One thing that a flow waits for.

    Attributes:
        text: Such as "2 of 6 instances behind".
        since: Since when; None where that is not known.
        until: Until when at the latest; None where that is not known.
        explains_actual: It says why no share was measured; *since* is then the change that began the window.
    """

    text: str
    since: datetime | None = None
    until: datetime | None = None
    explains_actual: bool = False

    def document(self) -> dict[str, Any]:
        """
        Give it as it stands in `status --json`.
        """
        return {"text": self.text, "since": _instant(self.since), "until": _instant(self.until)}


@attrs.frozen(kw_only=True)
class DrainStatus:
    """
    Visits of one flow that go on, on a side which the dials would no longer give them.

    Attributes:
        version: The change whose visits last longest.
        since: When it was made.
        until: When they must be over; None while that is open.
        waiting_for: The instances that keep it open.
    """

    side: Backend
    version: int
    since: datetime
    until: datetime | None
    waiting_for: tuple["Instance", ...] = ()

    def document(self) -> dict[str, Any]:
        """
        Give it as it stands in `status --json`.
        """
        return {
            "side": self.side.value,
            "version": self.version,
            "since": _instant(self.since),
            "until": _instant(self.until),
            "waiting_for": [
                {**one.identity(), "state": one.state.value, "seen": _instant(one.seen)} for one in self.waiting_for
            ],
        }


@attrs.frozen(kw_only=True)
class FlowStatus:
    """
    One flow.

    Attributes:
        dial: Parts of 100,000, as set.
        target: The share that counts as reached by the dials: 100% only where that of every cohort is.
        effective: Parts that hold, after the flows that it goes together with.
        held_by: The flow that holds this one below its own dial.
        cohorts: Effective parts of the cohorts with a dial of their own.
        overrides: How many keys are put on each side by name.
        shadow: Parts of 100,000: of so many keys the other side is asked too, to compare the answers.
        traffic: The requests that show what the dial does now, and the stretch in which they were counted.
        calls: The calls of the last minutes, by side.
        old_requests: All requests to OLD that were ever counted; likewise the others.
        old_errors: Calls to OLD that failed, or broke off so that nobody knows.
        changed_at: When the dial that holds last may have changed.
        draining: The visits that go on, NEW first; empty where nothing is known of instances.
        waiting_for: What stands in the way, the most pressing first; empty at 100%.
        stage: How far its data have been moved; None where nobody can tell.
        is_mirrored: Some process mirrors its writes.
    """

    name: str
    weight: str
    dial: int
    effective: int
    target: Fraction
    held_by: str | None
    cohorts: Mapping[str, int]
    overrides: Mapping[Backend, int]
    shadow: int
    traffic: Recent
    calls: Mapping[Backend, Calls]
    old_requests: int
    new_requests: int
    old_errors: int
    new_errors: int
    changed_at: datetime | None
    draining: tuple[DrainStatus, ...] = ()
    waiting_for: tuple[Waiting, ...] = ()
    stage: Stage | None = None
    is_mirrored: bool = False

    @property
    def share(self) -> Fraction | None:
        """
        The measured share of NEW; None where nothing was counted.
        """
        return self.traffic.requests.ratio

    def document(self, now: datetime) -> dict[str, Any]:
        """
        Give the flow as it stands in `status --json`.
        """
        return {
            "name": self.name,
            "weight": self.weight,
            "dial_ratio": _parts_ratio(self.dial),
            "target_ratio": _ratio(self.target),
            "held_by": self.held_by,
            "cohorts": {name: _parts_ratio(parts) for name, parts in self.cohorts.items()},
            "overrides": sum(self.overrides.values()),
            "override_sides": {side.value: self.overrides.get(side, 0) for side in Backend},
            "shadow_ratio": _parts_ratio(self.shadow),
            "actual_ratio": _ratio(self.share),
            "actual_requests": sum(self.traffic.requests),
            "window": {
                "name": self.traffic.window.value,
                "since": _instant(self.traffic.since),
                "seconds": _seconds(max(now - self.traffic.since, timedelta(0))),
            },
            "requests": {"old": self.old_requests, "new": self.new_requests},
            "errors": {"old": self.old_errors, "new": self.new_errors},
            "recent_errors": {
                "seconds": _seconds(WINDOW),
                **{side.value: _calls_document(self.calls.get(side, Calls())) for side in Backend},
            },
            "changed_at": _instant(self.changed_at),
            "stage": None if self.stage is None else self.stage.value,
            "draining": [one.document() for one in self.draining],
            "waiting_for": [one.document() for one in self.waiting_for],
        }


@attrs.frozen(kw_only=True)
class WorkStatus:
    """
    One work item.

    Attributes:
        parts: How far it has come, of 100,000.
    """

    name: str
    title: str
    weight: str
    parts: int


@attrs.frozen(kw_only=True)
class Progress:
    """
    How far the migration has come, 0 to 1.

    Attributes:
        target: What dials and work items say.
        effective: What users see; None where a raised flow has no traffic to measure.
        days_left: Days to the deadline in the migration's timezone; negative when it is over.
        forecast: When it would be complete at its mean pace so far; None without a pace.
        forecast_from: When there is a day of history, as a forecast needs; None where nothing is known of a beginning.
    """

    target: Fraction
    effective: Fraction | None
    started: datetime | None
    deadline: datetime | None
    days_left: int | None
    forecast: datetime | None
    forecast_from: datetime | None = None

    def document(self) -> dict[str, Any]:
        """
        Give the progress as it stands in `status --json`.
        """
        return {
            "target_ratio": _ratio(self.target),
            "effective_ratio": _ratio(self.effective),
            "started": _instant(self.started),
            "deadline": _instant(self.deadline),
            "days_left": self.days_left,
            "forecast": _instant(self.forecast),
            "forecast_from": _instant(self.forecast_from),
        }


@attrs.frozen(kw_only=True)
class Instance:
    """
    One router process, as it last checked in.

    Attributes:
        id: 128 random bits as hex.
        name: What the process is called; empty where it does not say.
        head: The version that it runs; None if it runs none yet.
        age: Since its last check-in.
    """

    id: str
    name: str
    state: InstanceState
    host: str
    pid: int
    head: Head | None
    library: str
    started: datetime
    seen: datetime
    age: timedelta
    break_glass: tuple[str, ...]
    asks: tuple[Asked, ...] = ()
    unknown: frozenset[Asked] = frozenset()

    @property
    def version(self) -> str:
        """
        What it runs, as ``version:head``; empty if nothing yet.
        """
        return "" if self.head is None else str(self.head)

    @property
    def who(self) -> str:
        """
        Name the process for operators.
        """
        return titled(self.name, self.host, self.pid)

    def identity(self) -> dict[str, Any]:
        """
        Give the fields that tell the process from others.
        """
        return {"instance": self.id, "name": self.name, "host": self.host, "pid": self.pid}

    def document(self) -> dict[str, Any]:
        """
        Give the instance as it stands in `instances --json`.
        """
        return {
            **self.identity(),
            "state": self.state.value,
            "version": self.version,
            "library": self.library,
            "started": _instant(self.started),
            "seen": _instant(self.seen),
            "age_seconds": _seconds(self.age),
            "break_glass": list(self.break_glass),
            "asks": [
                {"kind": one.kind.value, "name": one.name, "requests": one.requests, "known": one not in self.unknown}
                for one in self.asks
            ],
        }


@attrs.frozen(kw_only=True)
class Status:
    """
    One migration at one moment.

    Attributes:
        at: When the status was taken.
        head: The hash of the last change.
        changed_at: When that change was made.
        durability: What an acknowledged change survives in this store; empty where it only reads.
        age: How long ago the store confirmed the dials; more than a moment only behind a relay.
        problem: Why nothing is known of instances and traffic now; empty where it is.
        frozen: The change that froze it; None where nothing is known of one.
        exceptions: Who is not where the dial of a flow puts them: cohorts and overrides, with the flows that they move.
        last: The last changes, oldest first.
        before: The definition, as a document, before the first of these.
        unknown: What live instances ask for by name and the definition lacks.
    """

    at: datetime
    store: str
    migration: str
    title: str
    old: str
    new: str
    timezone: str
    version: int
    head: str
    epoch: int
    changed_at: datetime
    durability: str
    age: timedelta
    problem: str
    is_frozen: bool
    frozen: Change | None
    progress: Progress
    flows: tuple[FlowStatus, ...]
    work: tuple[WorkStatus, ...]
    instances: tuple[Instance, ...]
    exceptions: tuple[str, ...]
    last: tuple[Change, ...]
    before: Mapping[str, Any]
    unknown: tuple[Lacking, ...] = ()

    @property
    def zone(self) -> ZoneInfo:
        """
        The timezone that days are counted in.
        """
        return ZoneInfo(self.timezone)

    def count(self, state: InstanceState) -> int:
        """
        Count the instances in a state.
        """
        return sum(instance.state is state for instance in self.instances)

    def lost(self) -> tuple[Instance, ...]:
        """
        Give the instances of which nothing was heard for longer than the lease: gaps in what is counted.
        """
        return tuple(instance for instance in self.instances if instance.state is InstanceState.LOST)

    def document(self) -> dict[str, Any]:
        """
        Give the status as one JSON object; its shape is documented in `docs/reference/status.md`.
        """
        return {
            "schema": SCHEMA,
            "at": _instant(self.at),
            "store": self.store,
            "migration": self.migration,
            "title": self.title,
            "old": self.old,
            "new": self.new,
            "timezone": self.timezone,
            "version": self.version,
            "head": self.head,
            "epoch": self.epoch,
            "changed_at": _instant(self.changed_at),
            "durability": self.durability,
            "age_seconds": _seconds(self.age),
            "problem": self.problem,
            "frozen": self._frozen_document(),
            "progress": self.progress.document(),
            "flows": [flow.document(self.at) for flow in self.flows],
            "exceptions": list(self.exceptions),
            "work": [
                {"name": w.name, "title": w.title, "weight": w.weight, "ratio": _parts_ratio(w.parts)}
                for w in self.work
            ],
            "instances": {state.value: self.count(state) for state in InstanceState},
            "gaps": [{**lost.identity(), "since": _instant(lost.seen)} for lost in self.lost()],
            "unknown": [one.document() for one in self.unknown],
        }

    def _frozen_document(self) -> dict[str, Any] | None:
        if not self.is_frozen:
            return None
        if self.frozen is None:
            return {"by": "", "at": None, "reason": ""}
        return {"by": self.frozen.actor, "at": _instant(self.frozen.at), "reason": self.frozen.reason}


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _seconds(span: timedelta) -> float:
    return round(span.total_seconds(), 3)


def _calls_document(calls: Calls) -> dict[str, Any]:
    return {"ratio": _ratio(calls.ratio), "errors": calls.failed, "calls": calls.total}


def _ratio(ratio: Fraction | None) -> float | None:
    return None if ratio is None else round(float(ratio), DECIMALS)


def _parts_ratio(parts: int) -> float:
    return parts / PARTS
