"""
One run of the demo, from an empty folder to the proofs.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from secrets import token_urlsafe
from typing import Final

import attrs
from rich.console import Console, Group, RenderableType
from rich.text import Text

from cutover.operations.control import control as open_control
from demo.children import Children, environment
from demo.counts import scraped, seen
from demo.evidence import proofs_of
from demo.folder import Folder, fresh_folder
from demo.operator import MOVES, REPAIRED, Operator, run
from demo.replay import Pace, Replay
from demo.report import mismatches_view, onward, proofs_view, requests_table
from demo.screen import Screen
from demo.stage import MIGRATION, SHOPS, Stage
from demo.svg import HEIGHT, WIDTH, save_svg
from demo.traffic import read_steps

__all__ = ["Options", "play"]

MIDDLE: Final = 0.6  # of the replay


@attrs.frozen(kw_only=True)
class Options:
    """
    What may be asked of a run.

    Attributes:
        folder: Where everything of it lies; recreated.
        seconds: How long the replay should take; None for as fast as it can, standing still while a command runs.
        events: About how many events to replay; None for all.
        svg: Where to leave a picture of the middle and the end.
    """

    folder: Path
    seconds: float | None
    events: int | None = None
    svg: Path | None = None


def play(options: Options, console: Console) -> bool:
    """
    Run the demo.

    Returns:
        Whether all proofs hold.

    Raises:
        DemoFailed: If a part of it does not work at all.
    """
    with fresh_folder(options.folder, today=date.today()) as folder:  # noqa: DTZ011 - the day of the reader
        return _played(folder, options, console)


def _played(folder: Folder, options: Options, console: Console) -> bool:
    steps = read_steps(options.events)
    settings = environment(
        CUTOVER_STORE=folder.store, CUTOVER_HOMES=folder.homes, CUTOVER_OUTBOX=folder.outbox, CUTOVER_ACTOR="rina"
    )
    applied = run(("apply", str(folder.definition)), settings)
    console.print(f"$ {applied.command}\n  {applied.summary}", soft_wrap=True, style="dim")
    with Children(folder.logs, _of_application(folder, settings)) as children:
        stage = Stage.built(children, folder, options.events, int(REPAIRED * len(steps)))
        with Operator(MOVES, settings, len(steps), hold=options.seconds is None) as operator:
            replay = Replay(stage, steps, Pace(options.seconds), operator)
            middle = _shown(replay, operator, folder, stage.metrics, console)
        children.finish(stage.workers)  # what they counted last is handed over at their end
        counted = scraped(stage.metrics)
        children.finish(stage.shops)
    proofs = proofs_of(folder, steps, counted, operator.done, settings)
    table = requests_table(seen(folder), *SHOPS.values())
    report = Group(table, Text(), mismatches_view(operator.done), Text(), proofs_view(proofs))
    console.print(report, Text())
    console.print(onward(folder), soft_wrap=True)
    if options.svg is not None:
        save_svg(options.svg, Group(middle, Text(), report))
    return all(proof.holds for proof in proofs)


def _of_application(folder: Folder, settings: Mapping[str, str]) -> dict[str, str]:
    """
    Add what only the application needs: all of its processes sign tokens with one secret.
    """
    return {**settings, "CUTOVER_SECRET": token_urlsafe(32), "PROMETHEUS_MULTIPROC_DIR": str(folder.metrics)}


def _shown(replay: Replay, operator: Operator, folder: Folder, metrics: str, console: Console) -> RenderableType:
    """
    Replay everything on the screen, and give the picture of the middle, where the dials are under way.
    """
    kept: list[RenderableType] = []
    with open_control(folder.store, outbox=folder.outbox) as control:
        screen = Screen(console, control, operator, metrics)

        def show() -> None:
            screen.show(replay)
            if not kept and replay.position >= MIDDLE * replay.total:
                kept.append(screen.drawn(replay, WIDTH, HEIGHT))

        replay.await_check_ins(control)
        with screen.opened():
            replay.run(show)
        replay.await_deliveries(control, MIGRATION)
    return kept[0]
