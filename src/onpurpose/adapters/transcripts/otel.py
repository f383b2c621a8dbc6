"""`otel`: OpenTelemetry spans under the conventions for generative AI.

OTLP in JSON, and the spans that SDKs print. A span whose `gen_ai.operation.name` is `execute_tool`
is a call; so is a `tool_call` part of `gen_ai.output.messages`, unless a span of the same document
tells of its execution.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from onpurpose.adapters.transcripts.documents import arguments_of, problem, text_or_none
from onpurpose.core.call import Call
from onpurpose.core.history import RecordedCall
from onpurpose.core.span import Problem, Span

_MAX_DEPTH = 32


def recognises(value: object) -> bool:
    """Whether the document looks like one of this format."""
    if isinstance(value, list):
        return bool(value) and recognises(value[0])
    if not isinstance(value, dict):
        return False
    return "resourceSpans" in value or ("attributes" in value and ("name" in value or "context" in value))


def calls(value: object, at: Span) -> Iterator[RecordedCall | Problem]:
    """The calls that the document's spans tell of, in order."""
    spans = list(_spans(value, _MAX_DEPTH))
    if not spans and not recognises(value):
        yield problem(at, "no-span", "the document holds no span")
    read = [(_session(span), _attributes(span.get("attributes"))) for span in spans]
    executed = {text_or_none(a.get("gen_ai.tool.call.id")) for _, a in read if _is_execution(a)} - {None}
    for session, attributes in read:
        agent = text_or_none(attributes.get("gen_ai.agent.id")) or text_or_none(attributes.get("gen_ai.agent.name"))
        session = text_or_none(attributes.get("gen_ai.conversation.id")) or session  # noqa: PLW2901  the nearer name
        if _is_execution(attributes):
            found = [(attributes.get("gen_ai.tool.name"), attributes.get("gen_ai.tool.call.arguments"))]
        else:
            found = list(_parts(attributes.get("gen_ai.output.messages"), executed))
        for name, arguments in found:
            yield _call(agent or "replay", name, arguments, at, session)


def _call(agent: str, name: object, arguments: object, at: Span, session: str | None) -> RecordedCall | Problem:
    if not isinstance(name, str):
        return problem(at, "no-name", "a tool call has no name")
    payload, doubts = arguments_of(arguments)
    return RecordedCall(call=Call(agent, name, payload), at=at, session=session, doubts=doubts)


def _spans(value: object, depth: int) -> Iterator[dict[str, object]]:
    """Every span of a document: of OTLP, of a list, or the document itself."""
    if depth == 0:
        return
    if isinstance(value, list):
        for entry in value:
            yield from _spans(entry, depth - 1)
    elif isinstance(value, dict):
        inner = [value[name] for name in ("resourceSpans", "scopeSpans", "spans") if isinstance(value.get(name), list)]
        if inner:
            yield from _spans(inner[0], depth - 1)
        elif "attributes" in value:
            yield value


def _session(span: dict[str, object]) -> str | None:
    context = span.get("context")
    printed = text_or_none(context.get("trace_id")) if isinstance(context, dict) else None
    return text_or_none(span.get("traceId")) or printed


def _attributes(listed: object) -> dict[str, object]:
    """The attributes as a mapping, from OTLP's list of pairs or an SDK's mapping."""
    if isinstance(listed, dict):
        return listed
    pairs = [pair for pair in listed if isinstance(pair, dict)] if isinstance(listed, list) else []
    return {str(pair.get("key")): _any_value(pair.get("value"), _MAX_DEPTH) for pair in pairs}


def _any_value(value: object, depth: int) -> object:
    """What OTLP's `AnyValue` stands for; deeper than `depth`, or unknown, it stays as it is written."""
    if not isinstance(value, dict) or len(value) != 1 or depth == 0:
        return value
    kind, inner = next(iter(value.items()))
    if kind == "intValue" and isinstance(inner, str) and len(inner) <= 20:  # 64 bits, as text in JSON
        return int(inner) if inner.removeprefix("-").isdecimal() else inner
    listed = inner.get("values") if isinstance(inner, dict) else None
    entries = listed if isinstance(listed, list) else []
    if kind == "arrayValue":
        return [_any_value(entry, depth - 1) for entry in entries]
    if kind == "kvlistValue":
        pairs = [entry for entry in entries if isinstance(entry, dict)]
        return {str(pair.get("key")): _any_value(pair.get("value"), depth - 1) for pair in pairs}
    return inner


def _is_execution(attributes: dict[str, object]) -> bool:
    return attributes.get("gen_ai.operation.name") == "execute_tool"


def _parts(messages: object, executed: set[str | None]) -> Iterator[tuple[object, object]]:
    """Name and arguments of each `tool_call` part of the messages (structured, or as JSON text)."""
    if isinstance(messages, str):
        try:
            messages = json.loads(messages)
        except (ValueError, RecursionError):
            return
    for message in messages if isinstance(messages, list) else ():
        parts = message.get("parts") if isinstance(message, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, dict) or part.get("type") != "tool_call":
                continue
            if text_or_none(part.get("id")) not in executed:
                yield part.get("name"), part.get("arguments")
