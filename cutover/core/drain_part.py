"""
What one flow of a journey remembers of drains while dials are turned: only those that none of the later turns ended.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Final, NamedTuple

import attrs

from cutover.core.backend import Backend
from cutover.core.bucketing import PARTS
from cutover.core.ledger import Change
from cutover.core.visit import Order

__all__ = ["UNKNOWN", "Drain", "Level", "Part", "Step", "Stretch", "common"]

NEW, OLD = Backend.NEW, Backend.OLD
UNKNOWN: Final = -1

Level = Mapping[str | None, int]  # effective parts by cohort; under None for whoever has no dial of a cohort's own


class Stretch(NamedTuple):
    """
    Versions in which a journey had one ttl.

    Attributes:
        ended: The change that they ended with.
        settled: Until when an instance that has closed since, or was declared dead, may have run one of them.
        ttl: How long a visit could live that was entered in them.
    """

    ended: Order
    settled: datetime
    ttl: timedelta


@attrs.frozen(kw_only=True)
class Drain:
    """
    A change after which visits of a flow may go on, on a side which the dials no longer give them.

    Attributes:
        at: When it was made.
        level: Where the dial was before: once it is there again, nothing drains. `UNKNOWN` where no dial did it.
        stretches: In which the visits may have been entered; the last ends with the change.
    """

    side: Backend
    version: int
    at: datetime
    level: int
    stretches: tuple[Stretch, ...]

    @classmethod
    def after(cls, change: Change, side: Backend, level: int, stretches: tuple[Stretch, ...]) -> "Drain":
        """
        Give the drain that a change makes on a side.
        """
        return cls(side=side, version=change.version, at=change.at, level=level, stretches=stretches)

    def extended(self, later: Callable[[Stretch], Stretch]) -> "Drain":
        """
        Change each stretch.
        """
        return attrs.evolve(self, stretches=tuple(map(later, self.stretches)))


class Step(NamedTuple):
    """
    What a change does to the flows that go together. A tuple, because a ledger has thousands.

    Attributes:
        level: What holds for them after it.
        evictions: The flows whose visits on NEW it ends, among others.
    """

    change: Change
    level: Level
    evictions: Collection[str]


@attrs.frozen(kw_only=True)
class Part:
    """
    A flow of a journey, from when visits may first hold its side.

    Attributes:
        level: What holds for it. A cohort that once had a dial of its own is followed for ever.
        drains: By cohort, those of lowered and of raised dials.
        by_name: The last one towards each side that an override made.
        left: The stretches in which visits could be given its side, if it has left the journey.
    """

    level: Level
    drains: Mapping[str | None, tuple[Drain, ...]] = attrs.field(factory=lambda: {None: ()})
    by_name: tuple[Drain, ...] = ()
    left: tuple[Stretch, ...] | None = None

    def all(self) -> Iterator[Drain]:
        """
        Give all drains, whatever made them.
        """
        for drains in (*self.drains.values(), self.by_name):
            yield from drains

    def extended(self, later: Callable[[Stretch], Stretch]) -> "Part":
        """
        Change each stretch.
        """

        def changed(drains: Iterable[Drain]) -> tuple[Drain, ...]:
            return tuple(drain.extended(later) for drain in drains)

        by_cohort = {cohort: changed(drains) for cohort, drains in self.drains.items()}
        left = None if self.left is None else tuple(map(later, self.left))
        return attrs.evolve(self, drains=by_cohort, by_name=changed(self.by_name), left=left)

    def named(self, drain: Drain) -> "Part":
        """
        Add what an override made; the later one accounts for all that was made so before.
        """
        same = [one for one in (*self.by_name, drain) if one.side is drain.side]
        others = (one for one in self.by_name if one.side is not drain.side)
        return attrs.evolve(self, by_name=(*others, max(same, key=lambda one: one.version)))

    def remembered(self, side: Backend) -> "Part":
        """
        Keep what drains on a side for a key that no longer follows the dial, which may go back to where it was.
        """
        last = max((one for one in self.all() if one.side is side), key=lambda one: one.version, default=None)
        return self if last is None else self.named(last)

    def turned(self, flow: str, steps: Sequence[Step], stretches: Callable[[Change], tuple[Stretch, ...]]) -> "Part":
        """
        Go to other levels, one after the other; for each cohort by itself.

        Args:
            stretches: Gives those in which visits may have been entered before a change.
        """
        evicted = max((number for number, step in enumerate(steps, 1) if flow in step.evictions), default=0)
        drains, levels = {}, {}
        for cohort in dict.fromkeys(chain(self.level, *(step.level for step in steps))):
            values = [
                self.level.get(cohort, self.level[None]),
                *(step.level.get(cohort, step.level[None]) for step in steps),
            ]
            mine = self.drains.get(cohort, self.drains[None])
            lowest, highest = min(values), PARTS if evicted else max(values)
            kept = [d for d in mine if (d.level > highest if d.side is NEW else d.level < lowest)]
            made = [
                Drain.after(steps[number].change, side, values[number], stretches(steps[number].change))
                for number, side in _unanswered(values)
                if side is OLD or number >= evicted
            ]
            drains[cohort], levels[cohort] = (*kept, *made), values[-1]
        by_name = tuple(drain for drain in self.by_name if drain.side is OLD) if evicted else self.by_name
        return attrs.evolve(self, level=levels, drains=drains, by_name=by_name)


def common(parts: Sequence[Part]) -> Part:
    """
    Give what may hold for a flow that visits take to NEW where all the others are, and to OLD where one of them is.
    """
    cohorts = dict.fromkeys(cohort for part in parts for cohort in part.level)
    return Part(
        level={cohort: min(part.level.get(cohort, part.level[None]) for part in parts) for cohort in cohorts},
        drains={
            cohort: tuple(dict.fromkeys(d for part in parts for d in part.drains.get(cohort, part.drains[None])))
            for cohort in cohorts
        },
        by_name=tuple(dict.fromkeys(drain for part in parts for drain in part.by_name)),
        left=() if any(part.left is not None for part in parts) else None,
    )


def _unanswered(values: Sequence[int]) -> list[tuple[int, Backend]]:
    """
    Number the steps down, and up, after which the dial never was again where it was before; oldest first.

    What a dial drains is over for good as soon as it is back: to go away again is another step, with as many visits or
    more.
    """
    lowest = highest = values[-1]
    found = []
    for number in range(len(values) - 2, -1, -1):
        before = values[number]
        if before > highest:
            found.append((number, NEW))
            highest = before
        elif before < lowest:
            found.append((number, OLD))
            lowest = before
    return found[::-1]
