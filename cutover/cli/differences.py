"""
What a change changes, as pairs of before and after.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

from cutover.cli.words import describe, plain
from cutover.core.changes import Proposal
from cutover.core.ledger import Change
from cutover.core.moves import Move
from cutover.core.percent import format_percent
from cutover.core.renames import renamed, renames_of, renames_told
from cutover.core.snapshot import Snapshot

__all__ = ["Difference", "Told", "differences", "said", "told"]


Told = tuple[Change, str]
"""
A change, and what it did in words.
"""

LISTS: Final = {"flows": "flow", "journeys": "journey", "work": "work item", "cohorts": "cohort"}


@attrs.frozen
class Difference:
    """
    One thing that is another after a change.
    """

    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what}: {self.before} -> {self.after}"

    def repeats(self, move: Move) -> bool:
        """
        Tell whether a move says as much.
        """
        if move.overrides:
            return self.what == f"overrides of {move.flow}"
        what = f"{move.flow}, cohort {move.cohort}" if move.cohort else move.flow
        return (self.what, self.after) == (what, _dial(move.after))

    def document(self) -> dict[str, Any]:
        """
        Give the difference as a JSON object.
        """
        return attrs.asdict(self)


def differences(proposal: Proposal) -> tuple[Difference, ...]:
    """
    List what is another after a change, but for whom it moves: dials as they were set, work items, freezing, the epoch.
    """
    before, after = proposal.before, proposal.after
    if before is None:
        flows = ", ".join(f"{flow} 0%" for flow in after.definition.flows)
        return (Difference(f"migration {after.migration}", "none", flows),)
    return tuple(_differences(before, after))


def told(changes: Iterable[Change], before: Mapping[str, Any]) -> tuple[Told, ...]:
    """
    Say what each change did; of an apply, what it changed in the definition.

    Args:
        before: The definition before the first of them; empty where there was none.
    """
    result = []
    for change in changes:
        words, after = describe(change), change.arguments.get("definition")
        if isinstance(after, Mapping):
            words = f"{words}: {'; '.join(_applied(before, after)) or 'another order'}"
            before = after
        result.append((change, words))
    return tuple(result)


def said(proposal: Proposal) -> tuple[str, ...]:
    """
    Say the same in words: of a definition, the names that are renamed, added and removed. A move is not said again.
    """
    before, after, moves = proposal.before, proposal.after, proposal.moves
    if before is None:
        return tuple(map(str, differences(proposal)))
    definition = _applied(before.definition.document(), after.definition.document())
    others = _others(renamed(before, after.definition), after)
    return (*definition, *(str(one) for one in others if not any(one.repeats(move) for move in moves)))


def _applied(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """
    Say what an apply changed: names that were renamed, added and removed, and every other key with its two values.
    """
    names = renames_told(before, after)
    rest_before, rest_after = {**before, "journeys": _journeys(before, names)}, dict(after)
    for kind, word in LISTS.items():
        was, now = ({one["name"]: one for one in document.get(kind, ())} for document in (rest_before, rest_after))
        for old, new in names.items() if kind == "flows" else ():
            yield f"renames {word} {plain(old)} to {plain(new)}"
            was[new] = {**was.pop(old), "name": new, "was": now[new]["was"]}
        for verb, some, others in (("adds", now, was), ("removes", was, now)):
            alone = [name for name in some if name not in others]
            if alone:
                yield f"{verb} {word}{'s' if len(alone) > 1 else ''} {plain(', '.join(alone))}"
        rest_before[kind] = [one for name, one in was.items() if name in now]
        rest_after[kind] = [one for name, one in now.items() if name in was]
    if before:
        yield from map(str, _definitions(_leaves(rest_before), _leaves(rest_after)))


def _journeys(definition: Mapping[str, Any], names: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """
    Give the journeys of a definition with other names for some of their flows.
    """
    return [
        {**journey, "flows": [names.get(flow, flow) for flow in journey.get("flows", ())]}
        for journey in definition.get("journeys", ())
    ]


def _differences(before: Snapshot, after: Snapshot) -> Iterator[Difference]:
    for old, new in renames_of(before.definition, after.definition).items():
        yield Difference(f"name of {old}", old, new)
    before = renamed(before, after.definition)
    yield from _definitions(_leaves(before.definition.document()), _leaves(after.definition.document()))
    yield from _others(before, after)


def _others(before: Snapshot, after: Snapshot) -> Iterator[Difference]:
    yield from _dials(before, after)
    for item in after.definition.work:
        was, now = before.work.get(item, 0), after.work[item]
        if was != now:
            yield Difference(item, format_percent(was), format_percent(now))
    for flow in after.definition.flows:
        was, now = before.shadows.get(flow, 0), after.shadows.get(flow, 0)
        if was != now:
            yield Difference(f"shadow of {flow}", format_percent(was), format_percent(now))
        was, now = len(before.overrides.get(flow, {})), len(after.overrides.get(flow, {}))
        if was != now:
            yield Difference(f"overrides of {flow}", str(was), str(now))
    if before.frozen != after.frozen:
        yield Difference("frozen", _yes(before.frozen), _yes(after.frozen))
    if before.epoch != after.epoch:
        yield Difference("epoch", str(before.epoch), str(after.epoch))


def _dials(before: Snapshot, after: Snapshot) -> Iterator[Difference]:
    for flow in after.definition.flows:
        was, now = before.dials.get(flow, 0), after.dials[flow]
        if was != now:
            yield Difference(flow, format_percent(was), format_percent(now))
        own_before, own_after = before.cohort_dials.get(flow, {}), after.cohort_dials.get(flow, {})
        for cohort in dict.fromkeys((*own_before, *own_after)):
            if own_before.get(cohort) != own_after.get(cohort):
                pair = _dial(own_before.get(cohort)), _dial(own_after.get(cohort))
                yield Difference(f"{flow}, cohort {cohort}", *pair)


def _dial(parts: int | None) -> str:
    return "inherit" if parts is None else format_percent(parts)


def _definitions(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            yield Difference(key, before.get(key, "none"), after.get(key, "none"))


def _leaves(value: Any, path: str = "") -> dict[str, str]:
    """
    Give every value of a definition under its key, such as ``flows.pay.weight``; a table without values is "there".
    """
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        value = {item["name"]: {k: v for k, v in item.items() if k != "name"} for item in value}
    if isinstance(value, dict):
        below = path + "." if path else ""
        leaves = {p: text for key, item in value.items() for p, text in _leaves(item, below + key).items()}
        return leaves or ({path: "there"} if path.count(".") else {})
    return {path: ", ".join(map(str, value)) if isinstance(value, list) else plain(str(value))}


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"
