"""A call as a service is asked it, and what its answer comes to. Whatever is no answer to the call is a denial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, cast

import msgspec
import orjson
from msgspec import Struct

from onpurpose.core.approval import State
from onpurpose.core.call import MAX_DEPTH, Call, Identity
from onpurpose.core.canonical import digest
from onpurpose.core.decision import Code, Decision, PolicyRef, Reason, RuleRef, ShadowVerdict, Signal, Unknown, denial
from onpurpose.core.facts import Facts, Malformed
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass, Purpose, Status
from onpurpose.core.result import Result
from onpurpose.core.span import Span, printable
from onpurpose.core.ticket import Ticket, Waiter
from onpurpose.core.values import plain

MAX_TOLD = 300
"""How much of what a service says went wrong is passed on, in characters."""

_INT64 = 1 << 63
_UINT64 = 1 << 64
_BY_NAME = {str(outcome): outcome for outcome in Outcome}
_AS_IT_IS = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


class Question(Struct, frozen=True, kw_only=True, eq=False):
    """What is sent of a call, and the digest of the call that whoever reads it will see."""

    call: Call
    body: bytes
    digest: str


def write_question(call: Call, policy: object = None, approval_id: str | None = None) -> Question:
    """The call as JSON; `policy` names the policy to ask, `approval_id` the grant to use.

    Raises `Malformed` where JSON cannot hold it.

    Decimals, dates, times, UUIDs, paths and enums go as their standard text; nothing else is changed.
    """
    facts = Facts(call)
    payload = call.payload
    if not facts.direct:
        payload = _json(payload, 0)
    context = None if call.policy_context is None else _json(call.policy_context, 0)
    fields = {
        "agent_id": call.agent_id,
        "capability": call.capability,
        "payload": payload,
        "policy_context": context,
        "task_context": call.task_context,
        "risk_category": call.risk_category,
        "identity": None if call.identity is None else _identity(call.identity),
        "purpose_id": call.purpose_id,
        "data_source_id": call.data_source_id,
        "elements": None if call.elements is None else list(call.elements),
        "conversation": call.conversation,
        "policy": None if policy is None else str(policy),
        "approval_id": approval_id,
    }
    try:
        body = orjson.dumps({name: value for name, value in fields.items() if value is not None}, option=_AS_IT_IS)
    except orjson.JSONEncodeError as error:
        raise Malformed(f"a field of the call is nothing that JSON holds: {error}") from error
    asked = Call(
        agent_id=call.agent_id,
        capability=call.capability,
        payload=payload,
        policy_context=cast("Mapping[str, object] | None", context),
        identity=call.identity,
        purpose_id=call.purpose_id,
        data_source_id=call.data_source_id,
    )
    return Question(call=call, body=body, digest=digest(asked, facts if facts.direct else Facts(asked)))


def _identity(identity: Identity) -> dict[str, object]:
    return {"user_id": identity.user_id, "groups": list(identity.groups)}


def _json(value: object, depth: int) -> object:
    """The value in JSON's own types, new where it was not; `Malformed` where it has none."""
    if depth > MAX_DEPTH:  # a policy context is not bounded by `Facts`
        raise Malformed(f"a field of the call is nested deeper than {MAX_DEPTH}")
    value = plain(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        return {_name(key): _json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item, depth + 1) for item in value]
    raise Malformed(f"JSON cannot hold a value of type `{type(value).__name__}`: send what it stands for as text")


def _text(value: str) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Malformed("JSON cannot hold text that is not valid Unicode") from None
    return text


def _name(key: object) -> str:
    if isinstance(key, bool | int | float | None) or not isinstance(name := plain(key), str):
        raise Malformed("JSON cannot hold a mapping whose keys are not text")
    return _text(name)


def _number(value: float) -> float:
    if isinstance(value, int):
        if not -_INT64 <= value < _UINT64:
            raise Malformed("JSON as it is read here cannot hold a whole number beyond 64 bits: send it as text")
        return int(value)
    if not math.isfinite(value):
        raise Malformed("JSON cannot hold a number that is not finite: send it as text")
    return float(value)


# -- what comes back


class _Rule(Struct):
    at: str
    capability: str


class _Reason(Struct):
    code: str
    outcome: str
    message: str
    rule: _Rule | None = None
    policy: PolicyRef | None = None
    unknown: tuple[Unknown, ...] = ()
    signals: tuple[Signal, ...] = ()


class _Purpose(Struct):
    id: str
    name: str = ""
    intent_class: IntentClass = IntentClass.OTHER


class _Intent(Struct, rename={"intent_class": "class"}):
    label: str
    intent_class: IntentClass
    confidence: float


class _Shadow(Struct):
    kind: str
    name: str
    revision: int
    matched: bool | None
    would: str
    newly_blocked: bool
    unmatched: bool


class _Approval(Struct):
    id: str
    state: State
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)]
    by: str = ""
    reason: str = ""
    url: str = ""


