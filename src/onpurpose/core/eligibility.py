"""Who may act on an approval: the person as the directory knows them now, against what the approval waits for.

`others` is everybody whom the directory knows: an account that shares a name or an address with another
is taken for the same person, who approves no request of their own and counts once, whichever they use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from onpurpose.core.approval import (
    MAX_DELEGATIONS,
    Approval,
    Move,
    NotEligibleError,
    Seat,
    counts_in,
    granted_by,
    open_seats,
)
from onpurpose.core.routing import Person, folded


def seats(
    approval: Approval, person: Person, move: Move = Move.GRANT, others: Iterable[Person] = ()
) -> tuple[Seat, ...]:
    """The seats that the person may decide in now, by a grant or by another move.

    Raises `NotEligibleError`, saying why, where there is none.

    Nobody approves their own request, nobody decides what they have delegated, and nobody counts
    twice in one route; but whoever has granted may still deny, while the approval waits for others.
    """
    selves = _selves(person, others)
    if is_asked_by(approval, person, others):
        raise NotEligibleError("nobody approves their own request")
    ids = {one.id for one in selves}
    if any(act.move is Move.DELEGATE and act.by in ids for act in approval.acts):
        raise NotEligibleError("you have delegated this request; the one you chose decides")
    eligible = [seat for seat, stage in open_seats(approval) if person.id and person.among(stage.approvers)]
    if not eligible:
        raise NotEligibleError("you are not among the approvers of this request")
    fresh = tuple(seat for seat in eligible if not any(counts_in(approval, one, seat.route) for one in ids))
    if not fresh and move is Move.DENY:
        return tuple(eligible)
    if not fresh:
        raise NotEligibleError("you have granted this request already; it waits for somebody else")
    return fresh


def delegation(approval: Approval, person: Person, to: Person, others: Iterable[Person] = ()) -> None:
    """Whether the person may pass the request on to that one. Raises `NotEligibleError`, saying why not.

    Ask `leaves`, too, where it is known who can act at all.
    """
    own = seats(approval, person, others=others)
    if person.is_one_with(to):
        raise NotEligibleError("it is with you already")
    if is_asked_by(approval, to, others):
        raise NotEligibleError("a request is never delegated to whom it comes from")
    delegations = [act for act in approval.acts if act.move is Move.DELEGATE]
    if any(act.by == to.id for act in delegations):
        raise NotEligibleError(f"`{to.id}` has delegated it already: it would go in a circle")
    if len(delegations) >= MAX_DELEGATIONS:
        raise NotEligibleError(f"it was delegated {len(delegations)} times already: somebody must decide")
    try:
        theirs = seats(approval, to, others=others)
    except NotEligibleError as error:
        raise NotEligibleError(f"`{to.id}` cannot decide it: {error}") from None
    if not set(own) & set(theirs):
        raise NotEligibleError(f"`{to.id}` cannot decide what waits for you, only another part of it")


def leaves(approval: Approval, person: Person, able: Iterable[Person]) -> None:
    """Raises `NotEligibleError` where those who can act would be too few to satisfy every route without the person."""
    if not is_reachable(approval, [one for one in able if one.id != person.id]):
        raise NotEligibleError("too few of its approvers would be left: decide it yourself")


def kin(approval: Approval, people: Sequence[Person]) -> list[Person]:
    """Those of the people who matter as `others`: who share a name with another, or with whose request it is."""
    counts = Counter(name for one in people for name in one.names)
    own = requesting_names(approval, people)
    return [one for one in people if any(counts[name] > 1 or name in own for name in one.names)]


def may_speak(approval: Approval, person: Person, others: Iterable[Person] = ()) -> bool:
    """Whether the person has a part in the request: it is theirs, or a stage of it, passed or to come, asks them."""
    stages = [stage for route in approval.routes for stage in route.stages]
    named = bool(person.id) and any(person.among(stage.approvers) for stage in stages)
    return named or is_asked_by(approval, person, others)


def is_asked_by(approval: Approval, person: Person, others: Iterable[Person] = ()) -> bool:
    """Whether it is the person's own request, under whatever account and spelling."""
    return not person.names.isdisjoint(requesting_names(approval, others))


def requesting_names(approval: Approval, people: Iterable[Person]) -> frozenset[str]:
    """All folded names of those whose own request it is, as far as the people's accounts tell."""
    names = frozenset(map(folded, approval.requesters)) - {""}
    return names.union(*(one.names for one in people if not names.isdisjoint(one.names)))


def is_reachable(approval: Approval, people: Sequence[Person]) -> bool:
    """Whether these people could still satisfy every route, each of them counting once in each."""
    names = requesting_names(approval, people)
    delegated = {act.by for act in approval.acts if act.move is Move.DELEGATE}
    free = [one for one in people if one.id not in delegated and names.isdisjoint(one.names)]
    return all(_is_passable(approval, number, free) for number in range(len(approval.routes)))


def _is_passable(approval: Approval, route: int, people: Sequence[Person]) -> bool:
    """Whether every grant that the route lacks can come from somebody of its own: a matching by augmenting paths."""
    stages = enumerate(approval.routes[route].stages)
    lacks = [
        stage for place, stage in stages for _ in range(stage.quorum - len(granted_by(approval, Seat(route, place))))
    ]
    able = [one for one in people if not counts_in(approval, one.id, route)]
    choices = [[one.id for one in able if one.among(stage.approvers)][: len(lacks)] for stage in lacks]
    taken: dict[str, int] = {}
    return all(_place(number, choices, taken, set()) for number in range(len(choices)))


def _place(number: int, choices: list[list[str]], taken: dict[str, int], seen: set[str]) -> bool:
    """Find somebody for one grant, moving others where that frees one (H. W. Kuhn, 1955)."""
    for one in choices[number]:
        if one not in seen:
            seen.add(one)
            if one not in taken or _place(taken[one], choices, taken, seen):
                taken[one] = number
                return True
    return False


def _selves(person: Person, others: Iterable[Person]) -> list[Person]:
    """The person under every account that may be theirs."""
    return [person, *(one for one in others if one.id != person.id and person.is_one_with(one))]
