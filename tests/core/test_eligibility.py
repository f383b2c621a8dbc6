"""Who may act on an approval, by what the directory says of them at that moment."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.act import Move, Seat, State, Via
from onpurpose.core.approval import MAX_DELEGATIONS, Act, Approval, NotEligibleError, advance
from onpurpose.core.eligibility import delegation, is_asked_by, is_reachable, kin, leaves, may_speak, seats
from onpurpose.core.routing import Person
from tests.core.asked import NAMES, T0, act, approvals, asked, histories, person, play, route, stage

ADA, BOB, CYD = (person(name, "approvers") for name in ("ada", "bob", "cyd"))
EVERYBODY = [person(name, "approvers", *(["ops"] if name in "bd" else [])) for name in NAMES]


@given(approvals, st.lists(st.sampled_from(EVERYBODY), max_size=8))
def test_whoever_is_given_a_seat_can_take_it_and_a_grant_is_never_of_a_requester(
    approval: Approval, people: list[Person]
) -> None:
    for one in people:
        if approval.state is not State.PENDING:
            return
        try:
            taken = seats(approval, one)
        except NotEligibleError:
            continue
        assert one.id != "eve"
        approval = advance(approval, Act(move=Move.GRANT, at=T0, by=one.id, via=Via.API, seats=taken))


@given(approvals, histories, st.sampled_from(EVERYBODY), st.sampled_from(EVERYBODY))
def test_a_delegation_that_is_permitted_can_be_made_and_leaves_enough_people(
    approval: Approval, acts: list[Act], one: Person, to: Person
) -> None:
    last = play(approval, acts)[-1]
    if last.state is not State.PENDING:
        return
    try:
        delegation(last, one, to, EVERYBODY)
        leaves(last, one, EVERYBODY)
    except NotEligibleError:
        return
    after = advance(last, Act(move=Move.DELEGATE, at=T0, by=one.id, to=to.id, via=Via.API))
    assert is_reachable(after, EVERYBODY)
    assert seats(after, to)
    with pytest.raises(NotEligibleError, match="delegated"):
        seats(after, one)


@given(approvals, st.lists(st.sampled_from(EVERYBODY), max_size=5, unique_by=lambda one: one.id))
def test_a_request_is_reachable_exactly_if_some_order_of_grants_gets_there(
    approval: Approval, people: list[Person]
) -> None:
    def alone(number: int) -> Approval:
        return asked(approval.routes[number])

    def got_there(start: Approval, order: tuple[Person, ...]) -> bool:
        for one in order:
            try:
                taken = seats(start, one)
            except NotEligibleError:
                continue
            start = advance(start, Act(move=Move.GRANT, at=T0, by=one.id, via=Via.API, seats=taken))
            if start.state is State.GRANTED:
                return True
        return False

    found = all(any(got_there(alone(n), order) for order in permutations(people)) for n in range(len(approval.routes)))
    assert is_reachable(approval, people) == found


def test_the_group_counts_that_somebody_is_in_now() -> None:
    assert seats(asked(), ADA) == (Seat(0, 0),)
    with pytest.raises(NotEligibleError, match="not among the approvers"):
        seats(asked(), person("ada"))
    with pytest.raises(NotEligibleError, match="not among the approvers"):
        seats(asked(), person("", "approvers"))


@pytest.mark.parametrize("requester", ["ada", "ADA", "ada@corp.example", " Ada@CORP.example", "\uff557", "ada-admin"])
def test_nobody_approves_their_own_request_under_any_name_or_account(requester: str) -> None:
    ada = person("ada", "approvers", email="ada@corp.example", also=("U7",))
    second = person("ada-admin", "approvers", email="Ada@corp.example")
    approval = asked(requesters=(requester,))
    for one in (ada, second):
        assert is_asked_by(approval, one, [ada, second])
        with pytest.raises(NotEligibleError, match="own request"):
            seats(approval, one, others=[ada, second])
    assert seats(approval, BOB, others=[ada, second])


def test_two_accounts_of_one_person_count_once() -> None:
    first, second = (person(name, "approvers", email="ada@corp.example") for name in ("ada", "ada2"))
    approval = asked(route(stage("group:approvers", quorum=2)))
    approval = advance(approval, act(Move.GRANT, "ada"))
    with pytest.raises(NotEligibleError, match="granted this request already"):
        seats(approval, second, others=[first, second])
    assert seats(approval, second, Move.DENY, [first, second])
    passed = advance(approval, act(Move.DELEGATE, "ada2", to="bob"))
    with pytest.raises(NotEligibleError, match="you have delegated"):
        seats(passed, first, Move.DENY, [first, second])


def test_whoever_has_granted_may_still_deny_while_others_are_waited_for() -> None:
    approval = advance(asked(route(stage("group:approvers", quorum=2))), act(Move.GRANT, "ada"))
    assert seats(approval, ADA, Move.DENY) == (Seat(0, 0),)
    with pytest.raises(NotEligibleError, match="already"):
        seats(approval, ADA)


@pytest.mark.parametrize(
    ("to", "why"),
    [
        (person("ada"), "with you already"),
        (person("ada3", "approvers", email="ada@corp.example"), "with you already"),
        (person("EVE", "approvers"), "whom it comes from"),
        (person("dee"), "`dee` cannot decide it: you are not among"),
        (person("fay", "later"), "`fay` cannot decide it"),
    ],
)
def test_a_request_is_delegated_only_to_who_can_decide_it(to: Person, why: str) -> None:
    ada = person("ada", "approvers", email="ada@corp.example")
    with pytest.raises(NotEligibleError, match=why):
        delegation(asked(route(stage("group:approvers"), stage("group:later"))), ada, to)


def test_a_delegation_goes_to_who_can_decide_the_same_part() -> None:
    approval = asked(route(stage("user:ada", "user:cyd")), route(stage("user:bob")))
    with pytest.raises(NotEligibleError, match="another part"):
        delegation(approval, ADA, BOB)
    delegation(approval, ADA, CYD)


def test_a_delegation_does_not_go_in_a_circle_nor_on_for_ever() -> None:
    approval = advance(asked(), act(Move.DELEGATE, "ada", to="bob"))
    with pytest.raises(NotEligibleError, match="in a circle"):
        delegation(approval, BOB, ADA)
    approval = asked()
    for number in range(MAX_DELEGATIONS):
        approval = advance(approval, act(Move.DELEGATE, f"u{number}", to=f"u{number + 1}"))
    with pytest.raises(NotEligibleError, match="somebody must decide"):
        delegation(approval, ADA, BOB)


def test_a_delegation_that_leaves_too_few_is_refused() -> None:
    approval = asked(route(stage("group:approvers", quorum=2)))
    with pytest.raises(NotEligibleError, match="too few"):
        leaves(approval, ADA, [ADA, BOB, person("eve", "approvers")])
    leaves(approval, ADA, [ADA, BOB, CYD])
    leaves(advance(approval, act(Move.GRANT, "cyd")), ADA, [ADA, BOB])


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["", "x@corp", "y@corp", "eve"])), max_size=6))
def test_those_without_kin_change_nothing_for_others(found: list[tuple[str, str]]) -> None:
    people = [person(f"{name}{number}", "approvers", email=email) for number, (name, email) in enumerate(found)]
    approval = asked(route(stage("group:approvers", quorum=2)))
    if people:
        approval = advance(approval, act(Move.GRANT, people[0].id))
    near = kin(approval, people)

    def may(one: Person, others: list[Person]) -> str:
        try:
            return str(seats(approval, one, others=others))
        except NotEligibleError as error:
            return str(error)

    assert [may(one, near) for one in people] == [may(one, people) for one in people]


def test_whoever_has_a_part_in_a_request_may_speak() -> None:
    approval = asked(route(stage("user:ada"), stage("group:later")))
    assert may_speak(approval, ADA)
    assert may_speak(approval, person("fay", "later"))
    assert may_speak(approval, person("Eve"))
    assert not may_speak(approval, BOB)
    assert not may_speak(asked(route(stage("anyone"))), person(""))
