"""
What PostgreSQL's errors mean: try again later (`Unavailable`), or not what this library wrote (`Corrupt`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg.pq import DiagnosticField

from cutover.errors import Corrupt, CutoverError, Unavailable

__all__ = ["Interrupted", "Late", "NoTables", "OtherLayout", "is_lost", "translated"]

LOST: Final = ("08", "57P", "25P03")  # states that end a session
NO_TABLES: Final = ("42P01", "3F000")  # undefined table, undefined schema
OTHER_LAYOUT: Final = "22012"  # a division by zero: `Tables` divides by the number of rows with its layout
UNAVAILABLE: Final = {  # by the class of the SQLSTATE, or by the whole of it
    "08": "the connection was lost",
    "0A": "cannot do that now",
    "25": "cannot be written now",
    "25006": "cannot be written: it is read-only, a replica or switched to read-only",
    "25P03": "ended a transaction that took too long",
    "28": "does not let the user in",
    "3D": "does not have the database",
    "40": "was busy with another transaction",
    "42501": "cannot be used: no permission",
    "53": "is short of resources",
    "53100": "cannot be written: the disk is full",
    "53300": "has no connection left",
    "55": "is busy",
    "55P03": "is locked by another transaction",
    "57": "is shutting down or was interrupted",
    "57014": "took too long",
    "58": "cannot be read or written: input/output error",
    "XX": "failed",
}
CORRUPT: Final = {
    "22": "holds a value of the wrong type",
    "23": "breaks a rule of its own tables",
    "42": "does not have the tables of a cutover store",
    "XX001": "is damaged",
    "XX002": "is damaged",
}


class Late(Exception):
    """
    The server did not answer in time.
    """


class Interrupted(Exception):
    """
    The store was closed while the server was being waited for.
    """


class NoTables(Unavailable):
    """
    The database answers and has no table of that name; what there is instead is to be looked at.
    """


class OtherLayout(Corrupt):
    """
    The tables do not have the layout that this library knows.
    """


def is_lost(error: BaseException) -> bool:
    """
    Tell whether the connection ended under a statement: a fresh one may well work.
    """
    return isinstance(error, psycopg.OperationalError) and (error.sqlstate is None or error.sqlstate.startswith(LOST))


@contextmanager
def translated(shown: str, *, in_doubt: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """
    Turn the driver's errors into those of the library.

    Args:
        shown: The store without credentials.
        in_doubt: Tells whether what was asked for may have been done where no answer came.

    Raises:
        Unavailable: If it may work later.
        Corrupt: If the database does not hold what this library wrote.
        ValueError: If a value was given that no database could take.
    """
    try:
        yield
    except Late as error:
        raise Unavailable(f"{shown} does not answer", in_doubt=in_doubt()) from error
    except Interrupted as error:
        raise Unavailable(f"{shown} was closed", in_doubt=in_doubt()) from error
    except psycopg.Error as error:
        raise _meaning(shown, error, in_doubt=in_doubt()) from error


def _meaning(shown: str, error: psycopg.Error, *, in_doubt: bool) -> CutoverError | ValueError:
    state = error.sqlstate
    text = "; ".join(str(error).split("\n"))[:300]
    if state is None:
        if isinstance(error, psycopg.DataError):  # found by the driver before anything was sent
            return ValueError(f"{shown} cannot take that: {text}")
        return Unavailable(f"{shown} cannot be reached: {text}", in_doubt=in_doubt)
    if state in NO_TABLES:
        return NoTables(f"{shown} has no cutover schema; create it with `cutover apply`", missing=True)
    if state == OTHER_LAYOUT:
        return OtherLayout(f"{shown} has tables of another layout")
    for known in (state, state[:2]):
        if known in UNAVAILABLE:
            doubt = in_doubt and _ends_the_session(error)
            return Unavailable(f"{shown} {UNAVAILABLE[known]} ({state}: {text})", in_doubt=doubt)
        if known in CORRUPT:
            return Corrupt(f"{shown} {CORRUPT[known]} ({state}: {text})")
    doubt = in_doubt and _ends_the_session(error)
    return Unavailable(f"{shown} cannot be used ({state}: {text})", in_doubt=doubt)


def _ends_the_session(error: psycopg.Error) -> bool:
    """
    Tell a session that was ended, perhaps after its commit, from a statement that was refused.
    """
    severity = error.pgresult and error.pgresult.error_field(DiagnosticField.SEVERITY_NONLOCALIZED)
    return severity != b"ERROR"
