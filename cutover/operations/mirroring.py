"""
Mirrored writes as operators see them: what a side lacks, dead letters, and what that means for dials.
"""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import attrs

from cutover.core.backend import Backend
from cutover.core.changes import Proposal
from cutover.core.instants import format_instant
from cutover.core.renames import renames_of
from cutover.engines.registry import can_keep_outbox, open_outbox
from cutover.errors import ConfigurationError, Refused, StoreError, Unavailable
from cutover.mirror.functions import other_side
from cutover.operations.commit import Outcome
from cutover.operations.intents import Basis
from cutover.operations.intents import Intent as Asked
from cutover.ports.outbox import Act, Intent, Outbox, Shortfall, State

__all__ = ["MirrorStatus", "Mirrors"]

MOST: Final = 1000  # dead letters in one answer, or dealt with at once
LATEST: Final = 10  # acts of operators
LONGEST_SILENCE: Final = 600.0  # seconds after which nobody makes a write any more: it is put on record each minute
NEVER_REFUSED: Final = ("rollback", "adopt")
SEE: Final = "`cutover mirror status` shows them"


@attrs.frozen(kw_only=True)
class MirrorStatus:
    """
    Where the mirrored writes of a migration stand.

    Attributes:
        outbox: The place, without credentials.
        dead: Dead letters, oldest first, up to a thousand.
        acts: What operators did last, latest first.
    """

    outbox: str
    writes: tuple[Shortfall, ...]
    dead: tuple[Intent, ...]
    acts: tuple[Act, ...]

    def document(self, *, shows: bool = False) -> dict[str, Any]:
        """
        Give it as a JSON object.

        Args:
            shows: With keys, arguments and whole errors, which hold what users gave.
        """
        return {
            "outbox": self.outbox,
            "writes": [_write_document(one) for one in self.writes],
            "dead": [_dead_document(one, shows=shows) for one in self.dead],
            "acts": [{**attrs.asdict(one), "at": format_instant(one.at), "ids": list(one.ids)} for one in self.acts],
        }


class Mirrors:
    """
    The outbox of the migrations in one store. Nothing is connected before it is asked.

    Args:
        place: Its URL; None where none is named, and the store cannot be one.
    """

    def __init__(self, place: str | None) -> None:
        self._place = place
        self._opened: Outbox | None = None

    @classmethod
    def of(cls, outbox: str | None, store: object) -> "Mirrors":
        """
        Choose the place: as given, else CUTOVER_OUTBOX, else the store's own URL.
        """
        named = outbox or os.environ.get("CUTOVER_OUTBOX")
        return cls(named or (store if isinstance(store, str) and can_keep_outbox(store) else None))

    @property
    def outbox(self) -> Outbox:
        """
        The outbox.

        Raises:
            ConfigurationError: If none is named, or its URL can never work.
        """
        if self._place is None:
            raise ConfigurationError(
                "which outbox? The store cannot be one; give --outbox URL or set CUTOVER_OUTBOX, as in the application"
            )
        if self._opened is None:
            self._opened = open_outbox(self._place)
        return self._opened

    def close(self) -> None:
        """
        Let go of it.
        """
        if self._opened is not None:
            self._opened.close()

    def status(self, migration: str) -> MirrorStatus:
        """
        Take the status of a migration's writes.
        """
        outbox = self.outbox
        return MirrorStatus(
            outbox=outbox.url,
            writes=tuple(outbox.shortfalls(migration)),
            dead=tuple(outbox.dead(migration, MOST)),
            acts=tuple(outbox.acts(migration, LATEST)),
        )

    def mirrored(self, migration: str) -> frozenset[str] | None:
        """
        Name the flows whose writes some process mirrors; None where nobody can tell.
        """
        if self._place is None:
            return None
        try:
            known = self.outbox.shortfalls(migration)
        except StoreError as error:
            return frozenset() if isinstance(error, Unavailable) and error.missing else None
        return frozenset(one.rule.flow for one in known if _is_built(one))

    def retry(
        self,
        migration: str,
        ids: Collection[int] | None,
        *,
        actor: str,
        reason: str,
        at: datetime,
        deliver: bool = False,
    ) -> Sequence[int]:
        """
        Have dead letters tried again, from no attempt on.

        One whose outcome is unknown is asked about once more where its write can be; else it is delivered, because the
        operator has found that it happened.

        Args:
            ids: Which ones; None for all.
            deliver: Also what could be asked about.

        Raises:
            Refused: If one of them is no dead letter; nothing was done.
        """
        asks = (
            {(one.rule.flow, one.rule.name) for one in self.outbox.shortfalls(migration) if one.rule.confirms}
            if not deliver
            else set()
        )

        def state(one: Intent) -> State:
            is_asked = one.state is State.UNCONFIRMED and (one.entry.flow, one.entry.write) in asks
            return State.UNKNOWN if is_asked else State.PENDING

        act = Act(at=at, actor=actor, verb="retry", reason=reason, ids=())
        return self._all(
            migration, ids, lambda dead: self.outbox.revive(migration, {d.id: state(d) for d in dead}, act)
        )

    def drop(
        self, migration: str, ids: Collection[int] | None, *, actor: str, reason: str, at: datetime
    ) -> Sequence[int]:
        """
        Take dead letters out for good: the other side will never have them, and what followed them goes on.

        Args:
            ids: Which ones; None for all.

        Raises:
            Refused: If one of them is no dead letter; nothing was done.
        """
        act = Act(at=at, actor=actor, verb="drop", reason=reason, ids=())
        return self._all(migration, ids, lambda dead: self.outbox.drop(migration, [one.id for one in dead], act))

    def open(self) -> None:
        """
        Open the outbox, if any is known. Nothing is connected.

        Raises:
            ConfigurationError: If its URL can never work.
        """
        if self._place is not None:
            _ = self.outbox

    def checked(self, asked: Asked) -> Asked:
        """
        Give an intent that is refused where `check` refuses what it proposes.
        """

        def propose(basis: Basis) -> Proposal:
            proposal = asked(basis)
            self.check(proposal)
            return proposal

        return propose

    def check(self, proposal: Proposal) -> None:
        """
        Refuse what moves keys or visits of a flow whose writes have not all reached both sides. A rollback is never
        refused: it sends nobody to NEW.
        """
        self._refuse_renames(proposal)
        if proposal.verb not in NEVER_REFUSED or any(move.to_new for move in proposal.moves):
            self._refuse(proposal)

    def noted(self, outcome: Outcome) -> Outcome:
        """
        Add to a rollback that is done what OLD lacks.
        """
        return attrs.evolve(outcome, proposal=self.with_notes(outcome.proposal))

    def with_notes(self, proposal: Proposal) -> Proposal:
        """
        Add to a proposed rollback what OLD lacks; to anything else nothing.
        """
        flows = _moved(proposal)
        if proposal.verb != "rollback" or not flows:
            return proposal
        try:
            lacking = [one for one in self._shortfalls(proposal.after.migration, flows) if one.lacks.get(Backend.OLD)]
            notes = [f"OLD lacks writes: {described(one)}" for one in lacking]
        except StoreError as error:
            notes = [f"what OLD lacks of mirrored writes is not known: {error}"]
        return attrs.evolve(proposal, notes=(*proposal.notes, *notes))

    def _refuse_renames(self, proposal: Proposal) -> None:
        before = proposal.before
        names = {} if before is None else renames_of(before.definition, proposal.after.definition)
        shortfalls = self._shortfalls(proposal.after.migration, names)
        late = [one for one in shortfalls if one.backlog or _is_built(one)]
        if late:
            flows = ", ".join(sorted({one.rule.flow for one in late}))
            raise Refused(
                f"{flows} cannot be renamed while its writes are mirrored: they are kept and counted under this name",
                details=[described(one) for one in late],
            )

    def _refuse(self, proposal: Proposal) -> None:
        shortfalls = self._shortfalls(proposal.after.migration, _moved(proposal))
        late = [one for one in shortfalls if one.backlog > one.rule.allowed_backlog]
        if late:
            names = ", ".join(sorted({one.rule.flow for one in late}))
            raise Refused(
                f"keys of {names} may not move while a side lacks writes; {SEE}",
                details=[described(one) for one in late],
            )

    def _shortfalls(self, migration: str, flows: Collection[str]) -> list[Shortfall]:
        if self._place is None or not flows:
            return []
        try:
            return [one for one in self.outbox.shortfalls(migration) if one.rule.flow in flows]
        except Unavailable as error:
            if error.missing:  # nobody has written yet
                return []
            raise

    def _all(
        self, migration: str, ids: Collection[int] | None, act: Callable[[Sequence[Intent]], Sequence[int]]
    ) -> Sequence[int]:
        done: list[int] = []
        while dead := self.outbox.dead(migration, MOST if ids is None else 2**31):
            if ids is not None:
                _check_known(ids, dead)
                return act([one for one in dead if one.id in set(ids)])
            there = act(dead)
            if not there:
                break
            done.extend(there)
        if ids is not None:
            _check_known(ids, ())
        return done


