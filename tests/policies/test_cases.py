"""What each of the project's policies is said to mean, and that it means that."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from onpurpose.core.decide import decide, trace
from onpurpose.lang.cases import Case
from tests.documented import PAYMENTS, SHELL
from tests.policies.project import CASE_FILES, INDEX, POLICIES, cases, compiled

EVERY = [
    pytest.param(cases(path).policy, case, id=f"{path.stem.removesuffix('.test')}: {case.name}")
    for path in CASE_FILES
    for case in cases(path).cases
]


@pytest.mark.parametrize(("policy", "case"), EVERY)
def test_a_case_is_decided_as_it_says(policy: str, case: Case) -> None:
    decision = decide((compiled(policy),), case.call)
    decisive = decision.reasons[0]

    assert decision.outcome is case.outcome
    if case.rule is not None:
        assert decisive.rule is not None
        assert decisive.rule.span.line == case.rule
    if case.reason is not None:
        assert decisive.code is case.reason


def test_every_policy_that_the_index_names_has_cases() -> None:
    assert {entry.file for entry in INDEX.entries} == {cases(path).policy for path in CASE_FILES}
    assert {entry.file for entry in INDEX.entries} == {
        path.name for path in POLICIES.glob("*.yaml") if not path.name.endswith(".test.yaml")
    } - {"index.yaml"}


@pytest.mark.parametrize("path", CASE_FILES, ids=lambda path: path.stem)
def test_every_rule_decides_a_case_and_keeps_silent_in_another(path: Path) -> None:
    policy = compiled(cases(path).policy)
    decides: set[int] = set()
    silent: dict[int, int] = defaultdict(int)
    for case in cases(path).cases:
        reason = decide((policy,), case.call).reasons[0]
        decides |= {reason.rule.span.line} if reason.rule else set()
        fired = {rule.span.line for rule, answer in trace(policy, case.call) if answer is not False}
        for rule in policy.policy.rules:
            silent[rule.span.line] += rule.span.line not in fired

    for rule in policy.policy.rules:
        assert rule.span.line in decides, rule
        assert silent[rule.span.line], rule


@pytest.mark.parametrize("path", CASE_FILES, ids=lambda path: path.stem)
def test_every_rule_with_conditions_is_tried_on_a_call_of_its_own_that_it_does_not_concern(path: Path) -> None:
    policy = compiled(cases(path).policy)
    answers = defaultdict(set)
    for case in cases(path).cases:
        for rule, answer in trace(policy, case.call):
            answers[rule.span.line].add(answer)

    for rule in policy.policy.rules:
        assert not rule.conditions or {True, False} <= answers[rule.span.line], rule


@pytest.mark.parametrize(
    ("name", "text"), [("shell_agent.yaml", SHELL), ("payments_agent.yaml", PAYMENTS)], ids=["shell", "payments"]
)
def test_the_two_first_policies_stand_as_they_are_documented(name: str, text: str) -> None:
    assert (POLICIES / name).read_text(encoding="utf-8") == text
