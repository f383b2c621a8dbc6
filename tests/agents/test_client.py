"""A client decides as its service does, and denies whatever is no decision of its call."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from onpurpose import ActionDenied, ApprovalRequired, AsyncClient, Call, Client, Gate, Identity, Result
from onpurpose.adapters.http_client import MAX_ANSWER, HttpLine
from onpurpose.core.decision import Code
from tests.agents.service import KEY, POLICY, Bytes, Service
from tests.strategies import json_payloads

PATIENT: dict[str, Any] = {"timeout_seconds": 60, "connect_seconds": 60}
"""For tests that are about an answer, on a machine that may have much else to do."""


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def service(running: Service) -> Service:
    running.forget()
    return running


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url, KEY, **PATIENT) as one:
        yield one


def codes(result: Result) -> list[str]:
    return [str(reason.code) for reason in result.reasons]


def asked(url: str, **settings: Any) -> list[Result]:
    """What both clients make of a service."""

    async def run() -> Result:
        async with AsyncClient(url, KEY, **(PATIENT | settings)) as one:
            return await one.evaluate("a", "open", {"id": 7})

    with Client(url, KEY, **(PATIENT | settings)) as one:
        return [one.evaluate("a", "open", {"id": 7}), asyncio.run(run())]


# -- decisions


@pytest.mark.parametrize(
    ("capability", "payload", "outcome"),
    [
        ("open", {"id": 7}, "allow"),
        ("mind", "text", "warn"),
        ("ask", None, "require_approval"),
        ("shut", {}, "deny"),
        ("other", {}, "deny"),
        ("pay", {"amount": Decimal("100.01")}, "require_approval"),
        ("pay", {"amount": Decimal("99.99")}, "allow"),
    ],
)
def test_what_the_service_decides_is_decided(client: Client, capability: str, payload: object, outcome: str) -> None:
    result = client.evaluate("a", capability, payload)
    here = Gate(POLICY, None).evaluate("a", capability, payload)
    assert (str(result.outcome), result.allowed) == (outcome, here.allowed)
    assert result.explain().splitlines()[0] == here.explain().splitlines()[0]
    assert [(r.code, r.outcome, r.message, str(r.rule)) for r in result.reasons] == [
        (r.code, r.outcome, r.message, str(r.rule)) for r in here.reasons
    ]
    assert result.decision_id


@pytest.fixture(scope="module")
def lasting(running: Service) -> Iterator[Client]:
    with Client(running.url, KEY, **PATIENT) as one:
        yield one


@given(st.sampled_from(["open", "pay", "ask", "shut"]), json_payloads)
def test_client_and_gate_decide_alike(running: Service, lasting: Client, capability: str, payload: Any) -> None:
    running.forget()
    there = lasting.evaluate("a", capability, payload)
    here = running.gate.evaluate("a", capability, payload)
    if is_held(payload):
        assert (there.outcome, there.digest, codes(there)) == (here.outcome, here.digest, codes(here))
    else:
        assert codes(there) == [Code.MALFORMED_CALL]


def is_held(payload: Any) -> bool:
    """Whether JSON in UTF-8, as it is read here, holds the payload."""
    try:
        json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()
        orjson.dumps(payload)
    except (ValueError, TypeError):
        return False
    return True


FIELDS: dict[str, Any] = {
    "task_context": "t",
    "risk_category": "r",
    "policy_context": {"environment": "prod", "tenant": "acme"},
    "identity": Identity("ada", ("b", "a")),
    "purpose_id": "look_up",
    "data_source_id": "crm",
    "elements": ("crm.name",),
    "conversation": "please",
}


def test_every_field_of_the_call_is_sent(client: Client, service: Service) -> None:
    result = client.evaluate("a", "open", {"id": 7}, policy_path="strict", **FIELDS)
    assert result.allowed
    assert service.asked == [
        {"agent_id": "a", "capability": "open", "payload": {"id": 7}, "policy": "strict"}
        | FIELDS
        | {"identity": {"user_id": "ada", "groups": ["b", "a"]}, "elements": ["crm.name"]}
    ]
    assert service.headers[0]["authorization"] == f"Bearer {KEY}"
    assert len(service.headers[0]["idempotency-key"]) == 32


def test_what_is_not_given_is_not_sent(client: Client, service: Service) -> None:
    assert not client.evaluate("a", "ask").allowed
    assert service.asked == [{"agent_id": "a", "capability": "ask"}]


def test_every_question_has_a_key_of_its_own(client: Client, service: Service) -> None:
    for _ in range(3):
        client.evaluate("a", "open")
    assert len({headers["idempotency-key"] for headers in service.headers}) == 3


def test_purpose_intent_shadows_and_token_come_back(client: Client, service: Service) -> None:
    service.also = {
        "purpose": {"id": "look_up", "name": "Look up", "intent_class": "lookup"},
        "intent": {"label": "lookup_customer", "class": "lookup", "confidence": 0.9},
        "classifier": "none",
        "elements": ["crm.name"],
        "shadow": [
            {"kind": "purpose_policy", "name": "p", "revision": 3, "matched": None, "would": "deny",
             "newly_blocked": True, "unmatched": False}
        ],
        "approval": None,
        "token": "e.y.J",
        "expires_at": "2027-01-15T08:05:00Z",
        "something_new": {"of": "a newer service"},
    }  # fmt: skip
    result = client.evaluate("a", "open", {})
    assert result.purpose is not None
    assert result.intent is not None
    assert (result.purpose.id, result.intent.intent_class, str(result.shadows[0].policy)) == (
        "look_up",
        "lookup",
        "p@3",
    )
    assert (result.token, result.expires_at) == ("e.y.J", 1_800_000_300_000_000)
    denied = client.evaluate("a", "shut", {})
    assert (denied.token, denied.expires_at) == (None, None)


def test_a_reason_that_only_a_newer_service_knows_stays_as_it_is_written(client: Client, service: Service) -> None:
    service.also = {"reasons": [{"code": "granted_by_two", "outcome": "allow", "message": "as agreed", "new": 1}]}
    result = client.evaluate("a", "open", {})
    assert result.allowed
    assert "allow: as agreed" in result.explain()
    assert codes(result) == ["granted_by_two"]


# -- what is no answer


def replying(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    async def answer(request: Request) -> Response:
        return Response(body, status, headers, "application/json")

    return answer


GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"<html>welcome</html>",
    "not UTF-8": b'{"outcome": "\xff"}',
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "brackets": b"[" * 100_000,
    "allowed alone": b'{"allowed": true}',
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_a_denial(service: Service, body: bytes) -> None:
    service.answering = replying(body)
    for result in asked(service.url):
        assert (result.allowed, codes(result)) == (False, [Code.UNREACHABLE])


@pytest.mark.parametrize(
    "wrong",
    [
        {"outcome": "permit"},
        {"outcome": "ALLOW"},
        {"outcome": None},
        {"outcome": 0},
        {"allowed": False},
        {"allowed": "true"},
        {"outcome": "require_approval"},
        {"outcome": "deny"},
        {"digest": None},
        {"digest": "0" * 64},
        {"decision_id": ""},
        {"decision_id": 7},
        {"reasons": None},
        {"reasons": [{}]},
        {"reasons": [{"code": "x", "outcome": "maybe", "message": ""}]},
        {"reasons": [{"code": "x", "outcome": "allow", "message": "", "rule": {"at": "no line", "capability": "x"}}]},
        {"shadow": [{}]},
        {"token": 7},
        {"expires_at": "2027-01-15T08:05:00"},
        {"purpose": {"id": "p", "intent_class": "mischief"}},
    ],
    ids=repr,
)
def test_an_answer_that_is_wrong_in_one_place_is_a_denial(service: Service, wrong: dict[str, Any]) -> None:
    service.also = wrong
    for result in asked(service.url):
        assert (result.allowed, codes(result)) == (False, [Code.UNREACHABLE])


def test_a_decision_of_another_call_is_a_denial(service: Service) -> None:
    other = service.decide({"agent_id": "a", "capability": "open", "payload": {"id": 8}})
    service.answering = replying(orjson.dumps(other))
    for result in asked(service.url):
        assert codes(result) == [Code.UNREACHABLE]
        assert "another call" in result.explain()


@pytest.mark.parametrize(
    "status", [201, 204, 301, 302, 307, 308, 400, 401, 403, 404, 409, 413, 422, 429, 500, 501, 503]
)
def test_no_status_but_200_decides(service: Service, status: int) -> None:
    allowed = service.decide({"agent_id": "a", "capability": "open", "payload": {"id": 7}})
    body = b"" if status == 204 else orjson.dumps(allowed)
    service.answering = replying(body, status, {"location": f"{service.url}/v1/evaluate", "retry-after": "1"})
    for result in asked(service.url):
        assert (result.allowed, codes(result)) == (False, [Code.UNREACHABLE])
        assert f"HTTP {status}" in result.explain()
    assert len(service.asked) == 2


def test_a_problem_of_the_service_is_told_cut_and_printable(service: Service) -> None:
    detail = "the key \x1b[31m is revoked" + "!" * 1000
    service.answering = replying(orjson.dumps({"title": "Unauthenticated", "detail": detail}), 401)
    for result in asked(service.url):
        assert "HTTP 401: the key \ufffd[31m is revoked!!!" in result.explain()
        assert len(result.explain()) < 500
        assert KEY not in result.explain()


def test_an_answer_that_is_too_long_is_a_denial(service: Service) -> None:
    async def flood(request: Request) -> Response:
        async def chunks() -> Any:
            for _ in range(100):
                yield b" " * 65536

        return StreamingResponse(chunks())

    service.answering = flood
    for result in asked(service.url):
        assert f"longer than {MAX_ANSWER:,} bytes" in result.explain()


def test_a_packed_answer_is_not_unpacked(service: Service) -> None:
    import gzip

    service.answering = replying(gzip.compress(b" " * 10_000_000), headers={"content-encoding": "gzip"})
    for result in asked(service.url):
        assert "cannot be read" in result.explain()


def test_silence_is_a_denial_and_is_not_asked_again(service: Service) -> None:
    service.answering = service.hold
    for result in asked(service.url, timeout_seconds=0.1):
        assert (result.allowed, codes(result)) == (False, [Code.UNREACHABLE])
        assert "did not answer in time" in result.explain()
    assert len(service.asked) == 2


def test_an_answer_that_comes_drop_by_drop_is_given_up(service: Service) -> None:
    async def drip(request: Request) -> Response:
        async def chunks() -> Any:
            for _ in range(1000):
                yield b" "
                await asyncio.sleep(0.01)

        return StreamingResponse(chunks())

    service.answering = drip
    for result in asked(service.url, timeout_seconds=0.1):
        assert "did not answer in time" in result.explain()
    line = HttpLine(service.url, KEY, seconds=0.1, connect_seconds=1, connections=1)
    with pytest.raises(TimeoutError, match="took too long"):
        line.post(b"{}", None)
    line.close()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    "sent", [b"", HEAD, HEAD + b"content-length: 100\r\n\r\n{"], ids=["nothing", "half a head", "half"]
)
def test_half_an_answer_is_a_denial_whether_the_service_hangs_up_or_not(sent: bytes) -> None:
    with Bytes(sent) as service:
        for result in asked(service.url):
            assert codes(result) == [Code.UNREACHABLE]
    with Bytes(sent, hang_up=False) as service:
        for result in asked(service.url, timeout_seconds=0.1):
            assert codes(result) == [Code.UNREACHABLE]


@pytest.mark.parametrize(
    "sent", [b"SSH-2.0-OpenSSH\r\n", b"\x00" * 100, b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" * 9]
)
def test_what_is_no_http_is_a_denial(sent: bytes) -> None:
    with Bytes(sent) as service:
        for result in asked(service.url):
            assert codes(result) == [Code.UNREACHABLE]


def test_a_service_that_is_not_there_is_a_denial() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for result in asked(f"http://127.0.0.1:{port}"):
        assert codes(result) == [Code.UNREACHABLE]
        assert "cannot be reached" in result.explain()
        assert (result.decision_id, result.digest, result.receipt) == ("", None, None)


def test_a_service_that_speaks_no_tls_is_a_denial(service: Service) -> None:
    for result in asked(service.url.replace("http://", "https://")):
        assert codes(result) == [Code.UNREACHABLE]


# -- asked again


def good(service: Service) -> bytes:
    body = orjson.dumps(service.decide({"agent_id": "a", "capability": "open", "payload": {"id": 7}}))
    return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body


def test_a_question_whose_connection_broke_is_asked_once_more_under_its_key(service: Service) -> None:
    for number, ask in enumerate((0, 1)):
        with Bytes(b"", good(service)) as broken:
            assert one_of(ask, broken.url).allowed
        first, second = broken.questions
        assert first == second, number
        assert b"idempotency-key: " in first.lower()


def test_a_question_without_a_key_is_never_asked_again(service: Service) -> None:
    for ask in (0, 1):
        with Bytes(b"", good(service)) as broken:
            assert not one_of(ask, broken.url, retry=False).allowed
        assert len(broken.questions) == 1
        assert b"idempotency-key" not in broken.questions[0].lower()


def test_a_question_is_not_asked_a_third_time() -> None:
    for ask in (0, 1):
        with Bytes(b"") as broken:
            assert not one_of(ask, broken.url).allowed
        assert len(broken.questions) == 2


def one_of(which: int, url: str, **settings: Any) -> Result:
    async def run() -> Result:
        async with AsyncClient(url, KEY, **(PATIENT | settings)) as one:
            return await one.evaluate("a", "open", {"id": 7})

    if which:
        return asyncio.run(run())
    with Client(url, KEY, **(PATIENT | settings)) as one:
        return one.evaluate("a", "open", {"id": 7})


# -- what JSON cannot hold


class Thing:
    """An object that no JSON holds."""


class Colour(Enum):
    RED = "red"


class Wild(dict[str, object]):
    """A mapping that fails whoever reads it."""

    def items(self) -> Any:
        raise RuntimeError("wild")


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return {"deep": value}


@pytest.mark.parametrize(
    ("payload", "context"),
    [
        ({"b": b"bytes"}, None),
        ({"b": [bytearray(b"bytes")]}, None),
        ({"o": Thing()}, None),
        ({"s": {1, 2}}, None),
        ({"c": 1j}, None),
        ({1: "a"}, None),
        ({None: "a"}, None),
        ({"n": float("nan")}, None),
        ({"n": [float("inf")]}, None),
        ({"n": 1 << 64}, None),
        ({"n": -(1 << 63) - 1}, None),
        ({"t": "\ud800"}, None),
        ({"\ud800": 1}, None),
        ("\ud800", None),
        (["a list"], None),
        (7, None),
        (Thing(), None),
        (deep(65), None),
        ({"t": "x" * ((1 << 20) + 1)}, None),
        (Wild(a=1), None),
        ({}, {"tenant": Thing()}),
        ({}, {"tenant": b"acme"}),
        ({}, deep(70)),
        ({}, {7: 1}),
        ({}, 7),
    ],
    ids=lambda value: repr(value)[:25],
)
def test_a_call_that_json_cannot_hold_is_denied_here(
    client: Client, service: Service, payload: object, context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    result = client.evaluate("a", "open", payload, policy_context=context)
    assert codes(result) == [Code.MALFORMED_CALL]
    assert service.asked == []


@pytest.mark.parametrize(
    "fields",
    [
        {"identity": 7},
        {"identity": Identity("ada", (1, "b"))},  # type: ignore[arg-type]
        {"identity": Identity(Thing())},  # type: ignore[arg-type]
        {"elements": 7},
        {"task_context": Thing()},
        {"purpose_id": "\ud800"},
        {"agent_id": "\ud800"},
        {"agent_id": Thing()},
        {"capability": b"open"},
    ],
    ids=repr,
)
def test_a_field_that_is_of_no_use_is_denied_and_never_raised(
    client: Client, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    assert not client.evaluate(**({"agent_id": "a", "capability": "open"} | fields)).allowed


def test_values_with_a_standard_text_go_as_that_and_nothing_else_is_changed(client: Client, service: Service) -> None:
    result = client.evaluate(
        "a",
        "open",
        {
            "decimal": Decimal("1.50"),
            "many": [Decimal("NaN"), Decimal("1E+400")],
            "date": date(2026, 1, 2),
            "moment": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
            "time": time(1, 2),
            "uuid": UUID(int=7),
            "path": PurePosixPath("/etc/passwd"),
            "enum": Colour.RED,
            "tuple": (1, 2.5, True, None),
            "large": (1 << 64) - 1,
        },
    )
    assert result.allowed
    assert service.asked[0]["payload"] == {
        "decimal": "1.50",
        "many": ["NaN", "1E+400"],
        "date": "2026-01-02",
        "moment": "2026-01-02T03:04:00+00:00",
        "time": "01:02:00",
        "uuid": str(UUID(int=7)),
        "path": "/etc/passwd",
        "enum": "red",
        "tuple": [1, 2.5, True, None],
        "large": (1 << 64) - 1,
    }


# -- tools


def test_a_guarded_function_runs_only_if_the_service_permits_it(client: Client, service: Service) -> None:
    entered: list[int] = []

    @client.guard("open", agent_id="a", policy_context=lambda: {"tenant": "acme"})
    def tool(number: int, by: int = 2) -> int:
        entered.append(number)
        return number * by

    @client.guard("ask")
    def asking() -> None:
        entered.append(-1)

    assert tool(21) == 42
    assert service.asked[0]["payload"] == {"number": 21, "by": 2}
    assert service.asked[0]["policy_context"] == {"tenant": "acme"}
    with pytest.raises(ApprovalRequired):
        asking()
    service.also = {"outcome": "permit"}
    with pytest.raises(ActionDenied) as caught:
        tool(1)
    assert codes(caught.value.result) == [Code.UNREACHABLE]
    assert entered == [21]


def test_a_tool_runs_on_what_was_judged(client: Client, service: Service) -> None:
    tool = client.tool(lambda action: action["id"], "open", agent_id="a", policy_path="strict")
    assert tool.run({"id": 7}, policy_context={"tenant": "acme"}) == 7
    assert service.asked[0] == {
        "agent_id": "a", "capability": "open", "payload": {"id": 7}, "policy_context": {"tenant": "acme"},
        "policy": "strict",
    }  # fmt: skip
    with pytest.raises(ActionDenied):
        client.tool(lambda action: action, "shut").run({})
    assert not client.tool(lambda action: action, "shut").check({}).allowed


def test_a_plain_client_serves_coroutines_too(client: Client) -> None:
    @client.guard("open")
    async def tool(number: int) -> int:
        return number

    async def run() -> list[Any]:
        return [await tool(7), (await client.evaluate_async("a", "mind", {}, task_context="t")).allowed]

    assert asyncio.run(run()) == [7, True]


def test_many_coroutines_share_a_client(service: Service) -> None:
    async def run() -> list[Result]:
        async with AsyncClient(service.url, KEY, **PATIENT) as one:
            return await asyncio.gather(*(one.evaluate("a", "open", {"n": n}) for n in range(100)))

    results = asyncio.run(run())
    assert all(result.allowed for result in results)
    assert len({result.digest for result in results}) == 100


def test_many_threads_share_a_client(client: Client) -> None:
    results: list[Result] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(client.evaluate("a", "open", {"n": n}))) for n in range(64)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(result.allowed for result in results)
    assert len({result.digest for result in results}) == 64


def test_tools_of_coroutines_ask_the_service(service: Service) -> None:
    async def act(action: Any) -> Any:
        return action["id"]

    async def run() -> list[Any]:
        async with AsyncClient(service.url, KEY, **PATIENT) as one:

            @one.guard("open")
            async def guarded(number: int) -> int:
                return number

            with pytest.raises(ActionDenied):
                await one.tool(act, "shut").run_async({})
            return [await guarded(5), await one.tool(act, "open").run_async({"id": 7})]

    assert asyncio.run(run()) == [5, 7]


def test_an_async_client_guards_no_plain_function() -> None:
    one = AsyncClient("http://127.0.0.1:1", KEY)
    with pytest.raises(TypeError, match="use Client"):
        one.guard("open")(len)


def test_a_tool_that_would_wait_for_its_own_loop_is_denied_at_once(service: Service) -> None:
    async def run() -> Result:
        async with AsyncClient(service.url, KEY, timeout_seconds=600) as one:
            result = one.tool(lambda action: action, "open").check({})
            assert one.tool(lambda action: action, "open").check({}).outcome == result.outcome
            return result

    result = asyncio.run(run())
    assert codes(result) == [Code.UNREACHABLE]
    assert "await `run_async`" in result.explain()


def test_without_an_event_loop_an_async_client_denies() -> None:
    one = AsyncClient("http://127.0.0.1:1", KEY)
    assert codes(one.tool(lambda action: action, "open").check({})) == [Code.UNREACHABLE]


def test_a_cancelled_question_is_given_up(service: Service) -> None:
    held = asyncio.Event()

    async def run() -> None:
        async def answer(request: Request) -> Response:
            loop.call_soon_threadsafe(held.set)
            return await service.hold(request)

        loop = asyncio.get_running_loop()
        service.answering = answer
        async with AsyncClient(service.url, KEY, **PATIENT) as one:
            asking = asyncio.create_task(one.evaluate("a", "open"))
            await held.wait()
            (task,) = one._tasks
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await asyncio.wait([task])
            assert task.cancelled()

    asyncio.run(run())


def test_an_async_client_serves_one_loop_after_another(service: Service) -> None:
    one = AsyncClient(service.url, KEY, **PATIENT)

    async def run() -> Result:
        result = await one.evaluate("a", "open")
        await one._line.close()
        return result

    for result in [asyncio.run(run()) for _ in range(3)]:
        assert result.allowed, result.explain()


# -- its own life


def test_a_closed_client_denies(service: Service) -> None:
    one = Client(service.url, KEY)
    one.close()
    one.close()
    assert codes(one.evaluate("a", "open")) == [Code.UNREACHABLE]

    async def run() -> Result:
        other = AsyncClient(service.url, KEY)
        await other.evaluate("a", "open")
        await other.close()
        await other.close()
        return await other.evaluate("a", "open")

    assert codes(asyncio.run(run())) == [Code.UNREACHABLE]
    assert len(service.asked) == 1


def test_who_waits_while_a_client_is_closed_is_denied(service: Service) -> None:
    arrived = threading.Event()

    async def answer(request: Request) -> Response:
        arrived.set()
        return await service.hold(request)

    service.answering = answer
    results: list[Result] = []
    one = Client(service.url, KEY, timeout_seconds=1)
    waiting = threading.Thread(target=lambda: results.append(one.evaluate("a", "open")))
    waiting.start()
    assert arrived.wait(10)
    one.close()
    waiting.join(10)
    assert codes(results[0]) == [Code.UNREACHABLE]


def test_coroutines_that_wait_while_a_client_is_closed_are_denied_at_once(service: Service) -> None:
    service.answering = service.hold

    async def run() -> list[Result]:
        one = AsyncClient(service.url, KEY, timeout_seconds=600)
        waiting = [asyncio.create_task(one.evaluate("a", "open")) for _ in range(3)]
        await asyncio.sleep(0)
        await one.close()
        return await asyncio.gather(*waiting)

    assert [codes(result) for result in asyncio.run(run())] == [[Code.UNREACHABLE]] * 3


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("", KEY),
        ("gate.example", KEY),
        ("ftp://gate.example", KEY),
        ("https://", KEY),
        ("https://a:b@gate.example", KEY),
        ("https://gate.example?x=1", KEY),
        ("https://gate.example#x", KEY),
        ("http://gate.example:port", KEY),
        (None, KEY),
        ("https://gate.example", ""),
        ("https://gate.example", "op a"),
        ("https://gate.example", "op\r\nx: y"),
        ("https://gate.example", "öp"),
    ],
)
def test_a_url_or_key_of_a_wrong_form_is_an_error(make: Callable[[Any, str], object], url: Any, key: str) -> None:
    with pytest.raises(ValueError, match=r"key|URL") as caught:
        make(url, key)
    assert "a:b" not in str(caught.value)


def test_a_path_before_the_service_is_kept_and_no_key_is_shown() -> None:
    with Client("https://gate.example/onpurpose/", KEY) as one:
        assert repr(one._line) == "HttpLine('https://gate.example/onpurpose/v1/evaluate')"
        assert KEY not in repr(vars(one))


def test_nothing_is_read_from_the_environment(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert all(result.allowed for result in asked(service.url))


def test_a_call_itself_can_be_asked(client: Client) -> None:
    pending = client.begin(Call("a", "open", {"id": 7}))
    assert pending.finish(10).allowed
    assert pending.finish().allowed


FORKED = """\
import os, sys
from onpurpose import Client
client = Client(sys.argv[1], sys.argv[2], timeout_seconds=60, connect_seconds=60)
assert client.evaluate("a", "open", {"n": 1}).allowed
child = os.fork()
allowed = [client.evaluate("a", "open", {"n": n, "child": not child}).allowed for n in range(20)]
if not child:
    os._exit(0 if all(allowed) else 1)
assert all(allowed)
assert os.waitpid(child, 0)[1] == 0
client.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_forked_child_asks_over_connections_of_its_own(service: Service) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, service.url, KEY], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(service.asked) == 41


SLOWLY = """\
from onpurpose import Client
import sys
with Client(sys.argv[1], sys.argv[2], timeout_seconds=0.2) as client:
    print(client.evaluate("a", "open").explain())
"""


def test_a_process_ends_though_the_service_keeps_silent(service: Service) -> None:
    service.answering = service.hold
    done = subprocess.run(
        [sys.executable, "-c", SLOWLY, service.url, KEY], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "did not answer in time" in done.stdout