def _moved(proposal: Proposal) -> frozenset[str]:
    # A dial that was lowered before moves no key any more, and visits on NEW all the same.
    moved = proposal.evicted.union(move.flow for move in proposal.moves)
    return moved.union(proposal.after.definition.names_of(moved))


def _is_built(one: Shortfall) -> bool:
    return one.seen is not None and one.seen < LONGEST_SILENCE


def described(one: Shortfall) -> str:
    """
    Say what a side lacks of one write.
    """
    sides = " and ".join(f"{side.value.upper()} lacks {count}" for side, count in one.lacks.items() if count)
    dead = f", {one.dead} of them dead letters" if one.dead else ""
    return f"{one.rule.name}: {sides or 'nothing is lacking'}{dead}; allowed is a backlog of {one.rule.allowed_backlog}"


def _check_known(ids: Iterable[int], dead: Sequence[Intent]) -> None:
    unknown = sorted(set(ids) - {one.id for one in dead})
    if unknown:
        shown = ", ".join(map(str, unknown[:LATEST]))
        raise Refused(f"no dead letter has the id {shown}; nothing was done; {SEE}")


def _write_document(one: Shortfall) -> dict[str, Any]:
    return {
        "flow": one.rule.flow,
        "write": one.rule.name,
        "backlog": one.backlog,
        "allowed_backlog": one.rule.allowed_backlog,
        "oldest_seconds": round(one.oldest, 3),
        "old_lacks": one.lacks.get(Backend.OLD, 0),
        "new_lacks": one.lacks.get(Backend.NEW, 0),
        "dead": one.dead,
        "blocked_keys": one.blocked,
        "under_way": one.under_way,
        "confirms": one.rule.confirms,
        "built": _is_built(one),
    }


def _dead_document(one: Intent, *, shows: bool) -> dict[str, Any]:
    entry = one.entry
    document = {
        "id": one.id,
        "flow": entry.flow,
        "write": entry.write,
        "state": one.state.value,
        "lacking": other_side(entry).value,
        "sequence": one.sequence,
        "attempts": one.attempts,
        "age_seconds": round(one.age, 3),
        "error": one.error if shows else one.error.partition(":")[0],
    }
    return {**document, "key": entry.key, "arguments": entry.arguments} if shows else document
