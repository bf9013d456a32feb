"""
How the demo ends: the requests by flow and back end, the proofs, and how to go on.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cutover.cli.listing import plain_table
from demo.clickstream import EVENTS_OF
from demo.counts import Tallies
from demo.folder import Folder
from demo.operator import Done
from demo.proofs import Proof
from demo.shop_database import Tally

__all__ = ["mismatches_view", "onward", "proofs_view", "requests_table"]


def requests_table(seen: Tallies, old: str, new: str) -> Table:
    """
    Draw what the back ends were asked for.
    """
    table = plain_table("FLOW", old.upper(), "FAILED", new.upper(), "FAILED", "SHARE OF NEW")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = {flow: [seen.get((flow, side), Tally()) for side in ("old", "new")] for flow in EVENTS_OF}
    for flow, sides in rows.items():
        table.add_row(flow, *_cells(sides))
    table.add_row("all", *_cells([_sum(column) for column in zip(*rows.values(), strict=True)]), style="bold")
    return table


def proofs_view(proofs: Sequence[Proof]) -> RenderableType:
    """
    Draw the proofs, each with its figures below.
    """
    lines = []
    for proof in proofs:
        line = Text("holds  " if proof.holds else "FAILS  ", style="green" if proof.holds else "bold red")
        line.append(proof.claim, style="default")
        lines += [line, Text(f"       {proof.figures}", style="dim")]
    return Group(*lines)


def mismatches_view(done: Iterable[Done]) -> RenderableType:
    """
    Draw what the operator saw of answers that differ.
    """
    looks = [one for one in done if one.verb == "mismatches"]
    return Text("\n".join(line for one in looks for line in (f"$ {one.command}", *one.shown)))


def onward(folder: Folder) -> RenderableType:
    """
    Say what to try on the store that the demo leaves.
    """
    cutover = _command()
    lines = [
        f"export CUTOVER_STORE={folder.store} CUTOVER_HOMES={folder.homes} CUTOVER_OUTBOX={folder.outbox}",
        f"{cutover} status",
        f"{cutover} history",
        f"{cutover} homes",
        f"{cutover} mirror status",
        f"{cutover} mismatches",
        f"{cutover} explain pay user_0042",
        f'{cutover} rollback purchase --reason "see what a rollback does"',
    ]
    text = Text("Go on with what is in ")
    text.append(f"{folder.path}/", style="bold").append(":\n")
    text.append("\n".join(f"  {line}" for line in lines))
    return text


def _command() -> str:
    if shutil.which("cutover"):
        return "cutover"
    return os.path.relpath(Path(sys.executable).parent / "cutover")


def _cells(sides: Sequence[Tally]) -> list[str]:
    old, new = sides
    total = old.requests + new.requests
    share = f"{new.requests / total:.1%}" if total else "-"
    return [str(old.requests), _failed(old), str(new.requests), _failed(new), share]


def _sum(tallies: Iterable[Tally]) -> Tally:
    several = list(tallies)
    return Tally(*map(sum, zip(*map(attrs.astuple, several), strict=True)))


def _failed(tally: Tally) -> str:
    return str(tally.failed + tally.lost)
