"""
A router for the tests of applications: real rules, no store, no thread, no file.
"""

from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry

from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.core.migration import Flow as FlowDefinition
from cutover.core.migration import Migration
from cutover.core.percent import parse_percent
from cutover.core.snapshot import NO_HASH, Head, Snapshot
from cutover.errors import ConfigurationError
from cutover.router.flow import CohortOf
from cutover.router.holding import Holding
from cutover.router.instruments import instruments_on
from cutover.router.notices import NoticeBoard
from cutover.router.router import Router
from cutover.router.telemetry import Telemetry

__all__ = ["TestRouter", "router"]

SOME_DAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
ENDS: Final = {"old": 0, "new": PARTS}


class TestRouter(Router):
    """
    What `cutover.testing.router` gives: a `Router` that follows nothing.

    Attributes:
        registry: Where its metrics are.
    """

    __test__ = False  # for pytest, which collects classes of this name

    def __init__(self, dials: dict[str, int], cohort_of: CohortOf | None, registry: CollectorRegistry) -> None:
        # Not Router's: there is nothing to start, to follow or to let go of.
        self.registry = registry
        self._holding = Holding(NoticeBoard(), cohort_of)
        self._telemetry = Telemetry(instruments_on(registry), self._holding.cells, None)
        self._take(dials)

    @property
    def regressed(self) -> bool:
        """
        Never: there is no store.
        """
        return False

    def set(self, **dials: object) -> None:
        """
        Move dials in the middle of a test: a percentage, "old" or "new" for each flow.
        """
        snapshot = self._holding.snapshot
        before = {} if snapshot is None else dict(snapshot.dials)
        self._take({**before, **_parts(dials)})

    def after_fork(self) -> None:
        """
        Do nothing: there is no thread to start again.
        """

    def close(self) -> None:
        """
        Do nothing: there is nothing to let go of.
        """

    def _take(self, dials: dict[str, int]) -> None:
        snapshot = self._holding.snapshot
        version = 1 if snapshot is None else snapshot.version + 1
        definition = Migration(
            name="test",
            title="Test",
            old="old",
            new="new",
            salt="test",
            flows={name: FlowDefinition(name=name) for name in dials},
        )
        head = Head(1, version, NO_HASH)
        taken = Snapshot(definition=definition, head=head, at=SOME_DAY, dials=dials)
        self._holding.take_snapshot(taken, None)
        self._telemetry.show_snapshot(taken)


def router(cohort_of: CohortOf | None = None, registry: CollectorRegistry | None = None, **dials: object) -> TestRouter:
    """
    Make a router for the tests of an application, without store or thread.

        router = cutover.testing.router(pay="new", cart=25)

    Args:
        registry: Where metrics go; a new one for each router if left out.
        dials: For each flow a percentage, "old" for 0 or "new" for 100.

    Raises:
        ConfigurationError: If no flow is given, or a dial is wrong.
    """
    if not dials:
        raise ConfigurationError('no flow is given; allowed: dials such as router(pay="new", cart=25)')
    return TestRouter(_parts(dials), cohort_of, CollectorRegistry() if registry is None else registry)


def _parts(dials: dict[str, object]) -> dict[str, int]:
    parts = {}
    for flow, dial in dials.items():
        named = dial.value if isinstance(dial, Backend) else dial
        parts[flow] = ENDS[named] if isinstance(named, str) and named in ENDS else parse_percent(dial, f"dial {flow}")
    return parts
