"""
What a command works with: the opened migration and the two streams.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs
import click
from rich.console import Console
from rich.text import Text

from cutover.cli.failures import ExitCode, Failure
from cutover.cli.words import plain
from cutover.operations.control import Control, control
from cutover.operations.questions import Question

__all__ = ["Edit", "Session", "console"]

WIDTH_OF_A_PIPE: Final = 120


@attrs.frozen(kw_only=True)
class Edit:
    """
    What is said about a change on the command line.

    Attributes:
        wait: Seconds; None for not at all.
    """

    reason: str
    actor: str | None = None
    ticket: str = ""
    expect: str | None = None
    dry_run: bool = False
    wait: float | None = None
    yes: bool = False


@attrs.frozen(kw_only=True)
class Session:
    """
    The options that every verb takes, and where its words go.

    Data goes to stdout; chatter, questions and errors go to stderr.
    """

    store: str | None
    migration: str | None
    as_json: bool = False

    @contextmanager
    def opened(self, edit: Edit | None = None) -> Iterator[Control]:
        """
        Open the store for one command.

        Raises:
            UsageError: If no store is named.
        """
        if not self.store:
            raise click.UsageError("which store? Give --store URL or set CUTOVER_STORE")
        actor = None if edit is None else edit.actor
        with control(self.store, actor=actor, migration=self.migration or None) as opened:
            yield opened

    def print_json(self, document: dict[str, Any] | list[Any]) -> None:
        """
        Write one JSON document on one line of stdout.
        """
        self.print_raw(json.dumps(document, ensure_ascii=False))

    def print_raw(self, text: str) -> None:
        """
        Write a line to stdout to the letter, as UTF-8 whatever the terminal speaks.
        """
        click.echo(text.encode("utf-8", "replace"))

    def print(self, text: str) -> None:
        """
        Write a line of text to stdout.
        """
        console().print(Text(text), soft_wrap=True)

    def note(self, text: str) -> None:
        """
        Say something on stderr.
        """
        console(stderr=True).print(Text(text), soft_wrap=True)

    def ask(self, questions: Sequence[Question]) -> None:
        """
        Ask whether to go on.

        Raises:
            Failure: If the answer is no; or if there is no terminal, and so nobody to ask.
        """
        if not sys.stdin.isatty():
            text = " ".join(f"{question.text}." for question in questions)
            details = tuple(detail for question in questions for detail in question.details)
            raise Failure(f"{text} There is no terminal to ask; add --yes", ExitCode.USAGE, details=details)
        for question in questions:
            self.note(f"{plain(question.text)}:" if question.details else f"{plain(question.text)}.")
            for detail in question.details:
                self.note(f"  {plain(detail)}")
        if not click.confirm("Go on?", err=True):
            raise Failure("not confirmed; nothing was written", ExitCode.REFUSED)


class _Console(Console):
    """
    A console that leaves a closed pipe to its caller; rich's own would end the program with another code than ours.
    """

    def on_broken_pipe(self) -> None:
        """
        Go on raising.
        """
        raise  # noqa: PLE0704 - called while the error is handled


def console(*, stderr: bool = False) -> Console:
    """
    Make a console as wide as the terminal; a pipe gets the width of COLUMNS, else 120.
    """
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else WIDTH_OF_A_PIPE
    return _Console(file=stream, width=width, highlight=False, emoji=False, markup=False)
