"""Approval -> the wire forms: what a list, an agent and a person see of it."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from onpurpose.core.approval import Act, Approval, Move, State, granted_by, open_seats
from onpurpose.core.ticket import Ticket
from onpurpose.server.answer import told_ticket
from onpurpose.server.api import schemas as wire


def decider(approval: Approval) -> Act | None:
    """What settled it; `None` while nothing has, and where its time is over."""
    if approval.state in (State.PENDING, State.EXPIRED):
        return None
    return approval.last(Move.GRANT, Move.DENY, Move.CANCEL)


def short_form(approval: Approval, ticket: Ticket) -> wire.ApprovalMeta:
    """An approval in a list."""
    return wire.ApprovalMeta.model_validate(_meta(approval, ticket))


def long_form(approval: Approval, ticket: Ticket, similar: Sequence[Approval]) -> wire.ApprovalBody:
    """All that people are told of an approval."""
    waits = open_seats(approval) if approval.state is State.PENDING else []
    fields = {
        "digest": approval.digest,
        "asked_with": approval.asked_with,
        "version": approval.version,
        "decision_ids": list(approval.decision_ids),
        "context": orjson.loads(approval.context),
        "waits_for": [
            wire.SeatBody(
                route=seat.route,
                stage=seat.stage,
                approvers=list(stage.approvers),
                quorum=stage.quorum,
                granted_by=sorted(granted_by(approval, seat)),
            )
            for seat, stage in waits
        ],
        "history": [
            wire.ActBody(
                move=act.move, at=act.at, by=act.by, via=act.via, text=act.text, to=act.to, decision_id=act.decision_id
            )
            for act in approval.acts
        ],
        "similar": [_similar(one) for one in similar],
    }
    return wire.ApprovalBody.model_validate(_meta(approval, ticket) | fields)


def _meta(approval: Approval, ticket: Ticket) -> dict[str, object]:
    return told_ticket(ticket) | {
        "agent_id": approval.agent_id,
        "capability": approval.capability,
        "purpose_id": approval.purpose_id,
        "requesters": list(approval.requesters),
        "step_up": approval.step_up,
        "joined": approval.joined,
        "opened_at": approval.opened_at,
        "until": approval.until,
        "decided_at": approval.decided_at,
    }


def _similar(approval: Approval) -> wire.SimilarBody:
    act = decider(approval)
    return wire.SimilarBody(
        id=approval.id,
        state=approval.state,
        by="" if act is None else act.by,
        opened_at=approval.opened_at,
        decided_at=approval.decided_at,
    )
