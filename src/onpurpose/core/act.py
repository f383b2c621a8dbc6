"""What may happen to an approval in which state, as a table; what did happen, and what is looked for. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct


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

ENDS: Mapping[Move, State] = MappingProxyType(
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
    the user who a request was delegated to, or the id of the key that a join came with. `decision_id`
    is the decision that joined or used the approval, `seats` what a grant counts for, `link` the id of
    the signed link that was spent on it.
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
