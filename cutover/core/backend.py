"""
The two sides, the reasons for choosing one, and the decision that names both.
"""

import string
from collections.abc import Iterator, Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = ["NAMED", "UNSET", "Backend", "Decision", "Reason", "Unset", "home_text", "side_of"]


class Backend(StrEnum):
    """
    One of the two back ends of a migration.
    """

    OLD = "old"
    NEW = "new"


#: What a side is called in every migration; an unmarked thing is older than all of them.
NAMED: Final[Mapping[object, Backend]] = MappingProxyType({None: Backend.OLD, "old": Backend.OLD, "new": Backend.NEW})


PADDING: Final = f"{string.whitespace}\0"  # around a name in a CHAR or BINARY column


class Reason(StrEnum):
    """
    Why a request went where it went: a closed set, used as a metric label.
    """

    BREAK_GLASS = "break_glass"  # the operators' file, or a relay's floor
    HOME = "home"  # the thing already lives there
    HOME_UNKNOWN = "home_unknown"  # it lives somewhere that this migration does not know
    VISIT = "visit"  # decided earlier in this visit
    DEFAULT = "default"  # no snapshot yet, or a flow that it does not have
    OVERRIDE = "override"  # this key was put on a side by name
    COHORT = "cohort"  # the dial of the key's cohort
    PERCENT = "percent"  # the flow's dial
    NO_KEY = "no_key"  # the dial is between 0 and 100, and there is nothing to bucket


class Decision(NamedTuple):
    """
    One answer of a router.

    A tuple rather than an attrs class: `decide` makes one for each request, and a tuple costs half as much.

    Attributes:
        flow: The flow that was asked for.
        backend: Where the request goes.
        reason: Why.
        version: The version of the snapshot that decided; 0 where there was none.
        position: The key's place in 0..99,999; None without a key or without a snapshot.
    """

    flow: str
    backend: Backend
    reason: Reason
    version: int
    position: int | None


class Unset(Enum):
    """
    The type of `UNSET`, which tells a parameter that was left out from one given as None.
    """

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET


def side_of(home: object, names: Mapping[object, Backend]) -> Backend | None:
    """
    Translate what an application stored as a thing's home into a side.

    Upper case counts as lower case, and white space and NUL around a name are left out: columns give them back.

    Args:
        home: A `Backend`, "old" or "new", a side's own name, a member of an enum whose value or name is one of these,
            the same as bytes, a bytearray or a memoryview, or None for an unmarked thing.
        names: The names that this migration knows, in lower case, None among them.

    Returns:
        The side, or None for anything else, also where *home* cannot even be looked up.
    """
    try:
        home = bytes(home) if isinstance(home, bytearray | memoryview) else home  # columns of bytes give these back
        side = names.get(home)
        if side is None:
            side = next((names[name] for name in _names_in(home) if name in names), None)
    except Exception:  # noqa: BLE001 - a stranger's __hash__ or __eq__ may raise anything
        return None
    return side


def home_text(home: object) -> str:
    """
    Give a home as text that `side_of` reads as the same side.
    """
    names = tuple(_names_in(home)) or (str(home),)
    return next((name for name in names if name in NAMED), names[0])


def _names_in(home: object) -> Iterator[str]:
    """
    Give the names that a home may mean, the likeliest first.
    """
    if isinstance(home, Enum):
        yield from _names_in(home.value)
        yield from _names_in(home.name)
    elif isinstance(home, bytes | bytearray | memoryview):
        yield from _names_in(bytes(home).decode())
    elif isinstance(home, str):
        yield str(home).strip(PADDING).lower()
