"""Policy test files."""

from __future__ import annotations

from decimal import Decimal

import pytest

from onpurpose.core.call import Identity
from onpurpose.core.decision import Code
from onpurpose.core.outcome import Outcome
from onpurpose.lang.cases import DEFAULT_AGENT, Case, parse_cases
from tests.lang.reading import problems, told

FILE = """\
policy: shell_agent.yaml
defaults:
  agent_id: ops-agent
  task_context: shell
  policy_context: {environment: production, cwd: /srv}
cases:
  - name: a listing is allowed
    capability: shell.execute
    payload: {command: ls -la}
    outcome: allow
    rule: 12
    reason: rule_matched
  - name: another agent
    agent_id: other
    capability: "not a name"
    risk_category: shell_execution
    task_context: none
    policy_context: {environment: test, levels: [1, 2.5]}
    identity: {user_id: u1, groups: [a, b]}
    payload: rm -rf /
    outcome: block
"""


def one(written: str) -> Case:
    """The one case of these keys."""
    return parse_cases(f"policy: a.yaml\ncases:\n  - {{name: n, capability: c, outcome: deny, {written}}}\n").cases[0]


def test_a_file_is_read():
    file = parse_cases(FILE, "a.test.yaml")
    assert (file.policy, file.source) == ("shell_agent.yaml", "a.test.yaml")
    first, second = file.cases
    assert (first.name, first.outcome, first.rule, first.reason) == (
        "a listing is allowed", Outcome.ALLOW, 12, Code.RULE_MATCHED,
    )  # fmt: skip
    assert (second.outcome, second.rule, second.reason) == (Outcome.DENY, None, None)
    assert [str(case.span) for case in file.cases] == ["a.test.yaml:7:5", "a.test.yaml:13:5"]


def test_defaults_stand_under_each_case():
    first, second = (case.call for case in parse_cases(FILE).cases)
    assert (first.agent_id, first.capability, first.task_context) == ("ops-agent", "shell.execute", "shell")
    assert first.policy_context == {"environment": "production", "cwd": "/srv"}
    assert first.risk_category is first.identity is None
    assert (second.agent_id, second.capability, second.task_context) == ("other", "not a name", "none")
    assert second.policy_context == {"environment": "test", "cwd": "/srv", "levels": [1, 2.5]}
    assert second.risk_category == "shell_execution"
    assert second.identity == Identity("u1", ("a", "b"))


def test_a_case_that_says_nothing_of_the_agent_has_one_all_the_same():
    call = one("").call
    assert (call.agent_id, call.payload, call.policy_context) == (DEFAULT_AGENT, None, None)


def test_the_capability_may_be_a_default():
    text = "policy: a.yaml\ndefaults: {capability: a.b}\ncases:\n  - {name: n, outcome: deny}\n"
    assert parse_cases(text).cases[0].call.capability == "a.b"


@pytest.mark.parametrize(
    ("written", "payload"),
    [
        ("{}", {}),
        ("ls", "ls"),
        ("", None),
        ("{a: [1, {b: null}], c: true}", {"a": [1, {"b": None}], "c": True}),
        ("{a: 0.1}", {"a": 0.1}),
        ("{a: 1.50}", {"a": 1.5}),
        ("{a: [0x1F, +5, 5., -0, 1.5e+2]}", {"a": [31, 5, 5.0, 0, 150.0]}),
        ("{a: [True, FALSE, Null, ~, tRue]}", {"a": [True, False, None, None, "tRue"]}),
        ("{a: [y, n, nope, none, -x, .x, --]}", {"a": ["y", "n", "nope", "none", "-x", ".x", "--"]}),
        (
            "{a: [127.0.0.1, 1.2.3, 0b12, 2026-1, 12:99, 0xg]}",
            {"a": ["127.0.0.1", "1.2.3", "0b12", "2026-1", "12:99", "0xg"]},
        ),
        ("{a: .inf, b: -.inf}", {"a": float("inf"), "b": float("-inf")}),
        ("{a: 0.10000000000000000001}", {"a": Decimal("0.10000000000000000001")}),
        ("{a: 1.0e+999}", {"a": Decimal("1.0e+999")}),
    ],
)
def test_a_payload_is_what_an_application_would_pass(written, payload):
    found = one(f"payload: {written}").call.payload
    assert found == payload
    assert repr(found) == repr(payload)


