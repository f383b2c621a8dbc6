"""An approval in lines, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from onpurpose.cli.output import visible
from onpurpose.core.act import State
from onpurpose.core.approval import Approval, open_seats, settled

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def as_json(approval: Approval) -> dict[str, Any]:
    """The approval for programs: times are microseconds UTC."""
    return {
        "id": approval.id,
        "state": approval.state,
        "agent_id": approval.agent_id,
        "capability": approval.capability,
        "purpose_id": approval.purpose_id,
        "requesters": approval.requesters,
        "digest": approval.digest,
        "opened_at": approval.opened_at,
        "until": approval.until,
        "decided_at": approval.decided_at,
        "step_up": approval.step_up,
        "waits_for": [
            {"approvers": stage.approvers, "quorum": stage.quorum, "stage": seat.stage + 1}
            for seat, stage in _waiting(approval)
        ],
        "joined": approval.joined,
        "context": orjson.loads(approval.context),
        "history": [
            {"what": act.move, "at": act.at, "by": act.by, "via": act.via, "text": act.text, "to": act.to}
            for act in approval.acts
        ],
    }


def brief(approval: Approval) -> dict[str, Any]:
    """What came of an earlier one, for programs."""
    return {"id": approval.id, "opened_at": approval.opened_at, "state": approval.state, "settled": settled(approval)}


def whole(approval: Approval, similar: Sequence[Approval], now: int) -> Iterator[str]:
    """All that somebody needs to decide it, in lines."""
    said: dict[str, Any] = orjson.loads(approval.context)
    yield f"{visible(approval.capability)} by {visible(approval.agent_id)}"
    yield f"  approval    {approval.id}"
    yield f"  state       {approval.state}: {settled(approval)}" + _left(approval, now)
    for seat, stage in _waiting(approval):
        yield f"  waits for   {stage.quorum} of {', '.join(stage.approvers)} (stage {seat.stage + 1})"
    yield f"  for         {_user(said)}"
    if said.get("purpose"):
        yield f"  purpose     {_purpose(said['purpose'])}"
    if said.get("elements"):
        yield f"  touches     {', '.join(said['elements'])}"
    if said.get("intent"):
        view = said["intent"]
        yield f"  classifier  {view['label']} ({view['confidence']:.2f})"
    for rule in said.get("rules", ()):
        yield f"  rule        {rule['at'] + ': ' if rule.get('at') else ''}{rule['message']}"
    for unknown in said.get("unknown", ()):
        yield f"  unknown     {unknown['condition']}: {unknown['why']}"
    for signal in said.get("signals", ()):
        yield f"  signal      {signal['name']} (weight {signal['weight']})"
    yield "  payload"
    yield from (f"    {line}" for line in str(said.get("payload", "")).split("\n"))
    if said.get("payload_cut"):
        yield f"    ({said['payload_cut']:,} bytes more)"
    if said.get("changed"):
        yield f"  against the last one that was granted ({said['changed']['since']})"
        yield from (f"    {line}" for line in said["changed"]["lines"] or ["nothing differs"])
    yield from _history(approval, similar)


def _history(approval: Approval, similar: Sequence[Approval]) -> Iterator[str]:
    if approval.acts:
        yield "  history"
    for act in approval.acts:
        to = f" to {act.to}" if act.to else ""
        yield f"    {moment(act.at)}  {act.move}{to} by {act.by or 'the clock'} ({act.via}){':' if act.text else ''}"
        yield from (f"      {line}" for line in act.text.split("\n") if act.text)  # nobody's words look like ours
    if similar:
        yield "  asked before"
    for one in similar:
        yield f"    {moment(one.opened_at)}  {one.id}  {settled(one)}"


def moment(at: int) -> str:
    """Microseconds UTC as a date and time to the second."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(microseconds: int) -> str:
    """A stretch of time in its largest unit: `5 min`."""
    seconds = max(0, microseconds) // 1_000_000
    size, unit = next((one for one in _UNITS if seconds >= one[0]), _UNITS[-1])
    return f"{seconds // size} {unit}"


def _left(approval: Approval, now: int) -> str:
    if approval.state in (State.PENDING, State.GRANTED):
        return f", {span(approval.until - now)} left"
    return ""


def _waiting(approval: Approval) -> Sequence[Any]:
    return open_seats(approval) if approval.state is State.PENDING else ()


def _user(said: dict[str, Any]) -> str:
    user = said.get("user")
    if not user:
        return "nobody in particular: the call is anonymous"
    groups = f" ({', '.join(user['groups'])})" if user.get("groups") else ""
    return f"{user.get('id')}{groups}"


def _purpose(purpose: dict[str, Any]) -> str:
    name = f": {purpose['name']}" if purpose.get("name") else ""
    elements = f", may touch {', '.join(purpose['elements'])}" if purpose.get("elements") else ""
    return f"{purpose.get('id')}{name}{elements}"
