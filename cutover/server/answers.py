"""
What a relay answers when something is wrong: ``{"error": {"code": ..., "message": ...}}`` and a status.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cutover.errors import Conflict, Corrupt, CutoverError, Refused, Unavailable

__all__ = ["HANDLERS", "Problem", "answer", "problem_of"]

RETRY_AFTER = "1"  # seconds


class Problem(Exception):
    """
    An answer that is no success.

    Attributes:
        facts: What else the answer's error holds.
    """

    def __init__(
        self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **facts: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers: dict[str, str] = dict(headers or {})
        self.facts = facts

    def response(self) -> Response:
        """
        Make the answer.
        """
        error = {"code": self.code, "message": self.message, **self.facts}
        return answer({"error": error}, status=self.status, headers=self.headers)


def answer(
    document: Mapping[str, Any], *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """
    Make an answer of one JSON object.
    """
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(body, status, headers, "application/json")


def problem_of(error: CutoverError | ValueError) -> Problem:
    """
    Give the answer to what a store or a check raised.
    """
    match error:
        case Conflict():
            return Problem(409, "conflict", str(error), expected=error.expected, actual=error.actual)
        case Refused():
            return Problem(422, "refused", str(error), details=list(error.details))
        case Unavailable():
            return unavailable(str(error), in_doubt=error.in_doubt)
        case Corrupt():
            return Problem(503, "corrupt", str(error), headers={"Retry-After": RETRY_AFTER})
        case _:
            return Problem(400, "invalid", str(error))


def unavailable(message: str, *, in_doubt: bool = False) -> Problem:
    """
    Say that it may work later.
    """
    return Problem(503, "unavailable", message, headers={"Retry-After": RETRY_AFTER}, in_doubt=in_doubt)


async def _problem(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Problem)
    return error.response()


async def _raised(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, CutoverError)
    return problem_of(error).response()


async def _http(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return Problem(error.status_code, code, f"{error.detail}", headers=error.headers).response()


async def _defect(request: Request, error: Exception) -> Response:
    del request, error
    return Problem(500, "defect", "an error of the relay; its log says more").response()


HANDLERS: Mapping[Any, Any] = {Problem: _problem, CutoverError: _raised, HTTPException: _http, Exception: _defect}
