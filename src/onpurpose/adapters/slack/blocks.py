"""The message of an approval in Block Kit: the full context, and buttons while it waits.

Whatever somebody else wrote stands in rich text or plain text, which Slack shows letter by letter; mrkdwn, in
which `<!channel>` would call everybody, holds words of ours and times alone.
"""

from __future__ import annotations

import json

import orjson

from onpurpose.adapters.slack import facts
from onpurpose.adapters.slack.text import cut, escaped, line, moment, plain, shown
from onpurpose.core.approval import Approval, Move, State, is_satisfied
from onpurpose.core.delivery import View

PREFIX = "onpurpose_"
GRANT, DENY, DELEGATE, PAGE = (PREFIX + name for name in ("grant", "deny", "delegate", "page"))
"""The ids of the buttons."""

EVENT_TYPE = "onpurpose_approval"
"""What the metadata of our messages say that they are."""

BLOCK = "onpurpose:"
"""The beginning of a `block_id` of ours; the rest is the id of the delivery that the message is."""

MOST_CHARACTERS = 12_000
"""Of all blocks as they travel: Slack takes about 13,200 of a message (`msg_blocks_too_long` beyond)."""

_PAYLOAD = 3000
_CHANGED = 1200
_LEAST = 100
_HEADER = 150

_TITLES = {
    State.PENDING: "Approval needed",
    State.GRANTED: "Granted",
    State.DENIED: "Denied",
    State.EXPIRED: "Expired",
    State.CANCELLED: "Cancelled",
    State.USED: "Granted and used",
}
_SETTLED_BY = {
    State.GRANTED: Move.GRANT,
    State.USED: Move.GRANT,
    State.DENIED: Move.DENY,
    State.CANCELLED: Move.CANCEL,
}

Blocks = list[dict[str, object]]


def summary(approval: Approval) -> str:
    """The message in one line, for a notification: escaped."""
    text = f"{_TITLES[approval.state]}: {approval.capability} by {approval.agent_id}"
    return escaped(line(text, 200))


def message(view: View, delivery_id: str, url: str) -> Blocks:
    """The blocks, as many of the payload's characters as Slack takes.

    `delivery_id` is the identity of the message, `url` where the rest is seen (empty: nowhere).
    """
    room = _PAYLOAD
    while room >= _LEAST:
        blocks = _built(view, delivery_id, url, room)
        if len(json.dumps(blocks)) <= MOST_CHARACTERS:
            return blocks
        room //= 2
    return least(view, delivery_id, url)


def least(view: View, delivery_id: str, url: str) -> Blocks:
    """The message without its context, for a Slack that does not take the whole: what it is about, and the buttons."""
    where = "on the page" if url else "with `onpurpose approvals show`"
    note: dict[str, object] = {
        "type": "section",
        "text": plain(f"It is too long for Slack. Read it {where} before you decide."),
    }
    blocks: Blocks = [_header(view.approval), _times(view), note]
    return blocks + _buttons(view.approval, delivery_id, url)


def _built(view: View, delivery_id: str, url: str, room: int) -> Blocks:
    approval = view.approval
    pending = approval.state is State.PENDING
    lines = [*(facts.waits_for(view) if pending else _outcome(approval)), *facts.acts(view)]
    text: list[dict[str, object]] = [*map(_fact, lines), *map(_fact, facts.facts(view, max(room // 10, 20)))]
    changed = "\n".join(line(one, 200) for one in facts.changed(view)[:60])
    payload = facts.payload(view)
    text += _preformatted("Changed since the last one that was granted", changed, min(_CHANGED, room))
    text += _preformatted("Payload", payload, room) + _rest(len(payload) - room, facts.payload_cut(view), url)
    blocks: Blocks = [_header(approval), _times(view), {"type": "rich_text", "elements": text}]
    return blocks + (_buttons(approval, delivery_id, url) if pending else _link(delivery_id, url))


def _header(approval: Approval) -> dict[str, object]:
    return {"type": "header", "text": plain(line(f"{_TITLES[approval.state]}: {approval.capability}", _HEADER))}


def _times(view: View) -> dict[str, object]:
    approval = view.approval
    if approval.state is State.PENDING:
        text = f"Open until {moment(approval.until)}"
        if approval.step_up:
            text += ". Whoever decides signs in on the page"
    elif approval.state is State.GRANTED:
        text = f"Decided {moment(approval.decided_at or view.now)}, good for one use until {moment(approval.until)}"
    else:
        text = f"Settled {moment(approval.decided_at or view.now)}"
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text, "verbatim": True}]}


def _outcome(approval: Approval) -> list[facts.Fact]:
    """Who made it so, and why."""
    move = _SETTLED_BY.get(approval.state)
    if move is None:
        return [("Expired", "before it was used" if is_satisfied(approval) else "undecided")]
    if move is Move.GRANT:
        return []  # each grant is told by itself
    act = approval.last(move)
    label = f"{_TITLES[approval.state]} by"
    reason = f": {act.text}" if act and act.text else ""
    return [(label, line(f"{(act and act.by) or 'the agent'}{reason}", facts.LONGEST))]


def _fact(fact: facts.Fact) -> dict[str, object]:
    label, text = fact
    bold = {"type": "text", "text": f"{label}: ", "style": {"bold": True}}
    return {"type": "rich_text_section", "elements": [bold, {"type": "text", "text": f"{text}\n"}]}


def _preformatted(label: str, text: str, room: int) -> list[dict[str, object]]:
    if not text:
        return []
    return [
        {"type": "rich_text_section", "elements": [{"type": "text", "text": label, "style": {"bold": True}}]},
        {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": cut(shown(text[: room + 1]), room)}]},
    ]


def _rest(left: int, lost: int, url: str) -> list[dict[str, object]]:
    """What is said of a payload that is not shown whole: nobody decides on a part unknowingly."""
    notes = []
    if left > 0:
        where = "the page shows them" if url else "`onpurpose approvals show` prints them"
        notes.append(f"{left} characters more are not shown here; {where}. ")
    if lost:
        notes.append(f"{lost} bytes more were too many to be kept. ")
    return [{"type": "rich_text_section", "elements": [{"type": "text", "text": "".join(notes)}]}] if notes else []


def _buttons(approval: Approval, delivery_id: str, url: str) -> Blocks:
    if approval.state is not State.PENDING or approval.step_up:
        return _link(delivery_id, url)
    value = orjson.dumps({"w": approval.workspace, "a": approval.id}).decode()
    elements = [
        _button(GRANT, "Grant", value=value, style="primary"),
        _button(DENY, "Deny…", value=value, style="danger"),
        _button(DELEGATE, "Delegate…", value=value),
    ]
    if url:
        elements.append(_button(PAGE, "Open the page", url=url))
    return [{"type": "actions", "block_id": BLOCK + delivery_id, "elements": elements}]


def _link(delivery_id: str, url: str) -> Blocks:
    if not url:
        return []
    return [{"type": "actions", "block_id": BLOCK + delivery_id, "elements": [_button(PAGE, "Open the page", url=url)]}]


def _button(action: str, label: str, **fields: str) -> dict[str, object]:
    return {"type": "button", "action_id": action, "text": plain(cut(label, 75)), **fields}
