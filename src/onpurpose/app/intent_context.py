"""The intent context of an approval: all that people need to decide, masked and bounded, the same everywhere.

Whatever a model or a client wrote is hostile here: secrets are masked before anything is cut, every text and
list is bounded, and characters that could make a text look like another are written as escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import SequenceMatcher

import orjson
from msgspec import Struct

from onpurpose.app.masking import Masking
from onpurpose.core.act import Move
from onpurpose.core.approval import Approval
from onpurpose.core.call import Call
from onpurpose.core.decision import Decision, Reason
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Purpose

MAX_PAYLOAD = 64 * 1024
"""Bytes of the payload that are shown, in UTF-8."""

MAX_NAME = 512
"""Characters of a name or label."""

MAX_MESSAGE = 1000
"""Characters of a message or a description."""

MAX_LISTED = 50
"""Rules, unknowns and signals; of groups and elements, four times as many."""

MAX_CHANGES = 100
"""Lines of what differs."""

_MAX_CONTEXT = 8 * 1024
_MAX_LINE = 200
_BEFORE = 40
_MIDDLE = 150
"""Lines that are compared with each other; beyond, comparing takes too long."""


class Question(Struct, frozen=True, eq=False, kw_only=True):
    """What people are to be asked: a call that was judged, and on whose behalf it comes.

    `asked_with` is the id of the API key and `asked_by` its name, `requesters` whose own request it is beside
    the call's user: whose personal key it is.
    """

    workspace: str
    call: Call
    decision: Decision
    decision_id: str
    requesters: tuple[str, ...] = ()
    asked_with: str = ""
    asked_by: str = ""
    purpose: Purpose | None = None
    intent: Intent | None = None


def intent_context(
    question: Question, masking: Masking, last: Approval | None = None, similar: Sequence[Approval] = ()
) -> bytes:
    """The intent context as JSON. `last` is the last granted approval of its kind, to compare with.

    `similar` are earlier ones of the same agent and capability, as they stood when this one was asked.
    """
    call = question.call
    shown, cut = pretty_payload(call, masking)
    asking = [reason for reason in question.decision.reasons if reason.outcome >= Outcome.REQUIRE_APPROVAL]
    fields: dict[str, object] = {
        "agent_id": _name(call.agent_id, masking),
        "user": _user(call, masking),
        "capability": _name(call.capability, masking),
        "purpose": _purpose(question.purpose, call.purpose_id, masking),
        "elements": None if call.elements is None else _names(call.elements, masking),
        "data_source_id": _name(call.data_source_id, masking),
        "task_context": _name(call.task_context, masking),
        "risk_category": _name(call.risk_category, masking),
        "policy_context": _policy_context(call.policy_context, masking),
        "payload": shown,
        "payload_cut": cut,
        "changed": None,
        "rules": [_rule(reason, masking) for reason in asking[:MAX_LISTED]],
        "unknown": _unknown(asking, masking),
        "signals": _signals(question.decision.reasons),
        "intent": _intent(question.intent, masking),
        "similar": [_similar(one) for one in similar],
        "asked_by": _name(question.asked_by, masking),
        "decision_id": question.decision_id,
    }
    if last is not None:
        lines = differences(_said(last).get("payload"), shown)
        fields["changed"] = {"since": last.id, "lines": lines}
    return orjson.dumps(fields)


def changed_since(approval: Approval, call: Call, masking: Masking) -> str:
    """In words what differs between the call that was asked about and this one: masked, bounded, one per line."""
    said = _said(approval)
    shown, _ = pretty_payload(call, masking)
    now: dict[str, object] = {
        "agent": _name(call.agent_id, masking),
        "capability": _name(call.capability, masking),
        "user": _user(call, masking),
        "purpose": _name(call.purpose_id, masking),
        "data source": _name(call.data_source_id, masking),
    }
    purpose = said.get("purpose")
    then = {
        "agent": said.get("agent_id"),
        "capability": said.get("capability"),
        "user": said.get("user"),
        "purpose": purpose.get("id") if isinstance(purpose, dict) else None,
        "data source": said.get("data_source_id"),
    }
    names = [name for name, value in now.items() if value != then[name]]
    context = _policy_context(call.policy_context, masking)
    if context != said.get("policy_context"):
        names.append("policy context")
    lines = [f"another {name}" for name in names] + differences(said.get("payload"), shown)
    return "\n".join(lines) or "nothing that is shown: a value that is masked or cut, or written in another way"


def pretty_payload(call: Call, masking: Masking) -> tuple[str, int]:
    """The payload as people see it, and how many bytes of it are cut off. It has passed `Facts`."""
    text = _pretty(masking.value(call.payload))
    seen = visible(text[:MAX_PAYLOAD]).encode()
    shown = seen[:MAX_PAYLOAD].decode(errors="ignore")
    return shown, len(text[MAX_PAYLOAD:].encode()) + len(seen) - len(shown.encode())


def visible(text: str) -> str:
    """The text with all that is not seen as it is (controls, bidi marks, zero width, broken) written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _escaped(ord(char)) for char in text)


def _escaped(point: int) -> str:
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def differences(then: object, now: str) -> list[str]:
    """The lines that differ, `-` as they were and `+` as they are, at most `MAX_CHANGES`. Takes linear time."""
    old, new = (then if isinstance(then, str) else "").split("\n"), now.split("\n")
    start = _same(old, new)
    end = _same(old[start:][::-1], new[start:][::-1])
    old, new = old[start : len(old) - end], new[start : len(new) - end]
    pieces = [(0, len(old), 0, len(new))]
    if len(old) <= _MIDDLE and len(new) <= _MIDDLE:
        codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        pieces = [code[1:] for code in codes if code[0] != "equal"]
    lines = [line for a, b, c, d in pieces for line in _replaced(old[a:b], new[c:d])]
    return lines[:MAX_CHANGES] + ([f"and {len(lines) - MAX_CHANGES} lines more"] if len(lines) > MAX_CHANGES else [])


