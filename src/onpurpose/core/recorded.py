"""Decision -> Record: what is written down of a decision, every field of it in the body."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import orjson

from onpurpose.core.call import MAX_NAME, Call
from onpurpose.core.decision import Decision, PolicyRef, Reason, ShadowVerdict
from onpurpose.core.intent import Intent
from onpurpose.core.purposes import Verdict
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
    also: Mapping[str, object] | None = None,
) -> Record:
    """The record of a decision: `at` in microseconds UTC, payload and context masked and fit for JSON.

    `policies` is the JSON of the policies in force (`[{"source", "digest", ...}]`). `also` are further
    fields (see `verdict_fields`); none of them replaces one of the record's own. Raises
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
    if also is not None:
        fields |= also if fields.keys().isdisjoint(also) else {name: also[name] for name in also if name not in fields}
    return Record("decision", orjson.dumps(fields))


def verdict_fields(  # noqa: PLR0913  these are the record's fields
    verdict: Verdict,
    intent: Intent | None = None,
    *,
    workspace: str | None = None,
    key: str | None = None,
    policy: str | None = None,
    stale_seconds: float | None = None,
) -> dict[str, object]:
    """What a service's record says beyond the plain one, each field only where there is something to say.

    `key` is the id of the API key that asked, `policy` the one that the call itself named; `stale_seconds`
    for how long the process could not confirm that its policies are the newest.
    """
    fields: dict[str, object] = {}
    if workspace is not None:
        fields["workspace"] = workspace
    if key is not None:
        fields["key"] = key
    if policy is not None:
        fields["policy"] = policy[:MAX_NAME].encode("utf-8", "replace").decode()
    if intent is not None:
        view = {"label": intent.label, "class": intent.intent_class, "confidence": intent.confidence}
        fields["intent"] = view
    if verdict.shadows:
        fields["shadow"] = [_shadow(shadow) for shadow in verdict.shadows]
    if verdict.matched:
        fields["purpose_policies"] = [{"name": ref.name, "revision": ref.revision} for ref in verdict.matched]
    if stale_seconds is not None:
        fields["stale_seconds"] = stale_seconds
    return fields


@lru_cache(maxsize=4096)
def _shadow(shadow: ShadowVerdict) -> orjson.Fragment:
    """The verdict as JSON, remembered: most calls get one that was made before."""
    written = _ref(shadow.policy) | {
        "matched": shadow.matched,
        "would": _NAMES[shadow.would],
        "newly_blocked": shadow.newly_blocked,
        "unmatched": shadow.unmatched,
    }
    return orjson.Fragment(orjson.dumps(written))


def _ref(policy: PolicyRef) -> dict[str, object]:
    return {"kind": policy.kind, "name": policy.name, "revision": policy.revision}


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
    settled = decision.settle()
    written = settled.written
    if written is None:
        written = orjson.Fragment(orjson.dumps([_reason(reason) for reason in settled.reasons]))
    decision.written = settled.written = written
    return written


def _reason(reason: Reason) -> dict[str, object]:
    written: dict[str, object] = {
        "code": reason.code,
        "outcome": str(reason.outcome),
        "message": reason.message,
    }
    if reason.rule:
        written["rule"] = {"at": str(reason.rule), "capability": reason.rule.capability}
    if reason.policy:
        written["policy"] = _ref(reason.policy)
    if reason.unknown:
        written["unknown"] = [{"condition": u.condition, "why": u.why, "settle": u.settle} for u in reason.unknown]
    if reason.signals:
        written["signals"] = [{"name": s.name, "weight": s.weight, "certain": s.certain} for s in reason.signals]
    return written
