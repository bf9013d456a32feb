"""
What holds in this process: the snapshot and the break-glass lines, and the flows that route by them.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from time import time
from typing import TYPE_CHECKING

import attrs

from cutover.core.backend import Backend
from cutover.core.break_glass import unknown_lines
from cutover.core.floor import lowered
from cutover.core.names import Asked, NameKind, bounded, closest, is_known, presentable
from cutover.core.snapshot import Snapshot
from cutover.core.verdict import Mismatch
from cutover.router.compiled import Circumstances
from cutover.router.counting import Counting, Durations, StrangerCells
from cutover.router.flow import Flow
from cutover.router.journey import Journey
from cutover.router.listeners import Listener, Listeners
from cutover.router.mirrored.writing import Writing
from cutover.router.notices import NoticeBoard
from cutover.router.readiness import Readiness
from cutover.router.routing import CohortOf
from cutover.router.tokens import Tokens

if TYPE_CHECKING:
    from cutover.router.calls.shadow import Shadow

__all__ = ["Holding"]


class Holding:
    """
    The one place where what a router knows changes; every change reaches all its flows before the next begins.

    Args:
        now: What journeys read the time from; seconds since 1970.
    """

    def __init__(self, notices: NoticeBoard, cohort_of: CohortOf | None, now: Callable[[], float] = time) -> None:
        self._notices = notices
        self._cohort_of = cohort_of
        self._now = now
        self._given = Circumstances()
        self._lines: Mapping[str, Backend] = {}
        self._floor: frozenset[str] = frozenset()
        self._flows: dict[str, Flow] = {}
        self._asked: set[str] = set()  # the flows whose handles the application has; a journey makes others
        self._cohorts = StrangerCells()
        self._journeys: dict[str, Journey] = {}
        self._lock = threading.Lock()
        self.loaded: Readiness = Readiness()
        self.listeners: Listeners = Listeners()
        self.writing: Writing | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """
        The snapshot that holds; None where nothing was ever read.
        """
        return self._given.snapshot

    @property
    def secret(self) -> bytes | None:
        """
        What overrides are looked up with; None where no source gave it.
        """
        return self._given.secret

    @property
    def break_glass(self) -> Mapping[str, Backend]:
        """
        The lines that hold: those of the break-glass file, over a relay's floor.
        """
        return self._given.break_glass

    @property
    def lines(self) -> Mapping[str, Backend]:
        """
        The lines of the break-glass file alone.
        """
        return self._lines

    @property
    def floor(self) -> frozenset[str]:
        """
        The flows that a relay wants held on OLD.
        """
        return self._floor

    def flow(self, name: str) -> Flow:
        """
        Give the handle of a flow; the same one for the same name.
        """
        with self._lock:
            flow = self._flow(name)
            if name not in self._asked:
                self._asked.add(name)
                self._note_unknown(NameKind.FLOW, name)
            return flow

    def journey(self, name: str, tokens: Tokens, migration: str | None) -> Journey:
        """
        Give the handle of a journey; the same one for the same name.

        Args:
            migration: Its name, where it is known before a snapshot is.
        """
        with self._lock:
            if name not in self._journeys:
                journey = Journey(name, tokens, self._notices, self._cohort_of, migration, self._now)
                journey.cohorts = self._cohorts
                self._journeys[name] = journey
                self._use_in_journey(journey)
                self._note_unknown(NameKind.JOURNEY, name)
            return self._journeys[name]

    def cells(self) -> Iterator[Counting]:
        """
        Give all cells of all flows and journeys.
        """
        for flow in tuple(self._flows.values()):
            yield from flow.cells
        for journey in tuple(self._journeys.values()):
            yield from journey.cells

    def durations(self) -> Iterator[tuple[str, Backend, Durations]]:
        """
        Give, by flow and side, how long calls took that the metrics have not taken over.
        """
        for flow in tuple(self._flows.values()):
            for side, waiting in zip(Backend, flow.cells.durations, strict=True):
                yield flow.name, side, waiting

    def expire_shadows(self) -> None:
        """
        Give up on comparisons that are under way for too long.
        """
        for shadow in self._shadows():
            shadow.expire()

    def mismatches(self) -> tuple[Mismatch, ...]:
        """
        Give the mismatches that are kept for operators.
        """
        return tuple(mismatch for shadow in self._shadows() for mismatch in tuple(shadow.kept))

    def asked(self) -> tuple[Asked, ...]:
        """
        Give what the application asks for by name, and how often it did.
        """
        snapshot = self.snapshot
        flows = [(name, self._flows[name].cells.count_requests()) for name in tuple(self._asked)]
        journeys = [(journey.name, journey.count_uses()) for journey in tuple(self._journeys.values())]
        asked = {NameKind.FLOW: flows, NameKind.JOURNEY: journeys, NameKind.COHORT: self._cohorts.counts()}
        named = (Asked(kind, name, requests) for kind, many in asked.items() for name, requests in many)
        return bounded(named, None if snapshot is None else snapshot.definition)

    def unknown(self) -> tuple[Asked, ...]:
        """
        Give what the application asks for by name and the definition that holds here lacks.
        """
        snapshot = self.snapshot
        if snapshot is None:
            return ()
        return tuple(one for one in self.asked() if not is_known(snapshot.definition, one.kind, one.name))

    def take_snapshot(self, snapshot: Snapshot, secret: bytes | None) -> None:
        """
        Route by another snapshot from now on.
        """
        with self._lock:
            is_news = snapshot is not self.snapshot  # and not only the secret
            self._use(attrs.evolve(self._given, snapshot=snapshot, secret=secret))
            if is_news:
                self.listeners.tell(snapshot)
        self.loaded.set()
        for name in tuple(self._asked):
            self._note_unknown(NameKind.FLOW, name)
        for name in tuple(self._journeys):
            self._note_unknown(NameKind.JOURNEY, name)
        self._note_unknown_lines()
        if secret is None and any(snapshot.overrides.values()):
            self._notices.note("cutover.overrides_ignored", reason="this source does not give the secret")

    def listen(self, listener: Listener) -> Callable[[], None]:
        """
        Have a function called with every snapshot after the one that holds; give what removes it.
        """
        with self._lock:
            return self.listeners.add(listener)

    def take_break_glass(self, lines: Mapping[str, Backend]) -> None:
        """
        Obey other lines of the break-glass file from now on.
        """
        with self._lock:
            self._lines = lines
            self._use(attrs.evolve(self._given, break_glass=lowered(lines, self._floor)))
        self._note_unknown_lines()

    def take_floor(self, floor: frozenset[str]) -> None:
        """
        Hold other flows on OLD from now on, as if the break-glass file said so; where it differs, OLD wins.
        """
        with self._lock:
            self._floor = floor
            self._use(attrs.evolve(self._given, break_glass=lowered(self._lines, floor)))

    def after_fork(self) -> None:
        """
        Replace what another thread may have held, and count from zero: what was counted belongs to the parent.
        """
        self._lock = threading.Lock()
        self.loaded = Readiness()
        self.listeners.after_fork()
        if self.snapshot is not None:
            self.loaded.set()
        for flow in self._flows.values():
            flow.restart_counting()
        for journey in self._journeys.values():
            journey.restart_counting()
        self._cohorts.restart_counting()
        self._use(self._given)

    def _shadows(self) -> Iterator["Shadow"]:
        for flow in tuple(self._flows.values()):
            yield from (switch.shadow for switch in tuple(flow.switches) if switch.shadow is not None)

    def _flow(self, name: str) -> Flow:
        flow = self._flows.get(name)
        if flow is None:
            flow = self._flows[name] = Flow(name, self._notices, self._cohort_of)
            flow.writing = self.writing
            flow.cohorts = self._cohorts
            flow.use(self._given)
        return flow

    def _use(self, given: Circumstances) -> None:
        self._given = given
        for flow in tuple(self._flows.values()):
            flow.use(given)
        for journey in self._journeys.values():
            self._use_in_journey(journey)

    def _use_in_journey(self, journey: Journey) -> None:
        snapshot = self._given.snapshot
        defined = None if snapshot is None else snapshot.definition.journeys.get(journey.name)
        flows = () if defined is None else defined.flows
        journey.use(self._given, {flow: self._flow(flow).plan for flow in flows})

    def _note_unknown_lines(self) -> None:
        snapshot = self.snapshot
        for name in () if snapshot is None else unknown_lines(self._lines, snapshot.definition):
            self._notices.note("cutover.break_glass_unknown", line=name, allowed="a flow, a journey or *")

    def note_not_ready(self) -> None:
        """
        Have the log tell once that somebody waited in vain for a snapshot.
        """
        self._notices.note("cutover.not_ready", meaning="every flow goes to OLD until there is a snapshot")

    def _note_unknown(self, kind: NameKind, name: str) -> None:
        snapshot = self.snapshot
        if snapshot is None or is_known(snapshot.definition, kind, name):
            return
        meant = closest(snapshot.definition, kind, name)
        facts = {
            kind.value: presentable(name),
            "migration": snapshot.migration,
            **({"closest": meant} if meant else {}),
        }
        self._notices.note("cutover.flow_unknown" if kind is NameKind.FLOW else "cutover.journey_unknown", **facts)
