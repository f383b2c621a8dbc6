"""`Idempotency-Key`: a repeated request gets the first answer, and its call is judged once."""

from __future__ import annotations

import logging
import threading
from typing import Any

import httpx2
import pytest

from onpurpose.core.claim import Claim, ClaimState
from onpurpose.core.revision import StoreError
from tests.server.serving import Gates, Remembered, Served, gate, services, serving

CALL = {"agent_id": "a", "capability": "open"}


def ask(client: httpx2.Client, name: str, body: object = CALL, path: str = "/v1/evaluate") -> httpx2.Response:
    return client.post(path, json=body, headers={"Idempotency-Key": name})


@pytest.mark.parametrize(("path", "body"), [("/v1/evaluate", CALL), ("/v1/evaluate/batch", {"calls": [CALL]})])
def test_a_repeated_request_gets_the_same_bytes(service: Served, path: str, body: object) -> None:
    evaluator: Any = service.services.evaluator
    before = len(evaluator.asked)
    with service.client() as client:
        first, second = (ask(client, f"same{path}", body, path) for _ in range(2))
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert (first.headers.get("idempotency-replayed"), second.headers["idempotency-replayed"]) == (None, "true")
    assert len(evaluator.asked) == before + 1


def test_another_request_with_the_same_key_is_refused(client: httpx2.Client) -> None:
    assert ask(client, "once").status_code == 200
    other = ask(client, "once", CALL | {"capability": "shell.run"})
    batch = ask(client, "once", CALL, "/v1/evaluate/batch")
    for response in (other, batch):
        assert response.status_code == 422
        assert response.json()["type"] == "urn:onpurpose:problem:idempotency_key_reused"


def test_a_key_of_another_caller_is_another_key(service: Served) -> None:
    ids = set()
    for caller in ("asker", "admin", "stranger"):
        with service.client(caller) as client:
            ids.add(ask(client, "shared").json()["decision_id"])
    assert len(ids) == 3


def test_a_request_that_is_refused_does_not_use_its_key_up(client: httpx2.Client) -> None:
    assert ask(client, "mended", {"agent_id": "a"}).status_code == 422
    assert ask(client, "mended").json()["outcome"] == "allow"


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_key_has_bounds(client: httpx2.Client, name: str) -> None:
    assert ask(client, name).json()["errors"][0]["pointer"] == "Idempotency-Key"


def test_of_two_at_once_one_is_answered_and_one_told_to_wait() -> None:
    held, arrived = threading.Event(), threading.Event()

    class Holding(Remembered):
        def settle(self, workspace: str, key_hash: bytes, body: bytes, at: int) -> None:
            arrived.set()
            held.wait(10)
            super().settle(workspace, key_hash, body, at)

        def claim(self, workspace: str, key_hash: bytes, call_digest: bytes, at: int) -> Claim:
            if (workspace, key_hash) in self.kept and not held.is_set():
                return Claim(state=ClaimState.BUSY)
            return super().claim(workspace, key_hash, call_digest, at)

    answers: list[httpx2.Response] = []
    with serving(services(idempotency=Holding())) as served, served.client() as client:
        first = threading.Thread(target=lambda: answers.append(ask(client, "k")))
        first.start()
        assert arrived.wait(10)
        busy = ask(client, "k")
        held.set()
        first.join(10)
        again = ask(client, "k")
    assert busy.status_code == 409
    assert again.content == answers[0].content


class Broken(Remembered):
    """A store that cannot be reached."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = broken

    def claim(self, workspace: str, key_hash: bytes, call_digest: bytes, at: int) -> Claim:
        if "claim" in self.broken:
            raise StoreError("postgresql://user:password@host")
        return super().claim(workspace, key_hash, call_digest, at)

    def settle(self, workspace: str, key_hash: bytes, body: bytes, at: int) -> None:
        if "settle" in self.broken:
            raise StoreError("postgresql://user:password@host")
        super().settle(workspace, key_hash, body, at)

    def release(self, workspace: str, key_hash: bytes) -> None:
        raise StoreError("postgresql://user:password@host")


@pytest.mark.parametrize("broken", ["claim", "settle"])
def test_a_promise_that_cannot_be_kept_is_not_made(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    with serving(services(idempotency=Broken(broken))) as served, served.client() as client:
        response = ask(client, "k")
        assert client.post("/v1/evaluate", json=CALL).status_code == 200
    assert response.status_code == 503
    assert "password" not in response.text


def test_a_key_that_cannot_be_released_changes_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    with serving(services(idempotency=Broken())) as served, served.client() as client:
        assert ask(client, "k", {}).status_code == 422


def test_a_service_that_keeps_no_keys_says_so() -> None:
    gates = Gates({"acme": gate()})
    with serving(services(gates)) as served, served.client() as client:
        assert ask(client, "k").status_code == 501
    assert gates.asked == []
