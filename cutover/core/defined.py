"""
What a definition is made of: flows, journeys, work items and cohorts, each with its own rules.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import attrs

__all__ = ["NAME", "NAME_RULE", "Cohort", "Flow", "Journey", "WorkItem", "Wrong", "check_name", "frozen_mapping"]

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
NAME_RULE: Final = "1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
LARGEST_WEIGHT: Final = 1_000_000_000
LONGEST_PROBLEM: Final = 120  # a value of megabytes would hide what is wrong with it
LONGEST_VISIT: Final = timedelta(days=365)


class Wrong(ValueError):
    """
    One rule of the definition that does not hold.

    Attributes:
        path: The key that is wrong, such as ``("flows", "pay", "weight")``.
        problem: What it is.
        allowed: What it may be.
    """

    def __init__(self, path: tuple[str, ...], problem: str, allowed: str) -> None:
        if len(problem) > LONGEST_PROBLEM:
            problem = problem[:LONGEST_PROBLEM] + "..."
        super().__init__(f"{'.'.join(path)} {problem}; allowed: {allowed}")
        self.path = path
        self.problem = problem
        self.allowed = allowed


def frozen_mapping(items: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """
    Copy a mapping into one that cannot change.
    """
    return MappingProxyType(dict(items))


def check_name(path: tuple[str, ...], name: str) -> None:
    """
    Check the name of a part.

    Raises:
        Wrong: If it breaks the rule of names.
    """
    if not NAME.fullmatch(name):
        raise Wrong(path, f"is named {name!r}", NAME_RULE)


def _check_weight(path: tuple[str, ...], weight: Decimal) -> None:
    exponent = weight.as_tuple().exponent
    fine = isinstance(exponent, int) and exponent >= -6  # noqa: PLR2004
    if not weight.is_finite() or not 0 < weight <= LARGEST_WEIGHT or not fine:
        raise Wrong(
            path,
            f"is {weight}",
            f"a positive number up to {LARGEST_WEIGHT} with at most 6 decimals",
        )


@attrs.frozen(kw_only=True)
class Flow:
    """
    One kind of user request.

    Attributes:
        weight: Its share of the overall progress, relative to the other weights; positive.
        was: The names that it had before, latest first. A process that still asks for one of them gets this flow.
    """

    name: str
    weight: Decimal = Decimal(1)
    was: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        check_name(("flows", self.name), self.name)
        _check_weight(("flows", self.name, "weight"), self.weight)
        path = ("flows", self.name, "was")
        for name in self.was:
            check_name(path, name)
        if self.name in self.was or len(set(self.was)) != len(self.was):
            raise Wrong(path, f"is {list(self.was)}", "names that the flow had before, each once")

    @property
    def names(self) -> tuple[str, ...]:
        """
        The name that it has, and those that it had.
        """
        return (self.name, *self.was)


@attrs.frozen(kw_only=True)
class Journey:
    """
    Flows that a user does in one visit.

    Attributes:
        together: One back end for the whole visit; otherwise each flow keeps the side it first got.
        idle: A visit ends after this long without a step.
        ttl: A visit never lives longer than this.
    """

    name: str
    flows: tuple[str, ...]
    together: bool = True
    idle: timedelta = timedelta(minutes=30)
    ttl: timedelta = timedelta(hours=4)

    def __attrs_post_init__(self) -> None:
        path = ("journeys", self.name)
        check_name(path, self.name)
        if not self.flows or len(set(self.flows)) != len(self.flows):
            raise Wrong((*path, "flows"), f"is {list(self.flows)}", "at least one flow, each once")
        if not timedelta(seconds=1) <= self.ttl <= LONGEST_VISIT or self.ttl.microseconds:
            raise Wrong((*path, "ttl"), f"is {self.ttl}", "whole seconds, 1s to 365d")
        if not timedelta(seconds=1) <= self.idle <= self.ttl or self.idle.microseconds:
            raise Wrong((*path, "idle"), f"is {self.idle}", f"whole seconds, 1s up to the ttl of {self.ttl}")


@attrs.frozen(kw_only=True)
class WorkItem:
    """
    A part of the migration that is no traffic.
    """

    name: str
    title: str
    weight: Decimal = Decimal(1)

    def __attrs_post_init__(self) -> None:
        check_name(("work", self.name), self.name)
        _check_weight(("work", self.name, "weight"), self.weight)


@attrs.frozen(kw_only=True)
class Cohort:
    """
    A lasting group of keys that can have a dial of its own.
    """

    name: str
    title: str

    def __attrs_post_init__(self) -> None:
        check_name(("cohorts", self.name), self.name)
