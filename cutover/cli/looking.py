"""
The verbs that only look: status, history, explain, verify, export, completion.
"""

import os
import sys
import tempfile
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from cutover.cli.completing import cohorts, only_flows
from cutover.cli.differences import told
from cutover.cli.failures import ExitCode
from cutover.cli.homing import home_in_words, note_unmade, opened_homes
from cutover.cli.listing import history_view, rules_table
from cutover.cli.options import help_without_verb, homes_option, looking
from cutover.cli.session import Session, console
from cutover.cli.status_view import status_view
from cutover.cli.watch import watch
from cutover.cli.words import plain
from cutover.core.backend import UNSET, Backend, Unset
from cutover.core.ledger import Expectation, Verification, verify
from cutover.core.percent import format_percent
from cutover.errors import ConfigurationError
from cutover.operations.trail import definition_after

__all__ = ["VERBS"]


@click.command("status")
@click.option("--watch", "is_watched", is_flag=True, help="Go on, and redraw in place; without a terminal, by line.")
@looking
def status_(session: Session, is_watched: bool) -> int:
    """
    Show where the migration stands.
    """
    with session.opened() as control:
        if is_watched:
            watch(session, control)
        elif session.as_json:
            session.print_json(control.status().document())
        else:
            out = console()
            out.print(status_view(control.status(), width=out.width, encoding=out.encoding))
    return ExitCode.DONE


@click.command("history")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="N", help="Only versions above N.")
@looking
def history_(session: Session, after: int) -> int:
    """
    List the changes, oldest first.

    With --json one change a line, to the letter as it is stored and hashed: what `verify --file` reads.
    """
    with session.opened() as control:
        if session.as_json:
            for text in control.history_texts(after=after):
                session.print_raw(text)
            return ExitCode.DONE
        zone = control.snapshot().definition.timezone
        changes = control.history(after=after)
        if after and any(change.verb == "apply" for change in changes):
            before = definition_after((change for change in control.history() if change.version <= after), {})
        else:
            before = {}
        out = console()
        out.print(history_view(told(changes, before), zone, out.width))
    return ExitCode.DONE


@click.command("explain")
@click.argument("flow", shell_complete=only_flows)
@click.argument("key")
@click.option("--cohort", metavar="NAME", shell_complete=cohorts, help="The key's cohort.")
@click.option("--home", metavar="SIDE", help='Where the thing lives; "none" for an unmarked one.')
@click.option("--home-of", nargs=2, metavar="KIND ID", help="Look up where this thing lives, such as: order 17.")
@homes_option("Where --home-of looks.")
@looking
def explain_(
    session: Session,
    flow: str,
    key: str,
    cohort: str | None,
    home: str | None,
    home_of: tuple[str, str] | None,
    place: str | None,
) -> int:
    """
    Say where a request would go, and why.
    """
    if home is not None and home_of is not None:
        raise click.UsageError("give --home or --home-of, not both")
    given: Backend | Unset | str | None = UNSET if home is None else None if home == "none" else home
    found: Backend | None = None
    with session.opened() as control:
        if home_of is not None:
            with opened_homes(place, control.migration) as homes:
                given = found = homes.find(*home_of)
                note_unmade(session, homes)
        explanation = control.explain(flow, key, cohort=cohort, home=given)
    if session.as_json:
        session.print_json(explanation.document())
        return ExitCode.DONE
    decision = explanation.decision
    session.print(f"{flow}: {decision.backend.value.upper()}, because of {decision.reason.value}")
    if home_of is not None:
        session.print(plain(home_in_words(*home_of, found)))
    user = "no key to place" if decision.position is None else f"this user is at {format_percent(decision.position)}"
    session.print(f"{user}, version {decision.version}")
    console().print(rules_table(explanation.rules))
    return ExitCode.DONE


@click.command("verify")
@click.option("--expect", metavar="VERSION[:HEAD]", help="A change that must be on the chain, as written down before.")
@click.option(
    "--file", "file", type=click.Path(), metavar="FILE", help='A ledger from `history --json`; "-" for stdin.'
)
@looking
def verify_(session: Session, expect: str | None, file: str | None) -> int:
    """
    Check the whole ledger.

    That is every hash and link, and that the effects of all changes merge to the snapshot.

    Exit code 1 if there are problems. A cut tail or a full rewrite shows only with --expect.
    """
    if file is not None:
        return _print_verification(session, _verified_file(file, expect))
    with session.opened() as control:
        return _print_verification(session, control.verify(expect=expect))


@click.group("export", invoke_without_command=True)
@click.pass_context
def export_(context: click.Context) -> None:
    """
    Write what other programs read.
    """
    help_without_verb(context)


@export_.command("snapshot")
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="Where to; else stdout.")
@looking
def export_snapshot(session: Session, output: str | None) -> int:
    """
    Write the snapshot, to start routers from where no store can be reached. It holds no secret.
    """
    with session.opened() as control:
        text = control.export_snapshot()
    if output is None:
        session.print_raw(text)
        return ExitCode.DONE
    _write(Path(output), text + "\n")
    session.note(f"written to {output}")
    return ExitCode.DONE


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_(shell: str) -> int:
    """
    Print the completion script of a shell.

    For bash: eval "$(cutover completion bash)"
    """
    found = get_completion_class(shell)
    if found is None:
        raise ConfigurationError(f"click knows no completion for {shell}")
    root = click.get_current_context().find_root()
    click.echo(found(root.command, {}, "cutover", "_CUTOVER_COMPLETE").source())
    return ExitCode.DONE


VERBS = (status_, history_, explain_, verify_, export_, completion_)


def _verified_file(file: str, expect: str | None) -> Verification:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror or error}") from error
    # Only this one character ends a change: a reason may hold others that Python counts as line ends.
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    expectation = None if expect is None else Expectation.parse(expect)
    return verify([line for line in lines if line.strip()], expect=expectation)


def _print_verification(session: Session, found: Verification) -> int:
    if session.as_json:
        problems = [{"code": p.code, "version": p.version, "text": p.text} for p in found.problems]
        document = {"ok": found.ok, "versions": found.versions, "head": found.head, "problems": problems}
        session.print_json(document)
    else:
        versions = "1 version" if found.versions == 1 else f"{found.versions} versions"
        session.print(f"{'ok' if found.ok else 'NOT OK'}: {versions}, head {found.head}")
        for problem in found.problems:
            session.print(f"  {plain(str(problem))}")
    return ExitCode.DONE if found.ok else ExitCode.REFUSED


def _write(path: Path, text: str) -> None:
    """
    Write a file so that a reader sees the old one or the new one, never a half.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            temporary = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
