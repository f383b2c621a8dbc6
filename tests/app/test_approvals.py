"""The desk: who asks, who decides, that it happens once, and what is told of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from onpurpose.app.approvals import DENIAL_REASONS
from onpurpose.app.asking import MOST_PENDING, SUPERSEDED
from onpurpose.core.act import Move, State, Via
from onpurpose.core.approval import (
    MAX_JOINED,
    MAX_TEXT,
    Approval,
    ApprovalError,
    IllegalMoveError,
    NotEligibleError,
    Wanted,
)
from onpurpose.core.call import Call, Identity
from onpurpose.core.decision import Code, Decision
from onpurpose.core.outcome import Outcome
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.core.routing import Route, Stage
from tests.app.deciding import CALL, Hurried, Office, asking, at_once, question, route, user


@pytest.fixture
def office() -> Iterator[Office]:
    office = Office()
    yield office
    office.desk.close()


def grant(office: Office, approval: Approval, who: str = "ada", **other: Any) -> Approval:
    return office.desk.grant("acme", approval.id, who, **({"via": Via.PAGE} | other))


# -- asking


def test_a_question_opens_an_approval_that_says_whose_it_is_and_who_is_asked(office: Office) -> None:
    approval = office.ask(requesters=("gil",))
    assert approval.state is State.PENDING
    assert approval.requesters == ("eve", "gil")
    assert approval.routes == (office.settings.route,)
    assert approval.asked_with == "key-1"
    assert approval.decision_ids == ("d1",)
    assert office.desk.get("acme", approval.id) == approval
    assert office.kinds() == ["requested"]
    assert office.woken == 1


def test_an_identical_question_joins_the_pending_one(office: Office) -> None:
    first = office.ask()
    second = office.ask(decision_id="d2")
    assert (second.id, second.joined, second.decision_ids) == (first.id, 1, ("d1", "d2"))
    assert office.kinds() == ["requested", "joined"]
    assert office.woken == 1


def test_a_key_that_joined_has_asked_too(office: Office) -> None:
    approval = office.ask()
    office.ask(asked_with="key-2")
    assert office.desk.get("acme", approval.id).was_asked_with("key-2")
    assert office.desk.cancel("acme", approval.id, by="key-2", via=Via.API).state is State.CANCELLED


def test_endless_identical_questions_change_an_approval_only_so_often(office: Office) -> None:
    for number in range(MAX_JOINED + 20):
        approval = office.ask(decision_id=f"d{number}")
    assert approval.joined == MAX_JOINED
    assert approval.version == MAX_JOINED + 1
    assert office.kinds().count("joined") == MAX_JOINED


def test_many_that_ask_the_same_at_once_share_one_approval(office: Office) -> None:
    found = at_once(20, lambda number: office.ask(decision_id=f"d{number}").id)
    assert len(set(found)) == 1
    assert office.kinds().count("requested") == 1
    assert len(office.store.find(Wanted())) == 1


def test_an_agent_floods_nobody_with_questions(office: Office) -> None:
    def ask(number: int, agent: str = CALL.agent_id) -> Approval:
        return office.ask(call=replace(CALL, payload={"amount": number}, agent_id=agent))

    asked = [ask(number) for number in range(MOST_PENDING)]
    with pytest.raises(ApprovalError, match="100 requests of this agent wait"):
        ask(MOST_PENDING)
    assert len(office.store.find(Wanted(limit=1000))) == MOST_PENDING
    assert ask(0).id == asked[0].id  # who asks the same again joins
    assert ask(MOST_PENDING, agent="another-agent").state is State.PENDING
    grant(office, asked[7])
    assert ask(MOST_PENDING).state is State.PENDING


def test_another_argument_is_another_question(office: Office) -> None:
    other = replace(CALL, payload={"amount": 60_001, "to": "DE02"})
    assert office.ask().id != office.ask(call=other).id


def test_whoever_joins_with_a_key_of_their_own_approves_it_no_more(office: Office) -> None:
    approval = office.ask(route("group:approvers", quorum=2))
    grant(office, approval, "bob")
    office.ask(route("group:approvers", quorum=2), requesters=("Bob", "dee"))
    assert office.desk.get("acme", approval.id).requesters == ("eve", "Bob", "dee")
    with pytest.raises(NotEligibleError, match="own request"):
        grant(office, approval, "bob")
    assert grant(office, approval, "ada").state is State.PENDING
    assert grant(office, approval, "cyd").state is State.GRANTED


def test_a_denied_question_is_not_asked_again_while_its_time_runs(office: Office) -> None:
    approval = office.ask()
    office.desk.deny("acme", approval.id, "ada", via=Via.PAGE, text=DENIAL_REASONS[0])
    again = office.ask(decision_id="d2")
    assert (again.id, again.state) == (approval.id, State.DENIED)
    office.clock.pass_seconds(3600)
    anew = office.ask(decision_id="d3")
    assert (anew.id != approval.id, anew.state) == (True, State.PENDING)


def test_a_granted_question_that_was_not_used_is_answered_by_its_grant(office: Office) -> None:
    approval = office.ask()
    grant(office, approval)
    assert office.ask().id == approval.id
    assert office.ask(requesters=("dee",)).id != approval.id
    assert office.consume(approval).granted
    assert office.desk.get("acme", office.ask().id).state is State.PENDING


def test_a_question_whose_people_are_others_now_is_asked_anew(office: Office) -> None:
    first = office.ask()
    second = office.ask(route("user:ada"))
    assert first.id != second.id
    gone = office.desk.get("acme", first.id)
    assert gone.state is State.CANCELLED
    assert gone.acts[-1].text == SUPERSEDED


def test_a_question_whose_time_is_over_before_the_clock_saw_it_is_asked_anew(office: Office) -> None:
    first = office.ask()
    office.clock.pass_seconds(3600)
    second = office.ask()
    assert second.id != first.id
    assert office.kinds() == ["requested", "expired", "requested"]


def test_a_call_that_stands_for_others_too_cannot_be_approved(office: Office) -> None:
    with pytest.raises(ApprovalError, match="cannot be approved: the call holds an object"):
        office.ask(call=replace(CALL, payload={"x": object()}))
    with pytest.raises(ApprovalError, match="nobody is asked about a call whose outcome is deny"):
        office.ask(decision=Decision(Outcome.DENY, ()))
    with pytest.raises(ApprovalError, match="nobody can be asked"):
        office.ask(Route(stages=(Stage(approvers=()),)))


def test_routes_come_from_the_reasons_that_ask_and_lack_nothing(office: Office) -> None:
    own = route("user:ada")
    quick = Route(timeout_seconds=60, step_up=True)
    approval = office.ask(own, None, quick, own)
    general = office.settings.route
    assert approval.routes == (own, general, replace(quick, stages=general.stages))
    assert approval.step_up
    office.settings = replace(office.settings, route=Route(timeout_seconds=7))
    other = office.ask(None, call=replace(CALL, payload={"amount": 1}))
    assert other.routes == (replace(general, timeout_seconds=7),)


def test_an_endless_conflict_is_an_error_and_nothing_is_asked(office: Office) -> None:
    approval = office.ask()
    desk = office.opened(Hurried(office.store, 1000))
    with pytest.raises(ConflictError):
        desk.ask(question())
    with pytest.raises(ConflictError):
        desk.grant("acme", approval.id, "ada", via=Via.PAGE)
    desk.close()


# -- deciding


def test_of_two_hundred_clicks_one_decides_and_the_others_are_told_who(office: Office) -> None:
    office.users = [user(f"u{number}", "approvers") for number in range(200)]
    approval = office.ask()

    def click(number: int) -> Approval:
        if number % 2:
            return office.desk.deny("acme", approval.id, f"u{number}", via=Via.PAGE, text="no")
        return office.desk.grant("acme", approval.id, f"u{number}", via=Via.SLACK)

    found = at_once(200, click)
    decided = [one for one in found if isinstance(one, Approval)]
    refused = [one for one in found if isinstance(one, IllegalMoveError)]
    assert (len(decided), len(refused)) == (1, 199)
    who = decided[0].acts[0].by
    assert all(f"by `{who}`" in str(error) for error in refused)
    assert office.desk.get("acme", approval.id) == decided[0]
    assert len(office.kinds()) == 2
    assert [
        one for one in office.store.of("acme", approval.id) if str(one.event) not in ("requested", decided[0].state)
    ] == []


def test_who_is_in_the_group_counts_when_they_decide_not_when_they_were_told(office: Office) -> None:
    approval = office.ask()
    assert ("email", "requested", "ada") in office.sent(approval)
    office.set_user("ada", groups=())
    with pytest.raises(NotEligibleError, match="not among the approvers"):
        grant(office, approval, "ada")
    office.set_user("dee", groups=("approvers",))
    assert grant(office, approval, "dee").state is State.GRANTED


@pytest.mark.parametrize("who", ["bob", "nobody", ""])
def test_a_user_who_is_disabled_or_unknown_decides_nothing(office: Office, who: str) -> None:
    approval = office.ask()
    office.set_user("bob", disabled_at=5)
    acts: list[Callable[[], object]] = [
        lambda: grant(office, approval, who),
        lambda: office.desk.deny("acme", approval.id, who, via=Via.PAGE, text="no"),
        lambda: office.desk.delegate("acme", approval.id, "ada", to=who, via=Via.PAGE),
        lambda: office.desk.comment("acme", approval.id, who, via=Via.PAGE, text="hm"),
        lambda: office.desk.cancel("acme", approval.id, by=who, via=Via.PAGE),
    ]
    for act in acts:
        with pytest.raises(NotEligibleError, match="no such user"):
            act()
    assert office.desk.get("acme", approval.id).acts == ()


@pytest.mark.parametrize("requester", ["ada", "ADA", "Ada@corp.example", "uada", " a\u200bda "])
@pytest.mark.parametrize("by_key", [True, False])
def test_nobody_approves_their_own_request(office: Office, requester: str, by_key: bool) -> None:
    call = replace(CALL, identity=None if by_key else Identity(requester))
    office.users.append(user("ada-2", "approvers", email="ADA@corp.example"))
    approval = office.ask(call=call, requesters=(requester,) if by_key else ())
    for who in ("ada", "ada-2"):
        with pytest.raises(NotEligibleError, match="own request"):
            grant(office, approval, who)
        assert who not in {recipient for _, _, recipient in office.sent(approval)}
    assert grant(office, approval, "bob").state is State.GRANTED


def test_an_approval_that_expires_between_reading_and_granting_is_not_granted(office: Office) -> None:
    approval = office.ask()
    desk = office.opened(Hurried(office.store, 1, lambda: office.clock.pass_seconds(3600)))
    with pytest.raises(IllegalMoveError, match="expired undecided"):
        desk.grant("acme", approval.id, "ada", via=Via.PAGE)
    desk.close()
    assert office.desk.get("acme", approval.id).state is State.EXPIRED


def test_the_loser_of_a_race_is_told_who_won(office: Office) -> None:
    approval = office.ask()
    desk = office.opened(
        Hurried(office.store, 1, lambda: office.desk.deny("acme", approval.id, "bob", via=Via.SLACK, text="no"))
    )
    with pytest.raises(IllegalMoveError, match="denied by `bob` already"):
        desk.grant("acme", approval.id, "ada", via=Via.PAGE)
    desk.close()


def test_a_quorum_of_two_needs_two_people(office: Office) -> None:
    approval = office.ask(route("group:approvers", quorum=2))
    assert grant(office, approval, "ada").state is State.PENDING
    with pytest.raises(NotEligibleError, match="already"):
        grant(office, approval, "ada")
    assert grant(office, approval, "bob").state is State.GRANTED
    assert office.kinds() == ["requested", "voted", "refused", "granted"]


def test_a_second_stage_is_told_when_the_first_is_passed(office: Office) -> None:
    two = Route(stages=(Stage(approvers=("user:ada",)), Stage(approvers=("user:dee", "user:ada"))))
    approval = office.ask(two)
    before = office.store.of("acme", approval.id)
    assert ("email", "requested", "dee") not in office.sent(approval)
    with pytest.raises(NotEligibleError):
        grant(office, approval, "dee")
    grant(office, approval, "ada")
    assert office.sent(approval, before) == [
        ("slack", "requested", "C1"), ("slack", "requested", "UDEE"), ("email", "requested", "dee"),
    ]  # fmt: skip
    assert grant(office, approval, "dee").state is State.GRANTED


def test_with_step_up_only_who_signed_in_decides(office: Office) -> None:
    approval = office.ask(route("group:approvers", step_up=True))
    acts: list[Callable[[], object]] = [
        lambda: grant(office, approval, via=Via.SLACK),
        lambda: office.desk.deny("acme", approval.id, "ada", via=Via.EMAIL, text="no"),
        lambda: office.desk.delegate("acme", approval.id, "ada", to="bob", via=Via.SLACK),
    ]
    for act in acts:
        with pytest.raises(NotEligibleError, match="signs in"):
            act()
    assert grant(office, approval, signed_in=True).state is State.GRANTED


def test_a_link_decides_once(office: Office) -> None:
    approval = office.ask(route("group:approvers", quorum=2))
    grant(office, approval, "ada", link="l1", via=Via.EMAIL)
    with pytest.raises(IllegalMoveError, match="used already"):
        grant(office, approval, "bob", link="l1", via=Via.EMAIL)
    assert office.notes()[-1]["kind"] == "approval.refused"
    assert office.notes()[-1]["by"] == "bob"


def test_a_denial_needs_a_reason_of_a_length_that_people_read(office: Office) -> None:
    approval = office.ask()
    for text in ("", "  \n", "x" * (MAX_TEXT + 1)):
        with pytest.raises(ApprovalError):
            office.desk.deny("acme", approval.id, "ada", via=Via.PAGE, text=text)
    with pytest.raises(ApprovalError, match="needs a text"):
        office.desk.comment("acme", approval.id, "ada", via=Via.PAGE, text=" ")
    assert office.desk.deny("acme", approval.id, "ada", via=Via.PAGE, text="x" * MAX_TEXT).state is State.DENIED
    assert all(0 < len(text) < 100 for text in DENIAL_REASONS)


def test_what_people_write_is_kept_visible_and_without_secrets(office: Office) -> None:
    approval = office.ask()
    text = "no\u202e: password=hunter2hunter2\x1b[2J\nsecond line"
    denied = office.desk.deny("acme", approval.id, "ada", via=Via.PAGE, text=text)
    assert denied.acts[-1].text.startswith("no\\u202e: [masked: password]")
    assert denied.acts[-1].text.endswith("\nsecond line")
    assert "\x1b" not in denied.acts[-1].text
    assert "hunter2" not in str(office.notes())


def test_a_delegation_follows_the_rules_and_takes_the_request_away(office: Office) -> None:
    approval = office.ask()
    before = office.store.of("acme", approval.id)
    for to, why in (("eve", "whom it comes from"), ("ada", "with you"), ("dee", "cannot decide it")):
        with pytest.raises(NotEligibleError, match=why):
            office.desk.delegate("acme", approval.id, "ada", to=to, via=Via.PAGE)
    passed = office.desk.delegate("acme", approval.id, "ada", to="bob", via=Via.PAGE, text="you know this")
    assert (passed.acts[-1].to, passed.acts[-1].text) == ("bob", "you know this")
    with pytest.raises(NotEligibleError, match="delegated"):
        grant(office, approval, "ada")
    with pytest.raises(NotEligibleError, match="circle"):
        office.desk.delegate("acme", approval.id, "bob", to="ada", via=Via.PAGE)
    mails = [one for one in office.sent(approval, before) if one[0] == "email"]
    assert mails == [("email", "delegated", "bob")]
    assert ("webhook", "delegated", "https://hooks.example/x") in office.sent(approval, before)
    assert [one.id for one in office.desk.candidates(office.desk.get("acme", approval.id), "bob")] == ["cyd"]
    assert office.desk.candidates(passed, "ada") == []
    office.set_user("cyd", disabled_at=1)
    assert office.desk.candidates(passed, "bob") == []


def test_a_delegation_that_leaves_fewer_than_the_quorum_is_refused(office: Office) -> None:
    approval = office.ask(route("group:approvers", quorum=2))
    office.set_user("cyd", disabled_at=1)
    with pytest.raises(NotEligibleError, match="too few"):
        office.desk.delegate("acme", approval.id, "ada", to="bob", via=Via.PAGE)


def test_who_has_a_part_in_a_request_comments_and_cancels_it(office: Office) -> None:
    approval = office.ask()
    assert office.desk.comment("acme", approval.id, "eve", via=Via.PAGE, text="it is urgent").acts[-1].by == "eve"
    acts: list[Callable[[], object]] = [
        lambda: office.desk.comment("acme", approval.id, "dee", via=Via.PAGE, text="me too"),
        lambda: office.desk.cancel("acme", approval.id, by="dee", via=Via.PAGE),
        lambda: office.desk.cancel("acme", approval.id, by="", via=Via.AGENT),
        lambda: office.desk.cancel("acme", approval.id, by="key-2", via=Via.AGENT),
    ]
    for act in acts:
        with pytest.raises(NotEligibleError):
            act()
    grant(office, approval)
    cancelled = office.desk.cancel("acme", approval.id, by="key-1", via=Via.AGENT, text="not needed any more")
    assert cancelled.state is State.CANCELLED
    assert office.consume(approval).code is Code.APPROVAL_CANCELLED


@pytest.mark.parametrize("by", ["eve", "EVE", "eve@corp.example", "ada"])
def test_a_requester_or_an_approver_cancels(office: Office, by: str) -> None:
    office.users.append(user("eve@corp.example", email=""))
    approval = office.ask()
    assert office.desk.cancel("acme", approval.id, by=by, via=Via.API).state is State.CANCELLED


def test_another_workspace_does_not_know_of_it(office: Office) -> None:
    approval = office.ask()
    acts: list[Callable[[], object]] = [
        lambda: office.desk.get("other", approval.id),
        lambda: office.desk.grant("other", approval.id, "ada", via=Via.PAGE),
        lambda: office.desk.cancel("other", approval.id, by="key-1", via=Via.API),
        lambda: office.desk.wait("other", approval.id, 0),
    ]
    for act in acts:
        with pytest.raises(MissingError):
            act()
    assert office.kinds() == ["requested", "refused", "refused"]
    assert office.consume(approval, workspace="other").code is Code.APPROVAL_UNKNOWN


# -- reading


def test_what_is_read_is_as_of_now_even_if_no_clock_ran(office: Office) -> None:
    approval = office.ask()
    assert office.desk.find(Wanted(workspace="acme", states=frozenset({State.PENDING}))) == [approval]
    office.clock.pass_seconds(3600)
    assert office.desk.find(Wanted(workspace="acme", states=frozenset({State.PENDING}))) == []
    assert [one.state for one in office.desk.find(Wanted(workspace="acme"))] == [State.EXPIRED]


def test_earlier_approvals_of_the_same_kind_are_found(office: Office) -> None:
    made = [office.ask(call=replace(CALL, payload={"amount": number})) for number in range(8)]
    office.ask(call=Call("agent-7", "files.delete", {}))
    assert [one.id for one in office.desk.similar(made[-1])] == [one.id for one in made[-2:-7:-1]]


def test_the_last_act_tells_who_what_when_and_by_which_way(office: Office) -> None:
    approval = office.ask()
    office.clock.pass_seconds(5)
    decided = grant(office, approval, via=Via.SLACK, text="fine")
    act = decided.last(Move.GRANT)
    assert act is not None
    assert (act.by, act.via, act.text, act.at) == ("ada", Via.SLACK, "fine", office.clock.at)
    note = office.notes()[-1]
    expected = {
        "kind": "approval.granted", "workspace": "acme", "by": "ada", "approval": approval.id, "via": "slack",
        "digest": approval.digest, "agent_id": "agent-7", "capability": "payments.transfer", "state": "granted",
        "version": 2, "text": "fine", "to": "",
    }  # fmt: skip
    assert expected.items() <= note.items()


def test_every_kind_of_change_reaches_the_log(office: Office) -> None:
    calls = (replace(CALL, payload={"amount": number}) for number in itertools.count())
    first = office.ask(route("group:approvers", quorum=2), call=next(calls))
    office.desk.comment("acme", first.id, "ada", via=Via.PAGE, text="hm")
    office.desk.delegate("acme", first.id, "ada", to="bob", via=Via.PAGE)
    grant(office, first, "bob")
    grant(office, first, "cyd")
    office.consume(first, replace(CALL, payload={"amount": 0}))
    second = office.ask(route("user:ada", "user:bob", every=60), call=next(calls))
    office.clock.pass_seconds(1800)
    office.desk.sweep()
    office.desk.deny("acme", second.id, "ada", via=Via.PAGE, text="no")
    third = office.ask(call=next(calls))
    office.desk.cancel("acme", third.id, by="eve", via=Via.PAGE)
    office.ask(call=next(calls))
    office.clock.pass_seconds(3600)
    office.desk.sweep()
    assert office.kinds() == [
        "requested", "commented", "delegated", "voted", "granted", "used", "requested", "escalated", "reminded",
        "denied", "requested", "cancelled", "requested", "expired",
    ]  # fmt: skip


def test_asking_takes_what_a_decision_with_several_reasons_says(office: Office) -> None:
    decision = Decision(
        Outcome.REQUIRE_APPROVAL,
        (
            *asking(route("user:bob")).reasons,
            replace(asking().reasons[0], outcome=Outcome.ALLOW, route=route("user:dee")),
        ),
    )
    assert office.ask(decision=decision).routes == (route("user:bob"),)
