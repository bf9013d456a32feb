"""
What two back ends answered to the same question, compared: where they differ, and what that counts as.

One rule says what is the same. The first line that fits holds; `compare=` of a switch replaces all of it.

- Numbers are the same by value, whatever their type: 1 is 1.0, and Decimal("1.0") is Decimal("1.00").
- True and False are no numbers: True is not 1. NaN is the same as NaN. Text is never the same as bytes.
- Text, bytes, dates, times, enumerations, paths and classes are the same by their own `==`.
- Arrays and data frames are the same by shape and values.
- Responses of HTTP are the same by status and body, whatever library made them; JSON in a body by its parts.
- What is read only once, or was not asked yet, is not compared: streams, cursors, files, generators, queries.
- Mappings are the same by name, sequences by position, and sets by their elements; the types may differ.
  Objects that are names or elements are compared by their fields.
- Objects are the same by type and fields, and never by their own `==`. Fields are what attrs, dataclasses, named tuples
  and pydantic declare, and else what `__dict__` and slots hold.
- Fields that declare `compare=False` or `eq=False` are left out, wherever the object stands.
- Rows of Django and SQLAlchemy are the same by the columns and related rows that both have loaded.
- Exceptions are the same by type, arguments and fields.
- An object of a type in C without fields is the same by its own `==`. Without one it is not compared.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final, NamedTuple

from cutover.core.differing import Budget, Difference, Walk, is_ignored
from cutover.core.parts import ABSENT, NotComparable, name_of
from cutover.core.verdict import Answer, Compare, Verdict

__all__ = [
    "ABSENT",
    "Budget",
    "Comparison",
    "Difference",
    "NotComparable",
    "compare_answers",
    "differences",
    "is_ignored",
    "shown",
    "structure_of",
]

MOST_DIFFERENCES: Final = 20  # that are kept of two values
LONGEST_TEXT: Final = 80  # characters of a value that are shown
SIZED: Final = (str, bytes, bytearray, Mapping, Sequence, AbstractSet)


class Comparison(NamedTuple):
    """
    A verdict, and where the values differ that may not.
    """

    verdict: Verdict
    differences: tuple[Difference, ...] = ()


def compare_answers(
    old: Answer, new: Answer, compare: Compare | None, ignored: Iterable[str], budget: Budget | None = None
) -> Comparison:
    """
    Compare what the two sides came to.

    Two exceptions that are business match if they are of one type and say the same.

    Args:
        compare: Gives whether two values are the same; None for the rule of this module.
        ignored: Fields that may differ; see `is_ignored`.
        budget: The limit in parts and time.

    Raises:
        NotComparable: If no difference was found, and not all was compared.
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
    walk = Walk(ignored, Budget() if budget is None else budget)
    found: list[Difference] = []
    why = None
    try:
        found.extend(islice(walk.differences(left, right), MOST_DIFFERENCES))
        walk.forget()
    except NotComparable as error:
        why = error
    if found or is_asked:
        is_ignored_only = not found and why is None and _differ(walk)
        return Comparison(Verdict.IGNORED if is_ignored_only else Verdict.MISMATCH, tuple(found))
    if why is not None:
        try:
            raise why
        finally:
            del why  # or the exception and this frame would keep each other, and the answers
    return Comparison(Verdict.IGNORED if _differ(walk) else Verdict.MATCH)


def differences(old: Any, new: Any, ignored: Iterable[str] = (), budget: Budget | None = None) -> Iterator[Difference]:
    """
    Find where two values differ, by the rule of this module; at most 20 places.

    Args:
        ignored: What may differ, and is not among them; see `is_ignored`.

    Raises:
        NotComparable: If they cannot be compared, or not within the budget.
    """
    return islice(Walk(ignored, budget).differences(old, new), MOST_DIFFERENCES)


def structure_of(path: str, value: Any) -> object:
    """
    Show of what kind a value is and how large, and not what it says: what `redact` does unless told otherwise.
    """
    del path  # others may decide by it
    if value is None or value is ABSENT or isinstance(value, bool):
        return value
    kind = "text" if isinstance(value, str) else name_of(value).rpartition(".")[2]
    return f"{kind} of {len(value)}" if issubclass(type(value), SIZED) else kind


def shown(value: object) -> str:
    """
    Write a redacted value as text of one line that is short enough to keep.
    """
    text = ascii(value) if not isinstance(value, str) else value
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


def _differ(walk: Walk) -> bool:
    """
    Tell whether what a walk passed by, because it may differ, does.
    """
    try:
        return any(True for one, other in walk.passed for _ in Walk((), walk.budget).differences(one, other))
    except NotComparable:
        return True


def _comparable(answer: Answer) -> Any:
    if answer.error is None:
        return answer.value
    return {"exception": type(answer.error).__qualname__, "says": str(answer.error)}
