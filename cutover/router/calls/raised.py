"""
Classes of the exceptions of a call, searched in groups and causes; and whether a call broke off.
"""

import errno
from collections.abc import Iterator
from types import FrameType
from typing import Final

__all__ = ["Errors", "all_are", "any_is", "broke_off"]

Errors = tuple[type[BaseException], ...]
Names = frozenset[tuple[str, str]]

#: After these nobody knows whether a change was made.
BROKE_OFF: Final = (TimeoutError, ConnectionError, EOFError)
NO_ROUTE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.ENETRESET})
#: The same of clients, by package and class, so that none has to be imported.
LOST: Final[Names] = frozenset(
    (package, name)
    for package, names in {
        "ssl": "SSLError",
        "http": "HTTPException",
        "urllib": "ContentTooShortError",
        "httpx": "TransportError",
        "httpcore": "TimeoutException NetworkError ProtocolError ProxyError",
        "requests": "Timeout ConnectionError ChunkedEncodingError",
        "urllib3": "TimeoutError ProtocolError SSLError NewConnectionError",
        "aiohttp": "ClientConnectionError ClientPayloadError",
        "grpc": "FutureTimeoutError",
        "smtplib": "SMTPServerDisconnected",
        "subprocess": "TimeoutExpired",
        "multiprocessing": "TimeoutError",
    }.items()
    for name in names.split()
)
#: Exceptions of theirs that say that nothing was sent.
NEVER_SENT: Final[Names] = frozenset(
    {
        ("ssl", "SSLCertVerificationError"),
        ("http", "InvalidURL"),
        ("http", "NotConnected"),
        ("http", "ImproperConnectionState"),
        ("httpx", "UnsupportedProtocol"),
        ("httpx", "LocalProtocolError"),
        ("httpcore", "LocalProtocolError"),
        ("aiohttp", "ClientConnectorCertificateError"),
    }
)
#: Exceptions that hold the one before, or its text.
WRAPPERS: Final[Names] = frozenset({("urllib", "URLError"), ("urllib3", "MaxRetryError")})
TIMED_OUT: Final = "timed out"
#: Exceptions that stand for an answer, and where it has its status.
ANSWERS: Final = {
    ("urllib", "HTTPError"): "code",
    ("httpx", "HTTPStatusError"): "response.status_code",
    ("requests", "HTTPError"): "response.status_code",
    ("aiohttp", "ClientResponseError"): "status",
}
GATEWAYS: Final = (502, 504)  # a proxy answers for a server that did not
RPC_ERROR: Final = ("grpc", "RpcError")
RPC_CODES: Final = ("DEADLINE_EXCEEDED", "UNAVAILABLE", "CANCELLED")


def all_are(error: BaseException, kinds: Errors) -> bool:
    """
    Tell whether an exception is of certain classes; a group is if it is itself, or if everything in it is.
    """
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, kinds):
            continue
        if not isinstance(one, BaseExceptionGroup):
            return False
        waiting += one.exceptions
    return True


def any_is(error: BaseException, kinds: Errors) -> bool:
    """
    Tell whether an exception is of certain classes, or something in its groups or among its causes is.
    """
    return any(isinstance(one, kinds) for one in _within(error, frozenset()))


def broke_off(error: BaseException) -> bool:
    """
    Tell whether an exception, or something in its groups or among its causes, is a client's timeout or lost connection.
    """
    return any(_is_lost(one) for one in _within(error, NEVER_SENT))


def _within(error: BaseException, ends: Names) -> Iterator[BaseException]:
    """
    Give an exception, what its groups hold, and the causes of each.

    Args:
        ends: Classes that are left out together with their causes.
    """
    waiting, seen = [error], set[int]()
    outside: set[FrameType] | None = None
    while waiting:
        one = waiting.pop()
        if id(one) in seen or not ends.isdisjoint(_names(one)):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        waiting += (cause for cause in (one.__cause__, _reason(one)) if isinstance(cause, BaseException))
        context = None if one.__suppress_context__ else one.__context__
        if context is not None:
            outside = _callers(error) if outside is None else outside
            if not _was_caught_in(context, outside):
                waiting.append(context)


def _callers(error: BaseException) -> set[FrameType]:
    """
    Give the frames from the one that caught an exception outwards.
    """
    frames = set()
    frame = None if error.__traceback__ is None else error.__traceback__.tb_frame
    while frame is not None:
        frames.add(frame)
        frame = frame.f_back
    return frames


def _was_caught_in(error: BaseException, frames: set[FrameType]) -> bool:
    """
    Tell whether the caller was already handling an exception when it made the call. Such an exception is no cause.
    """
    return error.__traceback__ is not None and error.__traceback__.tb_frame in frames


def _is_lost(error: BaseException) -> bool:
    if isinstance(error, BROKE_OFF):
        return True
    names, reason = _names(error), _reason(error)
    if not LOST.isdisjoint(names) or (isinstance(reason, str) and TIMED_OUT in reason):
        return True
    try:
        if isinstance(error, OSError) and error.errno in NO_ROUTE:
            return True
        if RPC_ERROR in names:
            return error.code().name in RPC_CODES  # type: ignore[attr-defined]  # as every error of a call has
        return any(_status(error, ANSWERS[name]) in GATEWAYS for name in names & ANSWERS.keys())
    except Exception:  # noqa: BLE001 - a stranger's attributes may raise anything
        return False


def _reason(error: BaseException) -> object:
    return None if WRAPPERS.isdisjoint(_names(error)) else getattr(error, "reason", None)


def _status(error: BaseException, path: str) -> object:
    found: object = error
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _names(error: BaseException) -> Names:
    return frozenset((str(base.__module__).partition(".")[0], base.__name__) for base in type(error).__mro__)
