"""
All that routing may depend on besides the request, as hypothesis strategies; and a router's part that holds it.
"""

from collections import Counter

from hypothesis import strategies as st
from strategies import FLOWS, JOURNEYS, SECRET, snapshots

from cutover.core.backend import Backend
from cutover.core.break_glass import EVERY_FLOW
from cutover.core.checkin import Kind
from cutover.router.compiled import Circumstances
from cutover.router.flow import Flow
from cutover.router.holding import Holding
from cutover.router.journey import Journey
from cutover.router.notices import NoticeBoard
from cutover.router.tokens import Tokens

TOKENS = Tokens(("a secret of the tests, long enough",))
NOW = 1_700_000_000

lines = st.just({}) | st.dictionaries(
    st.sampled_from((*FLOWS, *JOURNEYS, EVERY_FLOW, "unknown")), st.sampled_from(Backend), max_size=3
)
circumstances = st.builds(
    Circumstances,
    snapshot=st.none() | snapshots(),
    secret=st.sampled_from((None, SECRET)),
    break_glass=lines,
)


class Desk:
    """
    Journeys and flows that hold the same circumstances, and a clock that stands still.
    """

    def __init__(self, given=None, *, tokens=TOKENS, migration=None, cohort_of=None) -> None:
        self.now: float = NOW
        self.notices = NoticeBoard()
        self.holding = Holding(self.notices, cohort_of, lambda: self.now)
        self._tokens = tokens
        self._migration = migration
        if given is not None:
            self.use(given)

    def use(self, given: Circumstances) -> None:
        """
        Hold other circumstances; a snapshot that was once known stays known.
        """
        self.holding.take_break_glass(given.break_glass)
        if given.snapshot is not None:
            self.holding.take_snapshot(given.snapshot, given.secret)

    def take(self, snapshot, secret=SECRET) -> None:
        """
        Hold another snapshot.
        """
        self.holding.take_snapshot(snapshot, secret)

    def journey(self, name: str = "purchase") -> Journey:
        """
        Give the handle of a journey.
        """
        return self.holding.journey(name, self._tokens, self._migration)

    def flow(self, name: str) -> Flow:
        """
        Give the handle of a flow.
        """
        return self.holding.flow(name)

    def events(self, name: str = "purchase") -> dict[str, int]:
        """
        Give what was counted of a journey's visits, without zeros.
        """
        counted: Counter[str] = Counter()
        for cell in self.holding.cells():
            if cell.counted.kind is Kind.VISITS and cell.counted.flow == name:
                counted[cell.counted.detail] += cell.total
        return dict(+counted)
