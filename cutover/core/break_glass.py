"""
The break-glass file: sides that operators set without the store, obeyed above every dial and visit.

    pay = "old"
    "*" = "old"
"""

from collections.abc import Mapping

from cutover.core.backend import Backend
from cutover.core.migration import Migration, frozen_mapping
from cutover.errors import ConfigurationError

__all__ = ["EVERY_FLOW", "broken_glass", "broken_glass_unread", "parse_break_glass", "reached_by", "unknown_lines"]

EVERY_FLOW = "*"


def parse_break_glass(text: str | bytes, source: str) -> Mapping[str, Backend]:
    """
    Read the lines of a break-glass file.

    Raises:
        ConfigurationError: If the file is no TOML, or a line is not a flow or "*" with "old" or "new".
    """
    import tomllib  # noqa: PLC0415 - few processes ever read such a file

    try:
        text = text.decode() if isinstance(text, bytes) else text
        lines = tomllib.loads(text.removeprefix("\ufeff"))  # Windows editors put a byte order mark first
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{source} is not TOML: {error}") from error
    for name, side in lines.items():
        if side not in ("old", "new"):
            raise ConfigurationError(f'{source}: {name} is {side!r}; allowed: "old" or "new"')
    return frozen_mapping({name: Backend(side) for name, side in lines.items()})


def reached_by(definition: Migration, flow: str) -> frozenset[str]:
    """
    Name the lines that can move a flow: its own, that of its journey, those of what goes together with it, and "*".
    """
    journey = definition.journey_of(flow)
    return frozenset({EVERY_FLOW, *definition.together_with(flow), *(() if journey is None else (journey.name,))})


def unknown_lines(lines: Mapping[str, Backend], definition: Migration) -> tuple[str, ...]:
    """
    Name the lines that stand for nothing in a migration: neither a flow nor a journey nor "*".
    """
    return tuple(n for n in lines if n not in (EVERY_FLOW, *definition.flows, *definition.journeys))


def broken_glass(lines: Mapping[str, Backend], definition: Migration | None, flow: str) -> Backend | None:
    """
    Give the side that the file sets for a flow, or None.

    A flow's own line goes before that of its journey, and that before "*". In a `together` journey the lines of all
    its flows count, and OLD wins.
    """
    if not lines:
        return None
    together: tuple[str, ...] = (flow,)
    journey_name = ""
    if definition is not None and flow in definition.flows:
        together = definition.together_with(flow)
        journey = definition.journey_of(flow)
        journey_name = "" if journey is None else journey.name
    for_every = lines.get(EVERY_FLOW)
    sides = {lines.get(member, lines.get(journey_name, for_every)) for member in together}
    if Backend.OLD in sides:
        return Backend.OLD
    return Backend.NEW if Backend.NEW in sides else None


def broken_glass_unread(
    lines: Mapping[str, Backend], journey: str, sides: Mapping[str, Backend]
) -> Mapping[str, Backend]:
    """
    Give the sides to which the file moves a visit where no definition was ever read.

    Which flows go together is not known then. So a visit that is on one side stays on one: it goes as a whole, unless
    the lines name both sides.

    Args:
        journey: The name of the visit's journey.
        sides: By flow, where the visit was.
    """
    for_every = lines.get(
        EVERY_FLOW, lines.get(journey)
    )  # as for a request without a visit, whose journey is not known
    said = {flow: lines.get(flow, for_every) for flow in sides}
    named = {side for side in said.values() if side is not None}
    if len(named) == 1 and len(set(sides.values())) == 1:
        return dict.fromkeys(sides, named.pop())
    return {flow: said[flow] or side for flow, side in sides.items()}