class _Answer(Struct):
    """What is read of an answer; a field that a newer service adds is passed over."""

    outcome: str
    allowed: bool
    reasons: tuple[_Reason, ...]
    decision_id: str
    digest: str | None
    purpose: _Purpose | None = None
    intent: _Intent | None = None
    shadow: tuple[_Shadow, ...] = ()
    approval: _Approval | None = None
    token: str | None = None
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _Problem(Struct):
    """A problem document (RFC 9457), as much of it as is passed on."""

    title: str = ""
    detail: str = ""


_ANSWER = msgspec.json.Decoder(_Answer)
_APPROVAL = msgspec.json.Decoder(_Approval)
_PROBLEM = msgspec.json.Decoder(_Problem)


def read_answer(question: Question, status: int, body: bytes, waiter: Waiter | None = None) -> Result:
    """The result that an answer comes to: what was decided, or a denial with the code `unreachable`.

    `waiter` is who waits for the approval, where people are asked.
    """
    if status != 200:
        return no_answer(question.call, f"the service refused to decide (HTTP {status}{_told(body)})")
    try:
        answer = _ANSWER.decode(body)
        outcome = _BY_NAME[answer.outcome]
        if answer.allowed != outcome.permits or not answer.decision_id:
            return no_answer(question.call, "the service contradicts itself")
        decision = Decision(outcome, tuple(_reason(one) for one in answer.reasons))
        if answer.digest != question.digest and not (answer.digest is None and outcome is Outcome.DENY):
            return no_answer(question.call, "the service decided another call than it was asked")
        return _result(question.call, decision, answer, waiter)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, ValueError, RecursionError):
        return no_answer(question.call, "the service gave an answer that cannot be read")


def read_ticket(ticket: Ticket, status: int, body: bytes) -> Ticket:
    """The approval as an answer tells it; unchanged where that is none about it."""
    if status != 200:
        return ticket
    try:
        told = _APPROVAL.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ticket
    return _ticket(told, ticket.waiter) if told.id == ticket.id else ticket


def _ticket(told: _Approval, waiter: Waiter | None) -> Ticket:
    until = int(told.expires_at.timestamp() * 1_000_000)
    return Ticket(
        id=told.id,
        state=told.state,
        until=until,
        by=printable(told.by),
        reason=printable(told.reason),
        page=printable(told.url),
        waiter=waiter,
    )


def no_answer(call: Call, why: str) -> Result:
    """A denial because no answer came that decides the call."""
    return Result(call, denial(Code.UNREACHABLE, why), "", None, None)


def unsendable(call: Call, why: str) -> Result:
    """A denial because the call cannot be sent as it is."""
    return Result(call, denial(Code.MALFORMED_CALL, why), "", None, None)


def _result(call: Call, decision: Decision, answer: _Answer, waiter: Waiter | None) -> Result:
    given = decision.outcome.permits and answer.token is not None and answer.expires_at is not None
    return Result(
        call,
        decision,
        answer.decision_id,
        answer.digest,
        None,
        purpose=None if answer.purpose is None else _purpose(answer.purpose),
        shadows=tuple(_shadow(one) for one in answer.shadow),
        intent=None if answer.intent is None else _intent(answer.intent),
        approval=None if decision.outcome.permits or answer.approval is None else _ticket(answer.approval, waiter),
        token=answer.token if given else None,
        expires_at=int(answer.expires_at.timestamp()) * 1_000_000 if given and answer.expires_at else None,
    )


def _reason(one: _Reason) -> Reason:
    rule = None
    outcome = _BY_NAME[one.outcome]
    if one.rule is not None:
        source, _, line = one.rule.at.rpartition(":")
        rule = RuleRef(outcome=outcome, capability=one.rule.capability, span=Span(printable(source), int(line), 1))
    return Reason(
        code=cast(Code, one.code),  # a code that only a newer service knows stays as it is written
        outcome=outcome,
        message=printable(one.message),
        rule=rule,
        policy=one.policy,
        unknown=one.unknown,
        signals=one.signals,
    )


def _purpose(one: _Purpose) -> Purpose:
    span = Span("service", 1, 1)
    return Purpose(id=one.id, name=one.name, intent_class=one.intent_class, status=Status.ACTIVE, span=span)


def _intent(one: _Intent) -> Intent:
    return Intent(label=one.label, intent_class=one.intent_class, confidence=one.confidence)


def _shadow(one: _Shadow) -> ShadowVerdict:
    return ShadowVerdict(
        policy=PolicyRef(kind=one.kind, name=one.name, revision=one.revision),
        matched=one.matched,
        would=_BY_NAME[one.would],
        newly_blocked=one.newly_blocked,
        unmatched=one.unmatched,
    )


def _told(body: bytes) -> str:
    """What a problem document says, cut to what anybody reads; nothing where there is none."""
    try:
        problem = _PROBLEM.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    said = problem.detail or problem.title
    return f": {printable(said[:MAX_TOLD])}" if said else ""
