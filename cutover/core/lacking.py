"""
What router processes ask for and the definition in the store lacks: users of such a name are sent to OLD.

The definition in the store is what counts, not the one that a process runs: a process that has read no snapshot yet
asks for no unknown name, and one that runs an older definition does not hide one.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs

from cutover.core.checkin import CheckIn
from cutover.core.migration import Migration
from cutover.core.names import NameKind, closest, is_known

__all__ = ["SPLITS", "Asking", "Lacking", "asked_for", "lacking"]

SPLITS = (NameKind.FLOW, NameKind.JOURNEY)  # a cohort that nobody defined only has no dial of its own


@attrs.frozen
class Asking:
    """
    One process that asks for a name.

    Attributes:
        requests: How often it did since it started.
    """

    report: CheckIn
    requests: int

    def __str__(self) -> str:
        return self.report.who


@attrs.frozen(kw_only=True)
class Lacking:
    """
    A name that live processes ask for and a definition lacks.

    Attributes:
        closest: The name of the definition that may be meant; empty where none is like it.
        other: What the definition has under this very name, if it is of another kind.
        asking: The processes, by name, host and process id.
    """

    kind: NameKind
    name: str
    closest: str
    other: NameKind | None = None
    asking: tuple[Asking, ...]

    @property
    def requests(self) -> int:
        """
        How often all of them asked for it since they started.
        """
        return sum(one.requests for one in self.asking)

    @property
    def splits(self) -> bool:
        """
        Whether users of a visit may be on both sides for it.
        """
        return self.kind in SPLITS

    @property
    def who(self) -> str:
        """
        Name the first process, and say how many more there are.
        """
        first, *more = map(str, self.asking)
        return f"{first} and {len(more)} more" if more else first

    @property
    def hint(self) -> str:
        """
        Say what may be meant; empty where nobody can tell.
        """
        if self.other is not None:
            return f"{self.name} is a {self.other.value}"
        return f"the closest known name is {self.closest}" if self.closest else ""

    def __str__(self) -> str:
        verb = "ask" if len(self.asking) > 1 else "asks"
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.who} {verb} for the {self.kind.value} {self.name}, which the definition lacks{hint}"

    def document(self) -> dict[str, Any]:
        """
        Give it as a JSON object.
        """
        return {
            "kind": self.kind.value,
            "name": self.name,
            "requests": self.requests,
            "closest": self.closest or None,
            "instances": [
                {"instance": r.instance, "name": r.name, "host": r.host, "pid": r.pid, "requests": one.requests}
                for one in self.asking
                for r in (one.report,)
            ],
        }


def asked_for(reports: Iterable[CheckIn], *, now: datetime) -> dict[tuple[NameKind, str], tuple[Asking, ...]]:
    """
    Give by name the live processes that ask for it.
    """
    found: dict[tuple[NameKind, str], list[Asking]] = {}
    for report in reports:
        for kind, name, requests in () if report.is_lost(now) else report.asks:
            found.setdefault((kind, name), []).append(Asking(report, requests))
    by_place = {name: sorted(asking, key=_place) for name, asking in found.items()}
    return {name: tuple(asking) for name, asking in sorted(by_place.items())}


def lacking(reports: Iterable[CheckIn], definition: Migration, *, now: datetime) -> tuple[Lacking, ...]:
    """
    List what live processes ask for and a definition lacks: flows, then journeys, then cohorts.
    """
    found = (
        Lacking(
            kind=kind,
            name=name,
            closest=closest(definition, kind, name),
            other=next((other for other in NameKind if is_known(definition, other, name)), None),
            asking=asking,
        )
        for (kind, name), asking in asked_for(reports, now=now).items()
        if not is_known(definition, kind, name)
    )
    return tuple(sorted(found, key=lambda one: (list(NameKind).index(one.kind), one.name)))


def _place(one: Asking) -> tuple[str, str, int, str]:
    report = one.report
    return report.name, report.host, report.pid, report.instance
