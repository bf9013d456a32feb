"""
What operators write against: every verb over one migration in a store.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self

import attrs

from cutover.claims.base import Rehomed
from cutover.claims.homes import Homes
from cutover.claims.ids import Id
from cutover.clock import utc_now
from cutover.core.backend import UNSET, Unset
from cutover.core.changes import Proposal
from cutover.core.checkin import LEASE, CheckIn, Fleet
from cutover.core.ledger import Change, Expectation, Verification
from cutover.core.migration import Migration
from cutover.core.snapshot import Snapshot
from cutover.errors import ConfigurationError, Corrupt, Refused, StoreError, Unavailable
from cutover.operations import intents
from cutover.operations.audit import audited
from cutover.operations.commit import Expect, Outcome, commit, proposed
from cutover.operations.comparing import Comparisons, compared
from cutover.operations.explanation import Explanation, explanation_of
from cutover.operations.intents import Basis, Intent
from cutover.operations.mirroring import Mirrors
from cutover.operations.overview import Facts, instances_of, status_of
from cutover.operations.preview import Preview
from cutover.operations.recovery import sound_snapshot
from cutover.operations.rehoming import Place, Things, on_record, opened
from cutover.operations.stamp import Stamp, actor_of
from cutover.operations.status import Instance, Status
from cutover.operations.trail import Trail, followed
from cutover.operations.waiting import Confirmation, wait_for
from cutover.stores.base import Durability, Source, Store
from cutover.stores.registry import open_store

__all__ = ["Control", "control"]

APPLIED = "definition applied"


def control(
    store: str | Source, *, actor: str | None = None, migration: str | None = None, outbox: str | None = None
) -> "Control":
    """
    Open a store to operate a migration.

    Args:
        store: A URL, or a store object; an object is not closed by `Control.close`.
        actor: Who acts, for the ledger; else CUTOVER_ACTOR, else user@host.
        migration: Which one; else the only one in the store.
        outbox: The URL of where mirrored writes are kept; else CUTOVER_OUTBOX, else the store.

    Raises:
        ConfigurationError: If the URL or the actor can never work.
    """
    opened = open_store(store)
    named, owns = actor_of(actor), opened is not store
    return Control(opened, actor=named, migration=migration, owns_store=owns, mirrors=Mirrors.of(outbox, store))


class Control:
    """
    The verbs of operators over one migration.

    Every verb that changes something reads the state, computes the new one and writes it with compare-and-swap. With
    ``expect`` it raises `Conflict` where the store is at another change; without, it is computed again. Each raises
    `ConfigurationError` for what cannot be meant, `Refused` for what a rule forbids, `Unavailable` where nothing was
    written, and `OutcomeUnknown` where it may have been.

    May be used from several threads. A context manager that closes the store which it opened.

    Attributes:
        store: Where the migration is kept.
        actor: Who acts.
        preview: The verbs that change something, as a dry run.
        mirrors: What is known of mirrored writes.
    """

    def __init__(
        self,
        store: Source,
        *,
        actor: str,
        migration: str | None = None,
        owns_store: bool = False,
        now: Callable[[], datetime] | None = None,
        mirrors: Mirrors | None = None,
    ) -> None:
        self.store = store
        self.mirrors = mirrors or Mirrors(None)
        self.actor = actor
        self.preview = Preview(self.propose, self.epochs, lambda: self.migration)
        self._asked = self._resolved = migration
        self._owns_store = owns_store
        self._now = now or (store.now if isinstance(store, Store) else utc_now)
        self._known: Basis | None = None
        self._trail = Trail()
        self._age = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        Let go of the store, if this object opened it.
        """
        self.mirrors.close()
        if self._owns_store:
            self.store.close()

    @property
    def durability(self) -> Durability:
        """
        What an acknowledged change survives.
        """
        return self._writable().durability

    @property
    def migration(self) -> str:
        """
        The name of the migration: as given, else the only one in the store.

        Raises:
            ConfigurationError: If the store holds none or several.
        """
        if self._resolved is None:
            names = self.store.migrations()
            if len(names) != 1:
                several = f"several: {', '.join(names)}; name one, as --migration or CUTOVER_MIGRATION"
                found = several if names else "none; apply a definition first"
                raise ConfigurationError(f"which migration is meant? {self.store.url} holds {found}")
            self._resolved = names[0]
        return self._resolved

    # -- verbs that change something --

    def apply(
        self,
        definition: Migration,
        *,
        reason: str = APPLIED,
        ticket: str = "",
        expect: Expect = None,
        confirm: bool = False,
    ) -> Change:
        """
        Store a definition; the first one creates the migration. Dials are never touched.

        Returns:
            The change; where the definition is stored already, the last change: no version is added.

        Raises:
            Refused: If keys would move and *confirm* is not set; its `details` list them.
        """
        intent = intents.apply(definition, confirm=confirm)
        return self.carry_out(
            intent, migration=definition.name, reason=reason, ticket=ticket, expect=expect, creates=True
        ).change

    def set(
        self,
        target: str,
        percent: object,
        *,
        reason: str,
        ticket: str = "",
        expect: Expect = None,
        cohort: str | None = None,
        evict: bool = False,
        all_cohorts: bool = False,
        shadow: object = None,
    ) -> Change:
        """
        Set the dial of a flow, or of every flow of a journey.

        Args:
            percent: 0 to 100 in steps of 0.001; "inherit" or None lets a cohort follow the flow again. None
                with *shadow* leaves the flow's dial as it is.
            cohort: Only this cohort's dial.
            evict: End the visits on NEW; only with a lowered dial.
            all_cohorts: Let every cohort follow the flow.
            shadow: Percentage of the keys for which the other side is asked too; None leaves it as it is.
        """
        intent = intents.set_dial(target, percent, cohort=cohort, evict=evict, all_cohorts=all_cohorts, shadow=shadow)
        return self.carry_out(intent, reason=reason, ticket=ticket, expect=expect).change

    def rollback(self, target: str | None, *, reason: str, ticket: str = "") -> Change:
        """
        Send a flow or journey back to OLD at once, with all that goes together with it; None means every flow.

        Never refused, also while frozen; always computed on what the store holds.
        """
        return self.carry_out(intents.rollback(target), reason=reason, ticket=ticket).change

    def freeze(self, *, reason: str, ticket: str = "", expect: Expect = None) -> Change:
        """
        Refuse from now on every change after which some key could be NEW that was not.
        """
        return self.carry_out(intents.freeze(), reason=reason, ticket=ticket, expect=expect).change

    def unfreeze(self, *, reason: str, ticket: str = "", expect: Expect = None) -> Change:
        """
        Allow changes towards NEW again.
        """
        return self.carry_out(intents.unfreeze(), reason=reason, ticket=ticket, expect=expect).change

    def override(
        self, target: str, key: object, side: object, *, reason: str, ticket: str = "", expect: Expect = None
    ) -> Change:
        """
        Put one key on one side by name; the ledger does not tell the key.

        Args:
            side: A `Backend`, "old", "new" or the side's own name; None takes the override back.
        """
        return self.carry_out(intents.override(target, key, side), reason=reason, ticket=ticket, expect=expect).change

    def work(self, item: str, percent: object, *, reason: str, ticket: str = "", expect: Expect = None) -> Change:
        """
        Say how far a work item has come.
        """
        return self.carry_out(intents.set_work(item, percent), reason=reason, ticket=ticket, expect=expect).change

    def adopt(self, *, reason: str, ticket: str = "", expect: Expect = None) -> Change:
        """
        Declare the store's history the surviving one: routers that ran another one follow it from now on.
        """
        return self.carry_out(intents.adopt(self.epochs()), reason=reason, ticket=ticket, expect=expect).change

    def declare_dead(self, instance: str, *, reason: str, ticket: str = "", expect: Expect = None) -> Change:
        """
        Put on record that a lost router process will never come back, and count it no longer.

        Should it come back all the same, it shows again with its next check-in.

        Args:
            instance: Its name, the beginning of it, or HOST/PID.

        Raises:
            Refused: If it checked in a moment ago.
        """
        report = self.lost_instance(instance)
        change = self.carry_out(intents.declare_dead(report), reason=reason, ticket=ticket, expect=expect).change
        self.bury(report)
        return change

    def rehome(
        self, kind: str, ids: Iterable[Id], *, homes: Place = None, reason: str, ticket: str = "", expect: Expect = None
    ) -> Change:
        """
        Write down that things which were copied live on NEW now: their homes, and then in the ledger their number and a
        digest. `OutcomeUnknown` says that it was broken off; it is then done again with the same ids.

        Args:
            homes: The URL of the homes, or a `Homes`, which stays open; else CUTOVER_HOMES.
        """
        things = Things.named(kind, ids)
        with opened(homes, self.migration) as place:
            intent = self.move_homes(things, place, reason=reason, ticket=ticket, expect=expect)
        with on_record():
            return self.carry_out(intent, reason=reason, ticket=ticket).change

    def move_homes(
        self, things: Things, place: Homes, *, reason: str, ticket: str = "", expect: Expect = None
    ) -> Intent:
        """
        Check that things may be brought to NEW, write their homes, and give the intent that puts it on record.
        """
        Stamp.make(actor=self.actor, reason=reason, ticket=ticket)  # all that could be refused is, before it is done
        self._writable()
        self.propose(things.intent(Rehomed()), expect=expect)
        return things.move(place)

    def lost_instance(self, instance: str) -> CheckIn:
        """
        Give the last report of one router process that is lost.

        Args:
            instance: Its name, the beginning of it, or HOST/PID.

        Raises:
            ConfigurationError: If there is none, or several.
            Refused: If it is alive.
        """
        reports = self.fleet().instances if instance else ()
        found = [r for r in reports if r.instance.startswith(instance) or instance == f"{r.host}/{r.pid}"]
        if len(found) != 1:
            known = "several are" if found else "none is"
            raise ConfigurationError(f"instance is {instance!r}, and {known} named so; allowed: one of `instances`")
        age = self._now() - found[0].at
        if age <= LEASE:
            raise Refused(f"instance {found[0].instance} is alive: it checked in {age.total_seconds():.0f} s ago")
        return found[0]

    def bury(self, report: CheckIn) -> None:
        """
        Let the store forget a router process as if it had closed; what it counted stays.
        """
        store = self._writable()
        closing = attrs.evolve(report, sequence=report.sequence + 1, closing=True)
        store.check_in(self.migration, closing, now=store.now())

    def carry_out(
        self,
        intent: Intent,
        *,
        reason: str,
        ticket: str = "",
        expect: Expect = None,
        migration: str | None = None,
        creates: bool = False,
    ) -> Outcome:
        """
        Carry any intent out: what the verbs above are made of, for those who want to know more of the outcome.

        Args:
            creates: The migration, or its place, need not be there yet.
        """
        stamp = Stamp.make(actor=self.actor, reason=reason, ticket=ticket)
        expectation = None if expect is None else Expectation.parse(expect)
        store, name = self._writable(), self._named(migration)
        read, asked = partial(self._read, name, creates=creates), self.mirrors.checked(intent)
        return self.mirrors.noted(commit(store, read, asked, stamp, expect=expectation, now=self._now))

    def propose(
        self, intent: Intent, *, expect: Expect = None, migration: str | None = None, creates: bool = False
    ) -> Proposal:
        """
        Compute what an intent would do, and write nothing.
        """
        expectation = None if expect is None else Expectation.parse(expect)
        basis = self._read(self._named(migration), creates=creates, is_dry=True)
        return self.mirrors.with_notes(proposed(basis, self.mirrors.checked(intent), expectation))

    # -- verbs that only look --

    def snapshot(self) -> Snapshot:
        """
        Read what holds.
        """
        return self._read(self.migration).current

    def export_snapshot(self) -> str:
        """
        Give the snapshot's document, to start routers from where no store can be reached. It holds no secret.
        """
        return self.snapshot().encode()

    def history(self, *, after: int = 0) -> list[Change]:
        """
        Give the changes above a version, oldest first.
        """
        return [Change.decode(text) for text in self.history_texts(after=after)]

    def history_texts(self, *, after: int = 0) -> Sequence[str]:
        """
        Give the changes above a version to the letter, as they were stored and hashed.
        """
        return self._writable().history(self.migration, after=after)

    def verify(self, *, expect: Expect = None) -> Verification:
        """
        Check the whole ledger and that its effects merge to the snapshot.

        Args:
            expect: A change that must be on the chain, as it was once written down.
        """
        expectation = None if expect is None else Expectation.parse(expect)
        return audited(self._writable(), self.migration, expect=expectation)

    def status(self) -> Status:
        """
        Take the status of the migration.

        Over a relay whose store is away it is that of the last snapshot, with its age, and says what is not known.
        """
        fleet, problem = self._heard()
        snapshot = self.snapshot()
        store = self.store
        if isinstance(store, Store) and not problem:
            self._trail = followed(self._trail, store, snapshot.migration)
        facts = Facts(
            store=store.url,
            durability=store.durability.value if isinstance(store, Store) else "",
            snapshot=snapshot,
            fleet=fleet,
            trail=self._trail,
            age=self._age,
            problem=problem,
            mirrored=self.mirrors.mirrored(snapshot.migration),
        )
        return status_of(facts, now=self._now())

    def _heard(self) -> tuple[Fleet, str]:
        """
        Read what is known of the router processes, or say why nobody can be asked.
        """
        try:
            return self.fleet(), ""
        except StoreError as error:
            return Fleet(), str(error)

    def fleet(self) -> Fleet:
        """
        Read what is known of the router processes.
        """
        return self.store.fleet(self.migration) if isinstance(self.store, Store) else Fleet()

    def epochs(self) -> tuple[int, ...]:
        """
        Give the epochs that router processes were seen to run.
        """
        return tuple(report.head.epoch for report in self._heard()[0].instances if report.head is not None)

    def instances(self) -> tuple[Instance, ...]:
        """
        List the router processes that check in.
        """
        return instances_of(self.fleet(), self.snapshot(), now=self._now())

    def mismatches(self, flow: str | None = None, *, hours: int | None = None) -> Comparisons:
        """
        Tell how often the two sides answered differently, and the first mismatches that are kept.

        Args:
            hours: Count only the last hours, the one that runs included.
        """
        return compared(self.fleet(), self.snapshot(), flow=flow, hours=hours, now=self._now())

    def explain(
        self, target: str, key: object, *, cohort: str | None = None, home: object | Unset = UNSET
    ) -> Explanation:
        """
        Say where a request of a key would go, and what each rule says, in their order.

        Args:
            target: A flow.
            home: Where the thing lives already, if it does.
        """
        fleet, _ = self._heard()
        basis = self._read(self.migration)
        return explanation_of(basis.current, target, key, cohort=cohort, home=home, secret=basis.secret, fleet=fleet)

    def wait(self, change: Change, *, timeout: float | timedelta = 30) -> Confirmation:
        """
        Wait until every router process runs a change; lost ones do not block.

        Args:
            timeout: Seconds.

        Returns:
            Which processes run it and which do not, when that was so or the time was over.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        return wait_for(self._writable(), change, epoch=self.snapshot().epoch, timeout=seconds, now=self._now)

    # -- the store --

    def _named(self, migration: str | None) -> str:
        if migration is None:
            return self.migration
        if self._asked not in (None, migration):
            raise ConfigurationError(f"the definition is of {migration!r}, and {self._asked!r} was asked for")
        return migration

    def _writable(self) -> Store:
        if not isinstance(self.store, Store):
            raise ConfigurationError(f"{self.store.url} is only read, and keeps no ledger; allowed: a store")
        return self.store

    def _read(self, migration: str, *, creates: bool = False, is_dry: bool = False) -> Basis:
        known = self._known if self._known is not None and self._known.migration == migration else None
        seen = None if known is None or known.snapshot is None else known.snapshot.head
        try:
            reading = self.store.read(migration, seen=seen)
        except Unavailable as error:
            # An append tells a place that is not there from one that is lost; a dry run has only the error to go by.
            if not creates or (is_dry and not error.missing):
                raise
            return Basis(migration=migration, snapshot=None)
        if reading is None:
            return Basis(migration=migration, snapshot=None)
        self._age = reading.age
        if reading.document is None:
            if known is None or reading.head != seen:
                raise Corrupt(f"{self.store.url} gave no document for {reading.head}")
            return known
        snapshot = sound_snapshot(self.store, migration, reading.document, reading.head)
        self._known = Basis(migration=migration, snapshot=snapshot, secret=reading.secret)
        return self._known
