"""Changes of approvals: each kept once, with its note and the messages it owes, in one transaction; then told of."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence

from msgspec import Struct

from onpurpose.app.approval_waits import Waits
from onpurpose.app.notes import Pen
from onpurpose.app.outbox import Post
from onpurpose.app.telling import deliveries
from onpurpose.core.access import User
from onpurpose.core.act import Act, Move, State, Via
from onpurpose.core.approval import Approval, advance, told
from onpurpose.core.delivery import Delivery, Event
from onpurpose.core.purpose import Settings
from onpurpose.ports import Approvals, Clock

log = logging.getLogger("onpurpose")

TRIES = 50
"""How often a change is tried anew because another was quicker."""

_LOCKS = 64

_NOTES = {
    Move.DENY: "denied",
    Move.DELEGATE: "delegated",
    Move.COMMENT: "commented",
    Move.CANCEL: "cancelled",
    Move.EXPIRE: "expired",
    Move.USE: "used",
    Move.JOIN: "joined",
    Move.ESCALATE: "escalated",
    Move.REMIND: "reminded",
}

_EVENTS = {
    Move.DENY: Event.DENIED,
    Move.DELEGATE: Event.DELEGATED,
    Move.COMMENT: Event.COMMENTED,
    Move.CANCEL: Event.CANCELLED,
    Move.EXPIRE: Event.EXPIRED,
    Move.ESCALATE: Event.ESCALATED,
    Move.REMIND: Event.REMINDED,
}


class Sources(Struct, frozen=True, kw_only=True):
    """Where the users and the settings of a workspace are asked for, as they are at that moment."""

    people: Callable[[str], Sequence[User]]
    settings: Callable[[str], Settings]


class Changes:
    """Keeps what happened to approvals. Thread-safe.

    Two of one process that change the same approval wait for each other, so that none of them starves; two
    processes find out by a `ConflictError`.
    """

    def __init__(  # noqa: PLR0913  these are its parts
        self,
        approvals: Approvals,
        post: Post,
        waits: Waits,
        *,
        sources: Sources,
        clock: Clock,
        new_id: Callable[[int], str],
        woken: Callable[[], None],
    ) -> None:
        self._approvals = approvals
        self._post = post
        self._waits = waits
        self._sources = sources
        self._clock = clock
        self._new_id = new_id
        self._woken = woken
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._untold = True

    def pen(self, workspace: str, by: str) -> Pen:
        """A pen for one change, which happens now."""
        return Pen(self._clock, self._new_id, workspace, by)

    def lock(self, approval_id: str) -> threading.Lock:
        """What whoever changes that approval holds meanwhile, from reading it on."""
        return self._locks[hash(approval_id) % _LOCKS]

    def open(self, approval: Approval, pen: Pen) -> bool:
        """Keep a new approval and tell of it; false where there is a pending one of the same call."""
        owed = self._owed(approval, Event.REQUESTED, pen, None)
        act = Act(move=Move.JOIN, at=pen.at, via=Via.AGENT, decision_id=approval.decision_ids[0])
        if self._approvals.open(approval, deliveries=owed, notes=[_note(pen, "requested", approval, act)]) is not None:
            return False
        self.announce(approval, messages=bool(owed))
        return True

    def keep(self, before: Approval, act: Act, pen: Pen) -> tuple[Approval, bool]:
        """The approval after the act, kept, and whether messages must leave; `announce` it when the lock is free.

        Raises `IllegalMoveError`, and `ConflictError` where it has changed since it was read.
        """
        after = advance(before, act)
        if after is before:
            return after, False
        owed = self._owed_by(before, after, act, pen)
        kind = _NOTES.get(act.move) or ("granted" if after.state is State.GRANTED else "voted")
        self._approvals.change(after, deliveries=owed, notes=[_note(pen, kind, after, act)])
        return after, bool(owed)

    def announce(self, approval: Approval, *, messages: bool) -> None:
        """Tell who sends, who waits, and the log; return when the log has it, or has failed. Never raises."""
        self.tell(approval, messages=messages)
        self.deliver()

    def tell(self, approval: Approval, *, messages: bool) -> None:
        """Tell who sends and who waits, not the log. Never raises."""
        if messages:
            _safely(self._woken)
        _safely(lambda: self._waits.changed(approval))

    def deliver(self) -> None:
        """Bring what is kept to the log; what cannot be brought stays kept, for `catch_up`. Never raises."""
        self._untold = True
        # No more than that: what this process holds in memory does not change by what becomes of approvals.
        self._untold = not _safely(self._post.drain)

    def catch_up(self) -> None:
        """Bring to the log what could not be brought there before, by this process or one that died."""
        if self._untold:
            self.deliver()

    def _owed_by(self, before: Approval, after: Approval, act: Act, pen: Pen) -> list[Delivery]:
        newcomers = set(told(after)) - set(told(before))
        event = _EVENTS.get(act.move)
        if act.move is Move.GRANT and after.state is State.GRANTED:
            event = Event.GRANTED
        elif act.move is Move.GRANT and newcomers:
            event = Event.REQUESTED
        if event is None:
            return []
        return self._owed(after, event, pen, newcomers if event in (Event.REQUESTED, Event.ESCALATED) else None)

    def _owed(self, approval: Approval, event: Event, pen: Pen, only: Collection[str] | None) -> list[Delivery]:
        workspace = approval.workspace
        notify = self._sources.settings(workspace).notify
        users = self._sources.people(workspace) if notify.slack_direct or notify.email else ()
        return deliveries(approval, event, notify, users, pen.at, self._new_id, only=only)


def _note(pen: Pen, kind: str, approval: Approval, act: Act) -> bytes:
    return pen.note(
        f"approval.{kind}",
        approval=approval.id,
        digest=approval.digest,
        agent_id=approval.agent_id,
        capability=approval.capability,
        state=approval.state,
        version=approval.version,
        via=act.via,
        text=act.text,
        to=act.to,
        decision_id=act.decision_id,
    )


def _safely(tell: Callable[[], object]) -> bool:
    """Whether it could be done: what follows a change never undoes it."""
    try:
        tell()
    except Exception:
        log.exception("an approval was changed, and not all could be told of it yet")
        return False
    return True
