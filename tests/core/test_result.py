"""An answer says what, why, by which record; and is safe to print whatever the call holds."""

from __future__ import annotations

from typing import Any

import pytest

from onpurpose.core.call import Call
from onpurpose.core.decision import NO_POLICY, Code, Decision, Reason, RuleRef, Signal, Unknown, denial
from onpurpose.core.outcome import Outcome
from onpurpose.core.record import Receipt
from onpurpose.core.result import Result
from onpurpose.core.span import Span
from tests.core.asking import Sealed

RULE = RuleRef(outcome=Outcome.DENY, capability="a.b", span=Span("p.yaml", 3, 5))
REASON = Reason(
    code=Code.RULE_UNKNOWN,
    outcome=Outcome.DENY,
    message="whether it matches cannot be told",
    rule=RULE,
    unknown=(Unknown(condition="contains", why="hidden \x1b[31m", settle="write it plainly"),),
    signals=(Signal(name="link", weight=15, certain=True), Signal(name="urgency", weight=20, certain=False)),
)


def result(decision: Decision = NO_POLICY, receipt: Receipt | None = None, **fields: Any) -> Result:
    call = Call(**{"agent_id": "ops", "capability": "a.b", **fields})
    return Result(call, decision, "d1", None, receipt)


@pytest.mark.parametrize("outcome", Outcome)
def test_an_answer_permits_what_its_outcome_permits(outcome: Outcome) -> None:
    answer = result(Decision(outcome, (REASON,)))
    assert (answer.outcome, answer.allowed, answer.reasons) == (outcome, outcome <= Outcome.WARN, (REASON,))


def test_an_explanation_tells_everything() -> None:
    text = result(Decision(Outcome.DENY, (REASON,)), Receipt("c" * 32, 7, bytes(32))).explain()
    assert text.splitlines() == [
        "deny: a.b by ops",
        "  deny: p.yaml:3: whether it matches cannot be told",
        "    unknown: contains: hidden \ufffd[31m",
        "    to settle it: write it plainly",
        "    signal: link (weight 15)",
        "    signal: urgency (weight 20, perhaps)",
        "  record cccccccc:7, decision d1",
    ]


def test_an_explanation_of_little_is_short() -> None:
    assert result().explain() == "deny: a.b by ops\n  deny: no policy is in force for this call"


STRANGE = {
    "an escape": "a\x1b[2J",
    "two lines": "a\nallow: b",
    "right to left": "a\u202eb",
    "long": "a" * 100_000,
    "nothing": None,
    "a number": 7,
    "a huge number": 10**5000,
    "an object": Sealed(),
    "no Unicode": "\ud800",
}


@pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE)
def test_an_explanation_is_safe_to_print(name: object) -> None:
    text = result(agent_id=name, capability=name).explain()
    first, *_ = text.splitlines()
    assert first.startswith("deny: ")
    assert len(first) < 2000
    assert first.isprintable()


def test_a_result_and_a_decision_show_their_reasons_in_short() -> None:
    assert repr(result(denial(Code.RISK, "x"))) == "Result(Decision(deny, risk), decision_id='d1')"
