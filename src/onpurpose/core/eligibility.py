"""Who may act on an approval: the person as the directory knows them now, against what the approval waits for."""

from __future__ import annotations

from onpurpose.core.approval import (
    MAX_ACTS,
    MAX_DELEGATIONS,
    Approval,
    Move,
    NotEligibleError,
    Seat,
    open_seats,
)
from onpurpose.core.routing import Person


def seats(approval: Approval, person: Person, move: Move = Move.GRANT) -> tuple[Seat, ...]:
    """The seats that the person may decide in now, by a grant or by another move.

    Raises `NotEligibleError`, saying why, where there is none.

    Nobody approves their own request, nobody decides what they have delegated, and nobody counts
    twice in one route; but whoever has granted may still deny, while the approval waits for others.
    """
    if any(map(person.is_same_as, approval.requesters)):
        raise NotEligibleError("nobody approves their own request")
    if any(act.move is Move.DELEGATE and act.by == person.id for act in approval.acts):
        raise NotEligibleError("you have delegated this request; the one you chose decides")
    eligible = [seat for seat, stage in open_seats(approval) if person.among(stage.approvers)]
    if not eligible:
        raise NotEligibleError("you are not among the approvers of this request")
    fresh = tuple(seat for seat in eligible if not _counts_in(approval, person.id, seat.route))
    if not fresh and move is Move.DENY:
        return tuple(eligible)
    if not fresh:
        raise NotEligibleError("you have granted this request already; it waits for somebody else")
    return fresh


def delegation(approval: Approval, person: Person, to: Person) -> None:
    """Whether the person may pass the request on to that one. Raises `NotEligibleError`, saying why not."""
    seats(approval, person)
    if to.id == person.id:
        raise NotEligibleError("it is with you already")
    if any(map(to.is_same_as, approval.requesters)):
        raise NotEligibleError("a request is never delegated to whom it comes from")
    delegations = [act for act in approval.acts if act.move is Move.DELEGATE]
    if any(act.by == to.id for act in delegations):
        raise NotEligibleError(f"`{to.id}` has delegated it already: it would go in a circle")
    if len(delegations) >= MAX_DELEGATIONS or len(approval.acts) >= MAX_ACTS:
        raise NotEligibleError(f"it was delegated {len(delegations)} times already: somebody must decide")
    try:
        seats(approval, to)
    except NotEligibleError as error:
        raise NotEligibleError(f"`{to.id}` cannot decide it: {error}") from None


def _counts_in(approval: Approval, user: str, route: int) -> bool:
    return any(
        act.move is Move.GRANT and act.by == user and any(seat.route == route for seat in act.seats)
        for act in approval.acts
    )
