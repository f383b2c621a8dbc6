"""What is refused is a problem document, everywhere, and tells nothing of the inside."""

from __future__ import annotations

import logging
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from onpurpose.core.record import LedgerError
from onpurpose.core.revision import ConflictError, MissingError, StoreError
from onpurpose.server.problems import Fault, ProblemError, from_validation, invalid, problem_of
from onpurpose.server.services import Settings
from tests.server.serving import Served, services, serving

SECRET = "postgresql://user:password@host/db"


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["a", "b"]


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: list[Inner]
    count: int


def wrong() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"items": [{"kind": "a"}, {"kind": "c", "x/y": SECRET}], "count": "many"})
    return caught.value


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (ProblemError(418, "teapot", "short and stout"), 418, "teapot"),
        (HTTPException(404), 404, "not_found"),
        (HTTPException(405, headers={"Allow": "GET"}), 405, "method_not_allowed"),
        (HTTPException(415, "use JSON"), 415, "unsupported_media_type"),
        (HTTPException(499, "gone"), 499, "refused"),
        (wrong(), 422, "invalid"),
        (ConflictError("somebody was faster"), 409, "conflict"),
        (MissingError("no such purpose"), 404, "not_found"),
        (StoreError(SECRET), 503, "unavailable"),
        (LedgerError(SECRET), 503, "unavailable"),
        (RuntimeError(SECRET), 500, "internal_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_every_exception_is_a_problem(error: Exception, status: int, name: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.name) == (status, name)
    assert SECRET.encode() not in problem.body()


def test_a_refused_model_tells_every_fault_with_its_place() -> None:
    places = [fault.pointer for fault in from_validation(wrong()).errors]
    assert places == ["/items/1/kind", "/items/1/x~1y", "/count"]
    assert from_validation(wrong(), query=True).errors[2].pointer == "?count"


def test_the_number_of_faults_is_told_in_words() -> None:
    assert "a fault," in invalid([Fault("", "x")]).detail
    assert "2 faults," in invalid([Fault("", "x")] * 2).detail


async def fails(_: Request) -> Response:
    raise RuntimeError(SECRET)


async def late(_: Request) -> Response:
    async def parts() -> object:
        yield b"begun"
        raise RuntimeError(SECRET)

    return StreamingResponse(parts())


async def reads(request: Request) -> Response:
    return Response(str(len(await request.body())))


@pytest.fixture(scope="module")
def own() -> object:
    routes = [Route("/v1/fails", fails), Route("/v1/late", late), Route("/v1/reads", reads, methods=["PUT"])]
    with serving(services(routes=routes, settings=Settings(max_body=1000, body_seconds=0.2))) as served:
        yield served


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404), ("GET", "/v1/evaluate/", 404), ("GET", "/v1/evaluate/x", 404),
        ("GET", "/healthz/", 404), ("GET", "/v1/reads", 405),
        ("POST", "/healthz", 405), ("POST", "/v1/decisions/stream", 405), ("GET", "/v1/fails", 500),
    ],
)  # fmt: skip
def test_every_refusal_is_a_problem_document(
    own: Served, method: str, path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    with own.client("reader") as client:
        response = client.request(method, path)
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert response.status_code == problem["status"] == status
    assert {"type", "title", "status", "detail"} == problem.keys()
    assert SECRET not in response.text
    assert ("allow" in response.headers) == (status == 405)


def test_an_answer_that_breaks_off_is_cut_and_tells_nothing(own: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    head = "GET /v1/late HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer "
    with own.client("reader") as client:
        key = client.headers["authorization"].partition(" ")[2]
    answer = own.raw(f"{head}{key}\r\n\r\n".encode())
    assert b"begun" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert SECRET.encode() not in answer


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_any_route_is_bounded(own: Served, size: int, status: int, chunked: bool) -> None:
    content = iter([b"x" * size]) if chunked else b"x" * size
    with own.client("reader") as client:
        assert client.put("/v1/reads", content=content).status_code == status


def test_a_slow_body_of_any_route_is_not_waited_for(own: Served) -> None:
    with own.client("reader") as client:
        key = client.headers["authorization"]
    sent = f"PUT /v1/reads HTTP/1.1\r\nHost: t\r\nAuthorization: {key}\r\nContent-Length: 9\r\n\r\nx"
    assert b"HTTP/1.1 408" in own.raw(sent.encode())
