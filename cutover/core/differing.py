"""
Where two values differ: both are walked through together, within a budget, and no pair of parts twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from cutover.core.parts import ABSENT, ATOMS, VALUES, NotComparable, Shape, Sort, json_of, shape_of

__all__ = ["Budget", "Difference", "Walk", "is_ignored"]

MOST_PARTS: Final = 500_000  # of two values that are looked at
BREATH: Final = 256  # parts between two pauses
FEW: Final = 10_000  # names that are looked at in one go
TEXT: Final = {str}
NAN: Final = (float, "nan")  # the key of every NaN
FAMILIES: Final[tuple[Any, ...]] = (bool, str, (bytes, bytearray, memoryview))

Tails = frozenset[tuple[str, ...]]  # the rest of each pattern whose first names end the path
Path = tuple[Any, str] | None  # the path of the holder, and the own name
Pair = tuple[str, Any, Any]


class Difference(NamedTuple):
    """
    One place where two values differ.

    Attributes:
        path: Names and indices from the outside in, with dots between; empty for the values themselves.
    """

    path: str
    old: Any
    new: Any


class Budget:
    """
    The limit of one comparison, in parts and time.

    Args:
        most: Parts that are looked at.
        pause: Called now and then; raises `NotComparable` when the time is up.
    """

    def __init__(self, most: int = MOST_PARTS, pause: Callable[[], None] = lambda: None) -> None:
        self._most = most
        self._left = most
        self.pause: Callable[[], None] = pause

    def spend(self, parts: int) -> None:
        """
        Take parts off the budget.

        Raises:
            NotComparable: If it is used up.
        """
        self._left -= parts
        if self._left < 0:
            raise NotComparable(f"the answers have more than {self._most:,} parts")
        self.pause()


class Walk:
    """
    One comparison of two values.

    Args:
        ignored: Patterns of places that may differ; see `is_ignored`.

    Attributes:
        budget: The rest of the limit.
        passed: Pairs of parts that may differ, and so were not walked through.
    """

    def __init__(self, ignored: Iterable[str] = (), budget: Budget | None = None) -> None:
        self._patterns = tuple(tuple(pattern.split(".")) for pattern in ignored)
        self.budget: Budget = Budget() if budget is None else budget
        # Pairs of ids, by what was left of the patterns: a pair may differ at one place and not at another. They are
        # whole numbers, because a tuple for each pair brings about long collections of garbage.
        self._seen: dict[Tails, set[int]] = {}
        self._kept: list[Any] = []  # the values of those pairs, or others could get their ids
        self.passed: list[tuple[Any, Any]] = []
        self._looked_at = 0  # to find keys; a name may hold the same one many times

    def differences(self, old: Any, new: Any) -> Iterator[Difference]:
        """
        Find where two values differ.

        Raises:
            NotComparable: If they cannot be compared, or not within the budget.
            Exception: If a value's own method raises.
        """
        top: Iterator[Pair] = iter([("", old, new)])
        stack: list[tuple[Iterator[Pair], Path, Tails]] = [(top, None, frozenset())]
        looked_at = 0
        while stack:
            parts, above, tails = stack[-1]
            for name, one, other in parts:
                looked_at += 1
                if not looked_at % BREATH:
                    self.budget.spend(BREATH)
                if one is other:
                    continue
                kind = type(one)
                if kind in ATOMS and kind is type(other) and (one == other or (one != one and other != other)):  # noqa: PLR0124
                    continue
                path: Path = None if len(stack) == 1 else (above, name)
                after = tails if path is None else self._after(tails, name)
                if after is None:
                    self.passed.append((one, other))
                    continue
                found = self._inner(one, other, path, after)
                if found is None:
                    yield Difference(_text(path), one, other)
                elif found is not NOTHING:
                    stack.append((found, path, after))
                    break
            else:
                stack.pop()

    def forget(self) -> None:
        """
        Let go of the pairs in steps, because the interpreter frees a large dictionary without a pause.
        """
        holders: list[Any] = [*self._seen.values(), self._kept]
        for held in holders:
            while held:
                for _ in range(min(BREATH, len(held))):
                    held.pop()
                self.budget.pause()

    def _inner(self, one: Any, other: Any, path: Path, tails: Tails) -> Iterator[Pair] | None:
        """
        Pair the parts of two values; None where they differ as a whole.
        """
        seen = self._seen.get(tails)
        if seen is None:
            seen = self._seen[tails] = set()
        pair = id(one) << 64 | id(other)
        if pair in seen:
            return NOTHING
        if type(one) in ATOMS and type(other) in ATOMS:
            return NOTHING if _same(one, other) else None
        try:
            pairs = self._pairs(one, other)
        except NotComparable as error:
            error.path = _text(path)
            raise
        if pairs is not None:
            seen.add(pair)
            self._kept += one, other
        return pairs

    def _pairs(self, one: Any, other: Any) -> Iterator[Pair] | None:
        kind = type(one)
        if kind is type(other) and kind in (dict, list, tuple):
            return self._of_mappings(one, other) if kind is dict else _of_sequences(one, other)
        if one is ABSENT or other is ABSENT:
            return None
        old, new = shape_of(one), shape_of(other)
        if old.sort is not new.sort or old.kind is not new.kind:
            return None
        if old.sort in WHOLE:
            return NOTHING if WHOLE[old.sort](old.parts, new.parts) else None
        if old.sort is Sort.SET:
            return self._of_sets(old.parts, new.parts)
        if old.sort in PAIRS:
            return PAIRS[old.sort](old, new)
        return self._of_mappings(old.parts, new.parts)

    def _of_mappings(self, old: Any, new: Any) -> Iterator[Pair]:
        """
        Pair the parts that stand under one name.
        """
        if not (self._has_text_names(old) and self._has_text_names(new)):
            yield from self._of_named(old, new)
            return
        paired = 0
        for name, part in old.items():
            other = new.get(name, ABSENT)
            paired += other is not ABSENT
            yield name, part, other
        if paired == len(new):
            return
        for name, part in self._counted(new.items()):
            if name not in old:
                yield name, ABSENT, part

    def _of_named(self, old: Any, new: Any) -> Iterator[Pair]:
        """
        Pair the parts of mappings with names that are no text. An object that is a name is compared like a part.
        """
        for one, other in self._paired(old, new):
            name = _name(one if other is ABSENT else other)
            if one is not ABSENT and other is not ABSENT:
                yield name, one, other
            yield name, ABSENT if one is ABSENT else old[one], ABSENT if other is ABSENT else new[other]

    def _has_text_names(self, mapping: Any) -> bool:
        if type(mapping) is dict and len(mapping) < FEW:
            return set(map(type, mapping)) <= TEXT
        return all(type(name) is str for name in self._counted(mapping))

    def _counted(self, parts: Iterable[Any]) -> Iterator[Any]:
        for part in parts:
            self._looked_at += 1
            if not self._looked_at % BREATH:
                self.budget.spend(BREATH)
            yield part

    def _of_sets(self, old: Any, new: Any) -> Iterator[Pair]:
        for number, (one, other) in enumerate(self._paired(old, new)):
            yield str(number), one, other

    def _paired(self, old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
        """
        Pair elements that are equal, and of the others those that are alike by their parts.
        """
        others = {self._key(one): one for one in self._counted(new)}
        alone = []
        for one in old:
            other = others.pop(self._key(one), ABSENT)
            if other is ABSENT:
                alone.append(one)
            else:
                yield one, other
        rest, alike = list(others.values()), []
        for one in alone:
            at = next((at for at, other in enumerate(rest) if self._are_alike(one, other)), None)
            if at is None:
                yield one, ABSENT
            else:
                alike.append((one, rest.pop(at)))
        yield from ((ABSENT, other) for other in rest)
        yield from alike

    def _key(self, key: Any) -> Any:
        """
        Give a key by which a dictionary finds what is the same.
        """
        kind = type(key)
        if kind is str:
            return key
        if issubclass(kind, tuple):
            return (tuple, *map(self._key, self._counted(key)))
        if kind is frozenset:
            return frozenset(map(self._key, self._counted(key)))
        return NAN if kind in ATOMS and key != key else (_family(kind), key)  # noqa: PLR0124

    def _are_alike(self, one: Any, other: Any) -> bool:
        self.budget.spend(1)
        return not any(True for _ in Walk((), self.budget).differences(one, other))

    def _after(self, tails: Tails, name: str) -> Tails | None:
        """
        Go one name on in the patterns; None where one is complete, so that the part may differ.
        """
        if not self._patterns:
            return tails
        for part in name.split("."):
            going = (tail for tail in (*self._patterns, *tails) if tail[0] in ("*", part))
            tails = frozenset(tail[1:] for tail in going)
            if () in tails:
                return None
        return tails


def is_ignored(path: str, patterns: Iterable[str]) -> bool:
    """
    Tell whether a place may differ: a pattern such as ``updated_at`` or ``items.*.price`` names it or what holds it.

    A pattern stands for its names in a row, anywhere in the path; ``*`` for any one name or index.
    """
    names = path.split(".")
    return any(_occurs(pattern.split("."), names) for pattern in patterns)


def _occurs(pattern: Sequence[str], names: Sequence[str]) -> bool:
    starts = range(len(names) - len(pattern) + 1)
    return any(all(p in ("*", n) for p, n in zip(pattern, names[start:], strict=False)) for start in starts)


def _text(path: Path) -> str:
    names = []
    while path is not None:
        path, name = path
        names.append(name)
    return ".".join(reversed(names))


def _family(kind: type) -> int:
    """
    Tell apart what `==` does not: a bool is no number, and text no bytes.
    """
    return next((number for number, family in enumerate(FAMILIES) if issubclass(kind, family)), len(FAMILIES))


def _same(old: Any, new: Any) -> bool:
    if _family(type(old)) != _family(type(new)):
        return False
    # NaN is no number equal to itself, and yet the same answer.
    return bool(old == new) or bool(old != old and new != new)  # noqa: PLR0124


def _same_arrays(old: Any, new: Any) -> bool:
    if hasattr(old, "equals"):  # of data frames
        return bool(old.equals(new))
    if old.shape != new.shape or (old.dtype.kind == "b") is not (new.dtype.kind == "b"):
        return False
    return bool(((old == new) | ((old != old) & (new != new))).all())  # noqa: PLR0124


def _name(key: Any) -> str:
    """
    Name a key in a path. The `__str__` of an object might ask a back end.
    """
    return str(key) if issubclass(type(key), VALUES) else "?"


def _of_sequences(old: Iterable[Any], new: Iterable[Any]) -> Iterator[Pair]:
    for index, (one, other) in enumerate(zip_longest(old, new, fillvalue=ABSENT)):
        yield str(index), one, other


def _of_shaped_sequences(old: Shape, new: Shape) -> Iterator[Pair] | None:
    if type(old.parts) is type(new.parts) is range:
        return NOTHING if old.parts == new.parts else None
    if old.names is not None and old.names == new.names:
        return ((name, one, other) for name, one, other in zip(old.names, old.parts, new.parts, strict=True))
    return _of_sequences(old.parts, new.parts)


def _of_rows(old: Shape, new: Shape) -> Iterator[Pair]:
    """
    Pair the columns that both have loaded, and what was added to one of them.
    """
    either = {**old.parts, **new.parts}
    known = [name for name in either if hasattr(old.kind, name)]
    loaded = [name for name in known if name in old.parts and name in new.parts]
    if not loaded:
        raise NotComparable(f"two {old.kind.__name__} have loaded none of the same fields")
    names = [name for name in either if name not in known or name in loaded]
    return ((name, old.parts.get(name, ABSENT), new.parts.get(name, ABSENT)) for name in names)


def _of_responses(old: Shape, new: Shape) -> Iterator[Pair]:
    for name, one in old.parts.items():
        other = new.parts.get(name, ABSENT)
        read = (ABSENT, ABSENT) if one == other else (json_of(one), json_of(other))
        is_json = read[0] is not ABSENT and read[1] is not ABSENT
        yield name, *(read if is_json else (one, other))


NOTHING: Final[Iterator[Pair]] = iter(())  # no parts are left to compare
WHOLE: Final[dict[Sort, Callable[[Any, Any], bool]]] = {Sort.VALUE: _same, Sort.ARRAY: _same_arrays}
PAIRS: Final[dict[Sort, Callable[[Shape, Shape], Iterator[Pair] | None]]] = {
    Sort.SEQUENCE: _of_shaped_sequences,
    Sort.ROW: _of_rows,
    Sort.RESPONSE: _of_responses,
}
