"""Whose rules, in which order, in which context: tables of the contract."""

from __future__ import annotations

from decimal import Decimal

import pytest

from onpurpose.core.call import Call
from onpurpose.core.decide import decide
from onpurpose.core.decision import Code
from onpurpose.core.outcome import Outcome
from tests.core.asking import (
    ALLOW,
    ANSWERS,
    ASK,
    DENY,
    FALSE,
    TRUE,
    UNKNOWN,
    WARN,
    Count,
    Label,
    Word,
    answer,
    compiled,
    outcome,
    table,
)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    table(
        ("equal", "a.b", "a.b", TRUE),
        ("another", "a.b", "a.c", FALSE),
        ("shorter", "a.b", "a", FALSE),
        ("a name that only begins alike", "a.b", "a.bc", FALSE),
        ("letter case", "a.b", "A.b", UNKNOWN),
        ("below", "a.b", "a.b.c", UNKNOWN),
        ("far below, in another case", "a.b", "A.B.c.d", UNKNOWN),
        ("a lone star is everything", "'*'", "x", TRUE),
        ("a lone star is everything, of many segments", "'*'", "x.y.z", TRUE),
        ("a last star is one segment", "payments.*", "payments.transfer", TRUE),
        ("a last star is more segments", "payments.*", "payments.transfer.eur", TRUE),
        ("a last star is not none", "payments.*", "payments", FALSE),
        ("a last star keeps to the dots", "payments.*", "payments_admin.wipe", FALSE),
        ("a last star in another case", "payments.*", "Payments.transfer", UNKNOWN),
        ("an inner star is one segment", "a.*.c", "a.b.c", TRUE),
        ("an inner star is not two", "a.*.c", "a.b.b.c", FALSE),
        ("an inner star is not none", "a.*.c", "a.c", FALSE),
        ("a first star", "'*.wipe'", "disk.wipe", TRUE),
        ("a first star is one segment", "'*.wipe'", "my.disk.wipe", FALSE),
        ("below a pattern", "'*.wipe'", "disk.wipe.now", UNKNOWN),
        ("two stars are two or more", "'*.*'", "a", FALSE),
        ("two stars match three", "'*.*'", "a.b.c", TRUE),
        ("digits, underscores, hyphens", "a-1._b", "a-1._b", TRUE),
    ),
)
def test_capability(pattern: str, name: str, expected: str) -> None:
    alone = f"require_approval:\n  - capability: {pattern}\n"
    before = alone + "allow:\n  - capability: '*'\n"
    assert ANSWERS[outcome(alone, name, {}), outcome(before, name, {})] == expected


@pytest.mark.parametrize("key", ["environment", "user_role", "tenant"])
@pytest.mark.parametrize(
    ("value", "expected"),
    table(
        ("equal", "production", TRUE),
        ("any of the list", "staging", TRUE),
        ("another", "test", FALSE),
        ("empty", "", FALSE),
        ("only beginning alike", "production2", FALSE),
        ("letter case", "Production", UNKNOWN),
        ("outer white space", " production\n", UNKNOWN),
        ("none", None, UNKNOWN),
        ("a number", 3, UNKNOWN),
        ("a list", ["production"], UNKNOWN),
        ("bytes", b"production", UNKNOWN),
        ("an enum", Word.PRODUCTION, TRUE),
        ("a string enum", Label.PRODUCTION, TRUE),
        ("an enum of a number", Word.TEN, UNKNOWN),
    ),
)
def test_context(key: str, value: object, expected: str) -> None:
    assert answer(f"{key}: [production, staging]", {}, {key: value}) == expected


@pytest.mark.parametrize("key", ["environment", "user_role", "tenant"])
def test_a_context_that_is_absent_is_unknown_whatever_the_payload_says(key: str) -> None:
    for context in (None, {}, {"other": "admin"}, {key.upper(): "admin"}):
        assert answer(f"{key}: admin", {key: "admin", "policy_context": {key: "admin"}}, context) == UNKNOWN


@pytest.mark.parametrize(
    ("condition", "depth", "expected"),
    table(
        ("gt above", "caller_depth_gt: 3", 4, TRUE),
        ("gt at", "caller_depth_gt: 3", 3, FALSE),
        ("gte at", "caller_depth_gte: 3", 3, TRUE),
        ("lt at", "caller_depth_lt: 3", 3, FALSE),
        ("lt below", "caller_depth_lt: 3", -4, TRUE),
        ("lte at", "caller_depth_lte: 3", 3, TRUE),
        ("a float", "caller_depth_gt: 3", 3.5, TRUE),
        ("a decimal", "caller_depth_gt: 3", Decimal("3.5"), TRUE),
        ("an integer enum", "caller_depth_gt: 3", Count.FOUR, TRUE),
        ("infinity", "caller_depth_gt: 3", float("inf"), TRUE),
        ("NaN", "caller_depth_gt: 3", float("nan"), UNKNOWN),
        ("a boolean", "caller_depth_lt: 3", True, UNKNOWN),
        ("a string", "caller_depth_gt: 3", "4", UNKNOWN),
        ("none", "caller_depth_gt: 3", None, UNKNOWN),
    ),
)
def test_caller_depth(condition: str, depth: object, expected: str) -> None:
    assert answer(condition, {"caller_depth": 9}, {"caller_depth": depth}) == expected


