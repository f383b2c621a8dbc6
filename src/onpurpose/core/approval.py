"""The life of an approval, as a table: what may happen to it in which state, and what becomes of it then.

`advance` is the only function that makes one approval out of another. It reads no clock: an act
carries its time. Who may act is asked of `onpurpose.core.eligibility`, with the person as the
directory knows them at that moment; a grant then carries the seats that it counts for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from onpurpose.core.act import ENDS, MOVES, Act, Move, Seat, State, Via, Wanted
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.routing import USER, Route, Stage, folded

__all__ = [
    "MAX_ACTS", "MAX_DELEGATIONS", "MAX_JOINED", "MAX_TEXT", "MOVES", "Act", "Approval", "ApprovalError",
    "IllegalMoveError", "Move", "NotEligibleError", "Seat", "State", "Via", "Wanted", "advance", "as_of", "counts_in",
    "due", "granted_by", "is_requester", "is_satisfied", "open_approval", "open_seats", "open_stage", "remind_at",
    "settled", "to_tell", "told",
]  # fmt: skip

MAX_ACTS = 200
"""How many acts an approval may have before comments are refused; what decides it is never refused for that."""

MAX_DELEGATIONS = 5
"""How often one approval may be delegated."""

MAX_JOINED = 100
"""How many identical requests join an approval; one more changes nothing, so that nobody can keep it changing."""

MAX_TEXT = 2000
"""Characters of a reason or a comment."""

_SECOND = 1_000_000


class Approval(Struct, frozen=True, gc=False, kw_only=True):
    """A question to people about one call, and all that came of it. Times are microseconds UTC.

    `digest` is the call's (`exact_digest`): what was granted is exactly that call. `requesters` are
    those whose own request it is: the user in whose name the agent asks, and whose API key it asks
    with, or joined with. `asked_with` is the id of that key, empty in the embedded gate, `joined_with` the
    ids of others. `routes` must all be
    satisfied; none of them is without stages.
    `context` is the intent context as JSON, masked. `version` counts its changes from 1. `until` is
    when it expires: while pending, undecided; once granted, unused. `wake_at` is when the clock has
    something to do for it next, `None` when it never has again.
    """

    id: str
    workspace: str
    version: int = 1
    state: State = State.PENDING
    digest: str
    agent_id: str
    capability: str
    purpose_id: str | None = None
    requesters: tuple[str, ...] = ()
    asked_with: str = ""
    joined_with: tuple[str, ...] = ()
    routes: tuple[Route, ...]
    context: bytes
    opened_at: int
    until: int
    wake_at: int | None
    decided_at: int | None = None
    joined: int = 0
    decision_ids: tuple[str, ...] = ()
    acts: tuple[Act, ...] = ()

    @property
    def step_up(self) -> bool:
        """Whether only somebody who signs in may decide."""
        return any(route.step_up for route in self.routes)

    @property
    def timeout_seconds(self) -> int:
        """The shortest time of its routes."""
        return min(route.timeout_seconds for route in self.routes)

    def was_asked_with(self, key: str) -> bool:
        """Whether the key of that id asked for it, or joined."""
        return bool(key) and key in (self.asked_with, *self.joined_with)

    def last(self, *moves: Move) -> Act | None:
        """The newest act of one of these kinds."""
        return next((act for act in reversed(self.acts) if act.move in moves), None)


class ApprovalError(OnPurposeError):
    """Something that may not happen to an approval."""


class IllegalMoveError(ApprovalError):
    """The approval stands so that this cannot happen; the text says who decided already, or what else is in the way."""

    def __init__(self, approval: Approval, move: Move, why: str = "") -> None:
        self.approval = approval
        self.move = move
        self.why = why or settled(approval)
        super().__init__(f"cannot {move} it: {self.why}")


class NotEligibleError(ApprovalError):
    """A person who may not decide the approval, or not in this way."""


def open_approval(approval: Approval) -> Approval:
    """The approval as it begins: its times follow from `opened_at` and its routes.

    Raises `ValueError` for routes that nobody could satisfy, or anybody: all must ask for somebody.
    """
    if not approval.routes or not all(map(_asks, approval.routes)):
        raise ValueError("an approval has a route, each route a stage, each stage approvers, a quorum and time")
    until = approval.opened_at + approval.timeout_seconds * _SECOND
    return _timed(replace(approval, until=until))


def _asks(route: Route) -> bool:
    """Whether the route asks for at least one person, in a time that is not over at once."""
    return (
        bool(route.stages)
        and route.timeout_seconds > 0
        and all(
            stage.approvers
            and stage.quorum > 0
            and (stage.escalate_after_seconds is None or stage.escalate_after_seconds > 0)
            for stage in route.stages
        )
    )


def advance(approval: Approval, act: Act) -> Approval:
    """The approval after the act. Raises `IllegalMoveError` where that may not happen to it.

    Time decides before people do: after `until` nothing but `expire` happens, and that not before. A
    grant counts in stages that are open, for somebody who counts in none before them. Whether the
    directory makes a person an approver is not asked here but of `onpurpose.core.eligibility`.
    """
    late = act.at >= approval.until and act.move is not Move.EXPIRE
    if late or act.move not in MOVES[approval.state]:
        raise IllegalMoveError(as_of(approval, act.at), act.move)
    if why := _obstacle(approval, act):
        raise IllegalMoveError(approval, act.move, why)
    if act.move is Move.JOIN:
        return _join(approval, act)
    after = replace(approval, version=approval.version + 1, acts=(*approval.acts, act))
    state = ENDS.get(act.move)
    if act.move is Move.GRANT and is_satisfied(after):
        after = replace(after, until=act.at + after.timeout_seconds * _SECOND)
        state = State.GRANTED
    if state is not None:
        decided = act.at if approval.state is State.PENDING else approval.decided_at
        after = replace(after, state=state, decided_at=decided)
    return _timed(after)


def _obstacle(approval: Approval, act: Act) -> str:
    """Why the act may not happen, although its move may; empty where it may."""
    if act.link and any(act.link == one.link for one in approval.acts):
        return "this link was used already"
    if act.move in _BY_PEOPLE and not act.by:
        return "somebody must do it"
    if act.move is Move.EXPIRE and act.at < approval.until:
        return "its time is not over"
    if act.move is Move.COMMENT and len(approval.acts) >= MAX_ACTS:
        return f"so much has happened to it ({len(approval.acts)} acts) that nobody would read it"
    if act.move is Move.JOIN and len(_asking(approval, act)) > MAX_JOINED:
        return "too many people ask for the same"
    if act.move is Move.GRANT:
        return _grant_obstacle(approval, act)
    return _delegation_obstacle(approval, act) if act.move is Move.DELEGATE else ""


_BY_PEOPLE = frozenset({Move.GRANT, Move.DENY, Move.DELEGATE, Move.COMMENT})


def _grant_obstacle(approval: Approval, act: Act) -> str:
    if is_requester(approval, act.by):
        return "nobody approves their own request"
    seats = {seat for seat, _ in open_seats(approval)}
    if not act.seats or not seats.issuperset(act.seats):
        return "it does not wait for that grant"
    if any(counts_in(approval, act.by, seat.route) for seat in act.seats):
        return "nobody counts twice"
    return ""


def _delegation_obstacle(approval: Approval, act: Act) -> str:
    if not act.to or act.to == act.by:
        return "it is delegated to somebody else"
    if is_requester(approval, act.to):
        return "a request is never delegated to whom it comes from"
    earlier = [one for one in approval.acts if one.move is Move.DELEGATE]
    if any(one.by in {act.by, act.to} for one in earlier):
        return "who has delegated it has no part in it any more"
    return f"it was delegated {len(earlier)} times already" if len(earlier) >= MAX_DELEGATIONS else ""


def as_of(approval: Approval, now: int) -> Approval:
    """The approval as it stands at that time: expired, where the clock was not yet at it."""
    if now < approval.until or Move.EXPIRE not in MOVES[approval.state]:
        return approval
    return advance(approval, Act(move=Move.EXPIRE, at=approval.until, via=Via.CLOCK))


def _join(approval: Approval, act: Act) -> Approval:
    """Another request for the same call: counted and remembered while there is room; whose it is, always."""
    asking, keys = _asking(approval, act), approval.joined_with
    if act.to and not approval.was_asked_with(act.to):
        keys = (*keys, act.to)[:MAX_JOINED]
    if approval.joined >= MAX_JOINED and (asking, keys) == (approval.requesters, approval.joined_with):
        return approval
    return _timed(
        replace(
            approval,
            version=approval.version + 1,
            joined=min(approval.joined + 1, MAX_JOINED),
            decision_ids=(*approval.decision_ids, act.decision_id)[: MAX_JOINED + 1],
            requesters=asking,
            joined_with=keys,
        )
    )


def _asking(approval: Approval, act: Act) -> tuple[str, ...]:
    """Whose request it is once that one has joined."""
    return approval.requesters if not act.by or is_requester(approval, act.by) else (*approval.requesters, act.by)


def is_requester(approval: Approval, name: str) -> bool:
    """Whether the name, however it is spelled, is of one whose own request it is."""
    return folded(name) in {folded(one) for one in approval.requesters}


# -- what it waits for


def open_stage(approval: Approval, route: int) -> int | None:
    """The stage at which a route stands, or `None` where it is satisfied."""
    for number, stage in enumerate(approval.routes[route].stages):
        if len(granted_by(approval, Seat(route, number))) < stage.quorum:
            return number
    return None


def open_seats(approval: Approval) -> list[tuple[Seat, Stage]]:
    """The stages that wait for somebody, of every route that is not satisfied."""
    found = ((number, open_stage(approval, number)) for number in range(len(approval.routes)))
    return [
        (Seat(number, stage), approval.routes[number].stages[stage]) for number, stage in found if stage is not None
    ]


def is_satisfied(approval: Approval) -> bool:
    """Whether every route has all the grants that it asks for."""
    return all(open_stage(approval, number) is None for number in range(len(approval.routes)))


def counts_in(approval: Approval, user: str, route: int) -> bool:
    """Whether the user has granted in a stage of that route."""
    return any(act.by == user and seat.route == route for act, seat in _grants(approval))


def _grants(approval: Approval) -> Iterator[tuple[Act, Seat]]:
    return ((act, seat) for act in approval.acts if act.move is Move.GRANT for seat in act.seats)


def granted_by(approval: Approval, seat: Seat) -> set[str]:
    """Who granted in that seat, under folded names; not whose own request it has become since."""
    names = {folded(act.by) for act, one in _grants(approval) if one == seat}
    return names.difference(map(folded, approval.requesters))


# -- the clock's part


def to_tell(approval: Approval, now: int) -> tuple[str, ...]:
    """The approvers (as in `Stage.approvers`) who are to know of it by that time, without doubles, in order.

    An escalating stage tells its first at once and each of the others when the time is up, counted from
    when the stage began. Whom it was delegated to is told as well.
    """
    names: dict[str, None] = {}
    for seat, stage in open_seats(approval):
        names.update(dict.fromkeys(stage.approvers[: _told_of(approval, seat, stage, now)]))
    if approval.state is State.PENDING:
        names.update(_delegates(approval))
    return tuple(names)


def told(approval: Approval) -> tuple[str, ...]:
    """The approvers who were told of it so far, those of passed stages too, without doubles, in order.

    Those of an escalating stage were told by the newest `escalate`, however late the clock came to it.
    """
    names: dict[str, None] = {}
    for number, route in enumerate(approval.routes):
        at = open_stage(approval, number)
        for place, stage in enumerate(route.stages[: None if at is None else at + 1]):
            seat = Seat(number, place)
            until = _escalated_at(approval)
            if place != at:
                until = min(until, _began(approval, Seat(number, place + 1)))
            names.update(dict.fromkeys(stage.approvers[: _told_of(approval, seat, stage, until)]))
    return tuple(names | _delegates(approval))


def _delegates(approval: Approval) -> dict[str, None]:
    return {USER + act.to: None for act in approval.acts if act.move is Move.DELEGATE}


def _told_of(approval: Approval, seat: Seat, stage: Stage, now: int) -> int:
    if stage.escalate_after_seconds is None:
        return len(stage.approvers)
    return 1 + max(0, now - _began(approval, seat)) // (stage.escalate_after_seconds * _SECOND)


def _began(approval: Approval, seat: Seat) -> int:
    """When a stage began: with the approval, or with the grant that completed the one before it."""
    earlier = [act.at for act, one in _grants(approval) if one.route == seat.route and one.stage < seat.stage]
    return max([approval.opened_at, *earlier])


def _escalated_at(approval: Approval) -> int:
    """Up to when the approvers whose turn had come were told."""
    act = approval.last(Move.ESCALATE)
    return approval.opened_at if act is None else act.at


def remind_at(approval: Approval) -> int:
    """When those who were told are reminded: at half time."""
    return approval.opened_at + (approval.until - approval.opened_at) // 2


def due(approval: Approval, now: int) -> Move | None:
    """What the clock has to do to it at that time, first things first; `None` as long as `wake_at` is not there."""
    return next((move for move, at in _awaited(approval) if at <= now), None)


def _awaited(approval: Approval) -> list[tuple[Move, int]]:
    """What the clock will do to it, and when."""
    if Move.EXPIRE not in MOVES[approval.state]:
        return []
    awaited = [(Move.EXPIRE, approval.until)]
    if approval.state is State.PENDING:
        times = [_escalates_at(approval, seat, stage) for seat, stage in open_seats(approval)]
        awaited += [(Move.ESCALATE, at) for at in times if at is not None]
        if approval.last(Move.REMIND) is None:
            awaited.append((Move.REMIND, remind_at(approval)))
    return awaited


def _timed(approval: Approval) -> Approval:
    return replace(approval, wake_at=min((at for _, at in _awaited(approval)), default=None))


def _escalates_at(approval: Approval, seat: Seat, stage: Stage) -> int | None:
    """When the next approver of the stage is told; `None` where nobody is left to tell."""
    if stage.escalate_after_seconds is None:
        return None
    turn = _told_of(approval, seat, stage, _escalated_at(approval))
    at = _began(approval, seat) + turn * stage.escalate_after_seconds * _SECOND
    return at if turn < len(stage.approvers) else None


def settled(approval: Approval) -> str:
    """In words how the approval stands, and who made it so."""
    if approval.state is State.PENDING:
        return "it waits for a decision"
    if approval.state is State.EXPIRED:
        granted = "before it was used" if approval.last(Move.GRANT) and is_satisfied(approval) else "undecided"
        return f"it has expired {granted}"
    act = approval.last(*_SETTLED_BY[approval.state])
    by = f" by `{act.by}`" if act is not None and act.by else ""
    return f"it was {approval.state}{by} already"


_SETTLED_BY: Mapping[State, tuple[Move, ...]] = MappingProxyType(
    {
        State.GRANTED: (Move.GRANT,),
        State.DENIED: (Move.DENY,),
        State.CANCELLED: (Move.CANCEL,),
        State.USED: (Move.USE,),
    }
)
