"""
What a relay checks of a change before it lets it through to the store: a client's word alone is not enough.
"""

from typing import Any

import attrs

from cutover.core.canonical import decode, encode
from cutover.core.ledger import Change, verify
from cutover.core.merge import merge
from cutover.core.snapshot import NO_HASH, Head, Snapshot
from cutover.errors import Corrupt, Refused

__all__ = ["check_written"]


@attrs.frozen(kw_only=True)
class _Step:
    """
    A change with what is before and after it.

    Attributes:
        before: The state in force; empty for the first change.
        state: The state that the writer says comes after it.
    """

    made: Change
    before: dict[str, Any]
    after: Snapshot
    state: dict[str, Any]


def check_written(
    migration: str, *, expect: Head | None, head: Head, change: str, snapshot: str, document: str | None
) -> None:
    """
    Check that a change is the next one of the chain, and that its effects lead to the snapshot.

    States are compared as they are written: a newer library may have put more into them than this one knows.

    Args:
        document: The snapshot at *expect*.

    Raises:
        Refused: If the change is not what it says.
    """
    try:
        step = _Step(
            made=Change.decode(change),
            before={} if document is None else decode(document, "the snapshot in force")["state"],
            after=Snapshot.decode(snapshot),
            state=decode(snapshot, "the snapshot")["state"],
        )
    except Corrupt as error:
        raise Refused(f"the change cannot be read: {error}") from error
    problems = [
        *_problems_of_chain(step.made, change, migration, expect),
        *_problems_of_snapshot(step, snapshot, head, expect),
    ]
    if problems:
        raise Refused(f"the change is not the next one of the ledger: {problems[0]}", details=problems)


def _problems_of_chain(made: Change, text: str, migration: str, expect: Head | None) -> list[str]:
    version, previous = (0, NO_HASH) if expect is None else (expect.version, expect.hash)
    facts = {
        f"it is of {made.migration!r}, not {migration!r}": made.migration == migration,
        f"it is version {made.version}, and {version + 1} is next": made.version == version + 1,
        f"it follows {made.previous:.12}, and the last is {previous:.12}": made.previous == previous,
        "it does not have the hash that it names": all(p.code != "altered" for p in verify([text]).problems),
    }
    return [problem for problem, holds in facts.items() if not holds]


def _problems_of_snapshot(step: _Step, text: str, head: Head, expect: Head | None) -> list[str]:
    made, after = step.made, step.after
    facts = {
        f"the snapshot is at {after.head}, and the writer names {head}": after.head == head,
        "the head is not that of the change": (head.version, head.hash) == (made.version, made.hash),
        "the snapshot is of another migration": after.migration == made.migration,
        "the snapshot was made at another time": after.at == made.at,
        "the snapshot is not canonical": encode(decode(text, "the snapshot")) == text,
        "the effects do not lead to the snapshot": merge(step.before, made.effects) == step.state,
        "the epoch goes back": expect is None or head.epoch >= expect.epoch,
    }
    return [problem for problem, holds in facts.items() if not holds]
