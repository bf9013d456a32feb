"""
What two answers are compared from, and what comes of it: the values alone, which every router loads.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

import attrs

from cutover.core.fields import field, items, typed
from cutover.core.instants import format_instant, parse_instant

__all__ = ["Answer", "Compare", "Mismatch", "Redact", "Verdict"]

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
    NOT_COMPARED = "not_compared"  # arguments cannot be copied, or answers are open, or larger than the budget
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
