"""
A call's own copy of its arguments: the side that is asked first may change what it was given.
"""

from copy import deepcopy
from typing import Any, Final

from cutover.core.parts import ATOMS, NotComparable, fields_of, name_of

__all__ = ["copied"]

MOST_COPIED: Final = 2_000  # parts of the arguments of a call: its caller waits for the copy

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class _Memo(dict[int, Any]):
    """
    What `deepcopy` remembers; it looks each object up before it copies it.
    """

    left = MOST_COPIED

    def get(self, key: int, default: Any = None) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _too_large()
        return super().get(key, default)


def copied(arguments: tuple[Any, ...], named: dict[str, Any]) -> Arguments:
    """
    Copy the arguments of a call, so that no change of one shows in the other.

    Raises:
        NotComparable: If one cannot be copied, or if they are large; says which and why.
    """
    memo = _Memo()
    left = MOST_COPIED
    new: dict[Any, Any] = {}
    for name, value in (*enumerate(arguments, 1), *named.items()):
        if type(value) not in ATOMS:
            left = _weighed(value, left)
            new[name] = _copied(name, value, memo)
        else:
            new[name] = value
    return tuple(new[number] for number in range(1, len(arguments) + 1)), {name: new[name] for name in named}


def _copied(name: object, value: Any, memo: _Memo) -> Any:
    try:
        return deepcopy(value, memo)
    except NotComparable:
        raise
    except Exception as error:
        raise NotComparable(f"argument {name}, a {name_of(value)}, cannot be copied: {name_of(error)}") from error


def _weighed(value: Any, left: int) -> int:
    """
    Count parts, before anything is copied; `deepcopy` counts no numbers and texts.
    """
    seen = {id(value): value}
    waiting = [value]
    while waiting:
        one = waiting.pop()
        kind = type(one)
        parts: Any = ()
        if kind in (list, tuple, set, frozenset):
            parts = one
        else:
            fields = one if kind is dict else None if isinstance(one, type) else fields_of(one)
            parts = fields.values() if fields else ()
        left -= 1 + len(parts)
        if left < 0:
            raise _too_large()
        for part in parts:
            if type(part) not in ATOMS and id(part) not in seen:
                seen[id(part)] = part
                waiting.append(part)
    return left


def _too_large() -> NotComparable:
    return NotComparable(f"the arguments have more than {MOST_COPIED:,} parts, and are not copied")
