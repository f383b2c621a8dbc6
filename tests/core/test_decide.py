"""Policies and a call make one decision: the strictest, with its reasons."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from onpurpose.core.call import MAX_NAME, Call, Identity
from onpurpose.core.compile import compile_policy
from onpurpose.core.decide import decide, trace
from onpurpose.core.decision import Code
from onpurpose.core.history import Doubt, RecordedCall
from onpurpose.core.outcome import Outcome
from onpurpose.core.recorded import write_reasons
from onpurpose.core.span import Span
from onpurpose.lang.read import parse
from tests.core.asking import compiled

CALL = Call("a", "shell.run", {"command": "ls"})
ALLOW, WARN, DENY = (f"{section}:\n  - capability: shell.run\n" for section in ("allow", "warn", "deny"))


def codes(*texts: str, call: Call = CALL) -> tuple[Outcome, list[Code]]:
    decision = decide(tuple(compiled(text) for text in texts), call)
    return decision.outcome, [reason.code for reason in decision.reasons]


def test_no_policy_denies() -> None:
    assert codes() == (Outcome.DENY, [Code.NO_POLICY])


@pytest.mark.parametrize(
    ("texts", "outcome"),
    [((ALLOW, ALLOW), Outcome.ALLOW), ((ALLOW, WARN), Outcome.WARN), ((DENY, ALLOW), Outcome.DENY)],
)
def test_of_several_policies_the_strictest_decides(texts: tuple[str, ...], outcome: Outcome) -> None:
    assert codes(*texts) == (outcome, [Code.RULE_MATCHED] * 2)
    assert codes(*reversed(texts)) == codes(*texts)
    assert decide(tuple(map(compiled, texts)), CALL).reasons[0].outcome is outcome


def test_a_policy_that_says_nothing_denies_among_others() -> None:
    other = "allow:\n  - capability: other\n"
    assert codes(ALLOW, other) == (Outcome.DENY, [Code.NO_RULE_MATCHED, Code.RULE_MATCHED])


def call_of(**fields: Any) -> Call:
    return Call(**{"agent_id": "a", "capability": "shell.run", **fields})


MALFORMED = [
    {"agent_id": ""},
    {"agent_id": None},
    {"agent_id": "a" * (MAX_NAME + 1)},
    {"agent_id": "\ud800"},
    {"capability": None},
    {"capability": ""},
    {"capability": "shell.run "},
    {"capability": "shell..run"},
    {"capability": "shell.run\n"},
    {"capability": "\u017fhell.run"},
    {"capability": "a" * (MAX_NAME + 1)},
    {"policy_context": []},
    {"task_context": 1},
    {"risk_category": "\ud800"},
    {"purpose_id": b"x"},
    {"data_source_id": "x" * (MAX_NAME + 1)},
    {"identity": ("ann",)},
    {"identity": Identity("\ud800")},
    {"identity": Identity("ann", "admin")},  # type: ignore[arg-type]
    {"identity": Identity("ann", (1,))},  # type: ignore[arg-type]
    {"payload": 7},
    {"payload": [{}]},
]


@pytest.mark.parametrize("fields", MALFORMED)
def test_a_malformed_call_is_denied_and_never_raises(fields: dict[str, Any]) -> None:
    assert codes("allow:\n  - capability: '*'\n", call=call_of(**fields)) == (Outcome.DENY, [Code.MALFORMED_CALL])


@pytest.mark.parametrize(
    "fields",
    [
        {"agent_id": "\u00fc" * MAX_NAME},
        {"task_context": "\u00fc", "identity": Identity("\u00fc", ("\u00e9",))},
        {"policy_context": {}},
        {"payload": ""},
    ],
)
def test_a_call_at_the_limits_is_judged(fields: dict[str, Any]) -> None:
    assert codes(ALLOW, call=call_of(**fields)) == (Outcome.ALLOW, [Code.RULE_MATCHED])


TRACED = """\
deny:
  - capability: shell.run
    contains: rm
  - capability: other
require_approval:
  - capability: Shell.Run
allow:
  - capability: shell.*
"""


def test_a_trace_tells_what_every_rule_that_may_concern_the_call_answers() -> None:
    found = trace(compile_policy(parse(TRACED)), CALL)
    assert [(str(rule.outcome), rule.capability, answer) for rule, answer in found] == [
        ("deny", "shell.run", False),
        ("require_approval", "Shell.Run", None),
        ("allow", "shell.*", True),
    ]


@pytest.mark.parametrize("fields", MALFORMED)
def test_a_malformed_call_has_no_trace(fields: dict[str, Any]) -> None:
    assert trace(compile_policy(parse(TRACED)), call_of(**fields)) == ()


def test_a_recorded_call_knows_where_it_stands_and_what_may_differ() -> None:
    recorded = RecordedCall(call=CALL, at=Span("log.jsonl", 3, 1), doubts=(Doubt.MASKED,))
    assert (str(recorded.at), recorded.doubts, recorded.decided) == ("log.jsonl:3:1", (Doubt.MASKED,), None)
    assert sorted(Doubt) == ["duplicate_keys", "masked", "no_arguments"]


DOUBTFUL = """
deny:
  - capability: pay.out
    amount_gt: 100
  - capability: pay.out
    contains: ["rm -rf", "drop"]
require_approval:
  - capability: pay.*
    environment: production
allow:
  - capability: pay
"""

DOUBTS = [
    Call("a", "pay.out", {"amount": "ten"}),
    Call("a", "pay.out", {"memo": "x"}),
    Call("a", "pay.out", {"amount": 1, "total": 1000}),
    Call("a", "pay.out", {"amount": 1, "memo": "RM -RF"}),
    Call("a", "PAY.out", {"amount": 1}, {"environment": "production"}),
    Call("a", "pay.back", {"amount": 1}, {"environment": "Production"}),
    Call("a", "pay.back", None),
    Call("a", "pay.back.now", {"amount": 1}, {"environment": "test"}),
]


def test_what_was_left_in_doubt_before_changes_no_reasons() -> None:
    policy = compiled(DOUBTFUL)
    for call in [*DOUBTS, *reversed(DOUBTS)]:
        fresh, known = decide((compile_policy(policy.policy),), call), decide((policy,), call)
        assert (known.outcome, known.reasons) == (fresh.outcome, fresh.reasons)
        assert Code.RULE_UNKNOWN in [reason.code for reason in known.reasons]


def test_calls_that_leave_the_same_in_doubt_share_their_reasons_and_no_others_do() -> None:
    policy = compiled(DOUBTFUL)
    first, second, other = (
        decide((policy,), Call("a", "pay.out", payload)) for payload in ({"amount": "ten"}, {"amount": "two"}, {"x": 1})
    )
    assert not first.settled
    assert first.settle() is second.settle()
    assert first.settle() is not other.settle()
    assert first.settled
    assert write_reasons(first) is write_reasons(second)
    assert orjson.loads(orjson.dumps(write_reasons(other)))[0]["unknown"][0]["why"] == "the payload holds no amount"
