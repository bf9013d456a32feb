"""
The verb `mismatches`: how often the two back ends answer differently, and where.
"""

from collections.abc import Iterator
from typing import Final
from zoneinfo import ZoneInfo

import click
from rich.table import Table
from rich.text import Text

from cutover.cli.completing import only_flows
from cutover.cli.failures import ExitCode
from cutover.cli.listing import plain_table
from cutover.cli.options import looking
from cutover.cli.session import Session, console
from cutover.cli.words import plain
from cutover.core.intervals import Share
from cutover.core.percent import format_percent
from cutover.core.verdict import Mismatch, Verdict
from cutover.operations.comparing import Comparisons, FlowComparisons

__all__ = ["VERBS"]

GIVEN_UP: Final = (Verdict.TIMEOUT, Verdict.DROPPED, Verdict.COMPARE_ERROR, Verdict.NOT_COMPARED)

WORDS: Final[dict[bool | None, str]] = {
    None: "OLD's own variation was not measured",
    True: "more than OLD's own variation",
    False: "within OLD's own variation",
}


@click.command("mismatches")
@click.argument("flow", required=False, shell_complete=only_flows)
@click.option("--hours", type=click.IntRange(1, 10_000), metavar="N", help="Count only the last N hours.")
@looking
def mismatches_(session: Session, flow: str | None, hours: int | None) -> int:
    """
    Show how often the two back ends answer differently, and where.

    Beside it stands how often OLD differs from itself, both with an interval of 95% confidence. Values are shown as the
    application redacts them.
    """
    with session.opened() as control:
        found = control.mismatches(flow, hours=hours)
        zone = ZoneInfo(control.snapshot().definition.timezone)
    if session.as_json:
        session.print_json(found.document())
    elif found.flows:
        _print(session, found, zone)
    else:
        session.note("nothing was compared; allowed: cutover set FLOW PERCENT --shadow PERCENT")
    return ExitCode.DONE


VERBS: Final = (mismatches_,)


def _print(session: Session, found: Comparisons, zone: ZoneInfo) -> None:
    for index, flow in enumerate(found.flows):
        if index:
            session.print("")
        for line in _lines(flow):
            session.print(line)
        if flow.mismatches:
            console().print(_table(flow.mismatches, zone))


def _lines(flow: FlowComparisons) -> Iterator[str]:
    """
    Say in words what the numbers of a flow come to.
    """
    yield f"{flow.flow}: {format_percent(flow.shadow)} of the keys are compared"
    counts = [f"{number} {verdict.value}" for verdict, number in flow.verdicts.items() if number]
    yield f"  {', '.join(counts) or 'nothing was compared yet'}"
    if flow.differing.cases:
        noise = f"; OLD differs from itself in {_share(flow.noise)}" if flow.noise.cases else ""
        yield f"  {_share(flow.differing)} differ{noise}: {WORDS[flow.stands_out]}"
    unanswered = sum(flow.verdicts[v] for v in GIVEN_UP)
    if unanswered > flow.differing.cases:
        yield "  more comparisons were given up than made: these shares are of the faster ones"


def _share(share: Share) -> str:
    if not share.cases:
        return "-"
    low, high = share.interval
    return f"{share.found / share.cases * 100:.1f}% ({low * 100:.1f} to {high * 100:.1f})"


def _table(mismatches: tuple[Mismatch, ...], zone: ZoneInfo) -> Table:
    table = plain_table("  WHEN", "WHERE", "OLD", "NEW")
    table.columns[0].no_wrap = True
    for mismatch in mismatches:
        when = f"  {mismatch.at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
        for path, old, new in mismatch.differences or (("(as compare says)", "", ""),):
            places = (plain(text) for text in (path or "(the answer)", old, new))
            table.add_row(*map(Text, (when, *places)))
            when = ""
    return table
