"""The approvals that wait, in the order in which one person should look at them; and how long people take to decide."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

from msgspec import Struct

from onpurpose.app.telling import person
from onpurpose.core.access import User
from onpurpose.core.act import Move, State
from onpurpose.core.approval import Approval, NotEligibleError
from onpurpose.core.eligibility import kin, seats

_DECIDING = frozenset({Move.GRANT, Move.DENY})
_SECOND = 1_000_000


class Waiting(Struct, frozen=True, kw_only=True):
    """A pending approval, and whether the person who looks may grant or deny it."""

    approval: Approval
    mine: bool


class Pace(Struct, frozen=True, kw_only=True):
    """How long decisions took: how many there were, and the median in seconds, `None` where there were none.

    `by` has the same for each person who granted or denied, the most active first: their id, count, median.
    """

    count: int
    median_seconds: float | None
    by: tuple[tuple[str, int, float], ...] = ()


def queue(approvals: Iterable[Approval], user_id: str, users: Sequence[User]) -> list[Waiting]:
    """The pending ones: those that the user may decide first, and of each part the one that ends soonest first."""
    who = next((one for one in users if one.id == user_id and one.disabled_at is None), None)
    pending = [one for one in approvals if one.state is State.PENDING]
    found = [Waiting(approval=one, mine=who is not None and _may_decide(one, who, users)) for one in pending]
    return sorted(found, key=lambda one: (not one.mine, one.approval.until, one.approval.id))


def pace(approvals: Iterable[Approval]) -> Pace:
    """How long it took from the request to each grant and denial of a person, and to the end of the whole."""
    whole: list[float] = []
    each: defaultdict[str, list[float]] = defaultdict(list)
    for approval in approvals:
        acts = [act for act in approval.acts if act.move in _DECIDING and act.by]
        for act in acts:
            each[act.by].append((act.at - approval.opened_at) / _SECOND)
        if acts and approval.decided_at is not None:
            whole.append((approval.decided_at - approval.opened_at) / _SECOND)
    by = sorted(((name, len(took), median(took)) for name, took in each.items()), key=lambda one: (-one[1], one[0]))
    return Pace(count=len(whole), median_seconds=median(whole) if whole else None, by=tuple(by))


def _may_decide(approval: Approval, who: User, users: Sequence[User]) -> bool:
    known, others = person(who), kin(approval, [person(one) for one in users])
    for move in (Move.GRANT, Move.DENY):
        try:
            seats(approval, known, move, others)
        except NotEligibleError:
            continue
        return True
    return False
