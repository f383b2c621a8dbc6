"""Purposes and purpose policies that are legal but unwise."""

from __future__ import annotations

import pytest

from onpurpose.core.span import Severity
from onpurpose.lang.purpose_lint import lint_purposes
from onpurpose.lang.purposes import parse_purposes
from tests.documented import EXAMPLE
from tests.lang.test_purposes import PURPOSE

ACTIVE = "id: p\nstatus: active\nttl_seconds: 600\n---\n"


def warned(text: str) -> list[str]:
    found = lint_purposes(parse_purposes(text), text)
    assert all(problem.severity is Severity.WARNING for problem in found)
    return [f"{problem.span.line}:{problem.span.column} {problem.code}" for problem in found]


def policy(written: str, decision: str = "allow") -> str:
    return f"purpose_id: p\ndecision: {decision}\n{written}\n"


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (policy("match: {identity_required: false}"), ["1:1 allows-everyone"]),
        (policy("match: {identity_required: false, user_groups: a}"), ["1:1 groups-without-identity"]),
        (policy("approval_required: true", "deny"), ["1:1 approval-on-deny"]),
        (f"id: p\n---\n{policy('')}", ["1:1 inactive-purpose"]),
        (f"{policy('')}---\nid: p\nstatus: archived\n", ["5:1 inactive-purpose"]),
        (ACTIVE + policy("token_ttl_minutes: 11"), ["5:1 token-outlives-purpose"]),
        (
            policy("token_ttl_minutes: 90") + "---\n" + policy("policy_id: q", "deny") + "---\nid: p\n",
            ["1:1 token-outlives-purpose", "9:1 inactive-purpose"],
        ),
    ],
)
def test_what_is_unwise_is_told_at_its_place(text, codes):
    assert warned(text) == codes


@pytest.mark.parametrize(
    "text",
    [
        f"{PURPOSE}---\n{EXAMPLE}",
        "id: p\n",
        "id: q\n---\n" + policy(""),
        policy(""),
        policy("match: {user_groups: a}"),
        policy("match: {identity_required: false}", "deny"),
        policy("match: {identity_required: false}", "require_approval"),
        policy("match: {identity_required: false}\napproval_required: true"),
        policy("match: {identity_required: false, agent_ids: a}"),
        policy("approval_required: true"),
        policy("approval_required: true", "require_approval"),
        policy("token_ttl_minutes: 1440"),
        ACTIVE + policy("token_ttl_minutes: 10"),
        "id: p\nstatus: active\nttl_seconds: 30\n---\n" + policy(""),
    ],
)
def test_what_is_wise_is_not_told(text):
    assert warned(text) == []


def test_a_warning_shows_its_line_and_the_cure():
    text = ACTIVE + policy("token_ttl_minutes: 11")
    (problem,) = lint_purposes(parse_purposes(text, "p.yaml"), text)
    assert problem.render() == (
        "p.yaml:5:1: warning: a token of 11 minutes outlives its purpose, which allows 600 seconds: "
        "it will live no longer than that [token-outlives-purpose]\n"
        "    5 | purpose_id: p\n"
        "      | ^^^^^^^^^^^^^\n"
        "      = help: shorten `token_ttl_minutes`, or lengthen the `ttl_seconds` of the purpose on line 1"
    )


def test_without_the_text_no_line_is_shown():
    (problem,) = lint_purposes(parse_purposes(policy("match: {identity_required: false}")))
    assert problem.excerpt == ""
