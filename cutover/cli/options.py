"""
Options that many verbs share, and the types of their values.
"""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar, cast

import click

from cutover.cli.completing import dial_values, flows, migrations
from cutover.cli.failures import ExitCode
from cutover.cli.session import Edit, Session

__all__ = ["changing", "duration", "help_without_verb", "homes_option", "looking", "outbox_option", "percent", "target"]

F = TypeVar("F", bound=Callable[..., Any])

SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}


def duration(value: str) -> float:
    """
    Read a span such as ``30s``, ``2m`` or ``1h``, as seconds.
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smh]?)", value.strip())
    if match is None:
        raise click.BadParameter(f"{value!r} is no duration; allowed: such as 30s, 2m or 1h")
    return float(match[1]) * SECONDS[match[2]]


def help_without_verb(context: click.Context) -> None:
    """
    Show the help of a group that is called without a verb, as wrong usage.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(ExitCode.USAGE)


def looking(command: F) -> F:
    """
    Give a verb the options of every verb; it gets them as a `Session`.
    """

    @wraps(command)
    def wrapper(
        *args: Any, store: str | None, migration: str | None, as_json: bool, verbose: bool, **rest: Any
    ) -> object:
        del verbose  # `run` looks for it, also where a command line cannot be parsed
        return command(Session(store=store, migration=migration, as_json=as_json), *args, **rest)

    options = (
        click.option("--store", envvar="CUTOVER_STORE", show_envvar=True, metavar="URL", help="The store."),
        click.option(
            "--migration",
            envvar="CUTOVER_MIGRATION",
            show_envvar=True,
            metavar="NAME",
            shell_complete=migrations,
            help="Which migration; else the only one in the store.",
        ),
        click.option("--json", "as_json", is_flag=True, help="JSON on stdout, errors as JSON on stderr."),
        click.option("-v", "--verbose", is_flag=True, help="The traceback of an error too."),
    )
    return cast(F, _decorated(wrapper, options))


def changing(*, reason: str | None = None, expects: bool = True) -> Callable[[F], F]:
    """
    Give a verb that changes something the options of all of them; it gets them as an `Edit`.

    Args:
        reason: What the ledger shows where no reason is given; None makes one required.
        expects: It takes ``--expect``.
    """

    def decorator(command: F) -> F:
        @wraps(command)
        def wrapper(session: Session, *args: Any, expect: str | None = None, **rest: Any) -> object:
            names = ("reason", "actor", "ticket", "dry_run", "wait", "yes")
            edit = Edit(expect=expect, **{name: rest.pop(name) for name in names})
            return command(session, edit, *args, **rest)

        return cast(F, looking(_decorated(wrapper, _edit_options(reason, expects=expects))))

    return decorator


def target(command: F) -> F:
    """
    Give a verb the argument FLOW|JOURNEY.
    """
    return click.argument("target", metavar="FLOW|JOURNEY", shell_complete=flows)(command)


def percent(command: F) -> F:
    """
    Give a verb the argument PERCENT.
    """
    return click.argument("percent", metavar="[PERCENT|inherit]", required=False, shell_complete=dial_values)(command)


def homes_option(help_text: str) -> Callable[[F], F]:
    """
    Give a verb the option that says where homes are; it gets the URL as `place`.
    """
    return click.option(
        "--homes", "place", envvar="CUTOVER_HOMES", show_envvar=True, metavar="URL", default=None, help=help_text
    )


def outbox_option(command: F) -> F:
    """
    Give a verb the option that names an outbox of mirrored writes.
    """
    return click.option(
        "--outbox",
        envvar="CUTOVER_OUTBOX",
        show_envvar=True,
        metavar="URL",
        help="Where the application keeps its mirrored writes; else the store.",
    )(command)


def _edit_options(reason: str | None, *, expects: bool) -> tuple[Callable[[Any], Any], ...]:
    need: dict[str, Any] = {"required": True} if reason is None else {"default": reason}
    expect = click.option("--expect", metavar="VERSION[:HEAD]", help="Only if the store is at this change.")
    return (
        click.option("--reason", metavar="TEXT", help="Why; stands in the ledger.", **need),
        click.option(
            "--actor",
            envvar="CUTOVER_ACTOR",
            show_envvar=True,
            metavar="NAME",
            help="Who; else user@host.",
        ),
        click.option("--ticket", default="", metavar="TEXT", help="Where it was asked for."),
        *((expect,) if expects else ()),
        click.option("--dry-run", is_flag=True, help="Say whom it would move, and write nothing."),
        click.option(
            "--wait",
            type=duration,
            is_flag=False,
            flag_value="30s",
            default=None,
            metavar="[DURATION]",
            help="Wait until every instance runs it; alone, 30s. Exit code 4 if some do not.",
        ),
        click.option("--yes", is_flag=True, help="Do not ask."),
    )


def _decorated(function: Any, options: tuple[Callable[[Any], Any], ...]) -> Any:
    for option in reversed(options):
        function = option(function)
    return function
