"""What OpenAPI says of the paths that stand outside the table: evaluate, the stream, the probes. Written by hand."""

from __future__ import annotations

from typing import Any

from onpurpose.core.access import Scope
from onpurpose.core.approval import State
from onpurpose.core.decision import Code
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass
from onpurpose.server.problems import MEDIA_TYPE
from onpurpose.server.question import MAX_BATCH

_TEXT = {"type": "string"}
_MAYBE = {"type": ["string", "null"]}
_OUTCOME = {"type": "string", "enum": [str(outcome) for outcome in Outcome]}


def bearer(scope: Scope) -> list[dict[str, list[str]]]:
    """The security of an operation that needs a key with this scope."""
    return [{"key": [str(scope)]}]


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, *, what: str = "") -> dict[str, Any]:
    """An object of exactly these fields."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": required | (optional or {}),
        "required": [*required],
        "additionalProperties": False,
    }
    return schema | ({"description": what} if what else {})


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _many(schema: dict[str, Any], **bounds: int) -> dict[str, Any]:
    return {"type": "array", "items": schema, **bounds}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


PROBLEM = {
    "type": "object",
    "description": "A problem document (RFC 9457). `errors` tells each fault of the request and its place.",
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "errors": _many(_object({"pointer": _TEXT, "detail": _TEXT})),
    },
    "required": ["type", "title", "status", "detail"],
}

_CALL = _object(
    {"agent_id": _TEXT, "capability": _TEXT},
    {
        "payload": {"description": "The tool's arguments: an object or a string; what it may not be is denied."},
        "task_context": _MAYBE,
        "risk_category": _MAYBE,
        "policy_context": {"type": ["object", "null"], "description": "environment, user_role, tenant and others"},
        "identity": _or_null(_object({"user_id": _TEXT}, {"groups": _or_null(_many(_TEXT))})),
        "purpose_id": _MAYBE,
        "data_source_id": _MAYBE,
        "elements": _or_null(_many(_TEXT)),
        "policy": _MAYBE | {"description": "the capability policy for this call alone"},
        "policy_path": _MAYBE | {"description": "another name of `policy`"},
        "approval_id": _MAYBE | {"description": "the approval whose grant this call is to use; not in a batch"},
        "conversation": _MAYBE | {"description": "recent text, for the intent classifier alone"},
    },
    what="One tool call.",
)

_REASON = _object(
    {"code": {"type": "string", "enum": [str(code) for code in Code]}, "outcome": _OUTCOME, "message": _TEXT},
    {
        "rule": _object({"at": _TEXT, "capability": _TEXT}),
        "policy": _object({"kind": _TEXT, "name": _TEXT, "revision": {"type": "integer"}}),
        "unknown": _many(_object({"condition": _TEXT, "why": _TEXT, "settle": _TEXT})),
        "signals": _many(_object({"name": _TEXT, "weight": {"type": "integer"}, "certain": {"type": "boolean"}})),
    },
)

_SHADOW = _object(
    {
        "kind": _TEXT,
        "name": _TEXT,
        "revision": {"type": "integer"},
        "matched": {"type": ["boolean", "null"]},
        "would": _OUTCOME,
        "newly_blocked": {"type": "boolean"},
        "unmatched": {"type": "boolean"},
    },
    what="What a policy in shadow would have made of the call.",
)

_APPROVAL = _object(
    {
        "id": _TEXT,
        "state": {"type": "string", "enum": [str(state) for state in State]},
        "expires_at": {"type": "string", "format": "date-time"},
        "by": _TEXT | {"description": "who decided, once somebody has"},
        "reason": _TEXT | {"description": "what they said"},
        "url": _TEXT | {"description": "the page where people decide it; empty where there is none"},
    },
    what="What people are asked about the call; null where nobody is, or where no approval can be kept.",
)

_INTENT_CLASS = {"type": "string", "enum": [str(one) for one in IntentClass]}

_ANSWER = _object(
    {
        "outcome": _OUTCOME,
        "allowed": {"type": "boolean", "description": "whether the tool may run"},
        "reasons": _many(_ref("Reason")),
        "decision_id": _TEXT,
        "digest": _MAYBE,
        "purpose": _or_null(_object({"id": _TEXT, "name": _TEXT, "intent_class": _INTENT_CLASS})),
        "intent": _or_null(_object({"label": _TEXT, "class": _INTENT_CLASS, "confidence": {"type": "number"}})),
        "classifier": _TEXT | {"description": "`none` where there is no classifier"},
        "elements": _or_null(_many(_TEXT)),
        "shadow": _many(_ref("Shadow")),
        "approval": _or_null(_APPROVAL),
        "token": _MAYBE,
        "expires_at": {"type": ["string", "null"], "format": "date-time"},
    },
    what="The decision on one call. Its record is durable, or the outcome is `deny`.",
)

FRAME_SCHEMAS: dict[str, Any] = {
    "Call": _CALL,
    "Calls": _object({"calls": _many(_ref("Call"), minItems=1, maxItems=MAX_BATCH)}),
    "Reason": _REASON,
    "Shadow": _SHADOW,
    "Answer": _ANSWER,
    "Answers": _object({"answers": _many(_ref("Answer"))}),
}

_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A repeated request with the same key and body gets the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _problem(what: str) -> dict[str, Any]:
    return {"description": what, "content": {MEDIA_TYPE: {"schema": _ref("Problem")}}}


_REFUSED = {
    "400": _problem("Not JSON"),
    "401": _problem("No API key that counts"),
    "403": _problem("The key has not the scope"),
    "429": _problem("Too many requests of this key; see `Retry-After`"),
    "503": _problem("Not now"),
}


def _evaluate(name: str, summary: str, question: str, answer: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["evaluate"],
        "description": "Needs a key with the scope `evaluate`. Whatever is not an answer is a denial.",
        "security": bearer(Scope.EVALUATE),
        "parameters": [_IDEMPOTENCY],
        "requestBody": {"required": True} | _json(_ref(question)),
        "responses": {
            "200": {"description": "The decision"} | _json(_ref(answer)),
            **_REFUSED,
            "409": _problem("A request with this idempotency key is being answered"),
            "422": _problem("JSON of a wrong form, or an idempotency key of another request"),
            "501": _problem("This service remembers no idempotency keys"),
        },
    }


def _probe(name: str, summary: str, media: str, tag: str = "probes") -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": [],
        "parameters": [],
        "responses": {"200": {"description": "OK", "content": {media: {}}}},
    }


_STREAM = {
    "operationId": "stream_decisions",
    "summary": "Decisions as they are recorded, as server-sent events",
    "tags": ["decisions"],
    "description": "Needs a key with the scope `read`. Events: `decision`; `reset`, where ids began anew and what"
    " was missed is to be read from `/v1/decisions`; `lagged`, before a reader that is too slow is let go.",
    "security": bearer(Scope.READ),
    "parameters": [
        {"name": "Last-Event-ID", "in": "header", "required": False, "description": "resume behind it", "schema": _TEXT}
    ],
    "responses": {
        "200": {"description": "The stream", "content": {"text/event-stream": {}}},
        **{status: _REFUSED[status] for status in ("401", "403", "429", "503")},
        "422": _problem("No id of an event"),
    },
}

_READY = _probe("readyz", "Whether the service can do its work", "application/json")
_READY["responses"]["503"] = _problem("Not ready; `reasons` says why")

FRAME: dict[str, dict[str, Any]] = {
    "/v1/evaluate": {"post": _evaluate("evaluate", "Decide one call", "Call", "Answer")},
    "/v1/evaluate/batch": {"post": _evaluate("evaluate_batch", "Decide many calls, in order", "Calls", "Answers")},
    "/v1/decisions/stream": {"get": _STREAM},
    "/healthz": {"get": _probe("healthz", "Whether the process lives", "application/json")},
    "/readyz": {"get": _READY},
    "/metrics": {"get": _probe("metrics", "Counts, for Prometheus", "text/plain")},
    "/openapi.json": {"get": _probe("openapi", "This document", "application/json", "about")},
    "/docs": {"get": _probe("docs", "This document as a page", "text/html", "about")},
}
