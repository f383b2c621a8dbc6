"""What a service writes, a client reads: the question as the call it was, the answer as the result it was."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.adapters.memory import MemoryLedger
from onpurpose.agents.wire import no_answer, read_answer, write_question
from onpurpose.core.call import Call, Identity
from onpurpose.core.canonical import digest
from onpurpose.core.decision import Code, PolicyRef, ShadowVerdict
from onpurpose.core.facts import Facts, Malformed
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Policy
from onpurpose.core.purpose import IntentClass
from onpurpose.core.result import Result
from onpurpose.server.answer import write_answer
from onpurpose.server.question import make_call
from onpurpose.wiring import Gate
from tests.app.keys import CALL, PURPOSE, result
from tests.strategies import calls, json_payloads, policies

names = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
VERDICT = ShadowVerdict(
    policy=PolicyRef(kind="policy", name="main", revision=3),
    matched=None,
    would=Outcome.DENY,
    newly_blocked=True,
    unmatched=False,
)
INTENT = Intent(label="look_up", intent_class=IntentClass.LOOKUP, confidence=0.5)


@given(
    json_payloads,
    st.none() | st.dictionaries(st.sampled_from(["environment", "tenant", "user_role", "x"]), names),
    st.none() | st.builds(Identity, names, st.lists(names, max_size=3).map(tuple)),
    st.none() | names,
    st.none() | st.lists(names, max_size=2).map(tuple),
)
def test_a_question_is_read_as_the_call_it_was_and_has_its_digest(
    payload: Any, context: Any, identity: Identity | None, label: str | None, elements: tuple[str, ...] | None
) -> None:
    call = Call("agent", "a.b", payload, context, label, label, identity, label, label, elements, label)
    try:
        question = write_question(call, label)
    except Malformed:
        return
    read, policy = make_call(orjson.loads(question.body))
    assert policy == label
    assert question.digest == digest(read, Facts(read)) == digest(call, Facts(call))
    for name in ("agent_id", "task_context", "risk_category", "identity", "purpose_id", "elements", "conversation"):
        assert getattr(read, name) == getattr(call, name)


def same(read: Result, given_result: Result) -> None:
    assert (read.outcome, read.decision_id, read.digest) == (
        given_result.outcome, given_result.decision_id, given_result.digest,
    )  # fmt: skip
    assert [(r.code, r.outcome, r.message, r.policy, r.unknown, r.signals) for r in read.reasons] == [
        (r.code, r.outcome, r.message, r.policy, r.unknown, r.signals) for r in given_result.reasons
    ]
    assert [str(r.rule) for r in read.reasons] == [str(r.rule) for r in given_result.reasons]


@given(st.lists(policies, min_size=1, max_size=1), calls)
def test_an_answer_is_read_as_the_result_it_was(some: list[Policy], call: Call) -> None:
    try:
        question = write_question(call)
    except Malformed:
        return
    asked, _ = make_call(orjson.loads(question.body))
    gate = Gate(some[0], MemoryLedger(), reload_seconds=3600)
    there = gate.begin(asked).finish(10)
    gate.close()
    same(read_answer(question, 200, write_answer(there, None, "none")), there)


def test_whatever_stands_in_a_result_comes_back() -> None:
    there = result(shadows=(VERDICT,), intent=INTENT)
    read = read_answer(write_question(CALL), 200, write_answer(there, ("e.y.J", 1_800_000_300_000_000), "static"))
    same(read, there)
    assert (read.shadows, read.intent, read.token, read.expires_at) == (
        (VERDICT,), INTENT, "e.y.J", 1_800_000_300_000_000,
    )  # fmt: skip
    assert read.purpose is not None
    assert (read.purpose.id, read.purpose.name) == (PURPOSE.id, PURPOSE.name)
    assert read.call is CALL


ANSWER = write_answer(result(shadows=(VERDICT,), intent=INTENT), ("e.y.J", 1_800_000_300_000_000), "static")


@given(st.integers(0, len(ANSWER) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_no_changed_answer_is_more_than_it_was_and_none_raises(place: int, put: bytes, gone: int) -> None:
    question = write_question(CALL)
    read = read_answer(question, 200, ANSWER[:place] + put + ANSWER[place + gone :])
    assert read.allowed or [reason.code for reason in read.reasons] == [Code.UNREACHABLE]
    assert read.digest in (question.digest, None)


@given(st.integers(0, 600), st.binary(max_size=30))
def test_no_status_but_one_and_no_other_bytes_decide(status: int, body: bytes) -> None:
    assert read_answer(write_question(CALL), status, body).outcome is Outcome.DENY


def test_a_denial_without_an_answer_says_why() -> None:
    denied = no_answer(CALL, "the line is dead")
    assert denied.explain() == "deny: crm.read by agent-7\n  deny: the line is dead"