def test_not_a_number_can_be_passed():
    found = one("payload: {a: .nan}").call.payload
    assert isinstance(found, dict)
    assert found["a"] != found["a"]


def case(written: str) -> str:
    """A file whose one case says this in addition, on line 6 from column 5."""
    return f"policy: a.yaml\ncases:\n  - name: n\n    capability: c\n    outcome: deny\n    {written}\n"


@pytest.mark.parametrize(
    ("text", "place", "cure"),
    [
        ("", "1:1 empty", "cases:"),
        ("# none\n", "1:1 empty", "cases:"),
        (b"\xff", "1:1 not-utf-8", "UTF-8"),
        ("- a\n", "1:1 wrong-type", "cases:"),
        ("policy: a.yaml\n", "1:1 missing-key", "cases"),
        ("cases: [{name: n, capability: c, outcome: deny}]\n", "1:1 missing-key", "policy"),
        ("policy: a.yaml\ncases: []\n", "2:8 empty", "remove"),
        ("policy: a.yaml\ncases: {}\n", "2:8 wrong-type", "name"),
        ("policy: 5\ncases: [{name: n, capability: c, outcome: deny}]\n", "1:9 wrong-type", '"5"'),
        ("policy: a.yaml\ncases:\n  - a\n", "3:5 wrong-type", "outcome"),
        ("policy: a.yaml\ncases:\n  - {name: n, outcome: deny}\n", "3:5 missing-key", "capability"),
        ("policy: a.yaml\ncases:\n  - {name: n, capability: c}\n", "3:5 missing-key", "outcome"),
        ("policy: a.yaml\ncases:\n  - {capability: c, outcome: deny}\n", "3:5 missing-key", "name"),
        ("policy: a.yaml\ndefaults: {payload: {}}\ncases: []\n", "2:12 unknown-key", "policy_context"),
        ("policy: a.yaml\ndefaults: []\ncases: []\n", "2:11 wrong-type", "agent_id"),
        (case("outcom: deny"), "6:5 unknown-key", "`outcome`"),
        (case("rule: 0"), "6:11 out-of-range", "1 or more"),
        (case("reason: no_rule"), "6:13 unknown-word", "`no_rule_matched`"),
        (case("payload: 5"), "6:14 wrong-type", "command"),
        (case("payload: [a]"), "6:14 wrong-type", "command"),
        (case("payload: &x {}"), "6:14 anchor", "write the value out"),
        (case("payload: *x"), "6:14 alias", "quote"),
        (case("payload: {a: {b: 1, b: 2}}"), "6:25 duplicate-key", "keep one"),
        (case("payload: {a: [no]}"), "6:19 ambiguous-scalar", "false"),
        (case("policy_context: production"), "6:21 wrong-type", "environment"),
        (case("agent_id: ''"), "6:15 empty", "write a text"),
        (case("identity: u1"), "6:15 wrong-type", "user_id"),
        (case("identity: {groups: [a]}"), "6:15 missing-key", "user_id"),
        (case("identity: {user_id: u, groups: []}"), "6:36 empty", "remove"),
        (
            "policy: a.yaml\ncases:\n  - {name: n, capability: c, outcome: ask}\n",
            "3:39 unknown-word",
            "require_approval",
        ),
    ],
)
def test_a_defect_is_refused_at_its_place_with_its_cure(text, place, cure):
    assert place in told(text, parse_cases)
    found = [q for q in problems(text, parse_cases) if f"{q.span.line}:{q.span.column} {q.code}" == place]
    assert any(cure in q.help or cure in q.message for q in found)


def test_names_are_unique():
    text = "policy: a.yaml\ncases:\n" + "  - {name: n, capability: c, outcome: deny}\n" * 3
    assert told(text, parse_cases) == ["4:12 duplicate-name", "5:12 duplicate-name"]
    assert problems(text, parse_cases)[1].message == "a case named `n` stands on line 3 already"


def test_what_an_error_of_syntax_cuts_off_is_not_called_missing():
    assert told("policy: a.yaml\ncases:\n  - name: 'x\n", parse_cases) == ["3:11 syntax"]
    assert told("policy: 'a.yaml\n", parse_cases) == ["1:9 syntax"]
