"""Decision -> Record: what is written down of a decision, every field of it in the body."""

from __future__ import annotations

import orjson

from onpurpose.core.call import Call
from onpurpose.core.decision import Decision, Reason
from onpurpose.core.record import Record

VERSION = 1
"""The version of the record's form."""


def record_decision(  # noqa: PLR0913, PLR0917  these are the record's fields
    decision_id: str,
    at: int,
    call: Call,
    payload: object,
    context: object,
    digest: str | None,
    decision: Decision,
    policies: orjson.Fragment,
) -> Record:
    """The record of a decision: `at` in microseconds UTC, payload and context masked and fit for JSON.

    `policies` is the JSON of the policies in force (`[{"source", "digest", ...}]`). Raises
    `orjson.JSONEncodeError` (a `TypeError`) where a field is not fit for JSON.
    """
    fields = {
        "v": VERSION,
        "kind": "decision",
        "id": decision_id,
        "at": at,
        "agent_id": call.agent_id,
        "capability": call.capability,
        "policy_context": context,
        "payload": payload,
        "digest": digest,
        "outcome": _NAMES[decision.outcome],
        "reasons": decision.written or write_reasons(decision),
        "policies": policies,
    }
    _add_given(fields, call)
    return Record("decision", orjson.dumps(fields))


def _add_given(fields: dict[str, object], call: Call) -> None:
    """What most calls leave out is left out of their records: nulls would be a quarter of them."""
    if call.task_context is not None:
        fields["task_context"] = call.task_context
    if call.risk_category is not None:
        fields["risk_category"] = call.risk_category
    if call.identity is not None:
        fields["identity"] = {"user_id": call.identity.user_id, "groups": call.identity.groups}
    if call.purpose_id is not None:
        fields["purpose_id"] = call.purpose_id
    if call.data_source_id is not None:
        fields["data_source_id"] = call.data_source_id
    if call.elements is not None:
        fields["elements"] = call.elements


_NAMES = ("allow", "warn", "require_approval", "deny")


def write_reasons(decision: Decision) -> orjson.Fragment:
    """The reasons as JSON, remembered in `decision.written`: most calls share a decision that a rule made."""
    decision.written = written = orjson.Fragment(orjson.dumps([_reason(reason) for reason in decision.reasons]))
    return written


def _reason(reason: Reason) -> dict[str, object]:
    written: dict[str, object] = {
        "code": reason.code,
        "outcome": str(reason.outcome),
        "message": reason.message,
    }
    if reason.rule:
        written["rule"] = {"at": str(reason.rule), "capability": reason.rule.capability}
    if reason.unknown:
        written["unknown"] = [{"condition": u.condition, "why": u.why, "settle": u.settle} for u in reason.unknown]
    if reason.signals:
        written["signals"] = [{"name": s.name, "weight": s.weight, "certain": s.certain} for s in reason.signals]
    return written
