"""A record holds every field of a decision, in one body."""

from __future__ import annotations

import orjson
import pytest

from onpurpose.core.call import Call, Identity
from onpurpose.core.decision import NO_POLICY, Code, Decision, PolicyRef, Reason, ShadowVerdict
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass
from onpurpose.core.purposes import Verdict
from onpurpose.core.recorded import record_decision, verdict_fields
from tests.core.test_result import REASON

REF = PolicyRef(kind="purpose_policy", name="lookups", revision=3)
POLICIES = orjson.Fragment(b'[{"source":"p.yaml","digest":"00"}]')


def body(
    call: Call, decision: Decision, payload: object = None, also: dict[str, object] | None = None
) -> dict[str, object]:
    record = record_decision("d1", 7, call, payload, {"tenant": "x"}, "ab", decision, POLICIES, also)
    assert record.kind == "decision"
    written: dict[str, object] = orjson.loads(record.body)
    return written


def test_a_record_holds_every_field() -> None:
    call = Call(
        "ops", "a.b", {"true": "payload"}, {"true": "context"}, task_context="t", risk_category="r",
        identity=Identity("ann", ("a",)), purpose_id="p", data_source_id="d", elements=("x.y",),
    )  # fmt: skip
    assert body(call, Decision(Outcome.WARN, (REASON,)), {"masked": "payload"}) == {
        "v": 1,
        "kind": "decision",
        "id": "d1",
        "at": 7,
        "agent_id": "ops",
        "capability": "a.b",
        "task_context": "t",
        "risk_category": "r",
        "policy_context": {"tenant": "x"},
        "identity": {"user_id": "ann", "groups": ["a"]},
        "purpose_id": "p",
        "data_source_id": "d",
        "elements": ["x.y"],
        "payload": {"masked": "payload"},
        "digest": "ab",
        "outcome": "warn",
        "reasons": [
            {
                "code": "rule_unknown",
                "outcome": "deny",
                "message": "whether it matches cannot be told",
                "rule": {"at": "p.yaml:3", "capability": "a.b"},
                "unknown": [{"condition": "contains", "why": "hidden \x1b[31m", "settle": "write it plainly"}],
                "signals": [
                    {"name": "link", "weight": 15, "certain": True},
                    {"name": "urgency", "weight": 20, "certain": False},
                ],
            }
        ],
        "policies": [{"source": "p.yaml", "digest": "00"}],
    }


def test_a_reason_without_more_to_say_says_no_more() -> None:
    written = body(Call("a", "b"), NO_POLICY)
    assert written["reasons"] == [
        {"code": "no_policy", "outcome": "deny", "message": "no policy is in force for this call"}
    ]


def test_what_a_call_leaves_out_is_left_out() -> None:
    optional = {"task_context", "risk_category", "identity", "purpose_id", "data_source_id", "elements"}
    assert not body(Call("a", "b"), NO_POLICY).keys() & optional


@pytest.mark.parametrize("outcome", Outcome)
def test_the_outcome_is_written_by_its_name(outcome: Outcome) -> None:
    assert body(Call("a", "b"), Decision(outcome, ()))["outcome"] == str(outcome)


def test_a_decision_that_is_recorded_again_says_the_same() -> None:
    decision = Decision(Outcome.DENY, (Reason(code=Code.RISK, outcome=Outcome.DENY, message="x"),))
    assert body(Call("a", "b"), decision) == body(Call("a", "b"), decision)


def test_what_is_not_fit_for_json_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        body(Call("a", "b", elements=(object(),)), NO_POLICY)  # type: ignore[arg-type]


SHADOW = ShadowVerdict(policy=REF, matched=None, would=Outcome.REQUIRE_APPROVAL, newly_blocked=True, unmatched=False)
VERDICT = Verdict(decision=NO_POLICY, shadows=(SHADOW,), matched=(REF,))


def test_a_record_holds_what_a_service_adds() -> None:
    intent = Intent(label="read mail", intent_class=IntentClass.LOOKUP, confidence=0.75)
    also = verdict_fields(VERDICT, intent, workspace="acme", key="k1", policy="base", stale_seconds=6.5)
    written = body(Call("a", "b"), NO_POLICY, also=also)
    assert {name: written[name] for name in also} == {
        "workspace": "acme",
        "key": "k1",
        "intent": {"label": "read mail", "class": "lookup", "confidence": 0.75},
        "shadow": [
            {
                "kind": "purpose_policy",
                "name": "lookups",
                "revision": 3,
                "matched": None,
                "would": "require_approval",
                "newly_blocked": True,
                "unmatched": False,
            }
        ],
        "purpose_policies": [{"name": "lookups", "revision": 3}],
        "policy": "base",
        "stale_seconds": 6.5,
    }


def test_a_service_with_nothing_to_add_adds_nothing() -> None:
    assert verdict_fields(Verdict(decision=NO_POLICY)) == {}


def test_no_further_field_replaces_one_of_the_record() -> None:
    call = Call("a", "b", purpose_id="p")
    forged: dict[str, object] = {"outcome": "allow", "purpose_id": "q", "kind": "x", "workspace": "acme"}
    assert body(call, NO_POLICY, also=forged) == {**body(call, NO_POLICY), "workspace": "acme"}


def test_a_reason_names_its_purpose_policy() -> None:
    reason = Reason(code=Code.PURPOSE_POLICY_MATCHED, outcome=Outcome.ALLOW, message="it matches", policy=REF)
    written = body(Call("a", "b"), Decision(Outcome.ALLOW, (reason,)))
    assert written["reasons"] == [
        {
            "code": "purpose_policy_matched",
            "outcome": "allow",
            "message": "it matches",
            "policy": {"kind": "purpose_policy", "name": "lookups", "revision": 3},
        }
    ]
