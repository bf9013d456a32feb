"""
The verb `mirror`: what a side lacks of mirrored writes, and what becomes of dead letters.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any, Final

import click

from cutover.cli.failures import ExitCode
from cutover.cli.listing import plain_table
from cutover.cli.options import help_without_verb, looking, outbox_option
from cutover.cli.session import Edit, Session, console
from cutover.cli.words import age, plain
from cutover.clock import utc_now
from cutover.operations.control import Control
from cutover.operations.mirroring import Mirrors, MirrorStatus
from cutover.operations.questions import Question
from cutover.operations.stamp import Stamp

__all__ = ["VERBS"]

Command = Callable[..., int]


def _acting(command: Command) -> Command:
    """
    Give a verb the dead letters that it is about, and who acts why.
    """

    @wraps(command)
    def wrapper(session: Session, ids: tuple[int, ...], **rest: Any) -> int:
        if bool(ids) is rest.pop("everything"):
            raise click.UsageError("name dead letters by their ids, or give --all")
        edit = Edit(reason=rest.pop("reason"), actor=rest.pop("actor"), yes=rest.pop("yes"))
        return command(session, edit, list(dict.fromkeys(ids)) or None, **rest)

    options = (
        click.argument("ids", nargs=-1, type=click.IntRange(min=1), metavar="ID..."),
        click.option("--all", "everything", is_flag=True, help="Every dead letter."),
        click.option("--reason", required=True, metavar="TEXT", help="Why; stays on record in the outbox."),
        click.option("--actor", envvar="CUTOVER_ACTOR", show_envvar=True, metavar="NAME", help="Who; else user@host."),
        click.option("--yes", is_flag=True, help="Do not ask."),
    )
    decorated: Command = wrapper
    for option in reversed(options):
        decorated = option(decorated)
    return looking(outbox_option(decorated))


@click.group("mirror", invoke_without_command=True)
@click.pass_context
def mirror_(context: click.Context) -> None:
    """
    Mirrored writes: what a side lacks, and what waits for you.
    """
    help_without_verb(context)


@mirror_.command("status")
@click.option("--show", is_flag=True, help="Keys, arguments and whole errors too: what users gave.")
@outbox_option
@looking
def status_(session: Session, outbox: str | None, show: bool) -> int:
    """
    Show what either side lacks, and the dead letters.
    """
    with _opened(session, outbox) as (control, mirrors):
        status = mirrors.status(control.migration)
    if session.as_json:
        session.print_json(status.document(shows=show))
    else:
        _print(session, status, shows=show)
    return ExitCode.DONE


@mirror_.command("retry")
@click.option("--deliver", is_flag=True, help="Do not ask the authoritative side again whether it has it: it has.")
@_acting
def retry_(session: Session, edit: Edit, ids: list[int] | None, *, outbox: str | None, deliver: bool) -> int:
    """
    Have dead letters tried again.

    One whose outcome nobody knows is asked about once more, where its write has `confirm`; else it is delivered to the
    other side.
    """
    with _opened(session, outbox, edit) as (control, mirrors):
        stamp = Stamp.make(actor=control.actor, reason=edit.reason)
        done = mirrors.retry(
            control.migration, ids, actor=stamp.actor, reason=stamp.reason, at=utc_now(), deliver=deliver
        )
    return _finish(session, "retried", done)


@mirror_.command("drop")
@_acting
def drop_(session: Session, edit: Edit, ids: list[int] | None, *, outbox: str | None) -> int:
    """
    Take dead letters out for good.

    The side that lacks them will never have them; later writes of their keys go on.
    """
    with _opened(session, outbox, edit) as (control, mirrors):
        stamp = Stamp.make(actor=control.actor, reason=edit.reason)
        if not edit.yes:
            which = "Every dead letter" if ids is None else f"Dead letters {', '.join(map(str, ids))}"
            session.ask([Question(text=f"{which} will never reach the side that lacks it")])
        done = mirrors.drop(control.migration, ids, actor=stamp.actor, reason=stamp.reason, at=utc_now())
    return _finish(session, "dropped", done)


@mirror_.command("init")
@outbox_option
@looking
def init_(session: Session, outbox: str | None) -> int:
    """
    Make the tables of an outbox, in a database of the application's too.

    Routers make them by themselves where they may. Done twice it is the same as once.
    """
    mirrors = Mirrors.of(outbox, session.store)
    try:
        mirrors.outbox.create()
        place = mirrors.outbox.url
    finally:
        mirrors.close()
    if session.as_json:
        session.print_json({"outbox": place})
    else:
        session.print(f"an outbox is in {place}")
    return ExitCode.DONE


VERBS: Final = (mirror_,)


@contextmanager
def _opened(session: Session, outbox: str | None, edit: Edit | None = None) -> Iterator[tuple[Control, Mirrors]]:
    mirrors = Mirrors.of(outbox, session.store)
    try:
        with session.opened(edit) as control:
            yield control, mirrors
    finally:
        mirrors.close()


def _finish(session: Session, what: str, done: Any) -> int:
    if session.as_json:
        session.print_json({what: list(done)})
    else:
        session.print(f"{what} {len(done)}: {', '.join(map(str, done))}" if done else "there is no dead letter")
    return ExitCode.DONE


def _print(session: Session, status: MirrorStatus, *, shows: bool) -> None:
    out = console()
    if not status.writes:
        session.note(f"no write has been built with the outbox in {status.outbox}")
        return
    counted = ("OLD LACKS", "NEW LACKS", "UNDER WAY", "DEAD", "KEYS HELD UP")
    table = plain_table("FLOW", "WRITE", "BACKLOG", "ALLOWED", "OLDEST", *counted)
    writes = status.document()["writes"]
    for write in writes:
        oldest = age(timedelta(seconds=write["oldest_seconds"])) if write["backlog"] else "-"
        counts = (write[name] for name in ("old_lacks", "new_lacks", "under_way", "dead", "blocked_keys"))
        figures = (write["backlog"], write["allowed_backlog"], oldest, *counts)
        table.add_row(plain(write["flow"]), write["write"], *map(str, figures))
    out.print(table)
    for name in (write["write"] for write in writes if write["backlog"] and not write["built"]):
        session.note(
            f"no process builds {name} any more: what it owes is delivered once one does, or dropped once dead"
        )
    if status.dead:
        out.print()
        out.print(_dead_table(status, shows=shows))
    for act in status.acts:
        session.print(f"{act.verb} by {plain(act.actor)}: {', '.join(map(str, act.ids))} ({plain(act.reason)})")


def _dead_table(status: MirrorStatus, *, shows: bool) -> Any:
    more = ("KEY", "ARGUMENTS") if shows else ()
    table = plain_table("ID", "FLOW", "WRITE", "STATE", "LACKING", "SEQUENCE", "ATTEMPTS", "AGE", "ERROR", *more)
    for one in status.document(shows=shows)["dead"]:
        row = [str(one[name]) for name in ("id", "flow", "write", "state", "lacking", "sequence", "attempts")]
        texts = [plain(one[name]) for name in ("error", *(("key", "arguments") if shows else ()))]
        table.add_row(*map(plain, row), age(timedelta(seconds=one["age_seconds"])), *texts)
    return table
