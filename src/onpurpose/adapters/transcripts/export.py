"""`export`: what `audit export` writes, one record of the log a line; decisions are read, the rest skipped.

Secrets in the payloads were masked before they were written down: a rule that looks at one may
decide otherwise on the replay than it did on the call.
"""

from __future__ import annotations

from collections.abc import Iterator

from onpurpose.adapters.transcripts.documents import problem, text_or_none
from onpurpose.core.call import Call, Identity
from onpurpose.core.history import Doubt, RecordedCall
from onpurpose.core.outcome import BY_NAME
from onpurpose.core.span import Problem, Span

_MARK = "[masked"


def recognises(value: object) -> bool:
    """Whether the document looks like one of this format."""
    return isinstance(value, dict) and {"chain", "seq", "record"} <= value.keys()


def calls(value: object, at: Span) -> Iterator[RecordedCall | Problem]:
    """The call of one exported record; none in a record that is no decision."""
    record = value.get("record") if isinstance(value, dict) else None
    if not isinstance(record, dict):
        yield problem(at, "no-record", "an exported line is an object with a `record`")
        return
    if record.get("kind") != "decision":
        return
    agent, capability = record.get("agent_id"), record.get("capability")
    if not isinstance(agent, str) or not isinstance(capability, str):
        yield problem(at, "no-call", "the decision names no agent or no capability")
        return
    yield RecordedCall(
        call=_call(record, agent, capability),
        at=at,
        session=text_or_none(record.get("session")),
        decided=BY_NAME.get(str(record.get("outcome"))),
        doubts=(Doubt.MASKED,) if _is_masked([record.get("payload"), record.get("policy_context")]) else (),
    )


def _is_masked(value: object) -> bool:
    """Whether a text in the value bears the mark of masking."""
    stack = [value]
    while stack:
        top = stack.pop()
        if isinstance(top, str) and _MARK in top:
            return True
        stack.extend(top.values() if isinstance(top, dict) else top if isinstance(top, list) else ())
    return False


def _call(record: dict[str, object], agent: str, capability: str) -> Call:
    context, elements = record.get("policy_context"), record.get("elements")
    return Call(
        agent,
        capability,
        record.get("payload"),
        context if isinstance(context, dict) else None,
        task_context=text_or_none(record.get("task_context")),
        risk_category=text_or_none(record.get("risk_category")),
        identity=_identity(record.get("identity")),
        purpose_id=text_or_none(record.get("purpose_id")),
        data_source_id=text_or_none(record.get("data_source_id")),
        elements=tuple(map(str, elements)) if isinstance(elements, list) else None,
    )


def _identity(value: object) -> Identity | None:
    user = value.get("user_id") if isinstance(value, dict) else None
    groups = value.get("groups") if isinstance(value, dict) else None
    if not isinstance(user, str):
        return None
    return Identity(user, tuple(map(str, groups)) if isinstance(groups, list) else ())
