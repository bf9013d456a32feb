"""
What is asked before a change: one ordered list of questions, computed on the very state that the change is made from.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from cutover.core.changes import Proposal
from cutover.core.checkin import Fleet
from cutover.core.drops import drops
from cutover.core.lacking import SPLITS, Asking, Lacking, asked_for, lacking
from cutover.core.ledger import Change, Expectation
from cutover.core.names import NameKind, closest, is_known
from cutover.core.renames import renamed, renames_of
from cutover.errors import Refused, Unavailable
from cutover.ports.store import Source, Store

__all__ = ["SPLIT", "Ask", "Question", "Situation", "questions", "raised_by", "refuse"]

NEVER_ASKED: Final = ("rollback",)
RECENT: Final = timedelta(hours=1)
SPLIT: Final = "Live instances ask for names that the definition lacks, so a visit may be on both sides"
FEW_CHANGES: Final = 32  # as many as are read first


@attrs.frozen(kw_only=True)
class Question:
    """
    One thing that somebody must agree to before a change is made.

    Attributes:
        text: What the change does, as a sentence without its full stop.
        details: One line each for what it is about.
    """

    text: str
    details: tuple[str, ...] = ()


Ask = Callable[[Sequence[Question]], object]
"""
Gets the open questions; raises where nobody agrees.
"""


@attrs.frozen(kw_only=True)
class Situation:
    """
    What questions are computed from. The store is read only by the questions that need it.

    Attributes:
        expect: The change that the actor expects the store to be at.
        of_person: A person can be asked. A program is not asked about what it has said itself.
    """

    proposal: Proposal
    actor: str
    expect: Expectation | None
    store: Source
    now: datetime
    of_person: bool = False

    @cached_property
    def raised(self) -> frozenset[str]:
        """
        The flows that the change raises.
        """
        return raised_by(self.proposal)

    @cached_property
    def fleet(self) -> Fleet:
        """
        What is known of the router processes.
        """
        return self.store.fleet(self.proposal.after.migration) if isinstance(self.store, Store) else Fleet()

    def changes_since(self, instant: datetime) -> list[Change]:
        """
        Read the changes of the ledger since an instant, up to the state that the proposal was made from, latest first.
        """
        before, count, found = self.proposal.before, FEW_CHANGES, list[Change]()
        while before is not None and isinstance(self.store, Store):
            after = max(before.version - count, 0)
            texts = self.store.history(before.migration, after=after)[: before.version - after]
            found = [Change.decode(text) for text in reversed(texts)]
            if not after or not found or found[-1].at < instant:
                break
            count *= 8
        return [change for change in found if change.at >= instant]


def questions(situation: Situation) -> tuple[Question, ...]:
    """
    Give the open questions in their order. A rollback is never asked about.
    """
    if situation.proposal.is_empty or situation.proposal.verb in NEVER_ASKED:
        return ()
    return tuple(question for find in ORDER for question in find(situation))


def raised_by(proposal: Proposal) -> frozenset[str]:
    """
    Name the flows of which some key may be on NEW that was not, or a dial goes up that another flow holds down.
    """
    if proposal.before is None:
        return frozenset()
    after, before = proposal.after, renamed(proposal.before, proposal.after.definition)
    flows = [flow for flow in after.definition.flows if flow in before.definition.flows]
    cohorts = (None, *after.definition.cohorts)
    dials = {flow for flow in flows if any(after.own_parts(flow, c) > before.own_parts(flow, c) for c in cohorts)}
    return frozenset(dials.union(move.flow for move in proposal.moves if move.to_new))


def refuse(asked: Sequence[Question]) -> None:
    """
    Answer questions where nobody can be asked.

    Raises:
        Refused: If there are any; its details say what they are about.
    """
    if asked:
        text = "; ".join(question.text for question in asked)
        details = [detail for question in asked for detail in question.details]
        raise Refused(f"{text}: confirm to go on", details=details)


def _another_migration(situation: Situation) -> Iterator[Question]:
    proposal = situation.proposal
    if proposal.before is None and situation.of_person and (others := _migrations(situation.store)):
        yield Question(text=f"The store holds {others}; {proposal.after.migration} would be another migration")


def _migrations(store: Source) -> str:
    try:
        return ", ".join(store.migrations())
    except Unavailable as error:
        if error.missing:
            return ""
        raise


def _moved_by_definition(situation: Situation) -> Iterator[Question]:
    proposal = situation.proposal
    if proposal.verb == "apply" and (moves := proposal.moves):
        yield Question(text="This definition moves users", details=tuple(str(move) for move in moves))


def _dropped(situation: Situation) -> Iterator[Question]:
    proposal = situation.proposal
    for drop in drops(proposal.before, proposal.after) if proposal.verb == "apply" else ():
        text = f"{drop}"
        yield Question(text=f"{text[0].upper()}{text[1:]}", details=(drop.remedy,))


def _removed(situation: Situation) -> Iterator[Question]:
    """
    Ask before a definition takes away a name that a live process asks for, at whatever percentage.
    """
    before, after = situation.proposal.before, situation.proposal.after.definition
    if situation.proposal.verb != "apply" or before is None:
        return
    names = renames_of(before.definition, after)
    lines = []
    for (kind, name), asking in asked_for(situation.fleet.instances, now=situation.now).items():
        if kind not in SPLITS or not is_known(before.definition, kind, name):
            continue
        was, now = before.definition.current(name), after.current(name)
        if not is_known(after, kind, name) and kind is NameKind.FLOW and was in after.flows:
            lines.append(f"{_who(asking)} for the flow {name}, which is no longer a former name of {was}")
        elif not is_known(after, kind, name):
            lines.append(str(Lacking(kind=kind, name=name, closest=closest(after, kind, name), asking=asking)))
        elif kind is NameKind.FLOW and names.get(was, was) != now:
            lines.append(f"{_who(asking)} for the flow {name}, which was {was} and would be {now}")
        elif name in after.former and (older := [one for one in asking if one.report.asked is None]):
            lines.append(
                f"{_who(older)} for the flow {name}; this older library does not know the former name of {now}"
            )
    if lines:
        yield Question(text="This definition takes away names that live instances ask for", details=tuple(lines))


def _unknown(situation: Situation) -> Iterator[Question]:
    """
    Ask before a dial is raised while a live process asks for a flow or journey that the definition lacks.
    """
    if not situation.raised:
        return
    definition = situation.proposal.after.definition
    found = [one for one in lacking(situation.fleet.instances, definition, now=situation.now) if one.splits]
    if found:
        yield Question(text=SPLIT, details=tuple(map(str, found)))


def _who(asking: Sequence[Asking]) -> str:
    first, *more = map(str, asking)
    return f"{first} and {len(more)} more ask" if more else f"{first} asks"


def _rolled_back(situation: Situation) -> Iterator[Question]:
    """
    Ask before users come to NEW soon after somebody else's rollback, unless the actor expects it or a later change.
    """
    if not situation.raised:
        return
    definition, expect = situation.proposal.after.definition, situation.expect
    flows = {member for flow in situation.raised for member in definition.together_with(flow)}
    found = [
        change
        for change in situation.changes_since(situation.now - RECENT)
        if change.verb == "rollback"
        and change.actor != situation.actor
        and not flows.isdisjoint(map(definition.current, change.arguments.get("flows", flows)))
        and (expect is None or expect.version < change.version)
    ]
    if found:
        zone = ZoneInfo(definition.timezone)
        lines = (_described(change, situation.now, zone) for change in found)
        text = "This raises a flow within an hour of a rollback by somebody else"
        yield Question(text=text, details=tuple(lines))


def _described(change: Change, now: datetime, zone: ZoneInfo) -> str:
    minutes, seconds = divmod(max(int((now - change.at).total_seconds()), 0), 60)
    ago = f"{minutes} min" if minutes else f"{seconds} s"
    what = change.arguments.get("target") or "everything"
    when = f"{ago} ago, at {change.at.astimezone(zone):%H:%M:%S}"
    return f"change {change.version}: {change.actor} rolled back {what} {when}: {change.reason}"


def _evicted(situation: Situation) -> Iterator[Question]:
    arguments = situation.proposal.arguments
    if situation.of_person and arguments.get("evict"):
        yield Question(text=f"Visits on NEW in {arguments['target']} end now")


def _adopted(situation: Situation) -> Iterator[Question]:
    if situation.of_person and situation.proposal.verb == "adopt":
        yield Question(text=f"Every instance will follow the history in {situation.store.url}")


ORDER: Final[tuple[Callable[[Situation], Iterator[Question]], ...]] = (
    _another_migration,
    _dropped,
    _removed,
    _moved_by_definition,
    _unknown,
    _rolled_back,
    _evicted,
    _adopted,
)
