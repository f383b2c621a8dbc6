"""The life of an approval, as a table: what may happen to it in which state, and what becomes of it then.

`advance` is the only function that makes one approval out of another. It reads no clock: an act
carries its time. Who may act is asked of `onpurpose.core.eligibility`, with the person as the
directory knows them at that moment; a grant then carries the seats that it counts for.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from onpurpose.core.errors import OnPurposeError
from onpurpose.core.routing import Route, Stage

MAX_ACTS = 200
"""How many acts an approval may have; comments and delegations are refused beyond."""

MAX_DELEGATIONS = 5
"""How often one approval may be delegated."""

MAX_JOINED = 100
"""How many identical requests an approval remembers by their decision's id; more are counted."""

_SECOND = 1_000_000


class State(StrEnum):
    """Where an approval stands."""

    PENDING = "pending"
    GRANTED = "granted"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"


class Move(StrEnum):
    """What may happen to an approval."""

    GRANT = "grant"
    DENY = "deny"
    DELEGATE = "delegate"
    COMMENT = "comment"
    CANCEL = "cancel"
    EXPIRE = "expire"
    USE = "use"
    JOIN = "join"
    ESCALATE = "escalate"
    REMIND = "remind"


MOVES: Mapping[State, frozenset[Move]] = MappingProxyType(
    {
        State.PENDING: frozenset(Move) - {Move.USE},
        State.GRANTED: frozenset({Move.USE, Move.EXPIRE, Move.CANCEL}),
        State.DENIED: frozenset(),
        State.EXPIRED: frozenset(),
        State.CANCELLED: frozenset(),
        State.USED: frozenset(),
    }
)
"""What may happen in each state; anything else is refused."""

_ENDS: Mapping[Move, State] = MappingProxyType(
    {
        Move.DENY: State.DENIED,
        Move.CANCEL: State.CANCELLED,
        Move.EXPIRE: State.EXPIRED,
        Move.USE: State.USED,
    }
)
"""Where a move leads by itself; a grant leads to `granted` once every route is satisfied, the others nowhere."""


class Via(StrEnum):
    """By which way an act came."""

    AGENT = "agent"
    API = "api"
    PAGE = "page"
    SLACK = "slack"
    EMAIL = "email"
    TERMINAL = "terminal"
    CLOCK = "clock"


class Seat(Struct, frozen=True, gc=False):
    """A place at the table: a stage of a route, both counted from 0."""

    route: int
    stage: int


class Act(Struct, frozen=True, gc=False, kw_only=True):
    """One thing that happened: what, when (microseconds UTC), by whom, by which way.

    `by` is a user's id, or empty for the agent and the clock. `text` is a reason or a comment, `to`
    the user who a request was delegated to, `decision_id` the decision that joined or used the
    approval, `seats` what a grant counts for, `link` the id of the signed link that was spent on it.
    """

    move: Move
    at: int
    by: str = ""
    via: Via
    text: str = ""
    to: str = ""
    decision_id: str = ""
    seats: tuple[Seat, ...] = ()
    link: str = ""


