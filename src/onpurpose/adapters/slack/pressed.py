"""What somebody did in Slack, out of the JSON that tells of it: read once, into values."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from onpurpose.adapters.slack.blocks import BLOCK, DELEGATE, DENY, GRANT

REASON, PRESET, PERSON = "reason", "preset", "person"
"""The fields of the forms."""

_LONGEST = 3000
"""Characters of a button's value, or of what a form carries along."""


class Place(Struct, frozen=True, kw_only=True):
    """Which approval, and the message of ours that it was pressed in. The short names travel in a form."""

    workspace: str = msgspec.field(name="w")
    approval_id: str = msgspec.field(name="a")
    channel: str = msgspec.field(name="c", default="")
    ts: str = msgspec.field(name="t", default="")
    delivery_id: str = msgspec.field(name="d", default="")


class Pressed(Struct, frozen=True, kw_only=True):
    """A button: whose finger, in which team, and what Slack wants to see to open a form."""

    action: str
    place: Place
    member: str
    team: str
    trigger: str = ""


class Submitted(Pressed, frozen=True, kw_only=True):
    """A form that was sent; the fields that were filled in."""

    fields: dict[str, str]


class _Named(Struct):
    id: str = ""


class _Member(Struct):
    id: str
    team_id: str = ""


class _Action(Struct):
    action_id: str = ""
    block_id: str = ""
    value: str = ""


class _Container(Struct):
    channel_id: str = ""
    message_ts: str = ""


class _Actions(Struct):
    user: _Member
    actions: list[_Action]
    team: _Named | None = None
    trigger_id: str = ""
    container: _Container = msgspec.field(default_factory=_Container)


class _Option(Struct):
    value: str = ""


class _Entry(Struct):
    value: str | None = None
    selected_option: _Option | None = None


class _State(Struct):
    values: dict[str, dict[str, _Entry]] = msgspec.field(default_factory=dict)


class _Form(Struct):
    callback_id: str = ""
    private_metadata: str = ""
    state: _State = msgspec.field(default_factory=_State)


class _Submission(Struct):
    user: _Member
    view: _Form
    team: _Named | None = None


def read(payload: object) -> Pressed | None:
    """What it tells of, `None` for what is not ours to answer. Raises `ValueError` where it cannot be read."""
    kind = payload.get("type") if isinstance(payload, dict) else None
    try:
        if kind == "block_actions":
            return _pressed(msgspec.convert(payload, _Actions))
        if kind == "view_submission":
            return _submitted(msgspec.convert(payload, _Submission))
    except (msgspec.ValidationError, msgspec.DecodeError):
        raise ValueError("an interaction that cannot be read") from None
    return None


def _pressed(told: _Actions) -> Pressed | None:
    ours = next((one for one in told.actions if one.action_id in {GRANT, DENY, DELEGATE}), None)
    if ours is None:
        return None
    target = _place(ours.value)
    place = Place(
        workspace=target.workspace,
        approval_id=target.approval_id,
        channel=told.container.channel_id,
        ts=told.container.message_ts,
        delivery_id=ours.block_id.removeprefix(BLOCK),
    )
    return Pressed(
        action=ours.action_id,
        place=place,
        member=told.user.id,
        team=_team(told.team, told.user),
        trigger=told.trigger_id,
    )


def _submitted(told: _Submission) -> Submitted | None:
    if told.view.callback_id not in {DENY, DELEGATE}:
        return None
    return Submitted(
        action=told.view.callback_id,
        place=_place(told.view.private_metadata),
        member=told.user.id,
        team=_team(told.team, told.user),
        fields={
            name: (entry.selected_option.value if entry.selected_option else entry.value) or ""
            for block in told.view.state.values.values()
            for name, entry in block.items()
        },
    )


def _place(text: str) -> Place:
    if len(text) > _LONGEST:
        raise msgspec.ValidationError("too long")
    return msgspec.json.decode(text, type=Place)


def _team(team: _Named | None, member: _Member) -> str:
    """The team where it was pressed, which must be the member's own too; empty where they differ."""
    here = team.id if team else ""
    return here if member.team_id in {"", here} else ""
