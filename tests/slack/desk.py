"""A small second desk: the same moves by compare-and-swap, no log, no waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.app.telling import deliveries, person
from onpurpose.core.access import User
from onpurpose.core.approval import Act, Approval, Move, NotEligibleError, Seat, Via, advance, as_of
from onpurpose.core.delivery import Delivery, Event
from onpurpose.core.eligibility import delegation, seats
from onpurpose.core.purpose import Notify
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.core.routing import Person
from onpurpose.ports import Clock

EVENTS = {
    Move.GRANT: Event.GRANTED,
    Move.DENY: Event.DENIED,
    Move.DELEGATE: Event.DELEGATED,
    Move.EXPIRE: Event.EXPIRED,
}


class SmallDesk:
    def __init__(
        self,
        store: MemoryApprovals,
        people: Callable[[str], Sequence[User]],
        notify: Notify,
        clock: Clock,
        new_id: Callable[[int], str],
    ) -> None:
        self._store = store
        self._people = people
        self._notify = notify
        self._clock = clock
        self._new_id = new_id

    def open(self, approval: Approval, event: Event = Event.REQUESTED) -> None:
        assert self._store.open(approval, deliveries=self._owed(approval, event), notes=[]) is None

    def get(self, workspace: str, approval_id: str) -> Approval:
        kept = self._store.get(workspace, approval_id)
        if kept is None:
            raise MissingError("no such approval")
        return as_of(kept, self._clock.now())

    def candidates(self, approval: Approval, user_id: str) -> list[User]:
        found = []
        for one in self._people(approval.workspace):
            try:
                delegation(approval, self._person(user_id), person(one))
            except NotEligibleError:
                continue
            found.append(one)
        return found

    def grant(self, workspace: str, approval_id: str, user_id: str, *, via: Via) -> Approval:
        return self._do(workspace, approval_id, user_id, Move.GRANT, via)

    def deny(self, workspace: str, approval_id: str, user_id: str, *, via: Via, text: str) -> Approval:
        return self._do(workspace, approval_id, user_id, Move.DENY, via, text)

    def delegate(self, workspace: str, approval_id: str, user_id: str, *, via: Via, to: str, text: str) -> Approval:
        return self._do(workspace, approval_id, user_id, Move.DELEGATE, via, text, to)

    def expire(self, workspace: str, approval_id: str) -> None:
        self._keep(self.get(workspace, approval_id), Event.EXPIRED)

    def tell(self, approval: Approval, event: Event) -> None:
        """Keep messages of something that changes nothing but who is told."""
        act = Act(move=Move.REMIND, at=self._clock.now(), via=Via.CLOCK)
        self._keep(advance(approval, act), event)

    def _do(
        self, workspace: str, approval_id: str, user_id: str, move: Move, via: Via, text: str = "", to: str = ""
    ) -> Approval:
        while True:
            approval = self.get(workspace, approval_id)
            found: tuple[Seat, ...] = ()
            if not approval.decided_at:
                found = self._seats(approval, user_id, move, to)
            act = Act(
                move=move, at=self._clock.now(), by=user_id, via=via, text=text, to=to,
                seats=found if move is Move.GRANT else (),
            )  # fmt: skip
            after = advance(approval, act)
            try:
                self._keep(after, EVENTS[move])
            except ConflictError:
                continue
            return after

    def _seats(self, approval: Approval, user_id: str, move: Move, to: str) -> tuple[Seat, ...]:
        if approval.step_up:
            raise NotEligibleError("sign in on the page to decide it")
        who = self._person(user_id)
        if move is Move.DELEGATE:
            delegation(approval, who, self._person(to))
        return seats(approval, who, move)

    def _person(self, user_id: str) -> Person:
        for one in self._people("acme"):
            if one.id == user_id:
                return person(one)
        raise NotEligibleError("there is nobody of that name")

    def _keep(self, after: Approval, event: Event) -> None:
        self._store.change(after, deliveries=self._owed(after, event), notes=[])

    def _owed(self, approval: Approval, event: Event) -> list[Delivery]:
        users = self._people(approval.workspace)
        return deliveries(approval, event, self._notify, users, self._clock.now(), self._new_id)
