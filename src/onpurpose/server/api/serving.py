"""An operation of the table and what does it -> a route: who asks, what goes in and comes out, checked once for all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar

from anyio import CancelScope, to_thread
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as Message

from onpurpose.core.access import ApiKey, Scope
from onpurpose.core.errors import OnPurposeError
from onpurpose.server.api.refusals import refusal
from onpurpose.server.api.schemas import Draft
from onpurpose.server.api.table import JSON, YAML, Operation
from onpurpose.server.body import Gone, read_body
from onpurpose.server.identity import STATE, require
from onpurpose.server.problems import Fault, ProblemError, from_validation, invalid
from onpurpose.server.question import read_json

BODY_SECONDS = 10.0
"""How long a body may take to arrive."""

_BLOCK = 1 << 16

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """An answer that is text of another media type than JSON, or JSON that is written already."""

    text: str | bytes
    media: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """An answer that is sent as it is made; `close` is called in the end, however it ends."""

    lines: Iterator[bytes]
    media: str
    close: Callable[[], None]


Answer: TypeAlias = BaseModel | Text | Lines | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked: by whom, of what, in which form. `wants` is the media type of the answer."""

    caller: ApiKey | None
    path: Mapping[str, str]
    query: BaseModel | None
    body: BaseModel | None
    wants: str

    @property
    def key(self) -> ApiKey:
        """The key that asks; the operation needs one."""
        if self.caller is None:
            raise TypeError("the operation is open to anybody")
        return self.caller

    @property
    def workspace(self) -> str:
        """The workspace that the key belongs to: there is no other way to name one."""
        return self.key.workspace

    @property
    def by(self) -> str:
        """Who asks, as changes and the log name it."""
        return f"{self.key.name} ({self.key.prefix})"

    @property
    def may_promote(self) -> bool:
        """Whether the key may change what decides."""
        return self.key.may(Scope.POLICY_PROMOTE)

    def told(self, model: type[Model]) -> Model:
        """The body, of the form that the table says."""
        return _of(model, self.body)

    def asked(self, model: type[Model]) -> Model:
        """The query, of the form that the table says."""
        return _of(model, self.query)


Use: TypeAlias = Callable[[Asked], Answer]
"""What does an operation: run in a worker thread, may raise any error that has a problem."""


def _of(model: type[Model], value: BaseModel | None) -> Model:
    if not isinstance(value, model):
        raise TypeError(f"the table has another form than {model.__name__}")
    return value


def route(operation: Operation, use: Use) -> Route:
    """The route that answers one operation."""

    async def endpoint(request: Request) -> Response:
        caller = None if operation.scope is None else allowed(operation, request)
        query = read_query(operation, request)
        asked = Asked(
            caller=caller,
            path=request.path_params,
            query=query,
            body=await _read_body(operation, request, query),
            wants=_wanted(operation, request.headers.get("accept", "")),
        )
        return _respond(operation, await to_thread.run_sync(partial(_do, use, asked)))

    return Route(operation.path, endpoint, methods=[operation.method], name=operation.name)


def _do(use: Use, asked: Asked) -> Answer:
    try:
        return use(asked)
    except OnPurposeError as error:
        raise refusal(error) from error


def allowed(operation: Operation, request: Request) -> ApiKey:
    """The key of a request, which has one of the scopes that the operation takes. Raises 401 and 403 problems."""
    if operation.scope is None:
        raise TypeError("the operation is open to anybody")
    key = request.scope.get(STATE)
    if isinstance(key, ApiKey) and any(map(key.may, operation.also)):
        return key
    return require(request, operation.scope)


def read_query(operation: Operation, request: Request) -> BaseModel | None:
    """The query in the form of the operation. Raises the 422 problem."""
    if operation.query is None:
        return None
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    twice = {name for name in names if names.count(name) > 1} if len(names) < 100 else {names[0]}
    if twice:
        raise invalid([Fault(f"?{name[:128]}", "stands twice") for name in sorted(twice)])
    try:
        return operation.query.model_validate(dict(given))
    except ValidationError as error:
        raise from_validation(error, query=True) from None


async def _read_body(operation: Operation, request: Request, query: BaseModel | None) -> BaseModel | None:
    form = operation.request
    if form is None:
        return None
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in (JSON, *operation.accepts):
        detail = f"the body must be {' or '.join((JSON, *operation.accepts))}"
        raise ProblemError(415, "unsupported_media_type", detail)
    try:
        body = await read_body(request.receive, dict(request.scope["headers"]), operation.body_limit, BODY_SECONDS)
    except Gone:
        raise HTTPException(400) from None  # nobody will read it
    if media == YAML:
        return _draft(body, query)
    if query is not None and query.model_fields_set:  # passed over, a version that is expected would protect nothing
        raise invalid([Fault(f"?{name}", "belongs into the body") for name in sorted(query.model_fields_set)])
    return await to_thread.run_sync(_parse, form, body)


def _parse(form: type[Model], body: bytes) -> Model:
    read_json(body)  # refuses what is ambiguous
    try:
        return form.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise from_validation(error) from None


def _draft(body: bytes, query: BaseModel | None) -> Draft:
    """The draft whose text is the body itself; what else a draft says stands in the query."""
    try:
        text = body.decode("utf-8")
        return Draft(text=text, **(query.model_dump() if query is not None else {}))
    except UnicodeDecodeError:
        raise ProblemError(400, "not_utf8", "the body is not UTF-8") from None
    except ValidationError as error:
        raise from_validation(error) from None


def _wanted(operation: Operation, accept: str) -> str:
    """JSON, unless another type that the operation returns is named before it."""
    for part in accept[:1000].split(","):
        media = part.partition(";")[0].strip().lower()
        if media == JSON or media in operation.returns:
            return media
    return JSON


def _respond(operation: Operation, answer: Answer) -> Response:
    if answer is None:
        return Response(status_code=operation.status)
    if isinstance(answer, BaseModel):
        return Response(answer.model_dump_json(), operation.status, media_type=JSON)
    if isinstance(answer, Text):
        return Response(answer.text, operation.status, answer.headers, answer.media)
    return Streamed(answer, operation.status)


class Streamed(StreamingResponse):
    """Lines in blocks, each made in a worker thread."""

    def __init__(self, answer: Lines, status: int) -> None:
        self._close = answer.close
        super().__init__(_blocks(answer.lines), status, media_type=answer.media)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Send them, and close what they come from, also where the client hangs up before the first."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(self._close)


async def _blocks(lines: Iterator[bytes]) -> AsyncIterator[bytes]:
    while block := await to_thread.run_sync(_block, lines):
        yield block


def _block(lines: Iterator[bytes]) -> bytes:
    found, size = [], 0
    for line in lines:
        found.append(line)
        size += len(line)
        if size >= _BLOCK:
            break
    return b"".join(found)


def written(document: object) -> str:
    """The JSON of a document's fields, as the YAML text that it is too."""
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
