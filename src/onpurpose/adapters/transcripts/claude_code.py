"""`claude-code`: the transcripts of Claude Code, a JSON object a line, calls as `tool_use` blocks.

The capability is the tool's name (`Bash`, `mcp__server__tool`) and the payload its input;
`policy_context.cwd` is the directory that the session was in.
"""

from __future__ import annotations

from collections.abc import Iterator

from onpurpose.adapters.transcripts.documents import problem, text_or_none
from onpurpose.core.call import Call
from onpurpose.core.history import RecordedCall
from onpurpose.core.span import Problem, Span

# Tuples, since what is sought in them may be anything, and not everything can be hashed.
_TYPES = ("assistant", "user", "system", "summary", "result", "progress", "queue-operation", "file-history-snapshot")


def recognises(value: object) -> bool:
    """Whether the document looks like one of this format."""
    if not isinstance(value, dict) or value.get("type") not in _TYPES:
        return False
    return any(name in value for name in ("sessionId", "session_id", "message", "leafUuid", "messageId"))


def calls(value: object, at: Span) -> Iterator[RecordedCall | Problem]:
    """The calls in one line of a transcript; none in a line that is no message of the model's."""
    if not isinstance(value, dict):
        yield problem(at, "no-message", "a line of a transcript is a JSON object")
        return
    message = value.get("message")
    if value.get("type") != "assistant" or not isinstance(message, dict):
        return
    content = message.get("content")
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "tool_use":
            yield _call(value, block, at)


def _call(line: dict[str, object], block: dict[str, object], at: Span) -> RecordedCall | Problem:
    name, cwd = block.get("name"), line.get("cwd")
    if not isinstance(name, str):
        return problem(at, "no-name", "a `tool_use` block has no name")
    context = {"cwd": cwd} if isinstance(cwd, str) else None
    return RecordedCall(
        call=Call("claude-code", name, block.get("input"), context),
        at=at,
        session=text_or_none(line.get("sessionId")) or text_or_none(line.get("session_id")),
        label="sidechain" if line.get("isSidechain") is True else "main",
    )
