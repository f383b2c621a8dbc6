"""Risk is told from named signs, and can only tighten an outcome."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.call import Call
from onpurpose.core.compile import compile_policy
from onpurpose.core.decide import decide
from onpurpose.core.decision import Code, Decision
from onpurpose.core.facts import Facts
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import AMOUNT_KEYS, RiskLevel
from onpurpose.core.risk import LEVELS, TAXONOMIES, THRESHOLDS, UNTOLD, Assessment, assess
from onpurpose.lang.read import parse
from tests.core.asking import Sealed

KEYS = frozenset(AMOUNT_KEYS)
LOW, MEDIUM, HIGH, CRITICAL = LEVELS

BY_LEVEL = """\
risk_levels:
  low:
    action: allow
  medium:
    action: warn
  high:
    action: require_approval
  critical:
    action: block
"""
OPEN = "allow:\n  - capability: '*'\n"


def assessed(category: str | None, payload: object) -> Assessment:
    return assess(category, Facts(Call("a", "b", payload)), KEYS)


def names(category: str, payload: object) -> set[str]:
    return {signal.name for signal in assessed(category, payload).signals if signal.certain}


def decided(text: str, category: str | None, payload: object) -> Decision:
    return decide((compile_policy(parse(text)),), Call("a", "b", payload, risk_category=category))


SIGNS = [
    pytest.param(category, sign, id=f"{category}-{sign.name}")
    for category, signs in TAXONOMIES.items()
    for sign in signs
]


@pytest.mark.parametrize(("category", "sign"), SIGNS)
def test_every_sign_is_seen_in_each_of_its_texts_and_is_named(category: str, sign: Any) -> None:
    payloads: list[object] = [{"x": f"a {text} b"} for text in sign.texts]
    if sign.amount:
        payloads += [{"amount": sign.amount}, {"amount": -sign.amount}, {"total": f"${sign.amount:,}.00"}]
    assert payloads
    for payload in payloads:
        assert sign.name in names(category, payload)


@pytest.mark.parametrize(("category", "sign"), SIGNS)
def test_no_sign_is_seen_where_there_is_none(category: str, sign: Any) -> None:
    assert sign.name not in names(category, {"note": "a quiet day", "amount": 1})


@pytest.mark.parametrize(("category", "sign"), SIGNS)
def test_a_sign_hidden_by_spelling_is_seen(category: str, sign: Any) -> None:
    for text in sign.texts:
        assert sign.name in names(category, {"x": text.upper().replace(" ", "  ")})


@pytest.mark.parametrize(
    ("category", "payload", "level"),
    [
        ("shell_execution", {"command": "ls -la"}, LOW),
        ("shell_execution", {"command": "pip install x"}, MEDIUM),
        ("shell_execution", {"command": "systemctl restart nginx"}, MEDIUM),
        ("shell_execution", {"command": "rm -rf /tmp/x"}, HIGH),
        ("shell_execution", {"command": "curl x.sh | sh"}, HIGH),
        ("shell_execution", {"command": "sudo rm -rf /"}, CRITICAL),
        ("financial_transaction", {"amount": 999}, LOW),
        ("financial_transaction", {"amount": 1000}, MEDIUM),
        ("financial_transaction", {"amount": 10_000}, HIGH),
        ("financial_transaction", {"amount": "100,000"}, CRITICAL),
        ("financial_transaction", {"amount": 1000, "note": "urgent, use the new iban"}, HIGH),
        ("data_access", {"sql": "select name from users"}, LOW),
        ("data_access", {"sql": "DROP TABLE users"}, HIGH),
        ("file_access", {"path": "/home/ann/notes"}, LOW),
        ("file_access", {"path": "/etc/shadow"}, CRITICAL),
        ("communication", {"body": "see https://example.com"}, MEDIUM),
        ("general", {"x": "rm -rf / && curl x | sh"}, CRITICAL),
        ("general", {}, LOW),
    ],
)
def test_signals_add_up_to_a_level(category: str, payload: object, level: RiskLevel) -> None:
    found = assessed(category, payload)
    assert (found.low, found.high, found.levels) == (level, level, (level,))


def test_every_taxonomy_can_reach_every_upper_level() -> None:
    for signs in TAXONOMIES.values():
        assert sum(sign.weight for sign in signs) >= THRESHOLDS[0][0]
        assert all(sign.weight > 0 for sign in signs)
        assert len({sign.name for sign in signs}) == len(signs)


@pytest.mark.parametrize("category", [None, "", "shell", "Shell_Execution", "shell_execution "])
def test_a_category_without_a_taxonomy_tells_no_level(category: str | None) -> None:
    assert assessed(category, {"command": "ls"}) is UNTOLD
    assert UNTOLD.levels == LEVELS


@pytest.mark.parametrize("payload", [None, {"x": Sealed()}, {"x": b"ls"}, {"x": "\ud800"}])
def test_what_cannot_be_read_may_show_every_sign(payload: object) -> None:
    found = assessed("shell_execution", payload)
    assert (found.low, found.high) == (LOW, CRITICAL)
    assert {signal.certain for signal in found.signals} == {False}


def test_an_amount_that_cannot_be_told_may_show_its_signs() -> None:
    found = assessed("financial_transaction", {"amount": "a lot", "note": "urgent"})
    certain = {signal.name: signal.certain for signal in found.signals}
    assert certain == {
        "amount_from_1000": False, "amount_from_10000": False, "amount_from_100000": False, "urgency": True
    }  # fmt: skip
    assert (found.low, found.high) == (MEDIUM, CRITICAL)


@pytest.mark.parametrize(
    ("category", "payload", "outcome"),
    [
        ("shell_execution", {"command": "ls"}, "allow"),
        ("shell_execution", {"command": "systemctl stop x"}, "warn"),
        ("shell_execution", {"command": "rm -rf x"}, "require_approval"),
        ("shell_execution", {"command": "sudo rm -rf x"}, "deny"),
        ("shell_execution", None, "deny"),
        (None, {"command": "ls"}, "deny"),
        ("unheard_of", {"command": "ls"}, "deny"),
    ],
)
def test_the_action_of_the_level_meets_the_rules(category: str | None, payload: object, outcome: str) -> None:
    decision = decided(OPEN + BY_LEVEL, category, payload)
    assert str(decision.outcome) == outcome
    assert Code.RISK in {reason.code for reason in decision.reasons}
    assert decision.reasons[0].outcome is decision.outcome


def test_only_the_levels_that_a_policy_names_count_where_none_can_be_told() -> None:
    text = OPEN + "risk_levels:\n  low:\n    action: warn\n  medium:\n    action: require_approval\n"
    assert decided(text, None, {}).outcome is Outcome.REQUIRE_APPROVAL
    assert decided(text, "shell_execution", {"x": "sudo rm -rf /"}).outcome is Outcome.ALLOW


def test_a_policy_without_levels_assesses_nothing() -> None:
    decision = decided(OPEN, "shell_execution", {"x": "sudo rm -rf /"})
    assert [reason.code for reason in decision.reasons] == [Code.RULE_MATCHED]


def test_an_unmatched_call_stays_denied_however_low_its_risk() -> None:
    decision = decided(BY_LEVEL, "shell_execution", {"command": "ls"})
    assert (decision.outcome, decision.reasons[0].code) == (Outcome.DENY, Code.NO_RULE_MATCHED)


def test_the_reason_lists_the_signals_and_the_level() -> None:
    decision = decided(OPEN + BY_LEVEL, "shell_execution", {"command": "sudo rm -rf /"})
    (reason,) = (reason for reason in decision.reasons if reason.code is Code.RISK)
    assert [(signal.name, signal.weight) for signal in reason.signals] == [
        ("destructive_command", 45),
        ("privilege_change", 40),
    ]
    assert "critical" in reason.message
    assert "shell_execution" in reason.message
    untold = decided(OPEN + BY_LEVEL, "financial_transaction", {"amount": "?"}).reasons[0]
    assert "low to critical" in untold.message
    assert "cannot be assessed" in decided(OPEN + BY_LEVEL, None, {}).reasons[0].message


SECTIONS = st.lists(st.sampled_from(["deny", "require_approval", "warn", "allow"]), unique=True)
TEXTS = st.sampled_from(["ls", "systemctl x", "rm -rf /", "sudo rm -rf /", "curl x | sh", "pip install y"])
ACTIONS = st.dictionaries(st.sampled_from(list(LEVELS)), st.sampled_from(["allow", "warn", "require_approval", "deny"]))


@given(SECTIONS, ACTIONS, TEXTS, st.sampled_from([None, "shell_execution", "general", "x"]), st.booleans())
def test_risk_never_loosens_an_outcome(
    sections: list[str], actions: dict[RiskLevel, str], command: str, category: str | None, told: bool
) -> None:
    rules = "".join(f"{section}:\n  - capability: b\n    contains: ls\n" for section in sections) + "amount_keys: [n]\n"
    levels = "".join(f"  {level}:\n    action: {action}\n" for level, action in actions.items())
    payload = {"command": command} if told else None
    without = decided(rules, category, payload).outcome
    assert decided(rules + (f"risk_levels:\n{levels}" if levels else ""), category, payload).outcome >= without
