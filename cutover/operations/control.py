"""
What operators write against: every verb over one migration in a store.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

import attrs

from cutover.claims.homes import Homes
from cutover.claims.ids import Id
from cutover.core.backend import Backend
from cutover.core.changes import Proposal
from cutover.core.checkin import CheckIn
from cutover.core.ledger import Change, Expectation
from cutover.core.migration import Migration
from cutover.core.percent import Percent
from cutover.engines.registry import open_store
from cutover.errors import ConfigurationError, Refused
from cutover.operations import intents
from cutover.operations.commit import Expect, Outcome, commit, proposed
from cutover.operations.intents import Intent
from cutover.operations.mirroring import Mirrors
from cutover.operations.observer import Observer
from cutover.operations.preview import Preview
from cutover.operations.questions import Ask, Situation, questions, refuse
from cutover.operations.rehoming import Place, Things, on_record, opened
from cutover.operations.stamp import Stamp, actor_of
from cutover.ports.homes import Rehomed
from cutover.ports.store import Source

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


class Control(Observer):
    """
    The verbs of operators over one migration.

    Every verb that changes something reads the state, computes the new one and writes it with compare-and-swap. With
    ``expect`` it raises `Conflict` where the store is at another change; without, it is computed again. Each raises
    `ConfigurationError` for what cannot be meant, `Refused` for what a rule forbids, `Unavailable` where nothing was
    written, and `OutcomeUnknown` where it may have been. ``confirm=True`` goes on where a verb would ask first, and is
    `Refused` with the `details` of the question otherwise.

    Attributes:
        actor: Who acts.
        preview: The verbs that change something, as a dry run.
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
        super().__init__(store, migration=migration, owns_store=owns_store, now=now, mirrors=mirrors)
        self.actor = actor
        self.preview: Preview = Preview(self.propose, self.epochs, lambda: self.migration)

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
            Refused: If users would change sides and *confirm* is not set; its `details` list them.
        """
        return self.carry_out(
            intents.apply(definition),
            migration=definition.name,
            reason=reason,
            ticket=ticket,
            expect=expect,
            creates=True,
            confirm=confirm,
        ).change

    def set(
        self,
        target: str,
        percent: Percent | None,
        *,
        reason: str,
        ticket: str = "",
        expect: Expect = None,
        cohort: str | None = None,
        evict: bool = False,
        all_cohorts: bool = False,
        shadow: Percent | None = None,
        confirm: bool = False,
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
            confirm: Raise the dial also within an hour of somebody else's rollback.
        """
        intent = intents.set_dial(target, percent, cohort=cohort, evict=evict, all_cohorts=all_cohorts, shadow=shadow)
        return self.carry_out(intent, reason=reason, ticket=ticket, expect=expect, confirm=confirm).change

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
        self,
        target: str,
        key: object,
        side: Backend | str | None,
        *,
        reason: str,
        ticket: str = "",
        expect: Expect = None,
        confirm: bool = False,
    ) -> Change:
        """
        Put one key on one side by name; the ledger does not tell the key.

        Args:
            side: A `Backend`, "old", "new" or the side's own name; None takes the override back.
        """
        intent = intents.override(target, key, side)
        return self.carry_out(intent, reason=reason, ticket=ticket, expect=expect, confirm=confirm).change

    def work(self, item: str, percent: Percent, *, reason: str, ticket: str = "", expect: Expect = None) -> Change:
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
            instance: Its name, HOST/PID, both as one text, or the beginning of its id.

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
            instance: Its name, HOST/PID, both as one text, or the beginning of its id.

        Raises:
            ConfigurationError: If there is none, or several.
            Refused: If it is alive.
        """
        reports = self.fleet().instances if instance else ()
        now = self._now()
        found = [r for r in reports if instance in (r.name, r.where, r.who) or r.instance.startswith(instance)]
        if len(found) > 1 and len(silent := [r for r in found if r.is_lost(now)]) == 1:
            found = silent  # the others of this name are alive
        if len(found) != 1:
            known = "several are" if found else "none is"
            lost = ", ".join(r.who for r in found or reports if r.is_lost(now)) or "none is lost"
            raise ConfigurationError(f"instance is {instance!r}, and {known} named so; allowed: a lost one ({lost})")
        (report,) = found
        if not report.is_lost(now):
            age = (now - report.at).total_seconds()
            raise Refused(f"instance {instance} is alive: it checked in {age:.0f} s ago")
        return report

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
        confirm: bool | Ask = False,
    ) -> Outcome:
        """
        Carry any intent out: what the verbs above are made of, for those who want to know more of the outcome.

        Args:
            creates: The migration, or its place, need not be there yet.
            confirm: Whether open questions are agreed to, or somebody to ask.
        """
        stamp = Stamp.make(actor=self.actor, reason=reason, ticket=ticket)
        expectation = None if expect is None else Expectation.parse(expect)
        store, name = self._writable(), self._named(migration)
        read, asked = partial(self._read, name, creates=creates), self.mirrors.checked(intent)
        confirmed = partial(self._confirmed, expect=expectation, confirm=confirm)
        return self.mirrors.noted(
            commit(store, read, asked, stamp, expect=expectation, now=self._now, confirm=confirmed)
        )

    def propose(
        self,
        intent: Intent,
        *,
        expect: Expect = None,
        migration: str | None = None,
        creates: bool = False,
        confirm: bool | Ask = True,
    ) -> Proposal:
        """
        Compute what an intent would do, and write nothing.

        Args:
            confirm: As in `carry_out`.
        """
        expectation = None if expect is None else Expectation.parse(expect)
        basis = self._read(self._named(migration), creates=creates, is_dry=True)
        proposal = proposed(basis, self.mirrors.checked(intent), expectation)
        self._confirmed(proposal, expect=expectation, confirm=confirm)
        return self.mirrors.with_notes(proposal)

    def _confirmed(self, proposal: Proposal, *, expect: Expectation | None, confirm: bool | Ask) -> bool:
        """
        Put the open questions, if any, and tell whether somebody was asked.
        """
        if confirm is True:
            return False
        ask = refuse if confirm is False else confirm
        situation = Situation(
            proposal=proposal,
            actor=self.actor,
            expect=expect,
            store=self.store,
            now=self._now(),
            of_person=confirm is not False,
        )
        found = questions(situation)
        if found:
            ask(found)
        return bool(found)

    def _named(self, migration: str | None) -> str:
        if migration is None:
            return self.migration
        if self._asked not in (None, migration):
            raise ConfigurationError(f"the definition is of {migration!r}, and {self._asked!r} was asked for")
        return migration
