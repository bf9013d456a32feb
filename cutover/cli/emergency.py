"""
The verb `emergency` and what ``rollback --emergency`` does: rollbacks that a relay holds by itself.
"""

from collections.abc import Iterator
from typing import Any, Final

import click

from cutover.cli.failures import ExitCode
from cutover.cli.options import looking
from cutover.cli.session import Edit, Session
from cutover.cli.words import plain
from cutover.core.break_glass import EVERY_FLOW
from cutover.engines.relay.store import Floor, HttpStore
from cutover.errors import ConfigurationError
from cutover.operations.control import Control
from cutover.operations.stamp import Stamp

__all__ = ["VERBS", "give", "ways_without_store"]


def give(session: Session, edit: Edit, target: str | None) -> int:
    """
    Have a relay hold a flow or journey on OLD.
    """
    if edit.dry_run or edit.wait is not None:
        raise click.UsageError("--emergency goes without --dry-run and --wait: the store may be away")
    with session.opened(edit) as control:
        stamp = Stamp.make(actor=control.actor, reason=edit.reason, ticket=edit.ticket)
        floor = _relay(control).give_emergency(
            control.migration, target, actor=stamp.actor, reason=stamp.reason, ticket=stamp.ticket
        )
        _print(session, floor)
        if not floor.kept:
            session.note("the relay cannot keep it: it holds only as long as the relay's process")
    return ExitCode.DONE


def ways_without_store(store: str, target: str | None) -> Iterator[str]:
    """
    Say how to send users to OLD where a rollback cannot be written.
    """
    where = "" if store.startswith(("http://", "https://")) else " --store https://RELAY"
    yield "Without the store, either of these sends users to OLD:"
    yield f'- in the break-glass file of each host (CUTOVER_BREAK_GLASS): "{target or EVERY_FLOW}" = "old"'
    yield f"- over a relay: cutover rollback {target or '--all'} --emergency{where} --reason ..."


@click.group("emergency", invoke_without_command=True)
@looking
def emergency_(session: Session) -> int:
    """
    List the emergency rollbacks that a relay holds.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return ExitCode.DONE
    with session.opened() as control:
        _print(session, _relay(control).emergencies(control.migration))
    return ExitCode.DONE


@emergency_.command("clear")
@click.option("--discard", is_flag=True, help="Also what the ledger does not show yet: users go back where they were.")
@looking
def clear_(session: Session, discard: bool) -> int:
    """
    Lift the floor, so that the dials hold again.

    When the store was back, each rollback went into its ledger, and the dials are at 0%.
    """
    with session.opened() as control:
        _print(session, _relay(control).lift_emergencies(control.migration, discard=discard))
    return ExitCode.DONE


def _relay(control: Control) -> HttpStore:
    """
    Give the relay that is operated.

    Raises:
        ConfigurationError: If the store is none.
    """
    if not isinstance(control.store, HttpStore):
        raise ConfigurationError(
            f"{control.store.url} is no relay, which alone holds emergencies; allowed: --store https://RELAY. "
            "Without a relay, the break-glass file does the same on each host"
        )
    return control.store


def _print(session: Session, floor: Floor) -> None:
    if session.as_json:
        session.print_json(_document(floor))
        return
    if not floor.flows:
        session.note("no emergency is held")
        return
    session.print(f"held on OLD: {plain(', '.join(floor.flows))}; until `cutover emergency clear`")
    for one in floor.emergencies:
        shown = f"in the ledger as {one.change[:12]}" if one.change else "not in the ledger yet"
        what = one.target or "--all"
        text = f"rollback {what}, {one.at:%Y-%m-%d %H:%M:%SZ}, by {one.actor}: {one.reason}; {shown}"
        session.print(f"  {plain(text)}")


def _document(floor: Floor) -> dict[str, Any]:
    return {
        "emergencies": [one.document() for one in floor.emergencies],
        "floor": list(floor.flows),
        "kept": floor.kept,
    }


VERBS: Final = (emergency_,)
