"""
What two back ends answered to the same question, compared: where they differ, and what that counts as.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Final, NamedTuple, Self

import attrs

from cutover.core.fields import field, items, typed
from cutover.core.instants import format_instant, parse_instant

__all__ = [
    "Answer",
    "Compare",
    "Comparison",
    "Difference",
    "Mismatch",
    "Redact",
    "Verdict",
    "compare_answers",
    "differences",
    "is_ignored",
    "shown",
    "structure_of",
]

DEEPEST: Final = 32
MOST_DIFFERENCES: Final = 20  # that are kept of two values
LONGEST_TEXT: Final = 80  # characters of a value that are shown

Compare = Callable[[Any, Any], object]
Redact = Callable[[str, Any], object]


class Verdict(StrEnum):
    """
    What came of asking the other side too: a closed set, used as a metric label.
    """

    MATCH = "match"
    MISMATCH = "mismatch"
    IGNORED = "ignored"  # they differ only in fields that may differ
    OLD_ERROR = "old_error"  # only OLD failed
    NEW_ERROR = "new_error"  # only NEW failed
    BOTH_ERROR = "both_error"
    TIMEOUT = "timeout"  # the other side did not answer in time
    DROPPED = "dropped"  # too many were under way already
    COMPARE_ERROR = "compare_error"  # the application's comparison raised
    NOISE_MATCH = "noise_match"  # OLD was asked twice, and answered the same
    NOISE_MISMATCH = "noise_mismatch"  # OLD was asked twice, and differed from itself


class Answer(NamedTuple):
    """
    What a call came to: a value, or the exception that it raised.

    Attributes:
        failed: It counts as a failure; an exception that is business does not.
    """

    value: Any = None
    error: BaseException | None = None
    failed: bool = False


class Difference(NamedTuple):
    """
    One place where two values differ.

    Attributes:
        path: Names and indices from the outside in, with dots between; empty for the values themselves.
    """

    path: str
    old: Any
    new: Any


class Comparison(NamedTuple):
    """
    A verdict, and where the values differ that may not.
    """

    verdict: Verdict
    differences: tuple[Difference, ...] = ()


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()  # what a side has where only the other has something


@attrs.frozen(kw_only=True)
class Mismatch:
    """
    One mismatch as it is kept for operators, with values as `redact` shows them.

    Attributes:
        at: When it was found; aware, UTC.
        differences: Path, and what stands there for OLD and for NEW, as text.
    """

    flow: str
    at: datetime
    differences: tuple[tuple[str, str, str], ...]

    def document(self) -> dict[str, Any]:
        """
        Give the mismatch as it travels in a check-in.
        """
        at = format_instant(self.at)
        return {"flow": self.flow, "at": at, "differences": [list(one) for one in self.differences]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """
        Read a mismatch back.

        Raises:
            KeyError, TypeError, ValueError: If it is none.
        """
        found = []
        for path, old, new in items(document, "differences", list):
            found.append((typed(path, str), typed(old, str), typed(new, str)))
        return cls(flow=field(document, "flow", str), at=parse_instant(document["at"]), differences=tuple(found))


def compare_answers(old: Answer, new: Answer, compare: Compare | None, ignored: Iterable[str]) -> Comparison:
    """
    Compare what the two sides came to.

    Two exceptions that are business match if they are of one type and say the same.

    Args:
        compare: Gives whether two values are the same; None for their own `==`, part by part.
        ignored: Fields that may differ; see `is_ignored`.

    Raises:
        Exception: Whatever *compare* or the values' own methods raise.
    """
    if old.failed or new.failed:
        if old.failed and new.failed:
            return Comparison(Verdict.BOTH_ERROR)
        return Comparison(Verdict.OLD_ERROR if old.failed else Verdict.NEW_ERROR)
    left, right = _comparable(old), _comparable(new)
    is_asked = compare is not None and old.error is None and new.error is None
    if compare is not None and is_asked and compare(left, right):
        return Comparison(Verdict.MATCH)
    if found := tuple(differences(left, right, tuple(ignored))):
        return Comparison(Verdict.MISMATCH, found)
    if any(True for _ in differences(left, right)):
        return Comparison(Verdict.IGNORED)
    return Comparison(Verdict.MISMATCH if is_asked else Verdict.MATCH)


def differences(old: Any, new: Any, ignored: Sequence[str] = ()) -> Iterator[Difference]:
    """
    Find where two values differ, part by part in mappings, sequences, dataclasses and attrs classes; at most 20 places.

    Args:
        ignored: What may differ, and is not among them; see `is_ignored`.
    """
    if _are_plainly_equal(old, new):
        return iter(())
    counting = (one for one in _differences(old, new, "") if not is_ignored(one.path, ignored))
    return islice(counting, MOST_DIFFERENCES)


def is_ignored(path: str, patterns: Iterable[str]) -> bool:
    """
    Tell whether a place may differ: a pattern such as ``updated_at`` or ``items.*.price`` names it or what holds it.

    A pattern stands for its names in a row, anywhere in the path; ``*`` for any one name or index.
    """
    names = path.split(".")
    return any(_occurs(pattern.split("."), names) for pattern in patterns)


def structure_of(path: str, value: Any) -> object:
    """
    Show of what kind a value is and how large, and not what it says: what `redact` does unless told otherwise.
    """
    del path  # others may decide by it
    if value is None or value is ABSENT or isinstance(value, bool):
        return value
    kind = "text" if isinstance(value, str) else type(value).__name__
    return f"{kind} of {len(value)}" if hasattr(value, "__len__") else kind


def shown(value: object) -> str:
    """
    Write a redacted value as text of one line that is short enough to keep.
    """
    text = ascii(value) if not isinstance(value, str) else value
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


def _comparable(answer: Answer) -> Any:
    if answer.error is None:
        return answer.value
    return {"exception": type(answer.error).__qualname__, "says": str(answer.error)}


def _differences(old: Any, new: Any, path: str, depth: int = 0) -> Iterator[Difference]:
    if old is new:
        return
    parts = None if depth == DEEPEST else _parts(old, new)
    if parts is None:
        if not _same(old, new):
            yield Difference(path, old, new)
        return
    for name, one, other in parts:
        yield from _differences(one, other, f"{path}.{name}" if path else name, depth + 1)


def _are_plainly_equal(old: Any, new: Any) -> bool:
    """
    Ask the interpreter first, which is much faster at what comes of JSON, and most often equal.
    """
    if type(old) is not type(new) or type(old) not in (dict, list):
        return False
    try:
        return bool(old == new)
    except RecursionError:  # they hold themselves
        return False


def _same(old: Any, new: Any) -> bool:
    # NaN is no number equal to itself, and yet the same answer.
    return bool(old == new) or bool(old != old and new != new)  # noqa: PLR0124


def _parts(old: Any, new: Any) -> Iterator[tuple[str, Any, Any]] | None:
    """
    Pair the parts of two values of one kind; None where they have none to compare.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return ((str(name), old.get(name, ABSENT), new.get(name, ABSENT)) for name in dict.fromkeys((*old, *new)))
    if _is_sequence(old) and _is_sequence(new):
        return (
            (str(index), old[index] if index < len(old) else ABSENT, new[index] if index < len(new) else ABSENT)
            for index in range(max(len(old), len(new)))
        )
    names = _field_names(old)
    if names is None or type(old) is not type(new):
        return None
    return ((name, getattr(old, name, ABSENT), getattr(new, name, ABSENT)) for name in names)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def _field_names(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, type):
        return None
    if attrs.has(type(value)):
        return tuple(one.name for one in attrs.fields(type(value)))
    if is_dataclass(value):
        return tuple(one.name for one in dataclass_fields(value))
    return None


def _occurs(pattern: Sequence[str], names: Sequence[str]) -> bool:
    starts = range(len(names) - len(pattern) + 1)
    return any(all(p in ("*", n) for p, n in zip(pattern, names[start:], strict=False)) for start in starts)
