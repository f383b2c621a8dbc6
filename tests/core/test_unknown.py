"""What was unknown is told with why, and with what would settle it."""

from __future__ import annotations

from typing import Any

import pytest

from onpurpose.core.call import Call
from onpurpose.core.decide import decide
from onpurpose.core.decision import Code, Unknown
from tests.core.asking import Sealed, compiled


def unknowns(condition: str, payload: object, context: Any = None, capability: str = "a.b") -> tuple[Unknown, ...]:
    text = f"require_approval:\n  - capability: a.b\n    {condition}\n"
    decision = decide((compiled(text),), Call("agent", capability, payload, context))
    return tuple(unknown for reason in decision.reasons for unknown in reason.unknown)


PAID = "amount_gt: 5"


@pytest.mark.parametrize(
    ("condition", "payload", "context", "name", "why"),
    [
        ("contains: rm -rf", None, None, "contains", "no payload"),
        ("contains: rm -rf", {"x": Sealed()}, None, "contains", "cannot be read as text"),
        ("contains: rm -rf", {"x": b"rm"}, None, "contains", "cannot be read as text"),
        ("contains: rm -rf", {"x": "RM -RF"}, None, "contains", "folded"),
        (PAID, {"amount": "many"}, None, "amount_gt", "`amount` cannot be read as a number"),
        (PAID, {"amount": [1, 9]}, None, "amount_gt", "both sides"),
        (PAID, {}, None, "amount_gt", "no amount"),
        (PAID, "9", None, "amount_gt", "bare string"),
        (PAID, None, None, "amount_gt", "no payload"),
        ("path_prefix: /etc", {"path": "x"}, None, "path_prefix", "absolute path"),
        ("path_prefix: /etc", {"path": "/ETC/x"}, None, "path_prefix", "letter case"),
        ("environment: prod", {}, None, "environment", "not given"),
        ("environment: prod", {}, {"environment": "PROD"}, "environment", "not written as"),
        ("tenant: acme", {}, {"environment": "x"}, "tenant", "not given"),
        ("caller_depth_gt: 1", {}, {}, "caller_depth_gt", "caller_depth"),
        ("args: {x: {equals: 1}}", {}, None, "args.x", "`x` is absent"),
    ],
)
def test_an_unknown_condition_is_named_with_why_and_a_cure(
    condition: str, payload: object, context: Any, name: str, why: str
) -> None:
    (found,) = unknowns(condition, payload, context)
    assert found.condition == name
    assert why in found.why
    assert found.settle


@pytest.mark.parametrize(
    ("capability", "why"), [("A.b", "letter case"), ("a.b.c", "lies under"), ("A.B.c", "lies under")]
)
def test_a_capability_that_is_almost_the_rule_s_is_told_first(capability: str, why: str) -> None:
    first, second = unknowns(PAID, {}, capability=capability)
    assert (first.condition, second.condition) == ("capability", "amount_gt")
    assert why in first.why
    assert "`a.b`" in first.settle


def test_a_rule_that_surely_fires_has_nothing_unknown() -> None:
    assert unknowns(PAID, {"amount": 9}) == ()


def test_a_policy_s_own_keys_are_named_as_the_cure() -> None:
    text = "amount_keys: [sum_due]\nrequire_approval:\n  - capability: a.b\n    amount_gt: 5\n"
    decision = decide((compiled(text),), Call("agent", "a.b", {}))
    assert decision.reasons[0].code in {Code.RULE_UNKNOWN, Code.NO_RULE_MATCHED}
    (unknown,) = (unknown for reason in decision.reasons for unknown in reason.unknown)
    assert "`sum_due`" in unknown.settle