def _replaced(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Lines and those in their place; of a long one, the part from where the two part."""
    from_ = [_same(*pair) for pair in zip(old, new, strict=False)] + [0] * abs(len(old) - len(new))
    return [f"- {_part(line, at)}" for line, at in zip(old, from_, strict=False)] + [
        f"+ {_part(line, at)}" for line, at in zip(new, from_, strict=False)
    ]


def _part(line: str, at: int) -> str:
    start = max(0, at - _BEFORE)
    if len(line) <= _MAX_LINE or not start:
        return _bounded(line, _MAX_LINE)
    return _bounded("…" + line[start:], _MAX_LINE)


def _same(old: Sequence[str], new: Sequence[str]) -> int:
    """How many lines, or characters, are the same at the beginning."""
    return next(
        (n for n, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), min(len(old), len(new))
    )


def _said(approval: Approval) -> dict[str, object]:
    try:
        said = orjson.loads(approval.context)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _pretty(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text(text: object, limit: int, masking: Masking) -> str | None:
    """A text of anybody's, masked, visible and cut; `None` for what is no text."""
    if not isinstance(text, str):
        return None
    whole = text.encode("utf-8", "replace").decode()
    return _bounded(visible(masking.text(whole)).replace("\n", "\\n"), limit)


def _name(text: object, masking: Masking) -> str | None:
    return _text(text, MAX_NAME, masking)


def _names(names: Iterable[str], masking: Masking) -> list[str]:
    listed = tuple(names)
    found = [_name(name, masking) or "" for name in listed[: 4 * MAX_LISTED]]
    more = len(listed) - len(found)
    return [*found, f"and {more} more"] if more else found


def _user(call: Call, masking: Masking) -> dict[str, object] | None:
    if call.identity is None:
        return None
    return {"id": _name(call.identity.user_id, masking), "groups": _names(sorted(call.identity.groups), masking)}


def _purpose(purpose: Purpose | None, declared: str | None, masking: Masking) -> dict[str, object] | None:
    if purpose is None:
        return None if declared is None else {"id": _name(declared, masking)}
    return {
        "id": _name(purpose.id, masking),
        "name": _name(purpose.name, masking),
        "description": _text(purpose.description, MAX_MESSAGE, masking),
        "elements": None if purpose.elements is None else _names(purpose.elements, masking),
    }


def _policy_context(context: Mapping[str, object] | None, masking: Masking) -> dict[str, object] | None:
    """The context's entries as texts, as many as there is room for."""
    if context is None:
        return None
    found: dict[str, object] = {}
    room = _MAX_CONTEXT
    for key, value in list(context.items())[:MAX_LISTED]:
        name = _name(str(key), masking) or ""
        masked = masking.value({key: value})
        item = next(iter(masked.values())) if isinstance(masked, dict) else None
        written = item if isinstance(item, bool | int | float | None) else _spelled(item)
        room -= len(name) + len(str(written))
        if room < 0:
            found["…"] = f"{len(context) - len(found)} more"
            break
        found[name] = written
    return found


def _spelled(item: object) -> str:
    text = item if isinstance(item, str) else orjson.dumps(item).decode()
    return _bounded(visible(text[: 2 * MAX_NAME]).replace("\n", "\\n"), MAX_NAME)


def _rule(reason: Reason, masking: Masking) -> dict[str, object]:
    written: dict[str, object] = {
        "code": str(reason.code),
        "outcome": str(reason.outcome),
        "message": _text(reason.message, MAX_MESSAGE, masking),
        "at": None if reason.rule is None else visible(str(reason.rule)),
        "capability": None if reason.rule is None else visible(reason.rule.capability),
    }
    return written if reason.policy is None else written | {"policy": visible(str(reason.policy))}


def _unknown(reasons: Iterable[Reason], masking: Masking) -> list[dict[str, object]]:
    found = [unknown for reason in reasons for unknown in reason.unknown][:MAX_LISTED]
    return [
        {
            "condition": _text(one.condition, MAX_MESSAGE, masking),
            "why": _text(one.why, MAX_MESSAGE, masking),
            "settle": _text(one.settle, MAX_MESSAGE, masking),
        }
        for one in found
    ]


def _signals(reasons: Iterable[Reason]) -> list[dict[str, object]]:
    found = {signal: None for reason in reasons for signal in reason.signals}
    return [{"name": one.name, "weight": one.weight, "certain": one.certain} for one in list(found)[:MAX_LISTED]]


def _similar(approval: Approval) -> dict[str, object]:
    """An earlier approval: how it stands, since when, by whom, and what they said."""
    act = approval.last(Move.GRANT, Move.DENY, Move.CANCEL)
    at = approval.decided_at or approval.opened_at
    return {
        "id": approval.id,
        "state": approval.state,
        "by": "" if act is None else visible(act.by),
        "when": datetime.fromtimestamp(at // 1_000_000, UTC).isoformat(sep=" "),
        "text": "" if act is None else _bounded(act.text.replace("\n", "\\n"), _MAX_LINE),
    }


def _intent(intent: Intent | None, masking: Masking) -> dict[str, object] | None:
    if intent is None:
        return None
    label = _name(intent.label, masking)
    return {"label": label, "class": str(intent.intent_class), "confidence": intent.confidence}
