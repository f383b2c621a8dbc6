"""What a granted approval is worth: one run of exactly the call that was approved, or why not."""

from __future__ import annotations

import hmac

from msgspec import Struct

from onpurpose.app.approval_changes import TRIES, Changes
from onpurpose.core.act import Act, Move, State, Via
from onpurpose.core.approval import Approval, as_of, settled
from onpurpose.core.decision import Code
from onpurpose.core.revision import ConflictError
from onpurpose.core.routing import Route
from onpurpose.ports import Approvals


class Consumed(Struct, frozen=True, kw_only=True):
    """What came of an attempt to use a grant: `APPROVAL_GRANTED`, and this attempt alone may run; or why not.

    `people` are those who granted. `approval` is as it stands then, `None` where it is not to be had.
    """

    code: Code
    message: str
    approval: Approval | None = None
    people: tuple[str, ...] = ()

    @property
    def granted(self) -> bool:
        """Whether the call may run."""
        return self.code is Code.APPROVAL_GRANTED


CODES = {
    State.PENDING: Code.APPROVAL_PENDING,
    State.GRANTED: Code.APPROVAL_GRANTED,
    State.DENIED: Code.APPROVAL_DENIED,
    State.EXPIRED: Code.APPROVAL_EXPIRED,
    State.CANCELLED: Code.APPROVAL_CANCELLED,
    State.USED: Code.APPROVAL_USED,
}
"""What an agent is told of an approval in each state."""


class Attempt(Struct, frozen=True, kw_only=True):
    """An attempt to use an approval: for which call, of which agent, and whom the policies ask about it now."""

    workspace: str
    approval_id: str
    digest: str
    agent_id: str
    routes: tuple[Route, ...]
    decision_id: str


def consume(attempt: Attempt, approvals: Approvals, changes: Changes) -> Consumed:
    """Use the grant, once; or say why it cannot be. Raises `StoreError`."""
    with changes.lock(attempt.approval_id):
        found, messages = _consume(attempt, approvals, changes)
    if found.granted and found.approval is not None:
        changes.announce(found.approval, messages=messages)
    return found


def _consume(attempt: Attempt, approvals: Approvals, changes: Changes) -> tuple[Consumed, bool]:
    for _ in range(TRIES):
        kept = approvals.get(attempt.workspace, attempt.approval_id)
        if kept is None:
            return unknown(attempt.approval_id), False
        pen = changes.pen(attempt.workspace, attempt.agent_id)
        refused = refusal(as_of(kept, pen.at), attempt)
        if refused is not None:
            return refused, False
        act = Act(move=Move.USE, at=pen.at, via=Via.AGENT, decision_id=attempt.decision_id)
        try:
            after, messages = changes.keep(kept, act, pen)
        except ConflictError:
            continue
        return granted(after), messages
    return unavailable(), False


def unknown(approval_id: str) -> Consumed:
    """There is no such approval, or it is no business of whoever asks."""
    return Consumed(code=Code.APPROVAL_UNKNOWN, message=f"there is no approval `{approval_id[:100]}` of this agent")


def unavailable() -> Consumed:
    """It could not be found out, so nothing runs."""
    return Consumed(code=Code.APPROVAL_UNAVAILABLE, message="approvals cannot be read or written now")


def refusal(approval: Approval, attempt: Attempt) -> Consumed | None:
    """Why the approval, as it stands now, lets this call not run; `None` where it does."""
    if approval.agent_id != attempt.agent_id:
        return unknown(approval.id)
    if not hmac.compare_digest(approval.digest.encode(), attempt.digest.encode()):
        return _changed(approval, "what was asked about is another call than this one")
    if approval.state in (State.PENDING, State.GRANTED) and set(attempt.routes) != set(approval.routes):
        return _changed(approval, "the policies ask other people now than they did")
    if approval.state is State.GRANTED:
        return None
    return Consumed(code=CODES[approval.state], message=said(approval), approval=approval)


def granted(approval: Approval) -> Consumed:
    """The grant is used, by this attempt."""
    people = tuple(dict.fromkeys(act.by for act in approval.acts if act.move is Move.GRANT))
    return Consumed(
        code=Code.APPROVAL_GRANTED,
        message=f"granted by {', '.join(f'`{one}`' for one in people)}",
        approval=approval,
        people=people,
    )


def said(approval: Approval) -> str:
    """In words how the approval stands, with a person's reason."""
    act = approval.last(Move.DENY, Move.CANCEL)
    reason = f": {act.text}" if act is not None and act.text and approval.state is not State.PENDING else ""
    return settled(approval) + reason


def _changed(approval: Approval, message: str) -> Consumed:
    return Consumed(code=Code.APPROVAL_CHANGED, message=message, approval=approval)
