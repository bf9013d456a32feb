"""
The verbs of operators as a dry run.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from cutover.claims.ids import Id
from cutover.core.backend import Backend
from cutover.core.changes import Proposal
from cutover.core.migration import Migration
from cutover.core.percent import Percent
from cutover.operations import intents
from cutover.operations.commit import Expect
from cutover.operations.intents import Intent
from cutover.operations.questions import Ask
from cutover.operations.rehoming import Place, Things, opened

__all__ = ["Preview", "Propose"]


class Propose(Protocol):
    """
    Something that computes an intent.
    """

    def __call__(
        self,
        intent: Intent,
        *,
        expect: Expect = None,
        migration: str | None = None,
        creates: bool = False,
        confirm: bool | Ask = True,
    ) -> Proposal:
        """
        Compute an intent on what a store holds.
        """
        ...


class Preview:
    """
    The verbs that change something, as a dry run: the same arguments without a reason, nothing is written.

    Each returns the `Proposal`; its `moves` say whom the change would move. Each raises what the verb would.
    """

    def __init__(self, propose: Propose, epochs: Callable[[], tuple[int, ...]], migration: Callable[[], str]) -> None:
        self._propose = propose
        self._epochs = epochs
        self._migration = migration

    def apply(self, definition: Migration, *, expect: Expect = None, confirm: bool = False) -> Proposal:
        """
        Try `Control.apply`.
        """
        intent = intents.apply(definition)
        return self._propose(intent, expect=expect, migration=definition.name, creates=True, confirm=confirm)

    def set(
        self,
        target: str,
        percent: Percent | None,
        *,
        expect: Expect = None,
        cohort: str | None = None,
        evict: bool = False,
        all_cohorts: bool = False,
        shadow: Percent | None = None,
        confirm: bool = False,
    ) -> Proposal:
        """
        Try `Control.set`.
        """
        intent = intents.set_dial(target, percent, cohort=cohort, evict=evict, all_cohorts=all_cohorts, shadow=shadow)
        return self._propose(intent, expect=expect, confirm=confirm)

    def rollback(self, target: str | None) -> Proposal:
        """
        Try `Control.rollback`.
        """
        return self._propose(intents.rollback(target))

    def freeze(self, *, expect: Expect = None) -> Proposal:
        """
        Try `Control.freeze`.
        """
        return self._propose(intents.freeze(), expect=expect)

    def unfreeze(self, *, expect: Expect = None) -> Proposal:
        """
        Try `Control.unfreeze`.
        """
        return self._propose(intents.unfreeze(), expect=expect)

    def override(
        self, target: str, key: object, side: Backend | str | None, *, expect: Expect = None, confirm: bool = False
    ) -> Proposal:
        """
        Try `Control.override`.
        """
        return self._propose(intents.override(target, key, side), expect=expect, confirm=confirm)

    def work(self, item: str, percent: Percent, *, expect: Expect = None) -> Proposal:
        """
        Try `Control.work`.
        """
        return self._propose(intents.set_work(item, percent), expect=expect)

    def adopt(self, *, expect: Expect = None) -> Proposal:
        """
        Try `Control.adopt`.
        """
        return self._propose(intents.adopt(self._epochs()), expect=expect)

    def rehome(self, kind: str, ids: Iterable[Id], *, homes: Place = None, expect: Expect = None) -> Proposal:
        """
        Try `Control.rehome`; the homes are only read.
        """
        things = Things.named(kind, ids)
        with opened(homes, self._migration()) as place:
            return self._propose(things.would_move(place), expect=expect)
