"""`agentdojo`: tasks of AgentDojo with the calls that solve them, one task a line.

The capability is `suite.function`, the session the task and the label its kind: `user` for what
the user asked for, `injection` for what an attacker's text asks for.
"""

from __future__ import annotations

from collections.abc import Iterator

from onpurpose.adapters.transcripts.documents import problem, text_or_none
from onpurpose.core.call import Call
from onpurpose.core.history import RecordedCall
from onpurpose.core.span import Problem, Span


def recognises(value: object) -> bool:
    """Whether the document looks like one of this format."""
    return isinstance(value, dict) and {"suite", "task", "calls"} <= value.keys()


def calls(value: object, at: Span) -> Iterator[RecordedCall | Problem]:
    """The calls of one task, in order."""
    listed = value.get("calls") if isinstance(value, dict) else None
    suite = value.get("suite") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(listed, list) or not isinstance(suite, str):
        yield problem(at, "no-task", "a task is an object with a `suite` and a list of `calls`")
        return
    session, label = f"{suite}.{value.get('task')}", text_or_none(value.get("kind"))
    for entry in listed:
        function = entry.get("function") if isinstance(entry, dict) else None
        if not isinstance(function, str):
            yield problem(at, "no-name", "a call of the task has no `function`")
            continue
        call = Call(f"{suite}-agent", f"{suite}.{function}", entry.get("args"))
        yield RecordedCall(call=call, at=at, session=session, label=label)
