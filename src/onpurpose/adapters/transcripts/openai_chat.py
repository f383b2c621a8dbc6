"""`openai-chat`: chat logs with tool calls, in the shapes that people keep them in.

Messages, conversations (`messages`), answers of the Chat Completions and Responses APIs, pairs of
request and response, batch files; one a line or many in a list. Where an object holds a response,
only its calls are read: a request repeats the conversation so far.
"""

from __future__ import annotations

from collections.abc import Iterator

from onpurpose.adapters.transcripts.documents import arguments_of, problem, text_or_none
from onpurpose.core.call import Call
from onpurpose.core.history import RecordedCall
from onpurpose.core.span import Problem, Span

_ANSWERS = ("response", "choices", "output")
_HOLDERS = ("message", "messages", "body", "request", "input", "conversation", "items")
_SESSIONS = ("session_id", "conversation_id", "thread_id", "custom_id", "id")
_ITEMS = ("function_call", "custom_tool_call", "mcp_call")  # no set: not every `type` can be hashed
_MAX_DEPTH = 8


def recognises(value: object) -> bool:
    """Whether the document looks like one of this format."""
    if isinstance(value, list):
        return any(recognises(entry) for entry in value[:8])
    if not isinstance(value, dict):
        return False
    if value.get("type") in _ITEMS or isinstance(value.get("messages"), list):
        return True
    if isinstance(value.get("role"), str) and not value.keys().isdisjoint(("content", "tool_calls", "function_call")):
        return True
    return any(isinstance(value.get(name), dict | list) for name in (*_ANSWERS, "request", "body"))


def calls(value: object, at: Span) -> Iterator[RecordedCall | Problem]:
    """The calls that the document's model made, in order."""
    if not isinstance(value, dict | list):
        yield problem(at, "no-message", "a chat log holds objects and lists")
        return
    yield from _walk(value, at, None, _MAX_DEPTH)


def _walk(value: object, at: Span, session: str | None, depth: int) -> Iterator[RecordedCall | Problem]:
    if depth == 0:
        yield problem(at, "too-deep", "the log nests conversations deeper than chat logs do")
    elif isinstance(value, list):
        for entry in value:
            yield from _walk(entry, at, session, depth - 1)
    elif isinstance(value, dict):
        if value.get("type") in _ITEMS:
            yield _call(value.get("name"), value.get("arguments", value.get("input")), at, session)
            return
        yield from _own(value, at, session)
        session = _session(value) or session
        for name in _inner(value):
            yield from _walk(value[name], at, session, depth - 1)


def _inner(value: dict[str, object]) -> list[str]:
    """Under which keys more messages are: the answers alone, where there are any."""
    answers = [name for name in _ANSWERS if isinstance(value.get(name), dict | list)]
    return answers[:1] or [name for name in _HOLDERS if isinstance(value.get(name), dict | list)]


def _own(message: dict[str, object], at: Span, session: str | None) -> Iterator[RecordedCall | Problem]:
    """The calls of a message itself."""
    delta = message.get("delta")
    if isinstance(delta, dict) and (delta.get("tool_calls") or delta.get("function_call")):
        yield problem(at, "streamed-piece", "a streamed chunk holds only a piece of a call")
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        yield _call(legacy.get("name"), legacy.get("arguments"), at, session)
    listed = message.get("tool_calls")
    for entry in listed if isinstance(listed, list) else ():
        tool = (entry.get("function") or entry.get("custom")) if isinstance(entry, dict) else None
        if isinstance(tool, dict):
            yield _call(tool.get("name"), tool.get("arguments", tool.get("input")), at, session)
        else:
            yield problem(at, "no-name", "an entry of `tool_calls` names no function")


def _call(name: object, arguments: object, at: Span, session: str | None) -> RecordedCall | Problem:
    if not isinstance(name, str):
        return problem(at, "no-name", "a tool call has no name")
    payload, doubts = arguments_of(arguments)
    return RecordedCall(call=Call("replay", name, payload), at=at, session=session, doubts=doubts)


def _session(value: dict[str, object]) -> str | None:
    return next((text for name in _SESSIONS if (text := text_or_none(value.get(name)))), None)
