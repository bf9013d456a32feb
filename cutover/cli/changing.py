"""
The verbs that change something: apply, set, rollback, freeze, unfreeze, override, work, adopt.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import attrs
import click

from cutover.cli.completing import cohorts, flows, sides, work_items
from cutover.cli.differences import differences, said
from cutover.cli.emergency import give, ways_without_store
from cutover.cli.failures import ExitCode
from cutover.cli.homes_left import HomesLeft, homes_left, print_homes_left
from cutover.cli.options import changing, homes_option, percent, target
from cutover.cli.session import Edit, Session
from cutover.cli.words import asked, plain, short
from cutover.core.changes import Proposal
from cutover.core.ledger import Change
from cutover.core.migration import Migration
from cutover.errors import OutcomeUnknown, StoreError
from cutover.operations import intents
from cutover.operations.commit import Outcome
from cutover.operations.control import APPLIED, Control
from cutover.operations.intents import Intent
from cutover.operations.questions import SPLIT, Question, raised_by
from cutover.operations.waiting import Confirmation

__all__ = ["VERBS", "carry_out"]


class Wait(NamedTuple):
    """
    How long to wait for every instance, and whether unknown names are agreed to.
    """

    seconds: float
    confirmed: bool


@click.command("apply")
@click.argument("file", type=click.Path())
@changing(reason=APPLIED)
def apply_(session: Session, edit: Edit, file: str) -> int:
    """
    Store the definition in FILE.

    The first one creates the migration. Dials are never touched. Where keys would move, or beside another migration,
    you are asked, or give --yes.
    """
    definition = Migration.load(file)
    with session.opened(edit) as control:
        code = carry_out(session, control, intents.apply(definition), edit, creates=definition.name)
        if not edit.dry_run and not session.as_json:
            _note_several(session, control)
        return code


@click.command("set")
@target
@percent
@click.option("--cohort", metavar="NAME", shell_complete=cohorts, help="Only the dial of this cohort.")
@click.option("--evict", is_flag=True, help="End the visits on NEW; only with a lowered dial.")
@click.option("--all-cohorts", is_flag=True, help="Let every cohort follow the flow.")
@click.option("--shadow", metavar="PERCENT", help="Ask the other side too for so many keys, to compare; reads only.")
@changing()
def set_(
    session: Session,
    edit: Edit,
    target: str,
    percent: str | None,
    cohort: str | None,
    evict: bool,
    all_cohorts: bool,
    shadow: str | None,
) -> int:
    """
    Set the dial of a flow, or of every flow of a journey.

    PERCENT is 0 to 100 in steps of 0.001; "inherit" lets a cohort follow the flow again.
    With --shadow it may be left out: the dial stays.
    """
    if percent is None and shadow is None:
        raise click.UsageError("Missing argument 'PERCENT|inherit'.")
    if percent is None and cohort is not None:
        raise click.UsageError("--shadow is for all keys of a flow: leave out --cohort, or name its dial too.")
    intent = intents.set_dial(target, percent, cohort=cohort, evict=evict, all_cohorts=all_cohorts, shadow=shadow)
    with session.opened(edit) as control:
        return carry_out(session, control, intent, edit)


@click.command("rollback")
@click.argument("target", metavar="[FLOW|JOURNEY]", required=False, shell_complete=flows)
@click.option("--all", "everything", is_flag=True, help="Every flow.")
@click.option("--emergency", is_flag=True, help="Have a relay hold it on OLD at once, whatever its store does.")
@homes_option("Count what still reaches NEW by its home.")
@changing(expects=False)
def rollback_(
    session: Session, edit: Edit, target: str | None, everything: bool, emergency: bool, place: str | None
) -> int:
    """
    Send a flow, journey or everything to OLD.

    In one change dials, cohort dials and shadow shares go to 0, overrides to NEW are taken off, visits on NEW end. It
    never asks and is never refused, also while frozen. Only what has its home on NEW still goes there.
    """
    if (target is None) is not everything:
        raise click.UsageError("name one flow or journey, or give --all")
    if emergency:
        return give(session, edit, target)
    try:
        with session.opened(edit) as control:
            left = None if place is None else partial(homes_left, control, place)
            return carry_out(session, control, intents.rollback(target), edit, left=left)
    except (StoreError, OutcomeUnknown) as error:
        for line in ways_without_store(session.store or "", target):
            error.add_note(line)
        raise


@click.command("freeze")
@changing()
def freeze_(session: Session, edit: Edit) -> int:
    """
    Refuse changes towards NEW.

    That is every change after which some key could be NEW that was not.
    """
    with session.opened(edit) as control:
        return carry_out(session, control, intents.freeze(), edit)


@click.command("unfreeze")
@changing()
def unfreeze_(session: Session, edit: Edit) -> int:
    """
    Allow changes towards NEW again.
    """
    with session.opened(edit) as control:
        return carry_out(session, control, intents.unfreeze(), edit)


@click.command("override")
@target
@click.argument("key")
@click.argument("side", metavar="old|new|none", shell_complete=sides)
@changing()
def override_(session: Session, edit: Edit, target: str, key: str, side: str) -> int:
    """
    Put one key on a side by name.

    "none" takes that back. The ledger holds the key's position and a keyed digest, never the key.
    """
    intent = intents.override(target, key, None if side == "none" else side)
    with session.opened(edit) as control:
        return carry_out(session, control, intent, edit)


@click.command("work")
@click.argument("name", shell_complete=work_items)
@click.argument("percent")
@changing()
def work_(session: Session, edit: Edit, name: str, percent: str) -> int:
    """
    Say how far the work item NAME has come.
    """
    with session.opened(edit) as control:
        return carry_out(session, control, intents.set_work(name, percent), edit)


@click.command("adopt")
@changing()
def adopt_(session: Session, edit: Edit) -> int:
    """
    Make this store's history the one to follow.

    For after it was restored or replaced. Instances that run a version which the store does not have follow it from
    then on.
    """
    with session.opened(edit) as control:
        return carry_out(session, control, intents.adopt(control.epochs()), edit)


REHOMED = {"moved": "moved from OLD to NEW", "already": "on NEW already", "new": "without a home before, now on NEW"}
VERBS = (apply_, set_, rollback_, freeze_, unfreeze_, override_, work_, adopt_)


def carry_out(
    session: Session,
    control: Control,
    intent: Intent,
    edit: Edit,
    *,
    creates: str | None = None,
    left: Callable[[], HomesLeft] | None = None,
    then: Callable[[], None] | None = None,
) -> int:
    """
    Try or do what was asked, wait if that was asked too, print it, and give the exit code.

    Args:
        then: Belongs to what was asked; called before anything is printed or waited for.
        left: Counts what still reaches NEW, once it is done.
    """
    if edit.dry_run:
        asked: list[Question] = []
        proposal = control.propose(
            intent, expect=edit.expect, migration=creates, creates=creates is not None, confirm=asked.extend
        )
        _print_dry_run(session, proposal, asked, left and left())
        return ExitCode.DONE
    agreed: list[Question] = []

    def ask(questions: Sequence[Question]) -> None:
        session.ask(questions)
        agreed.extend(questions)

    outcome = control.carry_out(
        intent,
        reason=edit.reason,
        ticket=edit.ticket,
        expect=edit.expect,
        migration=creates,
        creates=creates is not None,
        confirm=edit.yes or ask,
    )
    if then is not None:
        then()
    is_agreed = edit.yes or any(question.text == SPLIT for question in agreed)
    wait = None if edit.wait is None else Wait(edit.wait, confirmed=is_agreed or not raised_by(outcome.proposal))
    return _finish(session, control, outcome, wait, left)


def _finish(
    session: Session,
    control: Control,
    outcome: Outcome,
    wait: Wait | None,
    left: Callable[[], HomesLeft] | None,
) -> int:
    """
    Say what is in force, wait if that was asked, and give the exit code.
    """
    durability = control.durability.value
    if not session.as_json:
        # Before the wait: whoever interrupts it knows by then what was done.
        _print_outcome(session, outcome, durability)
    homes = left and left()
    if homes is not None and not session.as_json:
        print_homes_left(session, homes)
    confirmation, problem = _waited(control, outcome.change, wait)
    if session.as_json:
        document = _outcome_document(outcome, durability, confirmation, problem)
        session.print_json(document if homes is None else {**document, "homes": homes.document()})
    elif confirmation is not None:
        _print_confirmation(session, confirmation)
    if problem:
        session.note(f"in force, but who runs it could not be read: {problem}")
    is_confirmed = not problem and (confirmation is None or confirmation.is_complete)
    return ExitCode.DONE if is_confirmed else ExitCode.UNCONFIRMED


def _waited(control: Control, change: Change, wait: Wait | None) -> tuple[Confirmation | None, str]:
    """
    Wait if that was asked; a store that goes away meanwhile does not undo what is in force.
    """
    if wait is None:
        return None, ""
    try:
        return control.wait(change, timeout=wait.seconds, confirmed=wait.confirmed), ""
    except StoreError as error:
        return None, plain(str(error))


def _print_dry_run(session: Session, proposal: Proposal, questions: Sequence[Question], left: HomesLeft | None) -> None:
    if session.as_json:
        document = {"dry_run": True, **_proposal_document(proposal), "questions": [attrs.asdict(q) for q in questions]}
        session.print_json(document if left is None else {**document, "homes": left.document()})
        return
    session.print(f"dry run: {asked(proposal.verb, proposal.arguments)}, nothing is written")
    for line in _lines(proposal):
        session.print(f"  {line}")
    for question in questions:
        session.print(f"  would ask first: {plain(question.text)}")
        for detail in question.details:
            session.print(f"    {plain(detail)}")
    if left is not None:
        print_homes_left(session, left)


def _print_outcome(session: Session, outcome: Outcome, durability: str) -> None:
    change = outcome.change
    session.print(asked(outcome.proposal.verb, outcome.proposal.arguments))
    for line in _lines(outcome.proposal):
        session.print(f"  {line}")
    session.print(f"  {short(change.version, change.hash)}, {_made(outcome, durability)}")


def _outcome_document(
    outcome: Outcome, durability: str, confirmation: Confirmation | None, problem: str
) -> dict[str, Any]:
    change = outcome.change
    document = {
        "dry_run": False,
        "written": outcome.is_written,
        "version": change.version,
        "head": change.hash,
        "durability": durability,
        "change": change.document(),
        **_proposal_document(outcome.proposal),
    }
    if confirmation is not None:
        document["wait"] = confirmation.document()
    elif problem:
        document["wait"] = {"complete": False, "error": problem}
    return document


def _made(outcome: Outcome, durability: str) -> str:
    return f"{durability}, by {plain(outcome.change.actor)}" if outcome.is_written else "as it was"


def _note_several(session: Session, control: Control) -> None:
    names = control.store.migrations()
    if len(names) > 1:
        session.note(f"  note: this store holds {len(names)} migrations ({', '.join(names)}); name one from now on,")
        session.note("        as --migration or CUTOVER_MIGRATION, also where applications connect")


def _lines(proposal: Proposal) -> list[str]:
    if proposal.is_empty:
        return ["nothing to change"]
    if proposal.verb == "dead":
        return ["the instance counts no longer; what it counted stays"]
    if proposal.verb == "rehome":
        return [f"{proposal.arguments[name]} {what}" for name, what in REHOMED.items()]
    moves = proposal.moves
    moved = [str(move) for move in moves]
    visited = (flow for journey in proposal.after.definition.journeys.values() for flow in journey.flows)
    ended = [flow for flow in visited if flow in proposal.evicted]
    return [
        *said(proposal),
        *(moved or ([] if ended else ["no user changes sides"])),
        *([f"ends visits on NEW of {', '.join(ended)}"] if ended else []),
        *(f"note: {note}" for note in proposal.notes),
    ]


def _print_confirmation(session: Session, confirmation: Confirmation) -> None:
    groups = {"behind": confirmation.behind, "regressed": confirmation.regressed, "lost": confirmation.lost}
    total = len(confirmation.current) + sum(len(names) for names in groups.values())
    if not total:
        session.print("  no instance has checked in")
        return
    session.print(f"  in force on {len(confirmation.current)} of {total} instances")
    for state, names in groups.items():
        if names:
            session.print(f"  {state}: {plain(', '.join(names))}")
    for one in confirmation.splitting:
        session.print(f"  {plain(str(one))}")
    if confirmation.lost:
        session.note("  if a process is gone for good: cutover instances dead HOST/PID --reason ...")


def _proposal_document(proposal: Proposal) -> dict[str, Any]:
    before = proposal.before
    return {
        "verb": proposal.verb,
        "arguments": dict(proposal.arguments),
        "before": None if before is None else {"version": before.version, "head": before.head.hash},
        "differences": [difference.document() for difference in differences(proposal)],
        "moves": [attrs.asdict(move) for move in proposal.moves],
        "notes": list(proposal.notes),
        "empty": proposal.is_empty,
    }
