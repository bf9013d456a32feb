"""
The OpenAPI document, made from the table of endpoints.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from cutover.server.api import Operation
from cutover.server.schemas import SCHEMAS
from cutover.version import VERSION

__all__ = ["document"]

JSON: Final = "application/json"
CROWDED: Final = 503  # every path but those that are spared
BAD_REQUEST: Final = 400
WITHOUT_BODY: Final = (304,)


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """
    Describe every endpoint and every answer.
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Relay of cutover",
            "version": VERSION,
            "description": "Snapshots by long poll, changes by compare-and-swap, check-ins.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.handle.__name__,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_parameters(operation)],
        "responses": {str(status): answer for status, answer in _answers(operation).items()},
    }
    if operation.body:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": _named(operation.body)}}}
    if operation.role is not None:
        described["security"] = [{"token": []}]
        described["description"] = f"For the role {operation.role.name.lower()} and those above it."
    return described


def _path_parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    if "{migration}" in operation.path:
        yield {"name": "migration", "in": "path", "required": True, "schema": _named("Name")}


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for parameter in operation.parameters:
        yield {
            "name": parameter.name,
            "in": parameter.place,
            "description": parameter.text,
            "schema": dict(parameter.schema),
        }


def _answers(operation: Operation) -> Mapping[int, Any]:
    answers = {operation.success: _success(operation)}
    guarded = (401, 403) if operation.role is not None else ()
    named = (404,) if "{migration}" in operation.path else ()
    for status in sorted({*guarded, *named, *operation.failures, BAD_REQUEST, CROWDED}):
        content = {} if status in WITHOUT_BODY else {"content": {JSON: {"schema": _named("Problem")}}}
        answers[status] = {"description": HTTPStatus(status).phrase, **content}
    return answers


def _success(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(operation.success).phrase}
    if operation.result in SCHEMAS:
        described["content"] = {JSON: {"schema": _named(operation.result)}}
    elif operation.result:
        described["content"] = {operation.result: {"schema": {"type": "string"}}}
    return described


def _named(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
