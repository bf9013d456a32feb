"""
From an error to what the command line says and the code that it exits with.
"""

import json
import sys
import traceback
from enum import IntEnum
from typing import Any

import click

from cutover.cli.words import plain
from cutover.errors import ConfigurationError, Conflict, CutoverError, OutcomeUnknown, Refused, StoreError

__all__ = ["ExitCode", "Failure", "document_of", "exit_code_of", "report"]


class ExitCode(IntEnum):
    """
    The codes of the command line; a closed set.
    """

    DONE = 0
    REFUSED = 1  # a rule or a conflict; for `verify`, problems
    USAGE = 2  # wrong arguments, definition or URL; or a question that nobody can be asked
    UNREACHABLE = 3  # the store cannot be reached or read, and nothing was done
    UNCONFIRMED = 4  # in force, but not confirmed by every instance
    UNKNOWN = 5  # the answer was lost, and the change could not be looked up
    DEFECT = 70  # an error of this program
    INTERRUPTED = 130  # Ctrl-C


class Failure(CutoverError):
    """
    An end of a command that is no error of the library.
    """

    def __init__(self, message: str, code: ExitCode, *, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


def exit_code_of(error: BaseException) -> ExitCode:
    """
    Give the code that an error ends the program with.
    """
    match error:
        case Failure():
            return error.code
        case Refused() | Conflict():
            return ExitCode.REFUSED
        case ConfigurationError() | click.UsageError():
            return ExitCode.USAGE
        case StoreError():
            return ExitCode.UNREACHABLE
        case OutcomeUnknown():
            return ExitCode.UNKNOWN
        case KeyboardInterrupt() | click.Abort():
            return ExitCode.INTERRUPTED
        case _:
            return ExitCode.DEFECT


def document_of(error: BaseException) -> dict[str, Any]:
    """
    Give an error as a JSON object.
    """
    document = {
        "kind": _kind(error),
        "message": _message(error),
        "exit_code": int(exit_code_of(error)),
        "details": _details(error),
    }
    for name in ("expected", "actual", "hash"):
        if value := getattr(error, name, ""):
            document[name] = value
    return {"error": document}


def report(error: BaseException, *, as_json: bool, verbose: bool) -> ExitCode:
    """
    Say on stderr what went wrong, and give the code to exit with.
    """
    if verbose:
        traceback.print_exception(error)
    if as_json:
        sys.stderr.write(json.dumps(document_of(error)) + "\n")
        return exit_code_of(error)
    sys.stderr.write(f"cutover: {plain(_message(error))}\n")
    for detail in _details(error):
        sys.stderr.write(f"  {plain(detail)}\n")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        sys.stderr.write(f"Try: {error.ctx.command_path} --help\n")
    return exit_code_of(error)


def _details(error: BaseException) -> list[str]:
    return [*getattr(error, "details", ()), *getattr(error, "__notes__", ())]


def _kind(error: BaseException) -> str:
    kinds: dict[ExitCode, str] = {ExitCode.USAGE: "usage", ExitCode.DEFECT: "defect"}
    if isinstance(error, CutoverError) and not isinstance(error, Failure):
        name = type(error).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
    code = exit_code_of(error)
    return kinds.get(code, code.name.lower())


def _message(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted"
    if exit_code_of(error) is ExitCode.DEFECT:
        return f"an error of this program, please report it: {error!r}; with -v the whole of it"
    return str(error)