def test_a_caller_depth_that_is_absent_is_unknown() -> None:
    assert answer("caller_depth_gt: 3", {"caller_depth": 9}, {}) == UNKNOWN
    assert answer("caller_depth_gt: 3", {"caller_depth": 9}, None) == UNKNOWN


UNKNOWN_RULE = "  - {capability: a.b, environment: production}\n"
TRUE_RULE = "  - {capability: a.b}\n"
FALSE_RULE = "  - {capability: x.y}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    table(
        ("nothing written matches nothing", f"deny:\n{FALSE_RULE}", DENY),
        ("no rule matches", f"allow:\n{FALSE_RULE}", DENY),
        ("allowed", f"allow:\n{TRUE_RULE}", ALLOW),
        ("warned", f"warn:\n{TRUE_RULE}allow:\n{TRUE_RULE}", WARN),
        ("asked", f"require_approval:\n{TRUE_RULE}warn:\n{TRUE_RULE}allow:\n{TRUE_RULE}", ASK),
        ("denied", f"allow:\n{TRUE_RULE}require_approval:\n{TRUE_RULE}deny:\n{TRUE_RULE}", DENY),
        ("an unknown denial denies", f"deny:\n{UNKNOWN_RULE}allow:\n{TRUE_RULE}", DENY),
        ("an unknown question asks", f"require_approval:\n{UNKNOWN_RULE}allow:\n{TRUE_RULE}", ASK),
        ("an unknown warning warns", f"warn:\n{UNKNOWN_RULE}allow:\n{TRUE_RULE}", WARN),
        ("an unknown allowance does not allow", f"allow:\n{UNKNOWN_RULE}", DENY),
        ("an unknown question before nothing denies", f"require_approval:\n{UNKNOWN_RULE}", DENY),
        ("an unknown warning before nothing denies", f"warn:\n{UNKNOWN_RULE}", DENY),
        ("an unknown allowance before one that holds", f"allow:\n{UNKNOWN_RULE}{TRUE_RULE}", ALLOW),
        ("one that holds before an unknown", f"allow:\n{TRUE_RULE}{UNKNOWN_RULE}", ALLOW),
        ("an unknown question, then a warning", f"require_approval:\n{UNKNOWN_RULE}warn:\n{TRUE_RULE}", ASK),
        ("an unknown after the rule that decides", f"require_approval:\n{TRUE_RULE}warn:\n{UNKNOWN_RULE}", ASK),
        (
            "the strictest of several unknown",
            f"require_approval:\n{UNKNOWN_RULE}warn:\n{UNKNOWN_RULE}allow:\n{TRUE_RULE}",
            ASK,
        ),
    ),
)
def test_the_rule_of_not_knowing(text: str, expected: str) -> None:
    assert outcome(text, "a.b", {}, {}) == expected


def test_conditions_of_one_rule_are_all_needed() -> None:
    both = "contains: rm\n    environment: production"
    assert answer(both, {"x": "rm"}, {"environment": "production"}) == TRUE
    assert answer(both, {"x": "rm"}, {"environment": "test"}) == FALSE
    assert answer(both, {"x": "ls"}, {}) == FALSE
    assert answer(both, {"x": "rm"}, {}) == UNKNOWN


def test_a_false_condition_settles_a_name_that_is_unknown() -> None:
    text = "deny:\n  - {capability: a.b, environment: production}\nallow:\n  - {capability: '*'}\n"
    assert outcome(text, "a.B", {}, {"environment": "test"}) == ALLOW
    assert outcome(text, "a.B", {}, {"environment": "production"}) == DENY


def test_without_a_policy_everything_is_denied() -> None:
    decision = decide((), Call("agent", "a.b", {}))
    assert decision.outcome is Outcome.DENY
    assert decision.reasons[0].code is Code.NO_POLICY


def test_reasons_say_which_rule_why_and_what_was_unknown() -> None:
    text = "deny:\n  - capability: a.b\n    environment: production\nallow:\n  - capability: a.b\n"
    first = decide((compiled(text),), Call("agent", "a.b", {})).reasons[0]
    assert (first.code, first.outcome) == (Code.RULE_UNKNOWN, Outcome.DENY)
    assert str(first.rule) == "policy.yaml:2"
    assert "environment" in first.unknown[0].condition
    assert decide((compiled(text),), Call("agent", "x.y", {})).reasons[0].code is Code.NO_RULE_MATCHED
