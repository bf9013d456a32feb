"""
The break-glass file: sides that operators set without the store, obeyed above every dial and visit.

    pay = "old"
    "*" = "old"
"""

from collections.abc import Iterable, Mapping

from cutover.core.backend import Backend
from cutover.core.defined import frozen_mapping
from cutover.core.migration import Migration
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
    names = definition.names_of(definition.together_with(flow))
    return frozenset({EVERY_FLOW, *names, *(() if journey is None else (journey.name,))})


def unknown_lines(lines: Mapping[str, Backend], definition: Migration) -> tuple[str, ...]:
    """
    Name the lines that stand for nothing in a migration: neither a flow nor a journey nor "*".
    """
    known = (EVERY_FLOW, *definition.flows, *definition.former, *definition.journeys)
    return tuple(name for name in lines if name not in known)


def broken_glass(lines: Mapping[str, Backend], definition: Migration | None, flow: str) -> Backend | None:
    """
    Give the side that the file sets for a flow, or None.

    A flow's own line goes before that of its journey, and that before "*". In a `together` journey the lines of all
    its flows count, and OLD wins. A line may name a flow as it was called before; of several lines OLD wins, too.
    """
    if not lines:
        return None
    names: Iterable[tuple[str, ...]] = ((flow,),)
    journey_name = ""
    if definition is not None and (current := definition.current(flow)) in definition.flows:
        names = [definition.flows[member].names for member in definition.together_with(current)]
        journey = definition.journey_of(current)
        journey_name = "" if journey is None else journey.name
    otherwise = lines.get(journey_name, lines.get(EVERY_FLOW))
    sides: set[Backend | None] = set()
    for member in names:
        said = {lines[name] for name in member if name in lines}
        sides |= said or {otherwise}
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
