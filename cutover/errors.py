"""
The errors that cutover raises, all below one base.

CutoverError
├── ConfigurationError   what can never work: a wrong definition, URL, parameter or a missing extra
├── Conflict             the store is not at the version that the caller expected
├── Refused              a rule forbids the change; nothing was written
├── OutcomeUnknown       the answer was lost, and the change could not be looked up
└── StoreError
    ├── Unavailable      the store cannot be reached, or is locked, read-only or full
    └── Corrupt          what the store holds is not a document that this library wrote
"""

from collections.abc import Sequence

__all__ = [
    "ConfigurationError",
    "Conflict",
    "Corrupt",
    "CutoverError",
    "OutcomeUnknown",
    "Refused",
    "StoreError",
    "Unavailable",
]


class CutoverError(Exception):
    """
    The base of every error that cutover raises on purpose.
    """


class ConfigurationError(CutoverError):
    """
    Something that can never work as it was given: a definition, a URL, a parameter, a missing extra.
    """


class Conflict(CutoverError):
    """
    The store is at another version than the caller expected; nothing was written.

    Attributes:
        expected: What the caller expected, as ``version`` or ``version:head``.
        actual: What the store holds, as ``version:head``.
    """

    def __init__(self, message: str, *, expected: str = "", actual: str = "") -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class Refused(CutoverError):
    """
    A rule forbids the change; nothing was written.

    Attributes:
        details: One line each for what stands in the way, such as the keys that would move.
    """

    def __init__(self, message: str, *, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details: tuple[str, ...] = tuple(details)


class OutcomeUnknown(CutoverError):
    """
    The answer to a change was lost and the change could not be looked up: it may be in force.

    Attributes:
        hash: The hash of the change, to look for in the history.
    """

    def __init__(self, message: str, *, hash: str = "") -> None:  # noqa: A002
        super().__init__(message)
        self.hash = hash


class StoreError(CutoverError):
    """
    A store did not do what it was asked for.
    """


class Unavailable(StoreError):
    """
    The store cannot be reached, or is locked, read-only or full; it may work later.

    Attributes:
        in_doubt: What was asked for may have been done: the answer was lost. Otherwise nothing was.
        missing: The place is not there yet; the first change of a migration makes it.
    """

    def __init__(self, message: str, *, in_doubt: bool = False, missing: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt
        self.missing = missing


class Corrupt(StoreError):
    """
    What the store holds is not a document that this library wrote, or was changed since.
    """
