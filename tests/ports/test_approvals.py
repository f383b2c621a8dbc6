"""What it means to keep approvals: every adapter runs this suite."""

from __future__ import annotations

from typing import Any

import pytest

from onpurpose.core.approval import Act, Approval, Move, Seat, State, Via, Wanted, advance
from onpurpose.core.delivery import Channel
from onpurpose.core.revision import ConflictError
from onpurpose.core.routing import Route, Stage
from tests.ports.approval_stores import SECOND, T0, Kept, all_at_once, approval, delivery, kept, later

__all__ = ["kept"]

NEVER = 2**62


def opened(kept: Kept, *several: Approval) -> None:
    for one in several:
        assert kept.approvals.open(one, deliveries=[], notes=[]) is None


def found(kept: Kept, **wanted: Any) -> list[str]:
    return [one.id for one in kept.elsewhere.find(Wanted(**wanted))]


def full() -> Approval:
    """An approval with every field in use, granted by one and delegated by another."""
    stages = (Stage(approvers=("user:é", "anyone"), quorum=2, escalate_after_seconds=5), Stage(approvers=("group:b",)))
    routes = (Route(stages=stages, step_up=True, timeout_seconds=9), Route(stages=stages[1:]))
    grant = Act(move=Move.GRANT, at=T0, by="é", via=Via.SLACK, seats=(Seat(0, 1), Seat(1, 0)), link="l1")
    passed_on = Act(move=Move.DELEGATE, at=T0 + 1, by="bob", via=Via.EMAIL, text='"quoted"\n', to="cy", decision_id="d")
    return approval(
        routes=routes,
        acts=(grant, passed_on),
        purpose_id="refunds",
        requesters=(),
        asked_with="",
        context=bytes(range(256)),
        decided_at=T0 + 5,
        joined=3,
        decision_ids=("d1", "d2"),
        wake_at=None,
        until=2**62,
    )


# -- opening


@pytest.mark.parametrize("given", [approval(), full(), approval(state=State.USED)])
def test_an_approval_comes_back_as_it_was_opened(kept: Kept, given: Approval) -> None:
    opened(kept, given)
    assert kept.approvals.get("acme", given.id) == given
    assert kept.elsewhere.find(Wanted(workspace="acme")) == [given]


def test_what_was_never_opened_is_not_there(kept: Kept) -> None:
    assert kept.approvals.get("acme", "ap_000001") is None
    assert kept.approvals.find(Wanted()) == []
    assert kept.approvals.versions(["ap_000001"]) == {}


def test_a_second_question_about_the_same_call_is_given_the_first_and_leaves_nothing(kept: Kept) -> None:
    first = approval(1, digest="same")
    second = approval(2, digest="same")
    opened(kept, first)
    assert kept.elsewhere.open(second, deliveries=[delivery(second)], notes=[b"note"]) == first
    assert kept.approvals.get("acme", second.id) is None
    assert kept.deliveries.of("acme", second.id) == []
    assert kept.notes() == []


def test_the_first_is_given_as_it_stands_now(kept: Kept) -> None:
    first = approval(1, digest="same")
    opened(kept, first)
    kept.approvals.change(later(first, joined=1), deliveries=[], notes=[])
    assert kept.approvals.open(approval(2, digest="same"), deliveries=[], notes=[]) == later(first, joined=1)


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_what_is_settled_is_no_answer_to_a_new_question(kept: Kept, state: State) -> None:
    first = approval(1, digest="same")
    opened(kept, first)
    kept.approvals.change(later(first, state=state), deliveries=[], notes=[])
    opened(kept, approval(2, digest="same"))
    assert kept.approvals.open(approval(3, digest="same"), deliveries=[], notes=[]) == approval(2, digest="same")


def test_the_same_call_in_another_workspace_is_another_question(kept: Kept) -> None:
    opened(kept, approval(1, digest="same"), approval(2, "other", digest="same"))
    assert found(kept, digest="same") == ["ap_000002", "ap_000001"]


def test_an_id_is_used_once_in_all_workspaces(kept: Kept) -> None:
    opened(kept, approval())
    for again in (approval(digest="another"), approval(1, "other")):
        with pytest.raises(ConflictError):
            kept.approvals.open(again, deliveries=[delivery(again)], notes=[b"note"])
    assert kept.approvals.find(Wanted()) == [approval()]
    assert kept.notes() == []


def test_of_many_that_ask_at_once_about_one_call_one_is_kept(kept: Kept) -> None:
    def ask(number: int) -> Approval | None:
        mine = approval(number, digest="same")
        return kept.approvals.open(mine, deliveries=[delivery(mine)], notes=[b"%d" % number])

    answers = all_at_once(200, ask)
    (one,) = kept.approvals.find(Wanted())
    assert answers.count(None) == 1
    assert [answer for answer in answers if answer is not None] == [one] * 199
    assert [sent.approval_id for sent in kept.deliveries.take(Channel.SLACK, NEVER, NEVER, 200)] == [one.id]
    assert kept.notes() == [b"%d" % int(one.id.removeprefix("ap_"))]


