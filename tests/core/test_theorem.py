"""The laws of the decision, and the decision against its naive twin."""

from __future__ import annotations

import json
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onpurpose.core import policy as p
from onpurpose.core.call import Call
from onpurpose.core.compile import compile_policy
from onpurpose.core.decide import decide
from onpurpose.core.outcome import Outcome, stricter
from onpurpose.lang.read import parse
from tests import strategies as some
from tests import twin
from tests.twin.kleene import Answer, agreed, both, either, opposite

EXAMPLES = int(os.environ.get("ONPURPOSE_EXAMPLES", "300"))
"""How many cases each law is tried on; set it higher for a long run."""

laws = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
answers = st.sampled_from([True, False, None])


def outcome(policy: p.Policy, call: Call) -> Outcome:
    return decide((compile_policy(policy),), call).outcome


def asking(condition: p.Condition, *then: p.Rule) -> p.Policy:
    return some.policy([some.rule(Outcome.REQUIRE_APPROVAL, "a.b", condition), *then])


ANSWERS = {
    (Outcome.REQUIRE_APPROVAL, Outcome.REQUIRE_APPROVAL): True,
    (Outcome.DENY, Outcome.ALLOW): False,
    (Outcome.DENY, Outcome.REQUIRE_APPROVAL): None,
}
"""What a condition answered, told from a rule that asks: alone, and before one that allows."""


def answer(condition: p.Condition, payload: object, context: dict[str, object] | None) -> Answer:
    call = Call("agent", "a.b", payload, context)
    alone, before = asking(condition), asking(condition, some.rule(Outcome.ALLOW, "*"))
    return ANSWERS[outcome(alone, call), outcome(before, call)]


@laws
@given(some.policies, some.calls)
def test_the_decision_is_that_of_the_twin(policy: p.Policy, call: Call) -> None:
    assert outcome(policy, call) == twin.decide(policy, call)


@laws
@given(some.conditions, some.payloads, some.policy_contexts)
def test_every_condition_answers_as_in_the_twin(
    condition: p.Condition, payload: object, context: dict[str, object] | None
) -> None:
    call = Call("agent", "a.b", payload, context)
    assert answer(condition, payload, context) is twin.answer(condition, asking(condition), call)


@laws
@given(some.policies, some.calls)
def test_not_knowing_a_fact_never_loosens(policy: p.Policy, call: Call) -> None:
    known = outcome(policy, call)
    assert all(outcome(policy, hidden) >= known for hidden in some.less_known(call))


@laws
@given(some.policies, some.calls)
def test_not_knowing_a_fact_never_loosens_the_twin(policy: p.Policy, call: Call) -> None:
    known = twin.decide(policy, call)
    assert all(twin.decide(policy, hidden) >= known for hidden in some.less_known(call))


@laws
@given(some.conditions, some.mappings, some.policy_contexts)
def test_an_answer_about_less_is_the_same_or_unknown(
    condition: p.Condition, payload: object, context: dict[str, object] | None
) -> None:
    known = answer(condition, payload, context)
    for hidden in some.less_known(Call("agent", "a.b", payload, context)):
        assert answer(condition, hidden.payload, hidden.policy_context) in (known, None)


@laws
@given(some.policies, some.json_payloads, some.policy_contexts)
def test_a_round_trip_through_json_changes_nothing(
    policy: p.Policy, payload: dict[str, object], context: dict[str, object] | None
) -> None:
    again = json.loads(json.dumps(payload))
    before, after = (Call("agent", "a.b", value, context) for value in (payload, again))
    assert outcome(policy, before) == outcome(policy, after)


@laws
@given(some.policies, some.rules, some.calls)
def test_another_rule_that_denies_never_loosens(policy: p.Policy, rule: p.Rule, call: Call) -> None:
    denying = some.rule(Outcome.DENY, rule.capability, *rule.conditions)
    more = some.policy([*policy.rules, denying], policy.amount_keys, policy.path_keys)
    assert outcome(more, call) >= outcome(policy, call)


@laws
@given(some.policies, some.rules, some.calls)
def test_another_rule_that_asks_never_lets_more_run(policy: p.Policy, rule: p.Rule, call: Call) -> None:
    asking = some.rule(Outcome.REQUIRE_APPROVAL, rule.capability, *rule.conditions)
    more = some.policy([*policy.rules, asking], policy.amount_keys, policy.path_keys)
    assert outcome(more, call) >= min(outcome(policy, call), Outcome.REQUIRE_APPROVAL)


@laws
@given(some.policies, some.policies, some.calls)
def test_of_several_policies_the_strictest_outcome_stands(one: p.Policy, two: p.Policy, call: Call) -> None:
    together = decide((compile_policy(one), compile_policy(two)), call).outcome
    assert together == stricter(outcome(one, call), outcome(two, call))


@laws
@given(some.policies, some.calls)
def test_the_first_reason_is_a_decisive_one(policy: p.Policy, call: Call) -> None:
    decision = decide((compile_policy(policy),), call)
    assert decision.reasons[0].outcome == decision.outcome


@laws
@given(st.sampled_from(some.PATTERNS), st.sampled_from(some.PATTERNS), some.capabilities)
def test_a_name_is_matched_as_in_the_twin(denied: str, allowed: str, name: str) -> None:
    policy = some.policy([some.rule(Outcome.DENY, denied), some.rule(Outcome.ALLOW, allowed)])
    call = Call("agent", name, {})
    assert outcome(policy, call) == twin.decide(policy, call)


SECTIONS = (
    "deny:\n  - capability: a.b\n    contains: rm -rf\n  - {capability: a.b.c, amount_gt: 10}\n",
    "require_approval:\n  - {capability: a.*, path_prefix: /etc}\n  - {capability: a.b, amount_gt: 1}\n",
    "warn:\n  - {capability: a.b, environment: production}\n",
    "allow:\n  - {capability: '*', user_role: [production, staging]}\n  - {capability: a.b, amount_lte: 10}\n",
)


@laws
@given(st.permutations(SECTIONS), some.calls)
def test_the_order_of_sections_in_the_text_means_nothing(sections: list[str], call: Call) -> None:
    written, shuffled = (parse("".join(text), "policy.yaml") for text in (SECTIONS, sections))
    assert outcome(written, call) == outcome(shuffled, call)


@given(answers, answers)
def test_less_known_operands_give_the_same_or_unknown(left: Answer, right: Answer) -> None:
    for less in {left, None}:
        assert both([less, right]) in (both([left, right]), None)
        assert either([less, right]) in (either([left, right]), None)
        assert agreed([less, right]) in (agreed([left, right]), None)
        assert opposite(less) in (opposite(left), None)


@given(answers, answers)
def test_and_is_or_seen_from_the_other_side(left: Answer, right: Answer) -> None:
    assert opposite(both([left, right])) is either([opposite(left), opposite(right)])
