"""What may happen to an approval in which state, as a table; and what did happen. Values only."""

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
