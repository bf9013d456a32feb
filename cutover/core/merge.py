"""
How effects are written and merged: JSON Merge Patch, RFC 7396.

An effect names the absolute new value of whatever changed; null takes a member away. Whoever reads a ledger needs
this rule and no other.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["difference", "merge"]

Document = Mapping[str, Any]


def merge(target: Document, effects: Document) -> dict[str, Any]:
    """
    Apply effects to a state document and give the new one; neither argument is changed.
    """
    result = dict(target)
    for name, value in effects.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            inner = result.get(name)
            result[name] = merge(inner if isinstance(inner, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def difference(before: Document, after: Document) -> dict[str, Any]:
    """
    Give the effects that turn one state document into the other: `merge(before, difference(before, after)) == after`.

    Neither document may hold a null.
    """
    effects: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if inner := difference(old, value):
                effects[name] = inner
        elif old != value or type(old) is not type(value):
            effects[name] = value
    return effects
