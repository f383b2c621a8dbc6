"""`POST /v1/evaluate`: what is asked, what is answered, and that nothing unrecorded passes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import pytest

from onpurpose.adapters.memory import MemoryLedger
from onpurpose.core.call import Call, Identity
from onpurpose.core.decision import Code, Decision, PolicyRef, ShadowVerdict, denial
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass, Purpose
from onpurpose.core.record import LedgerError
from onpurpose.core.result import Result
from onpurpose.core.span import Span
from tests.app.logs import RECEIPT, Scripted, decisions, failing, never, raising, stuck, written
from tests.server.serving import Gates, Served, gate, post, services, serving


def ask(client: httpx2.Client, capability: str = "open", payload: object = None, **fields: Any) -> httpx2.Response:
    return client.post("/v1/evaluate", json={"agent_id": "a", "capability": capability, "payload": payload, **fields})


@pytest.mark.parametrize(
    ("capability", "payload", "outcome", "allowed"),
    [
        ("open", {}, "allow", True),
        ("mail.send", {}, "warn", True),
        ("payments.transfer", {"amount": 5000}, "require_approval", False),
        ("shell.run", {"command": "rm -rf /"}, "deny", False),
        ("shell.run", "ls", "allow", True),
        ("nowhere", {}, "deny", False),
    ],
)
def test_the_outcome_is_the_gates(
    client: httpx2.Client, capability: str, payload: object, outcome: str, allowed: bool
) -> None:
    response = ask(client, capability, payload)
    answer = response.json()
    assert (response.status_code, answer["outcome"], answer["allowed"]) == (200, outcome, allowed)
    assert answer["approval"] is None  # this gate keeps none
    assert response.headers["content-type"] == "application/json"


def test_an_answer_says_why_and_what_would_settle_it(client: httpx2.Client) -> None:
    answer = ask(client, "payments.transfer", {"amount": "lots"}).json()
    (reason,) = [one for one in answer["reasons"] if one["code"] == "rule_unknown"]
    assert reason["rule"] == {"at": "policy.yaml:6", "capability": "payments.transfer"}
    assert reason["outcome"] == "require_approval"
    assert {"condition", "why", "settle"} == reason["unknown"][0].keys()


def test_an_answer_has_every_field(client: httpx2.Client) -> None:
    answer = ask(client, elements=["users.email"]).json()
    assert list(answer) == [
        "outcome", "allowed", "reasons", "decision_id", "digest", "purpose", "intent", "classifier", "elements",
        "shadow", "approval", "token", "expires_at",
    ]  # fmt: skip
    assert (answer["intent"], answer["classifier"], answer["elements"]) == (None, "none", ["users.email"])
    assert (answer["purpose"], answer["shadow"], answer["token"], answer["expires_at"]) == (None, [], None, None)


def test_the_call_is_made_of_every_field() -> None:
    gates = Gates({"acme": gate()})
    body = {
        "agent_id": "a", "capability": "open", "payload": {"x": 1}, "task_context": "t", "risk_category": "r",
        "policy_context": {"tenant": "x"}, "identity": {"user_id": "u", "groups": ["g"]}, "purpose_id": "p",
        "data_source_id": "d", "elements": ["t.c"], "policy": "chosen", "conversation": "hello",
    }  # fmt: skip
    with serving(services(gates)) as served, served.client() as client:
        assert client.post("/v1/evaluate", json=body).status_code == 200
        renamed = {**body, "policy_path": "other", "policy": None}
        assert client.post("/v1/evaluate", json=renamed).status_code == 200
        assert client.post("/v1/evaluate", json={"agent_id": "a", "capability": "open"}).status_code == 200
    (call, policy, workspace, key), (_, second, *_), (bare, third, *_) = gates.asked
    assert (policy, second, third, workspace, key) == ("chosen", "other", None, "acme", "asker")
    wanted = Call("a", "open", {"x": 1}, {"tenant": "x"}, "t", "r", Identity("u", ("g",)), "p", "d", ("t.c",), "hello")
    for name in Call.__struct_fields__:
        assert getattr(call, name) == getattr(wanted, name)
        assert getattr(bare, name) == getattr(Call("a", "open"), name)


def test_a_workspace_is_the_keys_and_no_other(service: Served) -> None:
    with service.client("asker") as ours, service.client("stranger") as theirs:
        assert [ask(client, "theirs").json()["outcome"] for client in (ours, theirs)] == ["deny", "allow"]
        assert [ask(client, "open").json()["outcome"] for client in (ours, theirs)] == ["allow", "deny"]


def test_one_connection_serves_many_calls(service: Served) -> None:
    one = post(b'{"agent_id":"a","capability":"open"}')
    kept = one.replace(b"Connection: close\r\n", b"")
    answers = service.raw(kept * 20 + one)
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b'"allowed":true') == 21
    assert len({*re.findall(rb'"decision_id":"(\w+)"', answers)}) == 21


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/evaluate", "/v1/evaluate/batch"])
def test_only_a_post_is_answered(client: httpx2.Client, method: str, path: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert (not response.content) == (method == "HEAD")


# -- the record


@pytest.mark.parametrize("answer", [never, stuck, raising, failing(LedgerError("the disk is full"))])
def test_a_call_that_cannot_be_recorded_is_denied(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    gates = Gates({"acme": gate(Scripted(answer))})
    parts = services(gates)
    settings = type(parts.settings)(patience=0.05)
    with serving(services(gates, settings=settings)) as served, served.client() as client:
        response = ask(client)
    assert (response.status_code, response.json()["outcome"], response.json()["allowed"]) == (200, "deny", False)
    assert [reason["code"] for reason in response.json()["reasons"]] == ["audit_unavailable"]


def test_what_is_judged_is_what_is_recorded() -> None:
    ledger = MemoryLedger()
    with serving(services(Gates({"acme": gate(ledger)}))) as served, served.client() as client:
        answer = ask(client, "open", {"text": "schön", "n": 1.5}, task_context="t").json()
        deep = orjson.loads(b'{"x":' * 100 + b"1" + b"}" * 100)
        denied = ask(client, "open", deep).json()
    first, second = decisions(ledger)
    assert (first["id"], first["payload"], first["task_context"]) == (
        answer["decision_id"], {"text": "schön", "n": 1.5}, "t",
    )  # fmt: skip
    assert first["digest"] == answer["digest"]
    assert (second["id"], second["outcome"]) == (denied["decision_id"], "deny")
    assert denied["reasons"][0]["code"] == "malformed_call"


@pytest.mark.parametrize("payload", [None, [1], 5, True, {"text": "x" * 100_000}])
def test_any_payload_is_judged(client: httpx2.Client, payload: object) -> None:
    answer = ask(client, "open", payload).json()
    assert answer["outcome"] == ("deny" if type(payload) in (list, int, bool) else "allow")


# -- what only a workspace with purposes answers

PURPOSE = Purpose(id="lookup", name="Look up", intent_class=IntentClass.LOOKUP, span=Span("p.yaml", 1, 1))
VERDICT = ShadowVerdict(
    policy=PolicyRef(kind="policy", name="strict", revision=3), matched=None, would=Outcome.DENY,
    newly_blocked=True, unmatched=False,
)  # fmt: skip


class Settled:
    """A judged call whose answer is known."""

    receipt = None

    def __init__(self, result: Result) -> None:
        self.result = result

    def finish(self, patience: float | None = 0) -> Result:
        return self.result


class Scripting:
    """Answers each call under a purpose, with an outcome named by its capability."""

    def begin(self, call: Call, policy: str | None, *, workspace: str, key: str) -> Settled:
        outcome = Outcome[call.capability.upper()]
        decision = Decision(outcome, denial(Code.OBSERVED, "as told").reasons)
        intent = Intent(label="reads", intent_class=IntentClass.LOOKUP, confidence=0.5)
        return Settled(Result(call, decision, "1", "d", RECEIPT, PURPOSE, 60, (VERDICT,), intent))


class Minting:
    """Makes tokens of a workspace's name, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def mint(self, result: Result, workspace: str) -> tuple[str, int] | None:
        if self.error is not None:
            raise self.error
        return f"token-for-{workspace}", 1_795_329_515_395_639


