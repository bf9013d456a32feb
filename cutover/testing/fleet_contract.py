"""
What every store is held to about check-ins: nothing is counted twice, and nothing is lost.
"""

import itertools
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutover.core.checkin import FOLD_AFTER, TOO_LATE, CheckIn, Counted, Fleet, Kind, Ran, Totals, add, minute_of
from cutover.core.names import Asked, NameKind
from cutover.core.snapshot import Head
from cutover.core.verdict import Mismatch, Verdict
from cutover.ports.store import Store
from cutover.testing.store_helpers import MIGRATION, NOW, counted, report, write

__all__ = ["FleetContract"]

MINUTE: Final = minute_of(NOW)
SHADOWS: Final = Counted(Kind.SHADOWS, "pay", "", Verdict.MISMATCH)
FALLBACKS: Final = Counted(Kind.FALLBACKS, "pay", "", "")
EXAMPLES: Final = 60
NAMES: Final = (f"property-{number}" for number in itertools.count())

#: (instance, sequence, closing, counts by minutes ago, minutes that pass before it)
EVENTS: Final = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(1, 6),
        st.sampled_from([False, False, False, True]),
        st.dictionaries(st.integers(0, 40), st.integers(0, 9), max_size=3),
        st.sampled_from([0, 0, 1, 5, 16]),
    ),
    max_size=12,
)


