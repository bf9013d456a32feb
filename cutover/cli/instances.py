"""
The verb `instances`: the router processes that check in, and what is said of one that never will again.
"""

from functools import partial
from typing import Final

import click

from cutover.cli.changing import carry_out
from cutover.cli.failures import ExitCode
from cutover.cli.listing import instances_table
from cutover.cli.options import changing, looking
from cutover.cli.session import Edit, Session, console
from cutover.operations import intents

__all__ = ["VERBS"]


@click.group("instances", invoke_without_command=True)
@looking
def instances_(session: Session) -> int:
    """
    List the router processes that check in.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return ExitCode.DONE
    with session.opened() as control:
        instances = control.instances()
        if session.as_json:
            session.print_json({"instances": [instance.document() for instance in instances]})
        elif instances:
            out = console()
            out.print(instances_table(instances, out.width))
        else:
            session.note("no instance has checked in")
    return ExitCode.DONE


@instances_.command("dead")
@click.argument("instance", metavar="NAME")
@changing()
def dead_(session: Session, edit: Edit, instance: str) -> int:
    """
    Put on record that a lost process will never come back.

    NAME is its name, HOST/PID, both as one argument, or the beginning of its id. The process counts no longer as lost;
    what it counted stays. If the process comes back all the same, it shows again.
    """
    with session.opened(edit) as control:
        report = control.lost_instance(instance)
        return carry_out(session, control, intents.declare_dead(report), edit, then=partial(control.bury, report))


VERBS: Final = (instances_,)
