"""
The names that an application asks for, and what a definition lacks of them.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from cutover.core.migration import Migration

__all__ = ["LONGEST_ASKED", "MOST_LACKING", "Asked", "NameKind", "bounded", "closest", "is_known", "presentable"]

LONGEST_ASKED: Final = 100  # characters; a longer name is cut
MOST_LACKING: Final = 50  # names of each kind that a check-in tells and the definition lacks
ALIKE: Final = 0.6  # from here on one name may be meant by the other


class NameKind(StrEnum):
    """
    What an application asks for by its name; a closed set, used as a metric label.
    """

    FLOW = "flow"
    JOURNEY = "journey"
    COHORT = "cohort"


class Asked(NamedTuple):
    """
    A name that an application asks for.

    Attributes:
        name: As the application gives it, which may be no valid name; presentable, and up to 100 characters.
        requests: How often a process asked for it since it started; 0 for a handle that was made and never used.
    """

    kind: NameKind
    name: str
    requests: int


def is_known(definition: Migration, kind: NameKind, name: str) -> bool:
    """
    Tell whether a definition has a name; a flow also goes by the names that it had before.
    """
    return name in _known(definition, kind) or (kind is NameKind.FLOW and name in definition.former)


def closest(definition: Migration, kind: NameKind, name: str) -> str:
    """
    Give the name of a definition that is most like another one, and may be meant by it; empty where none is.
    """
    given = name[:LONGEST_ASKED].lower()
    alike = {known: _likeness(given, known) for known in _known(definition, kind)}
    best = max(alike, key=alike.__getitem__, default="")
    return best if best and alike[best] >= ALIKE else ""


def presentable(name: str) -> str:
    """
    Cut a stranger's name, and replace what cannot be printed: it goes to logs, metrics and terminals.
    """
    cut = name if len(name) <= LONGEST_ASKED else name[: LONGEST_ASKED - 3] + "..."
    return "".join(c if c.isprintable() else "\ufffd" for c in cut)


def bounded(asked: Iterable[Asked], definition: Migration | None) -> tuple[Asked, ...]:
    """
    Cut what strangers named to what a check-in may tell: the names that the definition has, and of each kind those
    others that were asked for most.
    """
    counts: dict[tuple[NameKind, str], int] = {}
    for kind, name, requests in asked:
        shown = presentable(name)
        counts[kind, shown] = counts.get((kind, shown), 0) + requests
    most = sorted(counts, key=lambda one: (-counts[one], one))
    others = dict.fromkeys(NameKind, 0)
    told = []
    for kind, name in most:
        known = definition is not None and is_known(definition, kind, name)
        others[kind] += not known
        if known or others[kind] <= MOST_LACKING:
            told.append(Asked(kind, name, counts[kind, name]))
    return tuple(sorted(told))


def _known(definition: Migration, kind: NameKind) -> Mapping[str, object]:
    known: dict[NameKind, Mapping[str, object]] = {
        NameKind.FLOW: definition.flows,
        NameKind.JOURNEY: definition.journeys,
        NameKind.COHORT: definition.cohorts,
    }
    return known[kind]


def _likeness(given: str, known: str) -> float:
    if given and (given in known or known in given):
        return 1 + min(len(given), len(known)) / max(len(given), len(known))
    from difflib import SequenceMatcher  # noqa: PLC0415 - few processes ever ask for a name that is not there

    return SequenceMatcher(None, given, known).ratio()
