"""What a form may be: within bounds, readable, and in the order in which it was written."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from onpurpose.server.dashboard.forms import MEDIA, MOST_FIELDS, read_form
from onpurpose.server.problems import ANSWERS

LIMIT = 50_000


async def told(request: Request) -> Response:
    form = await read_form(request, LIMIT)
    assert repr(form) == f"Form({len(list(form))} fields)"
    return JSONResponse([list(form), form.get("a", "none"), form.all("a"), "a" in form])


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=[Route("/", told, methods=["POST"])], exception_handlers={**ANSWERS}))


def sent(client: TestClient, body: bytes, media: str = MEDIA) -> tuple[int, object]:
    response = client.post("/", content=body, headers={"content-type": media})
    return response.status_code, response.json() if response.status_code == 200 else None


def test_fields_come_as_they_were_written(client: TestClient) -> None:
    body = b"a=1&b=%0D%0Ax%0Dy&a=&c=%C3%A9+%26"
    fields = [["a", "1"], ["b", "\nx\ny"], ["a", ""], ["c", "é &"]]
    assert sent(client, body, f"{MEDIA}; charset=utf-8") == (200, [fields, "1", ["1", ""], True])
    assert sent(client, b"") == (200, [[], "none", [], False])


def test_another_kind_of_body_is_no_form(client: TestClient) -> None:
    assert sent(client, b'{"a": 1}', "application/json") == (200, [[], "none", [], False])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"a=%ff", 400),
        (b"a=\xc3\xa9", 400),
        (b"&".join([b"a=1"] * (MOST_FIELDS + 1)), 400),
        (b"a=" + b"x" * LIMIT, 413),
    ],
)
def test_what_cannot_be_read_or_is_too_much_is_refused(client: TestClient, body: bytes, status: int) -> None:
    assert sent(client, body)[0] == status
