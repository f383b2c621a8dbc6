"""The client against the service itself, from the tool call to the token that the tool verifies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from onpurpose import ApprovalRequired, AsyncClient, Call, Client, TokenError, verify_token
from onpurpose.core.decision import Code
from onpurpose.core.result import Result
from tests.app.keys import PURPOSE, SetClock, result
from tests.app.test_tokens import Service as Minting
from tests.server.serving import Gates, Remembered, Served, gate, secret_of, services, serving

PATIENT: dict[str, Any] = {"timeout_seconds": 60, "connect_seconds": 60}


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    one = gate()
    with serving(services(Gates({"acme": one, "other": one}), idempotency=Remembered())) as served:
        yield served


def test_the_service_decides_for_both_clients(service: Served) -> None:
    payload = {"amount": 5000, "to": ["a", {"deep": 1.5}], "note": "ä\u200b"}

    async def run() -> Result:
        async with AsyncClient(service.url, secret_of("asker"), **PATIENT) as client:
            return await client.evaluate("a", "payments.transfer", payload, policy_context={"tenant": "acme"})

    with Client(service.url, secret_of("asker"), **PATIENT) as client:
        results = [client.evaluate("a", "payments.transfer", payload, policy_context={"tenant": "acme"})]
        with pytest.raises(ApprovalRequired):
            client.tool(lambda action: action, "payments.transfer").run(payload)
        assert client.tool(lambda action: action["to"], "payments.transfer").run({"amount": 7, "to": "b"}) == "b"
    results.append(asyncio.run(run()))
    here = gate().evaluate("a", "payments.transfer", payload, policy_context={"tenant": "acme"})
    for there in results:
        assert (there.outcome, there.digest, there.explain()) == (here.outcome, here.digest, explained(here))


def explained(here: Result) -> str:
    """Without the place of the record, which only the service knows."""
    return "\n".join(line for line in here.explain().splitlines() if not line.startswith("  record "))


@pytest.mark.parametrize(("key", "status"), [("nobody", 401), ("expired", 401), ("revoked", 401), ("reader", 403)])
def test_a_key_that_may_not_ask_is_denied(service: Served, key: str, status: int) -> None:
    with Client(service.url, secret_of(key), **PATIENT) as client:
        denied = client.evaluate("a", "open")
    assert [reason.code for reason in denied.reasons] == [Code.UNREACHABLE]
    assert f"HTTP {status}: " in denied.explain()


def test_a_service_that_keeps_no_keys_is_asked_without_one() -> None:
    with serving(services()) as served:
        with Client(served.url, secret_of("asker"), **PATIENT) as client:
            assert "leave the header out" in client.evaluate("a", "open").explain()
        with Client(served.url, secret_of("asker"), retry=False, **PATIENT) as client:
            assert client.evaluate("a", "open").allowed


class Judged:
    """A call that a live policy of its purpose matched."""

    receipt = None

    def __init__(self, call: Call) -> None:
        self._call = call

    def finish(self, patience: float | None = 0) -> Result:
        return result(self._call)


class Purposeful:
    """An evaluator to which every call is within its purpose."""

    def begin(self, call: Call, policy: str | None, *, workspace: str, key: str) -> Judged:
        return Judged(call)


def test_a_token_goes_from_the_service_through_the_agent_to_the_tool() -> None:
    minting = Minting(clock=SetClock()).started()
    now = minting.clock.now()
    call = Call("agent-7", "crm.read", {"id": 7}, purpose_id=PURPOSE.id, data_source_id="crm")
    with (
        serving(services(Purposeful(), minter=minting.tokens, idempotency=Remembered())) as served,
        Client(served.url, secret_of("asker"), **PATIENT) as client,
    ):
        answer = client.begin(call).finish(10)
    assert answer.allowed
    assert answer.token is not None
    assert answer.expires_at == now + 300 * 1_000_000
    jwks = minting.tokens.jwks()
    for audience in ("crm.read", "crm"):
        claims = verify_token(answer.token, jwks=jwks, audience=audience, call=call, now=now / 1e6)
        assert (claims.workspace, claims.id) == ("acme", answer.decision_id)
    changed = msgspec.structs.replace(call, payload={"id": 8})
    with pytest.raises(TokenError, match="another call"):
        verify_token(answer.token, jwks=jwks, audience="crm", call=changed, now=now / 1e6)
