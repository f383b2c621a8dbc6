"""The forms that a button opens: why not, and who instead."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from onpurpose.adapters.slack.blocks import DELEGATE, DENY
from onpurpose.adapters.slack.pressed import PERSON, PRESET, REASON, Place
from onpurpose.adapters.slack.text import cut, line, plain
from onpurpose.core.access import User
from onpurpose.core.approval import Approval

MOST_PEOPLE = 1000
_OPTIONS = 100
_LONGEST_REASON = 1900
_LONGEST_VALUE = 150

NO_REASON: dict[str, object] = {
    "response_action": "errors",
    "errors": {REASON: "Choose a reason, or write one: the agent and its user are told"},
}


def deny_form(approval: Approval, place: Place, reasons: Sequence[str]) -> dict[str, object]:
    """Asks for a reason: one of some, or in words."""
    choice = (
        [_choice(PRESET, "Reason", "Choose", list(map(_numbered, range(len(reasons)), reasons)))] if reasons else []
    )
    return _form(DENY, "Deny", place, [_about(approval), *choice, _words("In your words")])


def delegate_form(approval: Approval, place: Place, people: Sequence[User]) -> dict[str, object]:
    """Asks for one of those people, of whom there is at least one."""
    options = [_option(one.id, f"{one.name} ({one.id})" if one.name else one.id) for one in listed(people)]
    return _form(
        DELEGATE,
        "Delegate",
        place,
        [
            _about(approval),
            {**_choice(PERSON, "Who decides instead of you", "Choose a person", options), "optional": False},
            _words("A word to them"),
        ],
    )


def listed(people: Sequence[User]) -> list[User]:
    """Those of the people whom a form has room for, by name."""
    fitting = [one for one in people if 0 < len(one.id) <= _LONGEST_VALUE]
    return sorted(fitting, key=lambda one: (one.name.casefold(), one.id))[:MOST_PEOPLE]


def reason(fields: dict[str, str], reasons: Sequence[str]) -> str:
    """The reason that was chosen or written, both where both were; empty where none was."""
    chosen = dict(zip(map(str, range(len(reasons))), reasons, strict=True)).get(fields.get(PRESET, ""), "")
    return " ".join(part for part in (chosen, words(fields)) if part)


def words(fields: dict[str, str]) -> str:
    """What was written."""
    return fields.get(REASON, "").strip()[:_LONGEST_REASON]


def _form(callback: str, title: str, place: Place, blocks: list[dict[str, object]]) -> dict[str, object]:
    return {
        "type": "modal",
        "callback_id": callback,
        "private_metadata": msgspec.json.encode(place).decode(),
        "title": plain(title),
        "submit": plain(title),
        "close": plain("Back"),
        "blocks": blocks,
    }


def _about(approval: Approval) -> dict[str, object]:
    text = f"{approval.agent_id} asks for {approval.capability}"
    return {"type": "section", "text": plain(line(text, 300))}


def _words(label: str) -> dict[str, object]:
    element = {
        "type": "plain_text_input",
        "action_id": REASON,
        "multiline": True,
        "max_length": _LONGEST_REASON,
    }
    return {"type": "input", "block_id": REASON, "label": plain(label), "element": element, "optional": True}


def _choice(name: str, label: str, hint: str, options: list[dict[str, object]]) -> dict[str, object]:
    element: dict[str, object] = {"type": "static_select", "action_id": name, "placeholder": plain(hint)}
    if len(options) <= _OPTIONS:
        element["options"] = options
    else:
        groups = [options[start : start + _OPTIONS] for start in range(0, len(options), _OPTIONS)]
        element["option_groups"] = [
            {"label": plain(f"{n * _OPTIONS + 1} to {n * _OPTIONS + len(group)}"), "options": group}
            for n, group in enumerate(groups)
        ]
    return {"type": "input", "block_id": name, "label": plain(label), "element": element, "optional": True}


def _numbered(number: int, text: str) -> dict[str, object]:
    return _option(str(number), text)


def _option(value: str, text: str) -> dict[str, object]:
    return {"text": plain(cut(line(text, 75), 75)), "value": value}