@pytest.fixture(scope="module")
def purposeful() -> Iterator[Served]:
    with serving(services(Scripting(), minter=Minting())) as served:
        yield served


@pytest.mark.parametrize(
    ("outcome", "token"), [("allow", True), ("warn", True), ("require_approval", False), ("deny", False)]
)
def test_a_token_is_made_for_what_may_run(purposeful: Served, outcome: str, token: bool) -> None:
    with purposeful.client() as client:
        answer = ask(client, outcome).json()
    assert answer["token"] == ("token-for-acme" if token else None)
    assert answer["expires_at"] == ("2026-11-22T06:38:35Z" if token else None)
    assert answer["purpose"] == {"id": "lookup", "name": "Look up", "intent_class": "lookup"}
    assert answer["intent"] == {"label": "reads", "class": "lookup", "confidence": 0.5}
    assert answer["shadow"] == [
        {"kind": "policy", "name": "strict", "revision": 3, "matched": None, "would": "deny", "newly_blocked": True,
         "unmatched": False}
    ]  # fmt: skip


def test_a_token_that_cannot_be_made_is_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    with serving(services(Scripting(), minter=Minting(OSError("no key")))) as served, served.client() as client:
        response = ask(client, "allow")
        assert ask(client, "deny").json()["outcome"] == "deny"
    assert response.status_code == 503
    assert "no key" not in response.text
    assert "outcome" not in response.json()


