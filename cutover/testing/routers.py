"""
A router for the tests of applications: real rules, no store, no thread, no file.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Final

from prometheus_client import CollectorRegistry

from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.core.defined import Flow as FlowDefinition
from cutover.core.migration import Migration
from cutover.core.percent import Percent, parse_percent
from cutover.core.snapshot import NO_HASH, Head, Snapshot
from cutover.errors import ConfigurationError
from cutover.router.holding import Holding
from cutover.router.metrics.instruments import instruments_on
from cutover.router.metrics.telemetry import Telemetry
from cutover.router.mirrored.writing import Writing
from cutover.router.notices import NoticeBoard
from cutover.router.router import Router
from cutover.router.routing import CohortOf, check_cohort_of
from cutover.router.tokens import Tokens

__all__ = ["TestRouter", "router"]

SOME_DAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
FOR_TESTS: Final = "for the tests of applications only"  # signs tokens
NUMBERS: Final = count()
ENDS: Final = {"old": 0, "new": PARTS}


class TestRouter(Router):
    """
    What `cutover.testing.router` gives: a `Router` that follows nothing.

    Attributes:
        registry: Where its metrics are.
    """

    __test__ = False  # for pytest, which collects classes of this name

    def __init__(self, definition: Migration, dials: dict[str, int], cohort_of: CohortOf | None) -> None:
        # Not Router's: there is nothing to start, to follow or to let go of.
        self.registry: CollectorRegistry = CollectorRegistry()
        self._definition = definition
        self._holding = Holding(NoticeBoard(), cohort_of)
        instruments = instruments_on(self.registry)
        self._telemetry = Telemetry(instruments, self._holding.cells, self._holding.durations, None)
        self._tokens = Tokens((FOR_TESTS,))
        # In this process's memory: what one side missed is delivered by a thread, which only writes start.
        place = f"memory:tests-{next(NUMBERS)}"
        self._writing = Writing(place, lambda: definition.name, self._telemetry.show_mirror)
        self._holding.writing = self._writing
        self._take(dict.fromkeys(definition.flows, 0) | dials)

    @property
    def regressed(self) -> bool:
        """
        Never: there is no store.
        """
        return False

    @property
    def _migration(self) -> str:
        return self._definition.name

    def set(self, **dials: Backend | Percent) -> None:
        """
        Move dials in the middle of a test: a percentage, "old" or "new" for each flow.

        Raises:
            ConfigurationError: If there is no such flow, or a dial is wrong.
        """
        before = {} if self.snapshot is None else dict(self.snapshot.dials)
        self._take(before | _parts(dials, self._definition.flows))

    def after_fork(self) -> None:
        """
        Do nothing: there is no thread to start again.
        """

    def close(self) -> None:
        """
        End the thread of mirrored writes, if there is one; there is nothing else to let go of.
        """
        self._writing.close()

    def _take(self, dials: dict[str, int]) -> None:
        version = 1 if self.snapshot is None else self.snapshot.version + 1
        taken = Snapshot(
            definition=self._definition,
            head=Head(1, version, NO_HASH),
            at=SOME_DAY,
            dials=dials,
            work=dict.fromkeys(self._definition.work, 0),
        )
        self._holding.take_snapshot(taken, None)
        self._telemetry.show_snapshot(taken)
        self._holding.listeners.join()


def router(
    definition: Migration | None = None, *, cohort_of: CohortOf | None = None, **dials: Backend | Percent
) -> TestRouter:
    """
    Make a router for the tests of an application, without store or thread.

        router = cutover.testing.router(pay="new", cart=25)
        router = cutover.testing.router(cutover.Migration.load("cutover.toml"), pay="new")

    Args:
        definition: The application's own, so that names of sides, journeys and unknown flows are as in production;
            flows without a dial are at 0. Left out, the flows are those with a dial, and the sides "old" and "new".
        cohort_of: Asked for the cohort of a key, as in `cutover.connect`.
        dials: For each flow a percentage, "old" for 0 or "new" for 100.

    Raises:
        ConfigurationError: If no flow is given, there is no such flow, or a dial or *cohort_of* is wrong.
    """
    check_cohort_of(cohort_of)
    if definition is None:
        definition = _definition(dials)
    return TestRouter(definition, _parts(dials, definition.flows), cohort_of)


def _definition(dials: Mapping[str, object]) -> Migration:
    if not dials:
        raise ConfigurationError('no flow is given; allowed: dials such as router(pay="new", cart=25)')
    flows = {name: FlowDefinition(name=name) for name in dials}
    return Migration(name="test", title="Test", old="old", new="new", salt="test", flows=flows)


def _parts(dials: Mapping[str, object], flows: Collection[str]) -> dict[str, int]:
    parts = {}
    for flow, dial in dials.items():
        if flow not in flows:
            raise ConfigurationError(f"there is no flow {flow!r}; allowed: {', '.join(flows)}")
        named = dial.value if isinstance(dial, Backend) else dial
        try:
            parts[flow] = (
                ENDS[named] if isinstance(named, str) and named in ENDS else parse_percent(dial, f"dial {flow}")
            )
        except ConfigurationError as error:
            raise ConfigurationError(f'{error}, or "old", or "new"') from None
    return parts
