"""
The verbs `homes` and `rehome`: where lasting things live, and that copied ones live on NEW now.
"""

from typing import BinaryIO, Final

import attrs
import click

from cutover.claims.homes import Homes, homes
from cutover.claims.ids import kind_in, parse_ids
from cutover.cli.changing import carry_out
from cutover.cli.failures import ExitCode
from cutover.cli.listing import homes_table
from cutover.cli.options import changing, homes_option, looking
from cutover.cli.session import Edit, Session, console
from cutover.cli.words import plain
from cutover.core.backend import Backend
from cutover.errors import ConfigurationError
from cutover.operations.questions import Question
from cutover.operations.rehoming import Things, on_record

__all__ = ["VERBS", "home_in_words", "note_unmade", "opened_homes"]

HELP: Final = "Where homes are kept."


@click.group("homes", invoke_without_command=True)
@homes_option(HELP)
@looking
def homes_(session: Session, place: str | None) -> int:
    """
    Count things by kind and the side that they live on.

    It needs no store where --migration is given, or where homes of one migration only are kept.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return ExitCode.DONE
    with opened_homes(place, _migration(session)) as opened:
        counts = opened.counts()
        if session.as_json:
            kinds = {kind: attrs.asdict(sides) for kind, sides in counts.items()}
            session.print_json({"migration": opened.migration, "homes": kinds})
        elif counts:
            console().print(homes_table(counts))
        else:
            nothing = "no homes of" if opened.is_made else "nothing was ever claimed there: no homes of"
            session.note(f"{nothing} {opened.migration} in {opened.url}")
    return ExitCode.DONE


@homes_.command("find")
@click.argument("kind")
@click.argument("thing", metavar="ID")
@homes_option(HELP)
@looking
def find_(session: Session, kind: str, thing: str, place: str | None) -> int:
    """
    Look up the side that one thing lives on.
    """
    with opened_homes(place, _migration(session)) as opened:
        found = opened.find(kind, thing)
        if session.as_json:
            home = None if found is None else found.value
            session.print_json({"migration": opened.migration, "kind": kind, "id": thing, "home": home})
        else:
            session.print(plain(home_in_words(kind, thing, found)))
        note_unmade(session, opened)
    return ExitCode.DONE


def note_unmade(session: Session, opened: Homes) -> None:
    """
    Say that nothing was ever claimed in a place: it may be the wrong one.
    """
    if not opened.is_made:
        session.note(f"  nothing was ever claimed in {opened.url}; is it the right place?")


def home_in_words(kind: str, thing: str, found: Backend | None) -> str:
    """
    Say where a thing lives.
    """
    if found is None:
        return f"{kind} {thing} has no home: nobody claimed it, so it is on OLD"
    return f"{kind} {thing} lives on {found.name}"


@click.command("rehome")
@click.argument("kind")
@click.option("--file", required=True, type=click.File("rb"), metavar="FILE", help="Ids, one a line; - for stdin.")
@homes_option(HELP)
@changing()
def rehome_(session: Session, edit: Edit, kind: str, file: BinaryIO, place: str | None) -> int:
    """
    Record that copied things live on NEW now.

    Their requests go to NEW from then on, whatever dials say. Prints how many were moved from OLD, were on NEW already,
    and are new because they had no home. Broken off, it can be run again with the same file.
    """
    things = _read(kind, file)
    with session.opened(edit) as control, opened_homes(place, control.migration) as opened:
        if edit.dry_run:
            return carry_out(session, control, things.would_move(opened), edit)
        if not edit.yes:
            text = f"{len(things.ids)} of the kind {things.kind} live on NEW from now on"
            session.ask([Question(text=text)])
        intent = control.move_homes(things, opened, reason=edit.reason, ticket=edit.ticket, expect=edit.expect)
        with on_record():  # what was expected was there before the homes were written
            return carry_out(session, control, intent, attrs.evolve(edit, expect=None))


def _read(kind: str, file: BinaryIO) -> Things:
    kind_in(kind)  # here, because what follows is wrong in the file
    try:
        return Things.named(kind, parse_ids(file.read()))
    except ConfigurationError as error:
        raise ConfigurationError(f"{getattr(file, 'name', 'the file')}: {error}") from error


def opened_homes(place: str | None, migration: str | None) -> Homes:
    """
    Open the homes of a migration.

    Raises:
        UsageError: If no place is named.
    """
    if not place:
        raise click.UsageError("which homes? Give --homes URL or set CUTOVER_HOMES")
    return homes(place, migration=migration)


def _migration(session: Session) -> str | None:
    if session.migration or not session.store:
        return session.migration or None
    with session.opened() as control:
        return control.migration


VERBS: Final = (homes_, rehome_)