# -- changing


def test_a_change_is_seen_by_all(kept: Kept) -> None:
    opened(kept, approval())
    granted = advance(approval(), Act(move=Move.GRANT, at=T0 + 2 * SECOND, by="bob", via=Via.API, seats=(Seat(0, 0),)))
    kept.approvals.change(granted, deliveries=[], notes=[])
    assert granted.state is State.GRANTED
    assert kept.elsewhere.get("acme", granted.id) == granted
    assert kept.elsewhere.versions([granted.id]) == {granted.id: 2}


@pytest.mark.parametrize("version", [1, 2, 4, 0])
def test_a_change_of_another_version_than_the_next_is_refused_whole(kept: Kept, version: int) -> None:
    opened(kept, approval())
    second = later(approval(), joined=1)
    kept.approvals.change(second, deliveries=[], notes=[])
    stale = approval(version=version, state=State.GRANTED)
    with pytest.raises(ConflictError):
        kept.approvals.change(stale, deliveries=[delivery(stale)], notes=[b"note"])
    assert kept.approvals.get("acme", stale.id) == second
    assert kept.deliveries.of("acme", stale.id) == []
    assert kept.notes() == []


def test_what_is_not_there_or_is_another_workspaces_cannot_be_changed(kept: Kept) -> None:
    opened(kept, approval())
    for stranger in (later(approval(2)), later(approval(1, "other"))):
        with pytest.raises(ConflictError):
            kept.approvals.change(stranger, deliveries=[], notes=[])
    assert kept.approvals.find(Wanted()) == [approval()]


def test_of_many_that_change_one_at_once_one_wins_and_only_its_notes_and_messages_are_kept(kept: Kept) -> None:
    opened(kept, approval())

    def click(number: int) -> int | None:
        mine = later(approval(), state=State.GRANTED, joined=number)
        try:
            kept.approvals.change(mine, deliveries=[delivery(mine, f"C{number}")], notes=[b"%d" % number])
        except ConflictError:
            return None
        return number

    (winner,) = (number for number in all_at_once(200, click) if number is not None)
    assert kept.approvals.find(Wanted()) == [later(approval(), state=State.GRANTED, joined=winner)]
    assert [one.recipient for one in kept.deliveries.of("acme", "ap_000001")] == [f"C{winner}"]
    assert kept.notes() == [b"%d" % winner]


def test_a_change_whose_message_has_the_id_of_another_is_refused_whole(kept: Kept) -> None:
    message = delivery(approval())
    kept.approvals.open(approval(), deliveries=[message], notes=[])
    for several in ([message], [delivery(approval(), id="twice"), delivery(approval(), id="twice")]):
        with pytest.raises(ConflictError):
            kept.approvals.change(later(approval()), deliveries=several, notes=[b"note"])
    assert kept.approvals.versions([approval().id]) == {approval().id: 1}
    assert kept.deliveries.of("acme", approval().id) == [message]
    assert kept.notes() == []


def test_of_one_call_two_are_never_pending(kept: Kept) -> None:
    first = approval(1, digest="same")
    opened(kept, first)
    denied = later(first, state=State.DENIED)
    kept.approvals.change(denied, deliveries=[], notes=[])
    opened(kept, approval(2, digest="same"))
    with pytest.raises(ConflictError):
        kept.approvals.change(later(denied, state=State.PENDING), deliveries=[delivery(first)], notes=[b"note"])
    assert kept.approvals.get("acme", first.id) == denied
    assert kept.deliveries.of("acme", first.id) == []
    assert kept.notes() == []


# -- notes


def test_notes_are_kept_in_their_order_until_they_are_sent(kept: Kept) -> None:
    kept.approvals.open(approval(), deliveries=[], notes=[b"one", b"two"])
    kept.approvals.change(later(approval()), deliveries=[], notes=[b"three"])
    numbers = [number for number, _ in kept.outbox.unsent(2)]
    assert kept.notes() == [b"one", b"two", b"three"]
    kept.outbox.sent(numbers)
    kept.outbox.sent([])
    assert kept.notes() == [b"three"]


def test_no_number_of_a_note_is_used_twice(kept: Kept) -> None:
    kept.approvals.open(approval(), deliveries=[], notes=[b"one"])
    ((number, _),) = kept.outbox.unsent(10)
    kept.outbox.sent([number])
    kept.approvals.change(later(approval()), deliveries=[], notes=[b"two"])
    kept.outbox.sent([number])
    assert kept.notes() == [b"two"]


