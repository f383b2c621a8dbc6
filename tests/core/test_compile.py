"""A compiled policy finds the rules that may concern a capability, in order, however many there are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.call import MAX_NAME
from onpurpose.core.compile import CompiledPolicy, compile_policy, compile_steps, covers
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Policy, Rule
from onpurpose.core.span import Span
from onpurpose.lang.read import parse


def rule(capability: str, *conditions: Any) -> Rule:
    return Rule(outcome=Outcome.DENY, capability=capability, conditions=conditions, span=Span("p", 1, 1))


def policy(*rules: Rule) -> Policy:
    return Policy(rules=rules, source="p", digest="")


@pytest.mark.parametrize(
    ("pattern", "capability", "answer"),
    [
        ("a.b", "a.b", True),
        ("a.b", "A.b", None),
        ("a.b", "a.b.c", None),
        ("a.b", "a.B.c", None),
        ("a.b", "a", False),
        ("a.b", "a.c", False),
        ("a.b", "ab", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", True),
        ("a.*", "A.b", None),
        ("a.*", "a", False),
        ("a.*", "a_admin.b", False),
        ("*", "a", True),
        ("*", "a.b.c", True),
        ("*.b", "a.b", True),
        ("*.b", "a.c", False),
        ("*.b", "a.b.c", None),
        ("*.b", "a.B", None),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d.c", False),
        ("a.*.c", "a.b", False),
        ("*.*", "a", False),
        ("*.*", "a.b.c", True),
    ],
)
def test_a_pattern_covers_by_segment(pattern: str, capability: str, answer: bool | None) -> None:
    assert covers(pattern, capability) is answer
    plan = compile_policy(policy(rule(pattern))).plan(capability)
    assert plan is not None
    assert [step.sure for step in plan] == ([] if answer is False else [answer is True])


SEGMENTS = st.lists(st.sampled_from(["a", "b", "A", "*"]), min_size=1, max_size=3).map(".".join)


@given(st.lists(SEGMENTS, max_size=8), SEGMENTS)
def test_the_index_finds_what_covers_finds(patterns: list[str], capability: str) -> None:
    capability = capability.replace("*", "c")
    plan = compile_policy(policy(*map(rule, patterns))).plan(capability)
    assert plan is not None
    expected = [(pattern, covers(pattern, capability) is True) for pattern in patterns]
    assert [(step.rule.capability, step.sure) for step in plan] == [
        (pattern, sure) for pattern, sure in expected if covers(pattern, capability) is not False
    ]


@pytest.mark.parametrize(
    "capability", ["", " ", "a b", "a.", ".a", "a..b", "a\n", "\u00e4", "a.*", "a" * (MAX_NAME + 1)]
)
def test_a_malformed_capability_has_no_plan(capability: str) -> None:
    assert compile_policy(policy(rule("*"))).plan(capability) is None


def test_a_capability_met_again_has_the_plan_it_had() -> None:
    compiled = compile_policy(policy(rule("a.b")))
    assert compiled.plan("a.b") is compiled.plan("a.b")


def test_no_more_capabilities_are_remembered_than_a_model_can_be_trusted_with() -> None:
    compiled = compile_policy(policy(rule("*")))
    for number in range(4200):
        assert compiled.plan(f"a{number}")
    assert len(compiled.plans) == 4096
    assert compiled.plan("a4199")


def test_a_large_policy_is_compiled_in_steps() -> None:
    steps = compile_steps(policy(*(rule(f"a.b{number}") for number in range(1000))))
    assert sum(1 for _ in steps) >= 3
    compiled = compile_policy(policy(*(rule(f"a.b{number}") for number in range(1000))))
    assert [step.rule.capability for step in compiled.plan("a.b999") or ()] == ["a.b999"]


def test_what_is_no_condition_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        compile_policy(policy(rule("a", object())))


def test_rules_stand_in_the_order_of_sections_and_of_the_text() -> None:
    text = "allow:\n  - capability: a\nwarn:\n  - capability: a\ndeny:\n  - capability: a\n  - capability: '*'\n"
    plan = compile_policy(parse(text)).plan("a")
    assert plan is not None
    assert [str(step.outcome) for step in plan] == ["deny", "deny", "warn", "allow"]


# -- likeness


def of(text: str) -> CompiledPolicy:
    return compile_policy(parse(text))


CARDS = "deny: [{capability: cards.pay, amount_gt: 10}]\nallow: [{capability: cards.pay}]\n"


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (CARDS, True),
        (f"# the same, further down\n{CARDS}", True),
        (f"warn: [{{capability: mail.send}}]\n{CARDS}", True),
        (f"{CARDS}risk_levels: {{high: {{action: deny}}}}", False),
        (f"{CARDS}amount_keys: [due]", False),
        (f"{CARDS}path_keys: [due]", False),
        (CARDS.replace("10", "11"), False),
        (CARDS.replace("deny", "warn"), False),
        (CARDS.replace("deny: [{capability: cards.pay", "deny: [{capability: Cards.pay"), False),
        (CARDS.replace("deny: [{capability: cards.pay", "deny: [{capability: cards.*"), True),
        (f"warn: [{{capability: cards}}]\n{CARDS}", False),
        ("allow: [{capability: cards.pay}]", False),
    ],
)
def test_two_policies_judge_alike_where_the_rules_of_a_capability_and_what_they_read_are_the_same(
    other: str, alike: bool
) -> None:
    assert of(CARDS).judges_like(of(other), "cards.pay") is alike
    assert of(other).judges_like(of(CARDS), "cards.pay") is alike


def test_a_condition_on_one_is_not_that_on_true() -> None:
    number, truth = (of(f"allow: [{{capability: a, args: {{n: {{equals: {value}}}}}}}]") for value in ("1", "true"))
    assert not number.judges_like(truth, "a")


def test_policies_judge_a_malformed_capability_alike() -> None:
    assert of(CARDS).judges_like(of("allow: []"), "a..b")


def test_policies_of_the_same_keys_read_a_call_once() -> None:
    assert of(CARDS).amount_keys is of("allow: []").amount_keys
