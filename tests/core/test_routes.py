"""Whatever asks for a person says whom, and for how long; whatever does not, does not."""

from __future__ import annotations

import pytest

from onpurpose import Call, Identity, Outcome, parse_policy
from onpurpose.core.compile import compile_policy
from onpurpose.core.decide import decide, judge
from onpurpose.core.decision import Decision, PolicyRef
from onpurpose.core.facts import Facts
from onpurpose.core.purpose import PurposePolicy
from onpurpose.core.purposes import PurposeBook, Rules
from onpurpose.core.routing import Route, Stage
from onpurpose.lang.purposes import parse_purposes

POLICY = """\
require_approval:
  - capability: pay
    amount_gt: 100
    approvers: {from: [group:finance], quorum: 2}
  - capability: pay
    amount_gt: 10
  - capability: pay
    contains: gift
    step_up: true
warn:
  - capability: pay
    contains: odd
allow:
  - capability: pay
  - capability: shell
risk_levels:
  low: {action: require_approval}
  medium: {action: require_approval}
  high: {action: require_approval}
  critical: {action: require_approval}
approvers: [group:operators]
approval_timeout_seconds: 60
"""
FINANCE = (Stage(approvers=("group:finance",), quorum=2),)
OPERATORS = (Stage(approvers=("group:operators",)),)


def routes_of(decision: Decision) -> list[Route]:
    assert all(
        (reason.route is not None) == (reason.outcome is Outcome.REQUIRE_APPROVAL) for reason in decision.reasons
    )
    return [reason.route for reason in decision.reasons if reason.route is not None]


@pytest.mark.parametrize(
    ("payload", "routes"),
    [
        ({"amount": 500}, [Route(stages=FINANCE, timeout_seconds=60)]),
        ({"amount": 50}, [Route(stages=OPERATORS, timeout_seconds=60)]),
        ({"amount": 5, "for": "a gift"}, [Route(stages=OPERATORS, step_up=True, timeout_seconds=60)]),
        ({"amount": "?", "for": "a gift"}, [
            Route(stages=FINANCE, timeout_seconds=60), Route(stages=OPERATORS, timeout_seconds=60),
            Route(stages=OPERATORS, step_up=True, timeout_seconds=60),
        ]),
        ({"amount": 5, "for": "an odd thing"}, []),
        ({"amount": 5}, []),
    ],
)  # fmt: skip
def test_a_rule_that_asks_says_whom(payload: object, routes: list[Route]) -> None:
    compiled = compile_policy(
        parse_policy(POLICY.partition("risk_levels")[0] + POLICY[POLICY.index("approvers: [group:o") :])
    )
    decision = decide((compiled,), Call("a", "pay", payload))
    assert {*routes_of(decision)} == {*routes}
    assert (decision.outcome is Outcome.REQUIRE_APPROVAL) == bool(routes)


def test_a_level_of_risk_that_asks_asks_the_policys_approvers() -> None:
    decision = decide(
        (compile_policy(parse_policy(POLICY)),), Call("a", "shell", "ls", risk_category="shell_execution")
    )
    assert routes_of(decision) == [Route(stages=OPERATORS, timeout_seconds=60)]


def test_a_policy_that_says_nothing_leaves_it_to_the_workspace() -> None:
    decision = decide((compile_policy(parse_policy("require_approval:\n  - capability: pay\n")),), Call("a", "pay", {}))
    assert routes_of(decision) == [Route()]


PURPOSE = "id: p\nstatus: active\n---\npurpose_id: p\nshadow_mode: false\nmatch: {user_groups: [g]}\n"


@pytest.mark.parametrize(
    ("text", "groups", "routes"),
    [
        ("decision: require_approval\n", ("g",), [Route()]),
        ("decision: allow\napproval_required: true\nstep_up: true\n", ("g",), [Route(step_up=True)]),
        ("decision: require_approval\napprovers: user:ann\napproval_timeout_seconds: 9\n", ("g",),
         [Route(stages=(Stage(approvers=("user:ann",)),), timeout_seconds=9)]),
        ("decision: allow\n", ("g",), []),
        ("decision: require_approval\napprovers: user:ann\n", (), []),
        ("decision: require_approval\napprovers: user:ann\n", ("G",),
         [Route(stages=(Stage(approvers=("user:ann",)),))]),
    ],
)  # fmt: skip
def test_a_purpose_policy_that_asks_says_whom(text: str, groups: tuple[str, ...], routes: list[Route]) -> None:
    purpose, policy = parse_purposes(PURPOSE + text)
    assert isinstance(policy, PurposePolicy)
    placed = ((PolicyRef(kind="purpose_policy", name="p", revision=1), policy),)
    call = Call("a", "pay", {}, identity=Identity("ann", groups), purpose_id="p")
    book = PurposeBook((purpose,), placed, ())  # type: ignore[arg-type]  it is a purpose
    decision = judge(Rules(policies=None, purposes=book), call, Facts(call), 0).decision
    assert routes_of(decision) == routes