# -- finding


def test_workspaces_never_see_each_others(kept: Kept) -> None:
    opened(kept, approval(1), approval(2, "other"))
    assert kept.approvals.get("other", "ap_000001") is None
    assert found(kept, workspace="other") == ["ap_000002"]
    assert found(kept, workspace="nowhere") == []
    assert found(kept) == ["ap_000002", "ap_000001"]


def test_approvals_are_found_by_what_is_asked_newest_first(kept: Kept) -> None:
    opened(
        kept,
        approval(1),
        approval(2, agent_id="mailer"),
        approval(3, capability="mail.send", state=State.GRANTED),
        approval(4, digest="d", state=State.DENIED),
    )
    assert found(kept, workspace="acme") == ["ap_000004", "ap_000003", "ap_000002", "ap_000001"]
    assert found(kept, workspace="acme", agent_id="mailer") == ["ap_000002"]
    assert found(kept, workspace="acme", capability="mail.send") == ["ap_000003"]
    assert found(kept, workspace="acme", digest="d") == ["ap_000004"]
    assert found(kept, workspace="acme", digest="d", agent_id="mailer") == []
    assert found(kept, workspace="acme", states=frozenset({State.PENDING})) == ["ap_000002", "ap_000001"]
    assert found(kept, states=frozenset({State.GRANTED, State.DENIED})) == ["ap_000004", "ap_000003"]
    assert found(kept, workspace="acme", states=frozenset()) == []


def test_a_text_that_is_looked_for_is_no_pattern(kept: Kept) -> None:
    opened(kept, approval(1, agent_id="a%"), approval(2, agent_id="ab"), approval(3, agent_id="' OR ''='"))
    assert found(kept, agent_id="a%") == ["ap_000001"]
    assert found(kept, agent_id="' OR ''='") == ["ap_000003"]
    assert found(kept, agent_id="A%") == []


def test_pages_follow_one_another_without_a_gap_whatever_is_opened_meanwhile(kept: Kept) -> None:
    opened(kept, *(approval(number) for number in range(1, 8)))
    first = found(kept, workspace="acme", limit=3)
    opened(kept, approval(8))
    second = found(kept, workspace="acme", limit=3, before=first[-1])
    assert (first, second) == (["ap_000007", "ap_000006", "ap_000005"], ["ap_000004", "ap_000003", "ap_000002"])
    assert found(kept, workspace="acme", before=second[-1]) == ["ap_000001"]
    assert found(kept, workspace="acme", before="ap_000001") == []
    assert found(kept, workspace="acme", limit=0) == []
    assert found(kept, workspace="acme", limit=-1) == []


def test_ids_are_compared_by_their_characters_codes(kept: Kept) -> None:
    opened(kept, *(approval(number, id=name) for number, name in enumerate(["a_", "aB", "ab", "B", "é"])))
    assert found(kept) == ["é", "ab", "a_", "aB", "B"]
    assert found(kept, before="a_") == ["aB", "B"]


def test_those_that_are_due_come_soonest_first_from_all_workspaces(kept: Kept) -> None:
    opened(
        kept,
        approval(1, wake_at=30),
        approval(2, "other", wake_at=10),
        approval(3, wake_at=20),
        approval(4, wake_at=None),
        approval(5, wake_at=31),
        approval(6, wake_at=20, state=State.GRANTED),
    )
    assert found(kept, due_at=30) == ["ap_000002", "ap_000003", "ap_000006", "ap_000001"]
    assert found(kept, due_at=30, workspace="acme", limit=2) == ["ap_000003", "ap_000006"]
    assert found(kept, due_at=20, states=frozenset({State.PENDING})) == ["ap_000002", "ap_000003"]
    assert found(kept, due_at=9) == []
    assert found(kept, due_at=NEVER) == ["ap_000002", "ap_000003", "ap_000006", "ap_000001", "ap_000005"]


def test_an_approval_that_was_put_off_is_due_later(kept: Kept) -> None:
    opened(kept, approval(1, wake_at=10))
    kept.approvals.change(later(approval(1), wake_at=50), deliveries=[], notes=[])
    assert found(kept, due_at=49) == []
    assert found(kept, due_at=50) == ["ap_000001"]
    kept.approvals.change(later(later(approval(1)), wake_at=None), deliveries=[], notes=[])
    assert found(kept, due_at=NEVER) == []


def test_versions_are_told_of_many_at_once(kept: Kept) -> None:
    opened(kept, approval(1), approval(2, "other"))
    kept.approvals.change(later(approval(1)), deliveries=[], notes=[])
    names = [f"ap_{number:06}" for number in range(3000)]
    assert kept.elsewhere.versions(names) == {"ap_000001": 2, "ap_000002": 1}
    assert kept.elsewhere.versions([]) == {}
