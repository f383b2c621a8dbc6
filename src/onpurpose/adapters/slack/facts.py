"""What people must know to decide, as labelled lines: the intent context of an approval, read with suspicion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import orjson

from onpurpose.adapters.slack.text import line
from onpurpose.core.approval import Move, open_seats
from onpurpose.core.delivery import View
from onpurpose.core.routing import ANYONE, GROUP

LONGEST = 300
"""Characters of one line, where there is room."""

MOST = 5
"""Rules, unknowns, signals and the like that are told; of more, how many there are."""

Fact = tuple[str, str]
"""A label of ours, and a text that may be anybody's."""


def facts(view: View, longest: int = LONGEST) -> list[Fact]:
    """Who, what, why and what speaks against it; each text on one line of at most so many characters."""
    context = view.context
    found = [
        ("Agent", view.approval.agent_id),
        ("Asked with key", _text(context.get("asked_by"))),
        ("User", _user(context.get("user"))),
        ("Capability", view.approval.capability),
        *_purpose(context.get("purpose"), view.approval.purpose_id),
        ("Touches", _listed(context.get("elements"))),
        ("Data source", _text(context.get("data_source_id"))),
        ("Context", _pairs(context.get("policy_context"))),
        *_each("Rule", context.get("rules"), _rule),
        *_each("Unknown", context.get("unknown"), _unknown),
        ("Classifier", _intent(context.get("intent"))),
        *_each("Risk signal", context.get("signals"), _signal),
        ("Asked again", f"{view.approval.joined} times" if view.approval.joined else ""),
        *_each("Similar request", context.get("similar"), _similar),
    ]
    return [(label, line(text, longest)) for label, text in found if text]


def payload(view: View) -> str:
    """The payload as it is shown: masked and pretty already, lines kept."""
    value = view.context.get("payload")
    if value is None:
        return ""
    return value if isinstance(value, str) else _pretty(value)


def payload_cut(view: View) -> int:
    """How many bytes of the payload the approval itself does not hold any more."""
    value = view.context.get("payload_cut")
    return value if isinstance(value, int) else 0


def changed(view: View) -> list[str]:
    """The lines in which the payload differs from the last granted one; empty where there was none."""
    value = view.context.get("changed")
    lines = value.get("lines") if isinstance(value, Mapping) else value
    if isinstance(lines, str):
        return lines.splitlines()
    return [one for one in lines if isinstance(one, str)] if isinstance(lines, list) else []


def waits_for(view: View) -> list[Fact]:
    """Whose grants are still wanted, and what was done so far."""
    lines = []
    for _, stage in open_seats(view.approval):
        who = " or ".join(map(_approver, stage.approvers[: MOST * 2]))
        lines.append(("Waits for", f"{stage.quorum} of {who}" if stage.quorum > 1 else who))
    return [(label, line(text, LONGEST)) for label, text in lines[:MOST]]


def acts(view: View) -> list[Fact]:
    """What people did and said, the newest last."""
    told = {Move.GRANT: "Granted by", Move.DELEGATE: "Delegated by", Move.COMMENT: "Comment by"}
    lines = []
    for act in view.approval.acts:
        if act.move in told:
            to = f" to {act.to}" if act.to else ""
            lines.append((told[act.move], act.by + to + (f": {act.text}" if act.text else "")))
    return [(label, line(text, LONGEST)) for label, text in lines[-MOST:]]


def _approver(approver: str) -> str:
    if approver == ANYONE:
        return "anyone"
    kind, _, name = approver.partition(":")
    return f"group {name}" if f"{kind}:" == GROUP else name


def _user(value: object) -> str:
    if not isinstance(value, Mapping) or not value.get("id"):
        return "anonymous"
    groups = _listed(value.get("groups"))
    return _text(value["id"]) + (f" ({groups})" if groups else "")


def _purpose(value: object, purpose_id: str | None) -> Iterator[Fact]:
    if not isinstance(value, Mapping):
        yield "Purpose", purpose_id or "none declared"
        return
    name, description = _text(value.get("name")), _text(value.get("description"))
    yield "Purpose", _text(value.get("id")) + (f" ({name})" if name else "")
    yield "Purpose means", description
    yield "Purpose may touch", _listed(value.get("elements"))


def _rule(value: Mapping[str, object]) -> str:
    at, outcome = _text(value.get("at") or value.get("policy")), _text(value.get("outcome"))
    name, message = _text(value.get("capability")), _text(value.get("message"))
    return " ".join(part for part in (at, name and f"({name})", outcome, message and f"- {message}") if part)


def _unknown(value: Mapping[str, object]) -> str:
    parts = (_text(value.get("condition")), _text(value.get("why")), _text(value.get("settle")))
    return " - ".join(part for part in parts if part)


def _signal(value: Mapping[str, object]) -> str:
    sure = "" if value.get("certain", True) else ", not certain"
    return f"{_text(value.get('name'))} (weight {_text(value.get('weight'))}{sure})"


def _similar(value: Mapping[str, object]) -> str:
    parts = (_text(value.get("state")), _text(value.get("by")), _text(value.get("when")), _text(value.get("id")))
    return " ".join(part for part in parts if part)


def _intent(value: object) -> str:
    if not isinstance(value, Mapping):
        return ""
    confidence = value.get("confidence")
    share = f", {confidence:.0%} sure" if isinstance(confidence, float | int) else ""
    return f"{_text(value.get('label'))} ({_text(value.get('class'))}{share})"


def _each(label: str, value: object, told: Callable[[Mapping[str, object]], str]) -> Iterator[Fact]:
    entries = value if isinstance(value, list) else []
    for entry in entries[:MOST]:
        yield label, told(entry) if isinstance(entry, Mapping) else _text(entry)
    if len(entries) > MOST:
        yield label, f"and {len(entries) - MOST} more"


def _listed(value: object) -> str:
    return ", ".join(map(_text, value[:50])) if isinstance(value, list) else _text(value)


def _pairs(value: object) -> str:
    if not isinstance(value, Mapping):
        return ""
    return ", ".join(f"{key}={_text(item)}" for key, item in list(value.items())[:50])


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _pretty(value)


def _pretty(value: object) -> str:
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a number or a text that JSON does not hold
        return repr(value)