class Raising:
    """An evaluator that breaks its promise."""

    def begin(self, call: Call, policy: str | None, *, workspace: str, key: str) -> Settled:
        raise RuntimeError("secret of the house")


def test_an_error_of_ours_is_no_pass_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    with serving(services(Raising())) as served, served.client() as client:
        response = ask(client)
        batch = client.post("/v1/evaluate/batch", json={"calls": [{"agent_id": "a", "capability": "open"}]})
    for one in (response, batch):
        assert (one.status_code, one.json()["type"]) == (500, "urn:onpurpose:problem:internal_error")
        assert "secret" not in one.text


# -- many at once


def test_a_batch_is_answered_in_order_and_each_call_recorded() -> None:
    ledger = MemoryLedger()
    calls = [{"agent_id": f"a{n}", "capability": ("open", "shut")[n % 2]} for n in range(256)]
    with serving(services(Gates({"acme": gate(ledger)}))) as served, served.client() as client:
        response = client.post("/v1/evaluate/batch", json={"calls": calls})
    answers = response.json()["answers"]
    assert [answer["outcome"] for answer in answers] == ["allow", "deny"] * 128
    assert [record["id"] for record in decisions(ledger)] == [answer["decision_id"] for answer in answers]
    assert [record["agent_id"] for record in decisions(ledger)] == [call["agent_id"] for call in calls]


def test_a_batch_whose_records_fail_midway_denies_those_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    refused = failing(LedgerError("full"))
    ledger = Scripted(lambda record: (written if b'"agent_id":"good"' in record.body else refused)(record))
    calls = [{"agent_id": name, "capability": "open"} for name in ("good", "bad", "good")]
    with serving(services(Gates({"acme": gate(ledger)}))) as served, served.client() as client:
        answers = client.post("/v1/evaluate/batch", json={"calls": calls}).json()["answers"]
    assert [answer["outcome"] for answer in answers] == ["allow", "deny", "allow"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, ""),
        ({"calls": [], "more": 1}, ""),
        ({"calls": {}}, ""),
        ({"calls": []}, "/calls"),
        ({"calls": [{"agent_id": "a", "capability": "b"}] * 257}, "/calls"),
        ({"calls": [{"agent_id": "a", "capability": "b"}, 5]}, "/calls/1"),
        ({"calls": [{"agent_id": "a", "capability": "b"}, {"agent_id": "a"}]}, "/calls/1/capability"),
    ],
)
def test_a_batch_of_a_wrong_form_is_not_judged_at_all(service: Served, body: object, pointer: str) -> None:
    evaluator: Any = service.services.evaluator
    before = len(evaluator.asked)
    with service.client() as client:
        response = client.post("/v1/evaluate/batch", json=body)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, pointer)
    assert len(evaluator.asked) == before


def test_a_long_batch_is_read_beside_the_loop(client: httpx2.Client) -> None:
    calls = [{"agent_id": "a", "capability": "open", "payload": {"text": "x" * 2000}}] * 100
    answers = client.post("/v1/evaluate/batch", json={"calls": calls}).json()["answers"]
    assert {answer["outcome"] for answer in answers} == {"allow"}
