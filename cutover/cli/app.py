"""
All verbs under one name, and the one place where a run of the command line ends.
"""

import logging
import os
import sys
from collections.abc import Sequence

import click
import structlog
from click.shell_completion import shell_complete

from cutover.cli import changing, comparing, emergency, homing, instances, looking, metrics, mirroring, serving
from cutover.cli.failures import ExitCode, Failure, report
from cutover.cli.options import help_without_verb

__all__ = ["cli", "run"]

STDOUT = 1  # the file descriptor
NAME = "cutover"
COMPLETE = "_CUTOVER_COMPLETE"
EXIT_CODES = """
\b
Exit codes:
  0  done
  1  refused, or another change came first; for verify: problems
  2  wrong usage, or a question and no terminal to ask
  3  the store cannot be reached; nothing was done
  4  in force, but not confirmed by every instance
  5  the outcome is unknown
"""
CONTEXT = {"help_option_names": ["-h", "--help"]}


@click.group(NAME, context_settings=CONTEXT, invoke_without_command=True, epilog=EXIT_CODES)
@click.version_option(package_name="cutover-controller", prog_name=NAME, message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """
    Move a running business from one back end to another, flow by flow.
    """
    help_without_verb(context)


for _module in (changing, homing, looking, comparing, mirroring, instances, metrics, serving, emergency):
    for _verb in _module.VERBS:
        cli.add_command(_verb)


def run(arguments: Sequence[str]) -> int:
    """
    Run one command line.

    Returns:
        The exit code.
    """
    before = arguments[: list(arguments).index("--")] if "--" in arguments else arguments
    as_json, verbose = "--json" in before, bool({"-v", "--verbose"} & set(before))
    _open_streams()
    _configure_logging(as_json=as_json, verbose=verbose)
    try:
        code = _invoke(list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()  # whoever read has enough
        return ExitCode.DONE
    except OSError as error:
        _discard_stdout()
        failure = Failure(
            f"the output could not be written ({error.strerror}); what was asked for may be done", ExitCode.UNKNOWN
        )
        return report(failure, as_json=as_json, verbose=verbose)
    except click.exceptions.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the end of the program: every error becomes a code
        return report(error, as_json=as_json, verbose=verbose)
    return int(code or ExitCode.DONE)


def _open_streams() -> None:
    """
    Make both streams take any text; one that was closed goes nowhere.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for the whole run
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _discard_stdout() -> None:
    # What Python would still flush at its end goes nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


def _configure_logging(*, as_json: bool, verbose: bool) -> None:
    """
    Send what the library logs to stderr: stdout is for data.
    """
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.processors.LogfmtRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _invoke(arguments: list[str]) -> int | None:
    """
    Do what click's own `main` does but for the end: it turns a closed pipe into another code than ours.
    """
    if instruction := os.environ.get(COMPLETE):
        return shell_complete(cli, {}, NAME, COMPLETE, instruction)
    with cli.make_context(NAME, arguments) as context:
        code: int | None = cli.invoke(context)
        return code
