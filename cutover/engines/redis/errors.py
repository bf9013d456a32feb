"""
What the errors of a Redis server and its driver mean: try again later (`Unavailable`), or not what this library wrote
(`Corrupt`).
"""

import re
from typing import Final

from redis.exceptions import AuthenticationError, AuthorizationError, BusyLoadingError, ResponseError
from redis.exceptions import TimeoutError as DriverTimeoutError

from cutover.errors import Corrupt, StoreError, Unavailable

__all__ = ["REFUSED", "lost", "meaning"]

#: What the server itself said; to the driver, some of it is an error of the connection.
REFUSED: Final = (AuthenticationError, AuthorizationError, BusyLoadingError, ResponseError)
OURS: Final = "CUTOVER "  # what the scripts put before their own errors

#: The server's words, wherever they stand: before version 7 they are wrapped in the error of the script. The driver
#: takes some of them away and gives an error of a kind instead, whose name is searched too.
REFUSALS: Final = {
    "BusyLoadingError": "is still loading its data",
    "LOADING": "is still loading its data",
    "ReadOnlyError": "is a replica and cannot be written",
    "READONLY": "is a replica and cannot be written",
    "OutOfMemoryError": "cannot be written: its memory is full (maxmemory)",
    "OOM": "cannot be written: its memory is full (maxmemory)",
    "MISCONF": "cannot be written: its snapshots on disk fail",
    "NOREPLICAS": "cannot be written: too few replicas are connected",
    "MasterDownError": "is a replica without its primary",
    "MASTERDOWN": "is a replica without its primary",
    "ClusterDownError": "is a cluster that is down",
    "CLUSTERDOWN": "is a cluster that is down",
    "MovedError": "is a node of a cluster that keeps these keys on another node",
    "MOVED": "is a node of a cluster that keeps these keys on another node",
    "AskError": "is a node of a cluster that is moving these keys",
    "TryAgainError": "is a node of a cluster that is moving these keys",
    "BUSY": "is held up by a script",
    "Authentication required": "wants a password",
    "NOAUTH": "wants a password",
    "invalid username-password pair": "refuses the user or password",
    "WRONGPASS": "refuses the user or password",
    "NoPermissionError": "does not permit this user what the store needs",
    "NOPERM": "does not permit this user what the store needs",
}
WORD: Final = re.compile(rf"\b(?:{'|'.join(REFUSALS)})\b")
LONGEST: Final = 300  # of what the server said


def meaning(url: str, error: Exception) -> StoreError:
    """
    Turn a refusal of the server into an error of the library. Whatever was refused was not done.
    """
    text = str(error)[:LONGEST]
    if text.startswith(OURS):
        return Corrupt(f"{url}: {text.removeprefix(OURS)}")
    if "WRONGTYPE" in text:
        return Corrupt(f"{url} has keys of another kind under the names of the store ({text})")
    word = WORD.search(f"{type(error).__name__} {text}")
    return Unavailable(f"{url} {REFUSALS[word[0]] if word else 'refuses'} ({text})")


def lost(url: str, error: Exception, *, in_doubt: bool) -> Unavailable:
    """
    Turn the loss of a connection into an error of the library.

    Args:
        in_doubt: A command that writes was sent, and its answer did not come.
    """
    what = "does not answer in time" if isinstance(error, DriverTimeoutError | TimeoutError) else "cannot be reached"
    return Unavailable(f"{url} {what} ({str(error)[:LONGEST]})", in_doubt=in_doubt)
