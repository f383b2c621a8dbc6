"""The whole application: probes, headers, origins, and a stop that loses nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from contextlib import ExitStack, closing
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onpurpose.core.record import Receipt, Record
from onpurpose.server import health
from onpurpose.server.build import build
from onpurpose.server.services import Settings
from tests.app.logs import RECEIPT, Scripted
from tests.server.serving import Gates, Served, gate, post, read_all, services, serving

CALL = {"agent_id": "a", "capability": "open"}


@pytest.mark.parametrize(("path", "status"), [("/healthz", "alive"), ("/readyz", "ready")])
def test_anybody_may_ask_the_probes(service: Served, path: str, status: str) -> None:
    with service.client(None) as client:
        response = client.get(path)
        assert client.head(path).status_code == 200
    assert (response.status_code, response.json()) == (200, {"status": status})


def test_what_is_not_ready_is_told() -> None:
    missing = ["policies could not be confirmed for 7 s", "the log cannot be written"]
    with serving(services(ready=lambda: missing)) as served, served.client(None) as client:
        response, alive = client.get("/readyz"), client.get("/healthz")
    assert (response.status_code, response.json()["reasons"], alive.status_code) == (503, missing, 200)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_service_that_fails_to_tell_is_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")

    def fails() -> list[str]:
        raise OSError("postgresql://user:password@host")

    with serving(services(ready=fails)) as served, served.client(None) as client:
        response = client.get("/readyz")
    assert response.status_code == 503
    assert "password" not in response.text


def test_a_service_that_hangs_is_not_ready_and_takes_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.01)
    held, asked = threading.Event(), []

    def hangs() -> list[str]:
        asked.append(threading.current_thread())
        held.wait(10)
        return []

    with serving(services(ready=hangs)) as served, served.client(None) as client:
        statuses = {client.get("/readyz").status_code for _ in range(10)}
        held.set()
    assert (statuses, len(asked)) == ({503}, 1)


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/v1/nowhere", "/docs", "/openapi.json", "/metrics"])
def test_every_answer_carries_the_headers_that_keep_browsers_in_check(client: httpx2.Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors 'none'")
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def preflight(client: httpx2.Client, origin: str) -> httpx2.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    return client.options("/v1/evaluate", headers=asked)


def test_no_origin_may_ask_unless_it_is_named(service: Served) -> None:
    with service.client() as client:
        answered = client.post("/v1/evaluate", json=CALL, headers={"Origin": "https://a.example"})
        assert preflight(client, "https://a.example").status_code == 405
    assert not [name for name in answered.headers if name.startswith("access-control")]
    with serving(services(settings=Settings(cors_origins=("https://a.example",)))) as served, served.client() as client:
        asked = {origin: preflight(client, origin) for origin in ("https://a.example", "https://b.example")}
        answered = client.post("/v1/evaluate", json=CALL, headers={"Origin": "https://a.example"})
    assert [response.status_code for response in asked.values()] == [200, 400]
    assert answered.headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-credentials" not in answered.headers


def test_what_is_begun_is_finished_before_the_service_closes() -> None:
    held: Future[Receipt] = Future()
    arrived = threading.Event()
    order: list[str] = []

    def answer(record: Record) -> Future[Receipt]:
        arrived.set()
        return held

    gates = Gates({"acme": gate(Scripted(answer))})
    answers: list[bytes] = []
    with serving(services(gates, close=lambda: order.append("closed"))) as served:
        opened = served.connect()
        opened.sendall(post(b'{"agent_id":"a","capability":"open"}'))

        def read() -> None:
            with closing(opened):
                answers.append(read_all(opened))
            order.append("answered")

        reader = threading.Thread(target=read)
        reader.start()
        assert arrived.wait(10)
        threading.Timer(0.05, held.set_result, [RECEIPT]).start()
    reader.join(10)
    assert b'"allowed":true' in answers[0]
    assert sorted(order) == ["answered", "closed"]
    gates.close()


def test_a_service_that_cannot_be_closed_in_order_ends_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")

    def fails() -> None:
        raise OSError("the disk is gone")

    with serving(services(close=fails)) as served, served.client() as client:
        assert client.get("/healthz").status_code == 200
    with pytest.raises(httpx2.ConnectError), served.client() as client:
        client.get("/healthz")


def test_what_is_no_http_request_is_turned_away() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    gates = Gates({})
    asyncio.run(build(services(gates))({"type": "websocket", "path": "/v1/evaluate"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_who_waits_is_let_go_before_the_service_waits_for_what_is_begun() -> None:
    stopping, entered = threading.Event(), threading.Event()
    answers: list[str] = []

    async def held(_: Request) -> Response:
        entered.set()
        await asyncio.to_thread(stopping.wait, 30)
        return Response("let go")

    with ExitStack() as ended, serving(services(stop=stopping.set, routes=[Route("/held", held)])) as served:

        def read() -> None:
            with served.client(None) as client:
                answers.append(client.get("/held", timeout=30).text)

        reader = threading.Thread(target=read)
        reader.start()
        ended.callback(reader.join, 30)
        assert entered.wait(10)
    assert answers == ["let go"]
