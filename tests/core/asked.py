"""Approvals to test with, and a naive twin of what makes one granted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from onpurpose.core.act import Act, Move, Seat, State, Via
from onpurpose.core.approval import Approval, IllegalMoveError, advance, open_approval
from onpurpose.core.routing import Person, Route, Stage

T0 = 1_800_000_000_000_000
SECOND = 1_000_000
NAMES = ["ada", "bob", "cyd", "dee", "eve"]


def stage(*approvers: str, quorum: int = 1, every: int | None = None) -> Stage:
    return Stage(approvers=approvers, quorum=quorum, escalate_after_seconds=every)


def route(*stages: Stage, seconds: int = 600, step_up: bool = False) -> Route:
    return Route(stages=stages or (stage("group:approvers"),), timeout_seconds=seconds, step_up=step_up)


def asked(*routes: Route, **other: Any) -> Approval:
    """A pending approval of `eve`'s own request, at `T0`."""
    fields: dict[str, Any] = {
        "id": "a1",
        "workspace": "acme",
        "digest": "d" * 64,
        "agent_id": "agent-7",
        "capability": "payments.transfer",
        "requesters": ("eve",),
        "routes": routes or (route(),),
        "context": b"{}",
        "opened_at": T0,
        "until": 0,
        "wake_at": None,
        "decision_ids": ("d1",),
    }
    return open_approval(Approval(**(fields | other)))


def person(name: str, *groups: str, **other: Any) -> Person:
    return Person(id=name, groups=frozenset(groups), **other)


def act(move: Move, by: str = "ada", after: float = 1, **other: Any) -> Act:
    """An act so many seconds after `T0`; a grant counts in the first seat, if not said otherwise."""
    via = Via.CLOCK if move in (Move.EXPIRE, Move.ESCALATE, Move.REMIND) else Via.PAGE
    fields: dict[str, Any] = {"seats": (Seat(0, 0),)} if move is Move.GRANT else {}
    fields |= {"to": "bob"} if move is Move.DELEGATE else {}
    return Act(move=move, by=by, at=T0 + int(after * SECOND), via=via, **(fields | other))


def play(approval: Approval, acts: Iterable[Act]) -> list[Approval]:
    """The approval after each act; one that is refused leaves it as it is."""
    seen = [approval]
    for one in acts:
        try:
            approval = advance(approval, one)
        except IllegalMoveError:
            continue
        seen.append(approval)
    return seen


def naively_granted(approval: Approval) -> bool:
    """Whether each stage of each route has its quorum, told by counting people who count once in their route."""
    own = {name.lower() for name in approval.requesters}
    for number, one in enumerate(approval.routes):
        used: set[str] = set()
        for place, each in enumerate(one.stages):
            here = {
                done.by
                for done in approval.acts
                if done.move is Move.GRANT and Seat(number, place) in done.seats and done.by not in own | used
            }
            if len(here) < each.quorum:
                return False
            used |= here
    return True


stages = st.builds(
    Stage,
    approvers=st.lists(
        st.sampled_from(["user:ada", "user:bob", "group:ops", "anyone", "user:cyd"]),
        min_size=1,
        max_size=4,
        unique=True,
    ).map(tuple),
    quorum=st.integers(1, 2),
    escalate_after_seconds=st.sampled_from([None, None, 7, 60, 1000]),
)
routes = st.builds(
    Route,
    stages=st.lists(stages, min_size=1, max_size=2).map(tuple),
    timeout_seconds=st.sampled_from([1, 60, 600]),
)
approvals = st.lists(routes, min_size=1, max_size=2).map(lambda found: asked(*found))
_seats = st.builds(Seat, st.integers(0, 1), st.integers(0, 1))
_acts = st.builds(
    Act,
    move=st.one_of(st.just(Move.GRANT), st.just(Move.GRANT), st.sampled_from(list(Move))),
    at=st.integers(0, 700),
    by=st.sampled_from([*NAMES, ""]),
    via=st.just(Via.API),
    to=st.sampled_from(NAMES),
    decision_id=st.just("d2"),
    seats=st.one_of(st.lists(_seats, max_size=3, unique=True).map(tuple), _seats.map(lambda one: (one,))),
    link=st.sampled_from(["", "", "", "l1"]),
)


def _in_order(found: list[Act]) -> list[Act]:
    return [replace(one, at=T0 + one.at * SECOND) for one in sorted(found, key=lambda one: one.at)]


histories = st.lists(_acts, max_size=14).map(_in_order)

TERMINAL = frozenset({State.DENIED, State.EXPIRED, State.CANCELLED, State.USED})