class FleetContract:
    """
    Check-ins: repeated, late, out of order, refused, folded.
    """

    def test_whole_report(self, store: Store) -> None:
        """
        A report comes back whole, with every field set, apart from the minutes that are added up.
        """
        write(store)
        given = report(
            head=Head(2, 41, "f" * 64),
            majors=(1, 2),
            regressed=True,
            break_glass=("*", "pay"),
            since_version={counted(): 7, counted("cart", "old", "cohort"): 2**52, SHADOWS: 3, FALLBACKS: 1},
            minutes={MINUTE: {counted(): 5}},
            host="tokyo-東京",
            name="checkout 東京",
            ran=(Ran(1, 40, timedelta(seconds=9)), Ran(2, 41, timedelta(seconds=3))),
            mismatches=(Mismatch(flow="pay", at=NOW, differences=(("items.0", "int", "東京"), ("", "a", "b"))),),
            asked=(
                Asked(NameKind.COHORT, "Staff", 0),
                Asked(NameKind.FLOW, "pay", 7),
                Asked(NameKind.FLOW, "支払い\n\x00\u202e", 2**52),
            ),
        )
        store.check_in(MIGRATION, given, now=NOW)

        expected = Fleet(instances=(attrs.evolve(given, minutes={}),), minutes={MINUTE: {counted(): 5}})
        assert expected == store.fleet(MIGRATION)

    def test_report_of_an_older_library(self, store: Store) -> None:
        """
        A report that does not say what its application asks for comes back as such, not as one that asks for nothing.
        """
        write(store)
        for number, asked in enumerate((None, ())):
            store.check_in(MIGRATION, report("ab"[number], asked=asked), now=NOW)

        assert [instance.asked for instance in store.fleet(MIGRATION).instances] == [None, ()]

    def test_dated_by_the_store(self, store: Store) -> None:
        """
        A report is dated by the store's clock: that of the process may be an hour off.
        """
        write(store)
        store.check_in(MIGRATION, report(at=NOW - timedelta(hours=1)), now=NOW)

        assert [instance.at for instance in store.fleet(MIGRATION).instances] == [NOW]
        assert store.now().utcoffset() == timedelta(0)

    def test_highest_sequence_holds(self, store: Store) -> None:
        """
        Of one instance, the report with the highest sequence holds, in whatever order they come.
        """
        write(store)
        for sequence in (2, 3, 1, 3):
            minutes = {MINUTE: {counted(): 10 * sequence}}
            store.check_in(MIGRATION, report(sequence=sequence, pid=sequence, minutes=minutes), now=NOW)

        fleet = store.fleet(MIGRATION)
        assert [(i.sequence, i.pid) for i in fleet.instances] == [(3, 3)]
        assert {MINUTE: {counted(): 30}} == fleet.minutes

    def test_late_minutes_count(self, store: Store) -> None:
        """
        An overtaken report still brings the minutes that no later one had.
        """
        write(store)
        store.check_in(MIGRATION, report(sequence=2, minutes={MINUTE: {counted(): 5}}), now=NOW)
        store.check_in(MIGRATION, report(sequence=1, minutes={MINUTE - 1: {counted(): 3}}), now=NOW)

        assert {MINUTE: {counted(): 5}, MINUTE - 1: {counted(): 3}} == store.fleet(MIGRATION).minutes

    def test_instances_add_up(self, store: Store) -> None:
        """
        Minutes are added up over all instances.
        """
        write(store)
        for instance in "ba":
            store.check_in(MIGRATION, report(instance, minutes={MINUTE: {counted(): 4}}), now=NOW)

        fleet = store.fleet(MIGRATION)
        assert [i.instance for i in fleet.instances] == ["a", "b"]
        assert {counted(): 8} == fleet.totals()

    def test_closing(self, store: Store) -> None:
        """
        A closing report takes the instance away and leaves its counts; an overtaken one does not bring it back.
        """
        write(store)
        store.check_in(MIGRATION, report(sequence=1), now=NOW)
        store.check_in(MIGRATION, report(sequence=3, closing=True, minutes={MINUTE: {counted(): 6}}), now=NOW)
        store.check_in(MIGRATION, report(sequence=2), now=NOW)

        fleet = store.fleet(MIGRATION)
        assert fleet.instances == ()
        assert {counted(): 6} == fleet.totals()

    def test_closed_ones_are_forgotten(self, store: Store) -> None:
        """
        What an instance counted outlives it for ever, in hours.
        """
        write(store)
        store.check_in(MIGRATION, report(closing=True, minutes={MINUTE: {counted(): 6}}), now=NOW)
        for days in (2, 4):
            store.check_in(MIGRATION, report("other", sequence=days), now=NOW + timedelta(days=days))

        fleet = store.fleet(MIGRATION)
        assert [i.instance for i in fleet.instances] == ["other"]
        assert {MINUTE // 60: {counted(): 6}} == fleet.hours

    def test_late_minutes_are_folded(self, store: Store) -> None:
        """
        A minute that comes late, because the store was away, goes into its hour.
        """
        write(store)
        late = report(minutes={MINUTE: {counted(): 2}, MINUTE + 1: {counted(): 5}})
        store.check_in(MIGRATION, late, now=NOW + timedelta(hours=3))

        fleet = store.fleet(MIGRATION)
        assert ({}, {MINUTE // 60: {counted(): 7}}) == (fleet.minutes, fleet.hours)

    def test_minutes_that_are_folded_already(self, store: Store) -> None:
        """
        A minute is taken until it is folded, and left out from then on; the rest of the report is taken.
        """
        write(store)
        limit = NOW.replace(second=0) + FOLD_AFTER
        store.check_in(MIGRATION, report(sequence=1, minutes={MINUTE: {counted(): 1}}), now=limit)
        assert {MINUTE: {counted(): 1}} == store.fleet(MIGRATION).minutes

        store.check_in(MIGRATION, report("b"), now=limit + timedelta(microseconds=1))
        late = report(sequence=2, minutes={MINUTE: {counted(): 2}, MINUTE + 1: {counted(): 5}})
        store.check_in(MIGRATION, late, now=limit + timedelta(microseconds=1))

        fleet = store.fleet(MIGRATION)
        assert ({MINUTE + 1: {counted(): 5}}, {MINUTE // 60: {counted(): 1}}) == (fleet.minutes, fleet.hours)
        assert [(i.instance, i.sequence) for i in fleet.instances] == [("a", 2), ("b", 1)]

    def test_minutes_that_are_too_late(self, store: Store) -> None:
        """
        A minute of more than a day ago is left out: the store may have forgotten that it had it.
        """
        write(store)
        limit = NOW.replace(second=0) + TOO_LATE
        minutes = {MINUTE: {counted(): 1}, MINUTE - 1: {counted(): 2}}
        store.check_in(MIGRATION, report(minutes=minutes), now=limit)

        assert {counted(): 1} == store.fleet(MIGRATION).totals()

    def test_folding(self, store: Store) -> None:
        """
        Old minutes of all instances are folded into the hours that they lie in, and added to what is there.
        """
        write(store)
        hour = MINUTE // 60
        for instance in "ab":
            minutes = {hour * 60 + m: {counted(): 1, counted("cart"): m} for m in (28, 29, 30)}
            store.check_in(MIGRATION, report(instance, minutes=minutes), now=NOW)
        for minutes_later in (15, 16, 90):
            store.check_in(MIGRATION, report("c", minutes_later), now=NOW + timedelta(minutes=minutes_later))

        fleet = store.fleet(MIGRATION)
        assert fleet.minutes == {}
        assert {hour: {counted(): 6, counted("cart"): 174}} == fleet.hours

    def test_the_clock_goes_back(self, store: Store) -> None:
        """
        A minute that was folded is not counted again, also where the clock was put back.
        """
        write(store)
        store.check_in(MIGRATION, report(sequence=1, minutes={MINUTE: {counted(): 5}}), now=NOW)
        store.check_in(MIGRATION, report("b"), now=NOW + timedelta(hours=1))
        store.check_in(MIGRATION, report(sequence=2, minutes={MINUTE: {counted(): 5}}), now=NOW)

        assert {counted(): 5} == store.fleet(MIGRATION).totals()

    def test_migrations_count_apart(self, store: Store) -> None:
        """
        Check-ins of one migration do not show in another.
        """
        write(store)
        store.check_in("other", report(minutes={MINUTE: {counted(): 5}}), now=NOW)

        assert Fleet() == store.fleet(MIGRATION)
        assert {counted(): 5} == store.fleet("other").totals()
        assert list(store.migrations()) == [MIGRATION]

    def test_copies(self, store: Store) -> None:
        """
        Whoever changes what he gave or got changes nothing in the store.
        """
        write(store)
        given: dict[Any, int] = {counted(): 5}
        store.check_in(MIGRATION, report(minutes={MINUTE: given}, since_version=given), now=NOW)
        store.check_in(MIGRATION, report("b"), now=NOW + timedelta(hours=1))
        expected = store.fleet(MIGRATION)
        given[counted()] = 99
        for totals in (*store.fleet(MIGRATION).hours.values(), *store.fleet(MIGRATION).minutes.values()):
            spoil(totals)

        assert expected == store.fleet(MIGRATION)
        assert {counted(): 5} == store.fleet(MIGRATION).totals()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(events=EVENTS)
    def test_as_the_model(self, store: Store, events: list[Any]) -> None:
        """
        After any sequence of reports, a store holds what a simple model of the rules holds.
        """
        migration, model, now = next(NAMES), _Model(), NOW
        write(store, migration=migration)
        for instance, sequence, closing, ago, passing in events:
            now += timedelta(minutes=passing)
            minutes = {minute_of(now) - back: {counted(): number} for back, number in ago.items()}
            # two reports with one sequence are the same report, sent twice
            sent = model.sent.setdefault(
                (instance, sequence), report(instance, sequence, closing=closing, minutes=minutes)
            )
            store.check_in(migration, sent, now=now)
            model.take(sent, now)

        assert model.fleet() == store.fleet(migration)


class _Model:
    """
    The rules as one would say them, with every minute kept for ever.
    """

    def __init__(self) -> None:
        self.sent: dict[tuple[str, int], CheckIn] = {}
        self.reports: dict[str, CheckIn] = {}
        self.kept: dict[tuple[str, int], tuple[int, Totals]] = {}
        self.folded: dict[str, int] = {}
        self.now = NOW

    def take(self, sent: CheckIn, now: Any) -> None:
        self.now = now
        if sent.instance not in self.reports or sent.sequence > self.reports[sent.instance].sequence:
            self.reports[sent.instance] = attrs.evolve(sent, at=now)
        for minute, totals in sent.minutes.items():
            held, _ = self.kept.get((sent.instance, minute), (0, {}))
            if (
                minute > self.folded.get(sent.instance, -1)
                and sent.sequence > held
                and not self.is_old(minute, TOO_LATE)
            ):
                self.kept[sent.instance, minute] = (sent.sequence, totals)
        for instance, minute in self.kept:
            if self.is_old(minute):
                self.folded[instance] = max(minute, self.folded.get(instance, -1))

    def is_old(self, minute: int, limit: timedelta = FOLD_AFTER) -> bool:
        return self.now.timestamp() - minute * 60 > limit.total_seconds()

    def fleet(self) -> Fleet:
        live = sorted((i for i in self.reports.values() if not i.closing), key=lambda i: i.instance)
        old = [(minute // 60, totals) for (_, minute), (_, totals) in self.kept.items() if self.is_old(minute)]
        new = [(minute, totals) for (_, minute), (_, totals) in self.kept.items() if not self.is_old(minute)]
        return Fleet(instances=tuple(attrs.evolve(i, minutes={}) for i in live), minutes=sums(new), hours=sums(old))


def sums(many: Iterable[tuple[int, Totals]]) -> dict[int, Totals]:
    """
    Add totals up by number.
    """
    result: dict[int, Totals] = {}
    for number, totals in many:
        result[number] = add((result.get(number, {}), totals))
    return result


def spoil(totals: Totals) -> None:
    """
    Change totals, where they let themselves be changed.
    """
    if isinstance(totals, dict):
        totals.clear()
