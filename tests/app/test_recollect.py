"""A call that is told again by its record: never more permitted than it was, and the same where nothing was hidden."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from onpurpose.app.masking import Masking, Pattern
from onpurpose.app.recollect import Recollected, recollect
from onpurpose.core import policy as p
from onpurpose.core.call import Call, Identity
from onpurpose.core.canonical import digest
from onpurpose.core.compile import compile_policy
from onpurpose.core.decide import decide, read_facts
from onpurpose.core.decision import NO_POLICY
from onpurpose.core.facts import Malformed
from onpurpose.core.outcome import Outcome
from onpurpose.core.recorded import record_decision
from onpurpose.core.values import OPAQUE
from tests import strategies as some

laws = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
OPEN = Masking()
MASKINGS = [
    OPEN,
    Masking(keys=["amount", "total"]),
    Masking(keys=["path"], patterns=[Pattern("rm", "(?i)rm")]),
    Masking(patterns=[Pattern("key", "^(a|x|command|environment)$"), Pattern("place", "etc|production")]),
]
"""The usual one, and some that find their secrets in what calls of these tests are made of: values and names."""


def is_asked(value: object) -> bool:
    """Whether a service can be asked with it: it arrives as JSON."""
    try:
        return bool(orjson.loads(orjson.dumps(value)) == value)
    except TypeError:
        return False


payloads = some.payloads.filter(is_asked)
contexts = some.policy_contexts.filter(is_asked)


def body(call: Call, masking: Masking = OPEN, **more: Any) -> bytes:
    facts = read_facts(call)
    payload, context = masking.payload(call.payload, facts), masking.context(call.policy_context)
    seal = digest(call, facts)
    return record_decision("d", 7, call, payload, context, seal, NO_POLICY, orjson.Fragment(b"[]"), more or None).body


def again(call: Call, masking: Masking = OPEN, **more: Any) -> Recollected:
    told = recollect(body(call, masking, **more))
    assert told is not None
    return told


def outcome(policy: p.Policy, call: Call) -> Outcome:
    return decide((compile_policy(policy),), call).outcome


@laws
@given(some.policies, some.capabilities, payloads, contexts, st.sampled_from(MASKINGS))
def test_what_is_told_again_is_judged_at_least_as_strictly(
    policy: p.Policy, capability: str, payload: object, context: dict[str, object] | None, masking: Masking
) -> None:
    call = Call("agent", capability, payload, context)
    try:
        told = again(call, masking)
    except Malformed:
        assume(False)
    assert outcome(policy, told.call) >= outcome(policy, call)


@laws
@given(some.conditions, payloads, contexts, st.sampled_from(MASKINGS))
def test_no_condition_that_denies_is_passed_by_what_is_hidden(
    condition: p.Condition, payload: object, context: dict[str, object] | None, masking: Masking
) -> None:
    call = Call("agent", "a.b", payload, context)
    policy = some.policy([some.rule(Outcome.DENY, "a.b", condition), some.rule(Outcome.ALLOW, "*")])
    try:
        told = again(call, masking)
    except Malformed:
        assume(False)
    assert outcome(policy, told.call) >= outcome(policy, call)


@laws
@given(some.policies, some.capabilities, some.json_payloads)
def test_a_call_of_plain_json_without_secrets_is_told_as_it_was(
    policy: p.Policy, capability: str, payload: object
) -> None:
    call = Call("agent", capability, payload, {"environment": "production"})
    try:
        assume(OPEN.payload(payload, read_facts(call)) == payload)
    except Malformed:
        assume(False)
    told = again(call)
    assert not told.masked
    assert outcome(policy, told.call) is outcome(policy, call)


def test_every_field_is_told() -> None:
    call = Call(
        "agent", "a.b", {"x": [1, 2.5, None]}, {"tenant": "t"}, "task", "finance", Identity("ann", ("g",)), "lookup",
        "crm", ("a.b",),
    )  # fmt: skip
    told = again(call, intent={"confidence": 0.25}, policy="base", approval={"id": "a"})
    assert all(getattr(told.call, name) == getattr(call, name) for name in Call.__struct_fields__)
    assert (told.at, told.policy, told.masked, told.asked, told.confidence) == (7, "base", False, True, 0.25)


@pytest.mark.parametrize(
    ("payload", "known"),
    [
        ({"a": 1, "password": "hunter22"}, {"a": 1, "password": OPAQUE}),
        ({"a": ["password=hunter22", "b"]}, {"a": [OPAQUE, "b"]}),
        ({"a": {"password=hunter22": 1, "b": 2}, "c": 3}, {"a": OPAQUE, "c": 3}),
        ({"password=hunter22": 1}, None),
        ("password=hunter22", None),
        ({"a": b"bytes", "c": 3}, {"a": OPAQUE, "c": 3}),
        ({"a": 10**400, "c": 3}, {"a": OPAQUE, "c": 3}),
        ({"a": object(), "c": 3}, {"a": OPAQUE, "c": 3}),
        ({"a": float("inf")}, None),
    ],
)
def test_what_is_hidden_is_unknown_and_the_rest_is_told(payload: Any, known: object) -> None:
    told = again(Call("agent", "a.b", payload))
    assert told.masked
    assert told.call.payload == known


def test_a_text_that_only_looks_masked_is_told() -> None:
    payload = {"a": "[masked]", "b": "[7 bytes]"}
    told = again(Call("agent", "a.b", payload))
    assert (told.masked, told.call.payload) == (False, payload)


def test_what_is_hidden_in_the_context_is_not_given() -> None:
    context = {"environment": "production", "api_key": "abc", "more": {"deep": ["password=hunter22"]}, "cwd": "/srv"}
    told = again(Call("agent", "a.b", {"a": 1}, context))
    assert told.masked
    assert told.call.policy_context == {"environment": "production", "cwd": "/srv"}
    assert told.call.payload == {"a": 1}
    hidden = again(Call("agent", "a.b", {"a": 1}, {"environment": "password=hunter22", "cwd": "/"}))
    assert (hidden.call.policy_context, hidden.call.payload) == ({"cwd": "/"}, {"a": 1})


def test_a_call_that_is_not_as_it_was_decided_tells_nothing_of_what_policies_read() -> None:
    written = orjson.loads(body(Call("agent", "a.b", {"a": 1}, {"cwd": "/"})))
    told = recollect(orjson.dumps(written | {"payload": {"a": 2}}))
    assert told is not None
    assert (told.masked, told.call.payload, told.call.policy_context) == (True, None, None)


@pytest.mark.parametrize(
    "changed",
    [{"digest": None}, {"agent_id": 7}, {"at": -1}, {"identity": {}}, {"elements": "a.b"}, {"payload": 7}],
)
def test_what_tells_no_call_is_none(changed: dict[str, object]) -> None:
    assert recollect(orjson.dumps(orjson.loads(body(Call("agent", "a.b", {}))) | changed)) is None


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[]", b'{"payload":' + b"[" * 100_000])
def test_what_is_no_record_is_none(text: bytes) -> None:
    assert recollect(text) is None
