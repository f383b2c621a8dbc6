"""The life of an approval: what may happen when, and that nothing else does."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onpurpose.core.act import MOVES, Act, Move, Seat, State, Via
from onpurpose.core.approval import (
    MAX_ACTS,
    MAX_DELEGATIONS,
    MAX_JOINED,
    Approval,
    IllegalMoveError,
    advance,
    as_of,
    due,
    is_requester,
    is_satisfied,
    open_approval,
    open_seats,
    remind_at,
    settled,
    to_tell,
    told,
)
from onpurpose.core.routing import Route, Stage
from tests.core.asked import (
    SECOND,
    T0,
    TERMINAL,
    act,
    approvals,
    asked,
    histories,
    naively_granted,
    play,
    route,
    stage,
)

LATER = st.integers(0, 3000).map(lambda seconds: T0 + seconds * SECOND)


# -- laws


@given(approvals, histories)
def test_no_sequence_of_acts_leaves_the_table(approval: Approval, acts: list[Act]) -> None:
    seen = play(approval, acts)
    for before, after in pairwise(seen):
        if after.acts == before.acts:
            assert after.state is before.state is State.PENDING
            continue
        move = after.acts[-1].move
        assert move in MOVES[before.state]
        assert after.version == before.version + 1
        assert after.acts[:-1] == before.acts
        if after.state is not before.state:
            assert (before.state, after.state) in {
                (State.PENDING, State.GRANTED), (State.PENDING, State.DENIED), (State.PENDING, State.EXPIRED),
                (State.PENDING, State.CANCELLED), (State.GRANTED, State.USED), (State.GRANTED, State.EXPIRED),
                (State.GRANTED, State.CANCELLED),
            }  # fmt: skip


@given(approvals, histories, st.sampled_from(list(Move)), LATER)
def test_after_its_end_nothing_changes_an_approval(approval: Approval, acts: list[Act], move: Move, at: int) -> None:
    last = play(approval, acts)[-1]
    if last.state in TERMINAL:
        assert last.wake_at is None
        assert as_of(last, at) is last
        assert due(last, at) is None
        with pytest.raises(IllegalMoveError):
            advance(last, Act(move=move, at=at, by="ada", via=Via.API, to="bob", seats=(Seat(0, 0),)))


@given(approvals, histories)
def test_a_grant_has_its_quorum_of_different_people_in_every_stage_and_never_of_a_requester(
    approval: Approval, acts: list[Act]
) -> None:
    for one in play(approval, acts):
        if one.state is State.PENDING:
            assert is_satisfied(one) == naively_granted(one) == (not open_seats(one)) is False
        if one.state is State.GRANTED:
            assert naively_granted(one)
            assert is_satisfied(one)


@given(approvals, histories)
def test_a_delegation_never_goes_in_a_circle_or_back_and_is_bounded(approval: Approval, acts: list[Act]) -> None:
    last = play(approval, acts)[-1]
    passed = [(one.by, one.to) for one in last.acts if one.move is Move.DELEGATE]
    assert len(passed) <= MAX_DELEGATIONS
    for place, (by, to) in enumerate(passed):
        assert by != to
        assert to != "eve"
        assert not {by, to} & {earlier for earlier, _ in passed[:place]}


@given(approvals, histories, st.sampled_from(list(Move)), LATER)
def test_after_its_time_nothing_but_its_expiry_happens_and_that_not_before(
    approval: Approval, acts: list[Act], move: Move, at: int
) -> None:
    last = play(approval, acts)[-1]
    seen = as_of(last, at)
    if last.state in (State.PENDING, State.GRANTED):
        assert (seen.state is State.EXPIRED) == (at >= last.until)
    if at >= last.until and move is not Move.EXPIRE:
        with pytest.raises(IllegalMoveError):
            advance(last, Act(move=move, at=at, by="ada", via=Via.API, to="bob", seats=(Seat(0, 0),)))
    if at < last.until:
        with pytest.raises(IllegalMoveError):
            advance(last, Act(move=Move.EXPIRE, at=at, via=Via.CLOCK))


@given(approvals, histories, LATER)
def test_the_clock_has_something_to_do_exactly_from_when_it_wakes(approval: Approval, acts: list[Act], at: int) -> None:
    for one in play(approval, acts):
        assert (due(one, at) is not None) == (one.wake_at is not None and at >= one.wake_at)


@given(approvals, st.lists(st.integers(0, 400), max_size=6))
def test_a_clock_that_does_what_is_due_comes_to_rest_and_has_told_whoever_is_to_know(
    approval: Approval, steps: list[int]
) -> None:
    now = T0
    for step in steps:  # however long it slept
        now += step * SECOND
        moves = []
        while (move := due(approval, now)) is not None:
            approval = advance(approval, Act(move=move, at=now, via=Via.CLOCK))
            moves.append(move)
        assert len(moves) <= 2 or moves == [Move.ESCALATE, Move.REMIND, Move.EXPIRE]
        if approval.state is State.PENDING:
            assert set(to_tell(approval, now)) == set(told(approval))
            assert approval.wake_at is not None
            assert approval.wake_at > now


@given(approvals, histories, LATER, st.integers(0, 500))
def test_whom_to_tell_only_grows_while_time_goes_by(approval: Approval, acts: list[Act], at: int, more: int) -> None:
    seen = play(approval, acts)
    for one in seen:
        first, then = to_tell(one, at), to_tell(one, at + more * SECOND)
        assert set(first) <= set(then)
        assert len(set(then)) == len(then)
    for before, after in pairwise(seen):
        if after.requesters == before.requesters:  # else a grant may count no more
            assert set(told(before)) <= set(told(after))
        if open_seats(before) == open_seats(after):
            assert set(to_tell(before, at)) <= set(to_tell(after, at))


@given(approvals, histories)
def test_whose_own_request_it_is_never_becomes_fewer(approval: Approval, acts: list[Act]) -> None:
    seen = play(approval, acts)
    assert all(before.requesters == after.requesters[: len(before.requesters)] for before, after in pairwise(seen))


# -- its beginning


@pytest.mark.parametrize(
    "routes",
    [
        (),
        (Route(),),
        (Route(stages=(Stage(approvers=()),)),),
        (route(stage("anyone", quorum=0)),),
        (route(stage("anyone", quorum=-1)),),
        (route(stage("anyone", every=0)),),
        (route(stage("anyone", every=-5)),),
        (route(seconds=0),),
        (route(), route(stage("anyone", quorum=0))),
    ],
)
def test_an_approval_that_would_ask_nobody_is_not_opened(routes: tuple[Route, ...]) -> None:
    with pytest.raises(ValueError, match="has a route"):
        open_approval(replace(asked(), routes=routes))


def test_its_time_is_the_shortest_of_its_routes_and_step_up_of_one_counts_for_all() -> None:
    approval = asked(route(seconds=600), route(seconds=60, step_up=True))
    assert approval.until == T0 + 60 * SECOND
    assert approval.step_up
    assert approval.wake_at == remind_at(approval) == T0 + 30 * SECOND


# -- grants


def test_two_stages_are_passed_one_after_the_other_by_different_people() -> None:
    approval = asked(route(stage("anyone", quorum=2), stage("anyone")))
    early = act(Move.GRANT, "cyd", seats=(Seat(0, 1),))
    with pytest.raises(IllegalMoveError, match="does not wait for that grant"):
        advance(approval, early)
    approval = advance(approval, act(Move.GRANT, "ada"))
    with pytest.raises(IllegalMoveError, match="nobody counts twice"):
        advance(approval, act(Move.GRANT, "ada"))
    approval = advance(approval, act(Move.GRANT, "bob"))
    assert approval.state is State.PENDING
    with pytest.raises(IllegalMoveError, match="nobody counts twice"):
        advance(approval, act(Move.GRANT, "bob", seats=(Seat(0, 1),)))
    approval = advance(approval, act(Move.GRANT, "cyd", 9, seats=(Seat(0, 1),)))
    assert approval.state is State.GRANTED
    assert approval.decided_at == T0 + 9 * SECOND
    assert approval.until == T0 + 609 * SECOND
    assert approval.wake_at == approval.until


def test_one_grant_counts_in_every_route_that_it_names() -> None:
    approval = advance(asked(route(), route()), act(Move.GRANT, seats=(Seat(0, 0), Seat(1, 0))))
    assert approval.state is State.GRANTED


def test_one_person_under_two_spellings_is_no_quorum() -> None:
    approval = advance(asked(route(stage("anyone", quorum=2))), act(Move.GRANT, "ada"))
    approval = advance(approval, act(Move.GRANT, "ADA "))
    assert approval.state is State.PENDING


@pytest.mark.parametrize("name", ["eve", "EVE", " Eve ", "\uff45\uff56\uff45", "e\u200bve"])
def test_nobody_grants_their_own_request_however_they_spell_their_name(name: str) -> None:
    assert is_requester(asked(), name)
    with pytest.raises(IllegalMoveError, match="own request"):
        advance(asked(), act(Move.GRANT, name))


@pytest.mark.parametrize("move", [Move.GRANT, Move.DENY, Move.DELEGATE, Move.COMMENT])
def test_what_people_do_has_a_name_to_it(move: Move) -> None:
    with pytest.raises(IllegalMoveError, match="somebody"):
        advance(asked(), act(move, ""))


def test_a_grant_without_a_seat_is_none() -> None:
    with pytest.raises(IllegalMoveError, match="does not wait"):
        advance(asked(), act(Move.GRANT, seats=()))


def test_a_link_is_spent_by_the_act_that_it_was_used_for() -> None:
    approval = advance(asked(route(stage("anyone", quorum=2))), act(Move.GRANT, link="l1"))
    with pytest.raises(IllegalMoveError, match="used already"):
        advance(approval, act(Move.GRANT, "bob", link="l1"))
    assert advance(approval, act(Move.GRANT, "bob", link="l2")).state is State.GRANTED


# -- joining, commenting, delegating


def test_identical_requests_are_counted_up_to_a_bound_and_change_nothing_beyond() -> None:
    approval = asked()
    for number in range(MAX_JOINED):
        approval = advance(approval, act(Move.JOIN, "", decision_id=f"j{number}"))
    assert approval.joined == MAX_JOINED
    assert len(approval.decision_ids) == MAX_JOINED + 1
    assert advance(approval, act(Move.JOIN, "", decision_id="one more")) is approval
    with_bob = advance(approval, act(Move.JOIN, "bob", decision_id="his own"))
    assert with_bob.requesters == ("eve", "bob")
    assert with_bob.joined == MAX_JOINED


def test_a_key_that_joins_is_remembered_as_one_that_asked() -> None:
    approval = asked(asked_with="k1")
    for key in ("k1", "k2", "k2", ""):
        approval = advance(approval, act(Move.JOIN, "", to=key))
    assert (approval.joined, approval.joined_with) == (4, ("k2",))
    assert [approval.was_asked_with(key) for key in ("k1", "k2", "k3", "")] == [True, True, False, False]
    full = replace(approval, joined=MAX_JOINED)
    assert advance(full, act(Move.JOIN, "", to="k2")) is full
    assert advance(full, act(Move.JOIN, "", to="k3")).joined_with == ("k2", "k3")
    crowded = replace(full, joined_with=tuple(f"x{number}" for number in range(MAX_JOINED)))
    assert advance(crowded, act(Move.JOIN, "", to="k3")) is crowded


def test_no_more_people_join_than_an_approval_remembers() -> None:
    approval = replace(asked(), requesters=tuple(f"u{number}" for number in range(MAX_JOINED)))
    assert advance(approval, act(Move.JOIN, "u7")).requesters == approval.requesters
    with pytest.raises(IllegalMoveError, match="too many people"):
        advance(approval, act(Move.JOIN, "bob"))


def test_whoever_asks_for_the_same_has_granted_nothing() -> None:
    approval = advance(asked(route(stage("anyone", quorum=2))), act(Move.GRANT, "bob"))
    approval = advance(approval, act(Move.JOIN, "Bob"))
    approval = advance(approval, act(Move.GRANT, "ada"))
    assert approval.state is State.PENDING
    assert advance(approval, act(Move.GRANT, "cyd")).state is State.GRANTED


def test_comments_are_bounded_and_keep_nobody_from_deciding() -> None:
    approval = asked()
    for _ in range(MAX_ACTS):
        approval = advance(approval, act(Move.COMMENT))
    with pytest.raises(IllegalMoveError, match="nobody would read it"):
        advance(approval, act(Move.COMMENT))
    assert advance(approval, act(Move.DELEGATE)).state is State.PENDING
    assert advance(approval, act(Move.GRANT)).state is State.GRANTED


@pytest.mark.parametrize(
    ("by", "to", "why"),
    [
        ("ada", "", "somebody else"),
        ("ada", "ada", "somebody else"),
        ("ada", "Eve", "whom it comes from"),
        ("cyd", "dee", "no part in it"),
        ("ada", "cyd", "no part in it"),
    ],
)
def test_a_delegation_goes_forward(by: str, to: str, why: str) -> None:
    approval = advance(asked(), act(Move.DELEGATE, "cyd", to="bob"))
    with pytest.raises(IllegalMoveError, match=why):
        advance(approval, act(Move.DELEGATE, by, to=to))


def test_a_request_is_not_delegated_for_ever() -> None:
    approval = asked()
    for number in range(MAX_DELEGATIONS):
        approval = advance(approval, act(Move.DELEGATE, f"u{number}", to=f"u{number + 1}"))
    with pytest.raises(IllegalMoveError, match="5 times"):
        advance(approval, act(Move.DELEGATE, "ada", to="bob"))
    assert f"user:u{MAX_DELEGATIONS}" in to_tell(approval, T0)


# -- time


def test_an_escalating_stage_tells_its_people_one_after_another_even_when_the_clock_slept() -> None:
    approval = asked(route(stage("user:a", "user:b", "user:c", "user:d", every=60)))
    assert told(approval) == ("user:a",)
    assert to_tell(approval, T0 + 59 * SECOND) == ("user:a",)
    assert approval.wake_at == T0 + 60 * SECOND
    approval = advance(approval, act(Move.ESCALATE, "", 130))
    assert told(approval) == ("user:a", "user:b", "user:c")
    assert due(approval, T0 + 179 * SECOND) is None
    assert approval.wake_at == T0 + 180 * SECOND
    approval = advance(approval, act(Move.ESCALATE, "", 180))
    assert told(approval)[-1] == "user:d"
    assert approval.wake_at == remind_at(approval)


def test_a_later_stage_begins_to_tell_when_it_begins() -> None:
    first, second = stage("user:a", "user:b", every=10), stage("user:c", "user:d", every=100)
    approval = advance(asked(route(first, second)), act(Move.GRANT, "a", 50))
    assert to_tell(approval, T0 + 149 * SECOND) == ("user:c",)
    assert told(approval) == ("user:a", "user:c")
    assert approval.wake_at == T0 + 150 * SECOND
    approval = advance(approval, act(Move.ESCALATE, "", 151))
    assert told(approval) == ("user:a", "user:b", "user:c", "user:d")
    assert to_tell(advance(approval, act(Move.GRANT, "c", 152, seats=(Seat(0, 1),))), T0) == ()


def test_people_are_reminded_once_at_half_time() -> None:
    approval = asked(route(seconds=100))
    assert due(approval, T0 + 50 * SECOND) is Move.REMIND
    approval = advance(approval, act(Move.REMIND, "", 50))
    assert approval.wake_at == approval.until
    assert due(approval, approval.until) is Move.EXPIRE


# -- in words


@pytest.mark.parametrize(
    ("acts", "words"),
    [
        ([], "it waits for a decision"),
        ([act(Move.GRANT)], "it was granted by `ada` already"),
        ([act(Move.DENY, "bob")], "it was denied by `bob` already"),
        ([act(Move.CANCEL, "eve")], "it was cancelled by `eve` already"),
        ([act(Move.CANCEL, "")], "it was cancelled already"),
        ([act(Move.GRANT), act(Move.USE, "")], "it was used already"),
        ([act(Move.EXPIRE, "", 600)], "it has expired undecided"),
        ([act(Move.GRANT), act(Move.EXPIRE, "", 601)], "it has expired before it was used"),
    ],
)
def test_how_it_stands_is_said_and_who_made_it_so(acts: list[Act], words: str) -> None:
    approval = play(asked(), acts)[-1]
    assert settled(approval) == words
    with pytest.raises(IllegalMoveError) as refused:
        advance(approval, act(Move.USE if approval.state is not State.GRANTED else Move.DENY, after=2))
    assert words in str(refused.value)
    assert refused.value.approval == approval


def test_an_approval_remembers_the_newest_act_of_a_kind() -> None:
    approval = play(asked(), [act(Move.COMMENT, text="one"), act(Move.COMMENT, text="two")])[-1]
    newest = approval.last(Move.COMMENT, Move.DENY)
    assert newest is not None
    assert newest.text == "two"
    assert approval.last(Move.DENY) is None
