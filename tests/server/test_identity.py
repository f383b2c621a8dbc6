"""Who may ask: a key that is known, counts now, and has the scope."""

from __future__ import annotations

from itertools import pairwise

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from onpurpose.core.access import ApiKey, Scope
from onpurpose.server.identity import Authority, Refusal, bearer, require
from tests.server.serving import KEYS, Served, api_key, secret_of, services, serving

CALL = {"agent_id": "a", "capability": "open"}


@pytest.mark.parametrize(
    ("secret", "found"),
    [
        (secret_of("asker"), "asker"),
        (secret_of("expired"), Refusal.EXPIRED),
        (secret_of("revoked"), Refusal.REVOKED),
        (secret_of("nobody"), Refusal.UNKNOWN),
        (secret_of("asker")[:-1], Refusal.UNKNOWN),
        (secret_of("asker") + "x", Refusal.UNKNOWN),
        (secret_of("asker").upper(), Refusal.UNKNOWN),
        (KEYS[0].hash.decode("latin-1"), Refusal.UNKNOWN),
        ("\udcff", Refusal.UNKNOWN),
        ("x" * 1_000_000, Refusal.UNKNOWN),
        ("", Refusal.MISSING),
    ],
)
def test_a_key_is_found_by_its_whole_text(secret: str, found: str | Refusal) -> None:
    answer = Authority(KEYS).find(secret, 1000)
    assert (answer.id if isinstance(answer, ApiKey) else answer) == found


def test_a_key_counts_until_it_expires_and_no_longer() -> None:
    authority = Authority([api_key("asker", Scope.EVALUATE, expires_at=100)])
    answers = [authority.find(secret_of("asker"), now) for now in (98, 99, 100, 101)]
    assert [isinstance(answer, ApiKey) for answer in answers] == [True, True, False, False]


def test_keys_are_replaced_all_at_once() -> None:
    authority = Authority(KEYS)
    held = authority.find(secret_of("asker"), 0)
    assert isinstance(held, ApiKey)
    assert authority.stands(held, 0)
    authority.replace([api_key("asker", Scope.EVALUATE, revoked_at=5), api_key("new", Scope.READ)])
    assert not authority.stands(held, 0)
    assert authority.find(secret_of("asker"), 0) is Refusal.REVOKED
    assert isinstance(authority.find(secret_of("new"), 0), ApiKey)
    authority.replace([])
    assert not authority.stands(held, 0)


def test_the_last_use_of_each_key_is_gathered_and_given_once() -> None:
    authority = Authority(KEYS)
    for name, now in (("asker", 5), ("reader", 6), ("asker", 7), ("expired", 8), ("nobody", 9)):
        authority.find(secret_of(name), now)
    assert authority.drain_used() == {"asker": 7, "reader": 6}
    assert authority.drain_used() == {}


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (b"Bearer op_x", "op_x"), (b"bearer  op_x ", "op_x"), (b"BEARER op_x", "op_x"), (b"Basic op_x", ""),
        (b"op_x", ""), (b"Bearer", ""), (b"", ""), (None, ""),
    ],
)  # fmt: skip
def test_a_bearer_token_is_read(header: bytes | None, token: str) -> None:
    assert bearer(header) == token


@pytest.mark.parametrize("path", ["/v1/evaluate", "/v1/evaluate/batch"])
@pytest.mark.parametrize(
    ("key", "status"),
    [(None, 401), ("nobody", 401), ("expired", 401), ("revoked", 401), ("reader", 403), ("asker", 200), ("admin", 200)],
)
def test_evaluate_needs_a_key_with_its_scope(service: Served, path: str, key: str | None, status: int) -> None:
    body = CALL if path == "/v1/evaluate" else {"calls": [CALL]}
    with service.client(key) as client:
        response = client.post(path, json=body)
    assert response.status_code == status
    assert response.headers.get("www-authenticate") == ('Bearer realm="onpurpose"' if status == 401 else None)


async def whoami(request: Request) -> Response:
    return PlainTextResponse(require(request, Scope.READ).id)


@pytest.mark.parametrize(
    ("key", "path", "status"),
    [
        ("reader", "/v1/me", 200), ("admin", "/v1/me", 200), ("asker", "/v1/me", 403), (None, "/v1/me", 401),
        ("revoked", "/v1/me", 401), (None, "/v1/nothing", 401), ("reader", "/v1/nothing", 404), (None, "/me", 401),
        ("reader", "/me", 401),
    ],
)  # fmt: skip
def test_whatever_lies_under_v1_needs_a_key(own: Served, key: str | None, path: str, status: int) -> None:
    with own.client(key) as client:
        response = client.get(path)
    assert response.status_code == status
    assert response.text == key or "detail" in response.json()


@pytest.fixture(scope="module")
def own() -> object:
    with serving(services(routes=[Route("/v1/me", whoami), Route("/me", whoami)])) as served:
        yield served


def test_a_secret_is_in_no_answer(service: Served) -> None:
    with service.client("revoked") as client:
        response: httpx2.Response = client.post("/v1/evaluate", json=CALL)
    assert secret_of("revoked") not in response.text + str(response.headers)
    assert "hash" not in response.text


def test_refusals_tell_apart() -> None:
    texts = sorted(str(refusal) for refusal in Refusal)
    assert all(first != second for first, second in pairwise(texts))
