"""
All verbs under one name, and the one place where a run of the command line ends.
"""

import os
import sys
from collections.abc import Sequence

import click

from cutover.cli import changing, looking
from cutover.cli.failures import ExitCode, report

__all__ = ["cli", "run"]

STDOUT = 1  # the file descriptor
CONTEXT = {"help_option_names": ["-h", "--help"]}


@click.group("cutover", context_settings=CONTEXT)
@click.version_option(package_name="cutover-controller", prog_name="cutover", message="%(prog)s %(version)s")
def cli() -> None:
    r"""
    Move a running business from one back end to another, flow by flow.

    \b
    Exit codes:
      0  done
      1  refused, or another change came first; for verify: problems
      2  wrong usage, or a question and no terminal to ask
      3  the store cannot be reached; nothing was done
      4  in force, but not confirmed by every instance
      5  the outcome is unknown
    """


for verb in (*changing.VERBS, *looking.VERBS):
    cli.add_command(verb)


def run(arguments: Sequence[str]) -> int:
    """
    Run one command line.

    Returns:
        The exit code.
    """
    before = arguments[: list(arguments).index("--")] if "--" in arguments else arguments
    as_json, verbose = "--json" in before, bool({"-v", "--verbose"} & set(before))
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = cli.main(list(arguments), prog_name="cutover", standalone_mode=False)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:
        # click turns the former into the latter. Whoever read has enough, and what Python would still flush goes nowhere.
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        return ExitCode.DONE
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return ExitCode.USAGE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the end of the program: every error becomes a code
        return report(error, as_json=as_json, verbose=verbose)
    return int(code or ExitCode.DONE)
