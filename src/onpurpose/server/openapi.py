"""The OpenAPI 3.1 document, written from the same table as the routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, cast

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onpurpose.core.access import Scope
from onpurpose.server.api.table import Operation
from onpurpose.server.docs import CSP, page
from onpurpose.server.openapi_frame import FRAME, FRAME_SCHEMAS, PROBLEM, bearer
from onpurpose.server.problems import MEDIA_TYPE

JSON = "application/json"
_REF = "#/components/schemas/"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_ALWAYS = (405, 408, 413, 500)
"""What any path may be answered with."""


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document: the operations of the table, and those that stand outside of it."""
    schemas = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for path, methods in FRAME.items():
        paths[path] = {
            method: {**item, "responses": item["responses"] | _problems(_ALWAYS)} for method, item in methods.items()
        }
    for operation in operations:
        path = _PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "onpurpose",
            "version": version("onpurpose"),
            "description": "Decides whether an AI agent's tool call may run, and can prove why.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key: `op_...`"}},
            "schemas": {**FRAME_SCHEMAS, **schemas, "Problem": PROBLEM},
        },
    }


def routes(operations: Sequence[Operation]) -> list[Route]:
    """`/openapi.json`, and `/docs`, which shows it and fetches nothing. Anybody may read them."""
    described = document(operations)
    text = orjson.dumps(described)
    html = page(described)

    async def openapi(_: Request) -> Response:
        return Response(text, media_type=JSON)

    async def docs(_: Request) -> Response:
        return Response(html, media_type="text/html", headers={"Content-Security-Policy": CSP})

    return [Route("/openapi.json", openapi, methods=["GET"]), Route("/docs", docs, methods=["GET"])]


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    """Every model by its name, referring to each other."""
    asked: list[type[BaseModel] | None] = [model for one in operations for model in (one.request, one.query)]
    answered = [one.response for one in operations]
    wanted = [(model, "validation") for model in dict.fromkeys(asked) if model is not None]
    wanted += [(model, "serialization") for model in dict.fromkeys(answered) if model is not None]
    _, schema = models_json_schema(cast(Any, wanted), ref_template=_REF + "{model}")
    return cast("dict[str, Any]", schema.get("$defs", {}))


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation.query, schemas)],
        "responses": _answer(operation) | _problems((*operation.errors, *_ALWAYS)),
        "security": [one for scope in _scopes(operation) for one in bearer(scope)],
    }
    content: dict[str, Any] = {}
    if operation.request is not None:
        content[JSON] = {"schema": {"$ref": _REF + operation.request.__name__}}
    content |= {media: {"schema": {"type": "string"}} for media in operation.accepts}
    if content:
        described["requestBody"] = {"required": operation.request is not None, "content": content}
    if operation.scope is not None:
        described["description"] = (
            f"Needs a key with the scope {' or '.join(f'`{one}`' for one in _scopes(operation))}."
        )
    return described


def _scopes(operation: Operation) -> tuple[Scope, ...]:
    """The scopes of which a key needs one; none for what anybody may ask."""
    return () if operation.scope is None else (operation.scope, *operation.also)


def _answer(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {media: {} for media in operation.returns}
    if operation.response is not None:
        content[JSON] = {"schema": {"$ref": _REF + operation.response.__name__}}
    answer: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    if content:
        answer["content"] = content
    return {str(operation.status): answer}


def _problems(statuses: Iterable[int]) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": f"{_REF}Problem"}}}
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in sorted({*statuses})
    }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    kinds = {"number": {"type": "integer", "minimum": 1}}
    return [
        {"name": name, "in": "path", "required": True, "schema": kinds.get(name, {"type": "string", "minLength": 1})}
        for name in _PARAMETER.findall(path)
    ]


def _query_parameters(model: type[BaseModel] | None, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = schemas.get(model.__name__, {})
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": one}
        for name, one in schema.get("properties", {}).items()
    ]
