"""
How a status comes about: the facts of a store at one moment, put together.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import attrs

from cutover.core.backend import Backend
from cutover.core.break_glass import reached_by
from cutover.core.bucketing import PARTS
from cutover.core.checkin import Fleet, InstanceState, Kind
from cutover.core.drain import Draining, draining
from cutover.core.fleet import FAILED, Recent, Sides, Window, by_flow, effective_progress, last_calls, recent, states
from cutover.core.lacking import lacking
from cutover.core.names import is_known
from cutover.core.percent import format_percent
from cutover.core.progress import HISTORY, forecast, target_progress, target_ratio
from cutover.core.snapshot import Snapshot, Turned
from cutover.core.stages import Stage, stage_of
from cutover.operations.status import DrainStatus, FlowStatus, Instance, Progress, Status, Waiting, WorkStatus
from cutover.operations.trail import Trail

__all__ = ["Facts", "instances_of", "status_of"]


@attrs.frozen(kw_only=True)
class Facts:
    """
    What was read of a migration.

    Attributes:
        fleet: Read before the snapshot.
        trail: What the ledger says; empty where the source keeps none.
        age: Seconds since the store confirmed the snapshot.
        problem: Why the fleet could not be asked for; empty where it could.
        mirrored: The flows whose writes are mirrored; None where nobody can tell.
    """

    store: str
    durability: str
    snapshot: Snapshot
    fleet: Fleet
    trail: Trail
    age: float = 0.0
    problem: str = ""
    mirrored: frozenset[str] | None = None


def status_of(facts: Facts, *, now: datetime) -> Status:
    """
    Put the facts together.
    """
    snapshot, definition = facts.snapshot, facts.snapshot.definition
    traffic = recent(facts.fleet, snapshot, now=now)
    instances = instances_of(facts.fleet, snapshot, now=now)
    return Status(
        at=now,
        store=facts.store,
        age=timedelta(seconds=facts.age),
        problem=facts.problem,
        migration=definition.name,
        title=definition.title,
        old=definition.old,
        new=definition.new,
        timezone=definition.timezone,
        version=snapshot.version,
        head=snapshot.head.hash,
        epoch=snapshot.epoch,
        changed_at=snapshot.at,
        durability=facts.durability,
        is_frozen=snapshot.frozen,
        frozen=facts.trail.frozen,
        progress=_progress(facts, traffic, now),
        flows=_flows(facts, traffic, instances, now),
        work=tuple(
            WorkStatus(name=w.name, title=w.title, weight=f"{w.weight:f}", parts=snapshot.work[w.name])
            for w in definition.work.values()
        ),
        instances=instances,
        exceptions=snapshot.exceptions(definition.flows),
        last=facts.trail.last,
        before=facts.trail.before,
        unknown=lacking(facts.fleet.instances, definition, now=now),
    )


def instances_of(fleet: Fleet, snapshot: Snapshot, *, now: datetime) -> tuple[Instance, ...]:
    """
    Describe every router process, by name, host and process id.
    """
    by_id, definition = states(fleet, snapshot.head, now=now), snapshot.definition
    described = (
        Instance(
            id=report.instance,
            name=report.name,
            state=by_id[report.instance],
            host=report.host,
            pid=report.pid,
            head=report.head,
            library=report.library,
            started=report.started,
            seen=report.at,
            age=now - report.at,
            break_glass=report.break_glass,
            asks=report.asks,
            unknown=frozenset(one for one in report.asks if not is_known(definition, one.kind, one.name)),
        )
        for report in fleet.instances
    )
    return tuple(sorted(described, key=lambda one: (one.name, one.host, one.pid, one.id)))


def _progress(facts: Facts, traffic: Mapping[str, Recent], now: datetime) -> Progress:
    definition = facts.snapshot.definition
    target = target_progress(facts.snapshot)
    started = facts.trail.began
    zone = _zone(facts.snapshot)
    if definition.started is not None:
        started = datetime.combine(definition.started, time(), zone)
    days = None if definition.deadline is None else (definition.deadline - now.astimezone(zone).date()).days
    return Progress(
        target=target,
        effective=effective_progress(facts.snapshot, traffic),
        started=started,
        deadline=definition.deadline_instant(),
        days_left=days,
        forecast=None if started is None else forecast(target, since=started, now=now),
        forecast_from=None if started is None else started + HISTORY,
    )


def _flows(
    facts: Facts, traffic: Mapping[str, Recent], instances: tuple[Instance, ...], now: datetime
) -> tuple[FlowStatus, ...]:
    snapshot = facts.snapshot
    drains = _draining(facts, instances, now)
    ever = facts.fleet.totals()
    calls = last_calls(facts.fleet, now=now)
    requests, errors = by_flow(ever, Kind.REQUESTS), by_flow(ever, Kind.CALLS, details=FAILED)
    result = []
    for flow in snapshot.definition.flows.values():
        total, failed = (sides.get(flow.name, Sides()) for sides in (requests, errors))
        status = FlowStatus(
            name=flow.name,
            weight=f"{flow.weight:f}",
            dial=snapshot.dials[flow.name],
            effective=snapshot.effective_parts(flow.name),
            target=target_ratio(snapshot, flow.name),
            held_by=snapshot.held_by(flow.name),
            cohorts={c: snapshot.effective_parts(flow.name, c) for c in snapshot.cohorts_of(flow.name)},
            overrides=Counter(one.backend for one in snapshot.effective_overrides(flow.name).values()),
            shadow=snapshot.shadows.get(flow.name, 0),
            traffic=traffic[flow.name],
            calls=calls.get(flow.name, {}),
            old_requests=total.old,
            new_requests=total.new,
            old_errors=failed.old,
            new_errors=failed.new,
            changed_at=facts.trail.changed_at(snapshot.definition, flow.name),
            draining=drains.get(flow.name, ()),
            stage=_stage(facts, flow.name),
            is_mirrored=flow.name in (facts.mirrored or ()),
        )
        result.append(attrs.evolve(status, waiting_for=tuple(_waiting(status, facts, instances))))
    return tuple(result)


def _stage(facts: Facts, flow: str) -> Stage | None:
    if facts.mirrored is None:
        return None
    snapshot = facts.snapshot
    dials = [snapshot.effective_parts(flow, cohort) for cohort in (None, *snapshot.cohorts_of(flow))]
    return stage_of(dials, shadow=snapshot.shadows.get(flow, 0), is_mirrored=flow in facts.mirrored)


def _draining(facts: Facts, instances: tuple[Instance, ...], now: datetime) -> Mapping[str, tuple[DrainStatus, ...]]:
    if facts.problem:  # an instance that nobody can be asked about may keep any of them open
        return {}
    by_id = {instance.id: instance for instance in instances}
    states = {instance.id: instance.state for instance in instances}
    found = draining(facts.trail.drains.drains(), facts.fleet.instances, states, now=now)
    return {flow: tuple(_drain_status(one, by_id) for one in many) for flow, many in found.items()}


def _drain_status(one: Draining, instances: Mapping[str, Instance]) -> DrainStatus:
    return DrainStatus(
        side=one.side,
        version=one.version,
        since=one.since,
        until=one.until,
        waiting_for=tuple(instances[id_] for id_ in one.waiting_for),
    )


def _waiting(flow: FlowStatus, facts: Facts, instances: tuple[Instance, ...]) -> Iterator[Waiting]:
    """
    Name what a flow waits for, the most pressing first.
    """
    snapshot = facts.snapshot
    glass = [i for i in instances if not reached_by(snapshot.definition, flow.name).isdisjoint(i.break_glass)]
    if glass:
        yield Waiting(f"break-glass on {len(glass)} of {len(instances)} instances")
    if regressed := sum(instance.state is InstanceState.REGRESSED for instance in instances):
        yield Waiting(f"{regressed} of {len(instances)} instances regressed", snapshot.at)
    turned = snapshot.turned_by(flow.name)
    if behind := sum(_is_behind(instance, snapshot.epoch, turned) for instance in instances):
        yield Waiting(f"{behind} of {len(instances)} instances behind", turned.at)
    for drain in flow.draining:
        if drain.waiting_for:
            yield _open_drain(drain)
    yield from _held_back(flow, facts)
    yield from _drains_to(Backend.NEW, flow)
    if not any(flow.traffic.requests) and not facts.problem:
        yield _nothing_counted(flow, instances)
    lost = [i.seen for i in instances if i.state is InstanceState.LOST]
    if lost:
        yield Waiting(f"{len(lost)} of {len(instances)} instances lost", min(lost))
    if 0 < flow.effective < PARTS and flow.held_by is None and not snapshot.frozen:
        yield Waiting("ready to raise", flow.changed_at)
    yield from _drains_to(Backend.OLD, flow)


def _is_behind(instance: Instance, epoch: int, turned: Turned) -> bool:
    # A later change that leaves the flow alone need not have come to the instance.
    if instance.state is not InstanceState.BEHIND:
        return False
    return instance.head is None or instance.head.order < (epoch, turned.version)


def _nothing_counted(flow: FlowStatus, instances: tuple[Instance, ...]) -> Waiting:
    ever = flow.old_requests + flow.new_requests
    if flow.traffic.window is Window.RECENT:
        text = "nothing counted in the last 5 minutes" if ever else "no traffic yet"
        return Waiting(text, explains_actual=True)
    # What closed instances counted in the minute of the change may be from before it.
    nothing = (
        "nothing counted" if instances or not ever else "no instance runs, and closed ones counted no whole minute"
    )
    return Waiting(f"{nothing} since the last change", flow.traffic.since, explains_actual=True)


def _held_back(flow: FlowStatus, facts: Facts) -> Iterator[Waiting]:
    snapshot = facts.snapshot
    if (limit := snapshot.limit_of(flow.name)) is not None:
        yield Waiting(limit, flow.changed_at)
    behind = [name for name, parts in flow.cohorts.items() if parts < flow.effective]
    for name in behind:
        yield Waiting(f"cohort {name} stays at {format_percent(flow.cohorts[name])}", flow.changed_at)
    if snapshot.frozen and (flow.effective < PARTS or behind):
        frozen = facts.trail.frozen
        yield Waiting(f"frozen by {frozen.actor}" if frozen else "frozen", frozen.at if frozen else None)


def _open_drain(drain: DrainStatus) -> Waiting:
    first, *more = sorted(drain.waiting_for, key=lambda instance: instance.seen)
    is_lost = first.state is InstanceState.LOST
    word = "does not say what it ran" if first.state is InstanceState.CURRENT else first.state.value
    who = f"{len(more) + 1} instances, such as" if more else "instance"
    since = first.seen if is_lost else drain.since
    return Waiting(f"{_visits(drain.side)}: {who} {first.who} {word}", since)


def _drains_to(side: Backend, flow: FlowStatus) -> Iterator[Waiting]:
    for drain in flow.draining:
        if drain.side is side and drain.until is not None:
            yield Waiting(_visits(side), drain.since, drain.until)


def _visits(side: Backend) -> str:
    return f"visits begun on {side.name} may go on"


def _zone(snapshot: Snapshot) -> ZoneInfo:
    return ZoneInfo(snapshot.definition.timezone)
