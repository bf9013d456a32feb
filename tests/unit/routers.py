"""
What the tests of the router share: scripted stores, and the parts of a router without its threads.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from prometheus_client import CollectorRegistry
from strategies import COHORTS, NAME, SECRET, Verb, begun, definition_of, perform
from structlog.testing import capture_logs

from cutover.core.checkin import Kind
from cutover.core.defined import Cohort, Journey, WorkItem
from cutover.core.snapshot import Snapshot
from cutover.errors import Unavailable
from cutover.ports.store import Durability, Reading
from cutover.router.background.follower import Follower
from cutover.router.background.reporting import Reporter
from cutover.router.holding import Holding
from cutover.router.metrics.instruments import instruments_on
from cutover.router.metrics.telemetry import Telemetry
from cutover.router.notices import NoticeBoard

SHOP = definition_of(
    "browse",
    "cart",
    "pay",
    journeys={"purchase": Journey(name="purchase", flows=("cart", "pay"), together=True)},
    cohorts={name: Cohort(name=name, title=name) for name in COHORTS},
    work={"branding": WorkItem(name="branding", title="Texts", weight=Decimal(1))},
)


def after(*verbs: Verb) -> Snapshot:
    """
    Give the snapshot of the shop after some verbs.
    """
    return perform(SHOP, verbs)[1]


def reading(snapshot: Snapshot, ancestor: str | None = None, secret: bytes | None = SECRET) -> Reading:
    """
    Give what a store answers that is at this snapshot.
    """
    return Reading(head=snapshot.head, document=snapshot.encode(), secret=secret, ancestor=ancestor)


FIRST = begun(SHOP)


class Script:
    """
    A source that answers what it is told: a reading, None, or an error to raise. The last answer holds on.
    """

    url = "script:"

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.names: tuple[str, ...] = (NAME,)
        self.closed = 0
        self.waits: list[tuple[object, float]] = []

    def migrations(self):
        """
        Name what it is told.
        """
        return self._given(self.names)

    def read(self, migration, *, seen=None):
        """
        Give the next answer.
        """
        return self._given(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

    def wait(self, migration, *, seen, timeout):
        """
        Note what was waited for, and return at once.
        """
        self.waits.append((seen, timeout))

    def close(self):
        """
        Count.
        """
        self.closed += 1

    def _given(self, answer):
        if isinstance(answer, BaseException):
            raise answer
        return answer


class ScriptedStore(Script):
    """
    A script that takes check-ins, too, unless told to refuse them.
    """

    durability = Durability.ACCEPTED

    def __init__(self, *answers: object) -> None:
        super().__init__(*answers)
        self.reports = []
        self.refuse: Exception | None = None

    def now(self):
        """
        Read the clock.
        """
        return datetime.now(UTC)

    def append(self, migration, **_):
        """
        Refuse.
        """
        raise Unavailable("a script cannot be written to")

    def history(self, migration, *, after=0):
        """
        Know none.
        """
        return ()

    def check_in(self, migration, report, *, now):
        """
        Take it, unless told not to.
        """
        if self.refuse is not None:
            raise self.refuse
        self.reports.append(report)

    def fleet(self, migration):
        """
        Refuse.
        """
        raise Unavailable("a script knows no fleet")


class Parts:
    """
    The parts of a router over a source; nothing runs by itself.
    """

    def __init__(self, source, *, migration: str | None = NAME, **more) -> None:
        self.registry = CollectorRegistry()
        self.notices = NoticeBoard()
        self.holding = Holding(self.notices, None)
        self.telemetry = Telemetry(instruments_on(self.registry), self.holding.cells, self.holding.durations, migration)
        self.reporter = Reporter(self.holding.cells)
        more = {"cache": None, **more}
        self.follower = Follower(source, migration, self.holding, self.telemetry, self.reporter, **more)

    def flow(self, name: str):
        """
        Give a flow, counted on the registry.
        """
        return self.holding.flow(name)

    def version(self) -> int | None:
        """
        Give the version that holds.
        """
        snapshot = self.holding.snapshot
        return None if snapshot is None else snapshot.version


def totals(flow) -> dict:
    """
    Give what a flow has counted of requests and calls, without zeros.
    """
    cells = [cell for cell in flow.cells if cell.total and cell.counted.kind is not Kind.VISITS]
    return {tuple(map(str, cell.counted)): cell.total for cell in cells}


def logged(notices: NoticeBoard) -> list:
    """
    Give what a notice board has for the log.
    """
    with capture_logs() as logs:
        notices.log()
    return logs


def events(logs: list) -> list[str]:
    """
    Name what was logged, in order.
    """
    return [entry["event"] for entry in logs]


def samples(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """
    Give a metric's values by its labels but `migration`.
    """

    def found() -> Iterator[tuple[tuple[str, ...], float]]:
        for metric in registry.collect():
            for sample in metric.samples:
                if sample.name == name:
                    yield tuple(v for k, v in sample.labels.items() if k != "migration"), sample.value

    return dict(found())
