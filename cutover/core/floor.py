"""
The emergency floor of a relay: rollbacks that hold without the store. It can only lower, from NEW to OLD.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

import attrs

from cutover.core.backend import Backend
from cutover.core.break_glass import EVERY_FLOW
from cutover.core.fields import counter, field, items
from cutover.core.instants import format_instant, parse_instant
from cutover.core.migration import Migration

__all__ = ["Emergency", "floor_of", "lowered"]


@attrs.frozen(kw_only=True)
class Emergency:
    """
    One rollback that was given to a relay.

    Attributes:
        target: A flow or journey; None for every flow.
        flows: What that was when it was given.
        at: When it was given; aware, UTC.
        version: What the relay served then.
        change: The hash of the rollback in the ledger; empty until it is there.
    """

    target: str | None
    flows: tuple[str, ...]
    actor: str
    reason: str
    ticket: str
    at: datetime
    version: int
    change: str = ""

    def document(self) -> dict[str, Any]:
        """
        Give it as one JSON object.
        """
        return {**attrs.asdict(self), "flows": list(self.flows), "at": format_instant(self.at)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """
        Read what `document` gave.

        Raises:
            KeyError, TypeError, ValueError: If it is something else.
        """
        target = document["target"]
        return cls(
            target=None if target is None else field(document, "target", str),
            flows=items(document, "flows", str),
            actor=field(document, "actor", str),
            reason=field(document, "reason", str),
            ticket=field(document, "ticket", str),
            at=parse_instant(field(document, "at", str)),
            version=counter(document["version"], "version", least=1),
            change=field(document, "change", str),
        )


def floor_of(emergencies: Iterable[Emergency], definition: Migration | None) -> frozenset[str]:
    """
    Name the flows that are held on OLD, with all that must go together with them by now, and their former names.
    """
    named = {flow for emergency in emergencies for flow in emergency.flows}
    if definition is None:
        return frozenset(named)
    flows = {flow for name in named for flow in definition.together_with(definition.current(name))}
    return frozenset({*named, *flows, *definition.names_of(flows)})


def lowered(lines: Mapping[str, Backend], floor: Iterable[str]) -> Mapping[str, Backend]:
    """
    Lay a floor under the lines of a break-glass file: where they differ, OLD wins.
    """
    floor = sorted(floor)
    if not floor:
        return lines
    below = dict.fromkeys(floor, Backend.OLD)
    if EVERY_FLOW in below:
        return below
    return {**lines, **below}