class Approval(Struct, frozen=True, gc=False, kw_only=True):
    """A question to people about one call, and all that came of it. Times are microseconds UTC.

    `digest` is the call's (`exact_digest`): what was granted is exactly that call. `requesters` are
    those whose own request it is: the user in whose name the agent asks, and whose API key it asks
    with. `asked_with` is the id of that key, empty in the embedded gate. `routes` must all be
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

    def last(self, *moves: Move) -> Act | None:
        """The newest act of one of these kinds."""
        return next((act for act in reversed(self.acts) if act.move in moves), None)


class Wanted(Struct, frozen=True, kw_only=True):
    """Which approvals are looked for; what is `None` is not asked. At most `limit` of them.

    `due_at`: those whose `wake_at` is not after it, of all workspaces where `workspace` is `None`.
    `before` is the id of an approval: those older than it, for the next page (ids sort by time).
    """

    workspace: str | None = None
    states: frozenset[State] | None = None
    digest: str | None = None
    agent_id: str | None = None
    capability: str | None = None
    due_at: int | None = None
    before: str | None = None
    limit: int = 100


class ApprovalError(OnPurposeError):
    """Something that may not happen to an approval."""


class IllegalMoveError(ApprovalError):
    """The approval is in a state in which that cannot happen; the text says who decided already."""

    def __init__(self, approval: Approval, move: Move) -> None:
        self.approval = approval
        self.move = move
        super().__init__(f"cannot {move} it: {settled(approval)}")


class NotEligibleError(ApprovalError):
    """A person who may not decide the approval, or not in this way."""


def open_approval(approval: Approval) -> Approval:
    """The approval as it begins: its times follow from `opened_at` and its routes."""
    if not approval.routes or not all(route.stages for route in approval.routes):
        raise ValueError("an approval has at least one route, and each route a stage")
    until = approval.opened_at + approval.timeout_seconds * _SECOND
    return _timed(replace(approval, until=until))


def advance(approval: Approval, act: Act) -> Approval:
    """The approval after the act. Raises `IllegalMoveError` where the table has no such move.

    Time decides before people do: after `until` nothing but `expire` happens. Who may act is not asked
    here but of `onpurpose.core.eligibility`.
    """
    late = act.at >= approval.until and act.move is not Move.EXPIRE
    if late or act.move not in MOVES[approval.state]:
        raise IllegalMoveError(as_of(approval, act.at), act.move)
    if act.move is Move.JOIN:
        return _join(approval, act)
    after = replace(approval, version=approval.version + 1, acts=(*approval.acts, act))
    state = _ENDS.get(act.move)
    if act.move is Move.GRANT and is_satisfied(after):
        after = replace(after, until=act.at + after.timeout_seconds * _SECOND)
        state = State.GRANTED
    if state is not None:
        decided = act.at if approval.state is State.PENDING else approval.decided_at
        after = replace(after, state=state, decided_at=decided)
    return _timed(after)


def as_of(approval: Approval, now: int) -> Approval:
    """The approval as it stands at that time: expired, where the clock was not yet at it."""
    if now < approval.until or Move.EXPIRE not in MOVES[approval.state]:
        return approval
    return advance(approval, Act(move=Move.EXPIRE, at=approval.until, via=Via.CLOCK))


def _join(approval: Approval, act: Act) -> Approval:
    """Another request for the same call: counted, remembered while there is room, nothing else."""
    ids = approval.decision_ids
    if len(ids) < MAX_JOINED:
        ids = (*ids, act.decision_id)
    return replace(approval, version=approval.version + 1, joined=approval.joined + 1, decision_ids=ids)


# -- what it waits for


def open_stage(approval: Approval, route: int) -> int | None:
    """The stage at which a route stands, or `None` where it is satisfied."""
    for number, stage in enumerate(approval.routes[route].stages):
        if len(_granted_by(approval, Seat(route, number))) < stage.quorum:
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


def _granted_by(approval: Approval, seat: Seat) -> set[str]:
    return {act.by for act in approval.acts if act.move is Move.GRANT and seat in act.seats}


# -- the clock's part


def to_tell(approval: Approval, now: int) -> tuple[str, ...]:
    """The approvers (as in `Stage.approvers`) who are to know of it by that time, without doubles, in order.

    An escalating stage tells its first at once and each of the others when the time is up, counted from
    when the stage began. Whom it was delegated to is told as well.
    """
    told: dict[str, None] = {}
    for seat, stage in open_seats(approval):
        told.update(dict.fromkeys(stage.approvers[: _told_of(approval, seat, stage, now)]))
    if approval.state is State.PENDING:
        told.update({f"user:{act.to}": None for act in approval.acts if act.move is Move.DELEGATE})
    return tuple(told)


def _told_of(approval: Approval, seat: Seat, stage: Stage, now: int) -> int:
    if stage.escalate_after_seconds is None:
        return len(stage.approvers)
    return 1 + max(0, now - _began(approval, seat)) // (stage.escalate_after_seconds * _SECOND)


def _began(approval: Approval, seat: Seat) -> int:
    """When a stage began: with the approval, or with the grant that completed the one before it."""
    earlier = [
        act.at for act in approval.acts for one in act.seats if one.route == seat.route and one.stage < seat.stage
    ]
    return max([approval.opened_at, *earlier])


def remind_at(approval: Approval) -> int:
    """When those who were told are reminded: at half time."""
    return approval.opened_at + (approval.until - approval.opened_at) // 2


def _timed(approval: Approval) -> Approval:
    return replace(approval, wake_at=_wake_at(approval))


def _wake_at(approval: Approval) -> int | None:
    if Move.EXPIRE not in MOVES[approval.state]:
        return None
    times = [approval.until]
    if approval.state is State.PENDING:
        if approval.last(Move.REMIND) is None:
            times.append(remind_at(approval))
        times += [time for seat, stage in open_seats(approval) if (time := _escalates_at(approval, seat, stage))]
    return min(times)


def _escalates_at(approval: Approval, seat: Seat, stage: Stage) -> int | None:
    """When the next approver of the stage is told; `None` where nobody is left to tell."""
    if stage.escalate_after_seconds is None:
        return None
    step = stage.escalate_after_seconds * _SECOND
    began = _began(approval, seat)
    last = max([began, *(act.at for act in approval.acts if act.move is Move.ESCALATE)])
    due = (last - began) // step + 1
    return began + due * step if due < len(stage.approvers) else None


# -- in words


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
