"""Result -> bytes: what `evaluate` answers."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from onpurpose.core.decision import ShadowVerdict
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Purpose
from onpurpose.core.recorded import write_reasons
from onpurpose.core.result import Result
from onpurpose.core.ticket import Ticket

_NAMES = tuple(str(outcome) for outcome in sorted(Outcome))


def write_answer(result: Result, token: tuple[str, int] | None, classifier: str) -> bytes:
    """The answer to one call as JSON; with it the token and when that expires, in microseconds UTC."""
    decision = result.decision
    outcome = decision.outcome
    answer = {
        "outcome": _NAMES[outcome],
        "allowed": outcome.permits,
        "reasons": decision.written or write_reasons(decision),
        "decision_id": result.decision_id,
        "digest": result.digest,
        "purpose": None if result.purpose is None else _purpose(result.purpose),
        "intent": None if result.intent is None else _intent(result.intent),
        "classifier": classifier,
        "elements": result.call.elements,
        "shadow": [_shadow(verdict) for verdict in result.shadows] if result.shadows else [],
        "approval": None if result.approval is None else told_ticket(result.approval),
        "token": None,
        "expires_at": None,
    }
    if token is not None:
        answer["token"] = token[0]
        answer["expires_at"] = rfc3339(token[1])
    return orjson.dumps(answer)


def write_batch(answers: list[bytes]) -> bytes:
    """The answers to a batch, in its order."""
    return b'{"answers":[' + b",".join(answers) + b"]}"


def told_ticket(ticket: Ticket) -> dict[str, object]:
    """An approval as its agent is told of it."""
    return {
        "id": ticket.id,
        "state": ticket.state,
        "expires_at": rfc3339(ticket.until),
        "by": ticket.by,
        "reason": ticket.reason,
        "url": ticket.page,
    }


def rfc3339(at: int) -> str:
    """Microseconds UTC as a date and time to the second, as tokens count."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _purpose(purpose: Purpose) -> dict[str, object]:
    return {"id": purpose.id, "name": purpose.name, "intent_class": purpose.intent_class}


def _intent(intent: Intent) -> dict[str, object]:
    return {"label": intent.label, "class": intent.intent_class, "confidence": intent.confidence}


def _shadow(verdict: ShadowVerdict) -> dict[str, object]:
    return {
        "kind": verdict.policy.kind,
        "name": verdict.policy.name,
        "revision": verdict.policy.revision,
        "matched": verdict.matched,
        "would": _NAMES[verdict.would],
        "newly_blocked": verdict.newly_blocked,
        "unmatched": verdict.unmatched,
    }
