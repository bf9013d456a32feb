"""
The schema of documents: which majors this version reads and writes, and what a fleet of two versions can read.

A minor only adds fields, which older readers ignore. A major changes what a document means, so writers keep to the
lowest one that every live instance reads.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from cutover.errors import Corrupt

__all__ = ["READS", "SCHEMA", "WRITES", "check_schema", "major_to_write", "readable_by_all"]

READS: Final = (1,)  # majors
WRITES: Final[Mapping[int, str]] = MappingProxyType({1: "1.0"})  # the newest minor of each major
SCHEMA: Final = WRITES[min(WRITES)]


def check_schema(document: Mapping[str, Any], what: str) -> None:
    """
    Refuse a document of a major that this version does not know; unknown minors are read.

    Raises:
        Corrupt: If the major is unknown or not there.
    """
    schema = document.get("schema")
    major, _, minor = str(schema).partition(".")
    if not isinstance(schema, str) or not minor.isdecimal() or major not in map(str, READS):
        raise Corrupt(f"{what} has the schema {schema!r}; this version reads {', '.join(f'{m}.x' for m in READS)}")


def major_to_write(readers: Iterable[Collection[int]], writes: Collection[int] = tuple(WRITES)) -> int:
    """
    Choose the lowest major that every reader reads; where there is none, the lowest of all.

    Never nothing: a dial can be set and rolled back whoever is there to read it, and whoever cannot keeps what it has.

    Args:
        readers: The majors that each live instance reads.
        writes: The majors to choose from.
    """
    readers = tuple(readers)
    return min((major for major in writes if readable_by_all(major, readers)), default=min(writes))


def readable_by_all(major: int, readers: Iterable[Collection[int]]) -> bool:
    """
    Tell whether every reader reads a major.
    """
    return all(major in majors for majors in readers)
