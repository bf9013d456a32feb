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
from cutover.errors import ConfigurationError
from cutover.operations.questions import Question
from cutover.operations.rehoming import Things, on_record

__all__ = ["VERBS"]

HELP: Final = "Where homes are kept."


@click.command("homes")
@homes_option(HELP)
@looking
def homes_(session: Session, place: str | None) -> int:
    """
    Count things by kind and the side that they live on.

    It needs no store where --migration is given, or where homes of one migration only are kept.
    """
    with _opened(place, _migration(session)) as opened:
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
    with session.opened(edit) as control, _opened(place, control.migration) as opened:
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


def _opened(place: str | None, migration: str | None) -> Homes:
    if not place:
        raise click.UsageError("which homes? Give --homes URL or set CUTOVER_HOMES")
    return homes(place, migration=migration)


def _migration(session: Session) -> str | None:
    if session.migration or not session.store:
        return session.migration or None
    with session.opened() as control:
        return control.migration


VERBS: Final = (homes_, rehome_)
