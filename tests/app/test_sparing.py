"""Rules that spare what another one allows ask about exactly all else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpurpose.app.history import decider
from onpurpose.app.sparing import sparing
from onpurpose.core.call import Call
from onpurpose.core.compile import compile_policy
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import (
    Amount,
    Argument,
    Compare,
    Condition,
    Contains,
    DomainIn,
    Equals,
    Exists,
    In,
    MaxItems,
    Operator,
    Rule,
    Under,
)
from onpurpose.core.span import Span
from onpurpose.core.values import OPAQUE
from onpurpose.lang.read import parse
from onpurpose.lang.write import write_section

TESTS = st.sampled_from(
    [
        (Equals("a"),), (Equals(1),), (In(("a", "b")),), (Exists(False),), (Exists(True),), (MaxItems(1),),
        (Compare(Operator.GTE, 0), Compare(Operator.LTE, 2)), (DomainIn(("example.com",)),), (Under(("/srv",)),),
        (Equals("a"), MaxItems(2)), (MaxItems(0),),
    ]
)  # fmt: skip
PATHS = st.sampled_from([("x",), ("y",), ("z", "*", "x")])
CONDITIONS = st.lists(st.builds(Argument, PATHS, TESTS), max_size=3, unique_by=lambda one: one.path)
AMOUNTS = st.lists(st.sampled_from([Amount(Operator.LTE, 2), Amount(Operator.LTE, 0)]), max_size=1)
SCALARS = st.sampled_from(["a", "b", "c@example.com", "/srv/x", "", 0, 1, 2, 3, -1, 0.5, True, None, OPAQUE])
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.lists(st.dictionaries(st.sampled_from("xy"), SCALARS), max_size=2)
PAYLOADS = st.dictionaries(st.sampled_from(["x", "y", "z", "amount"]), VALUES, max_size=4) | st.sampled_from(
    [None, "a"]
)


def rule(*conditions: Condition) -> Rule:
    return Rule(outcome=Outcome.ALLOW, capability="pay", conditions=conditions, span=Span("x", 1, 1))


def outcome(text: str, payload: Any) -> Outcome:
    return decider(compile_policy(parse(text)))(Call("bot", "pay", payload)).outcome


@settings(max_examples=300, deadline=None)
@given(AMOUNTS, CONDITIONS, PAYLOADS)
def test_they_ask_about_exactly_what_the_rule_does_not_surely_allow(
    amounts: list[Amount], arguments: list[Argument], payload: Any
) -> None:
    one = rule(*amounts, *arguments)
    spared = sparing(one) + write_section(Outcome.ALLOW, [(rule(), ())])
    allowed = outcome(write_section(Outcome.ALLOW, [(one, ())]), payload).permits
    assert outcome(spared, payload) is (Outcome.ALLOW if allowed else Outcome.REQUIRE_APPROVAL)


def test_they_are_written_one_for_each_condition() -> None:
    one = rule(Amount(Operator.LTE, 50), Argument(("to",), (Equals("shop"),)), Argument(("memo",), (Exists(False),)))
    assert sparing(one) == (
        "require_approval:\n"
        "  - capability: pay\n"
        "    amount_gt: 50\n"
        "  - capability: pay\n"
        "    args:\n"
        '      to: {not: {equals: "shop"}}\n'
        "  - capability: pay\n"
        "    args:\n"
        "      memo: {exists: true}\n"
    )


@pytest.mark.parametrize("conditions", [(), (Contains(("x",)),), (Amount(Operator.GT, 5),)])
def test_what_cannot_be_denied_in_one_rule_is_not_claimed(conditions: tuple[Condition, ...]) -> None:
    assert sparing(rule(*conditions)) == ""
