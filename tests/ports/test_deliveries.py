"""What it means to keep the messages that approvals owe: every adapter runs this suite."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from onpurpose.core.approval import Approval
from onpurpose.core.delivery import Channel, Delivery, Event, Progress
from tests.ports.approval_stores import SECOND, T0, Kept, all_at_once, approval, delivery, kept, later

__all__ = ["kept"]

NOW = T0 + 100 * SECOND
LEASE = NOW + 30 * SECOND


def owed(kept: Kept, *several: Delivery, of: Approval | None = None) -> list[Delivery]:
    assert kept.approvals.open(of or approval(), deliveries=several, notes=[]) is None
    return list(several)


def taken(kept: Kept, now: int = NOW, lease: int = LEASE, limit: int = 100) -> list[str]:
    return [one.id for one in kept.deliveries.take(Channel.SLACK, now, lease, limit)]


def ids(*several: Delivery) -> list[str]:
    return [one.id for one in several]


def state_of(kept: Kept, message: Delivery) -> Delivery:
    (found,) = (one for one in kept.deliveries.of(message.workspace, message.approval_id) if one.id == message.id)
    return found


# -- keeping


@pytest.mark.parametrize(
    "given",
    [
        delivery(approval()),
        delivery(approval(), "é@example.com", channel=Channel.EMAIL, event=Event.EXPIRED, due_at=2**62, attempts=7),
        delivery(approval(), "", progress=Progress.SENT, ref="C1/1.2", error="it was\nslow"),
    ],
)
def test_a_message_comes_back_as_it_was_kept(kept: Kept, given: Delivery) -> None:
    owed(kept, given)
    assert kept.deliveries.of("acme", "ap_000001") == [given]


def test_the_messages_of_one_approval_come_oldest_first_and_no_others(kept: Kept) -> None:
    first = owed(kept, delivery(approval(), "b"), delivery(approval(), "a"))
    owed(kept, delivery(approval(2)), of=approval(2))
    more = [delivery(approval(), "0", event=Event.GRANTED)]
    kept.approvals.change(later(approval()), deliveries=more, notes=[])
    assert kept.deliveries.of("acme", "ap_000001") == first + more
    assert kept.deliveries.of("acme", "nowhere") == []
    assert kept.deliveries.of("other", "ap_000001") == []


def test_messages_of_workspaces_stay_apart_even_with_the_same_ids(kept: Kept) -> None:
    mine = owed(kept, delivery(approval(), id="same"))
    theirs = owed(kept, delivery(approval(2, "other"), id="same"), of=approval(2, "other"))
    kept.deliveries.settle(replace(theirs[0], progress=Progress.DEAD))
    assert kept.deliveries.of("acme", "ap_000001") == mine
    assert kept.given_up.dead("acme", 10) == []
    assert ids(*kept.given_up.dead("other", 10)) == ["same"]


# -- taking


def test_what_is_due_is_taken_oldest_first_and_put_off(kept: Kept) -> None:
    first, second, later_on = owed(
        kept,
        delivery(approval(), "b", due_at=NOW),
        delivery(approval(), "a", due_at=NOW - 5),
        delivery(approval(), "c", due_at=NOW + 1),
    )
    assert kept.deliveries.take(Channel.SLACK, NOW, LEASE, 10) == [
        replace(first, due_at=LEASE),
        replace(second, due_at=LEASE),
    ]
    assert kept.deliveries.of("acme", "ap_000001") == [
        replace(first, due_at=LEASE),
        replace(second, due_at=LEASE),
        later_on,
    ]


def test_what_was_taken_is_nobody_elses_until_the_lease_ends(kept: Kept) -> None:
    (one,) = owed(kept, delivery(approval()))
    assert taken(kept) == [one.id]
    assert taken(kept, LEASE - 1) == []
    assert taken(kept, LEASE, LEASE + 1) == [one.id]
    assert taken(kept, LEASE, LEASE + 1) == []


def test_a_channel_takes_its_own_and_holds_up_no_other(kept: Kept) -> None:
    slack, mail = owed(kept, delivery(approval(), "x"), delivery(approval(), "x", channel=Channel.EMAIL))
    assert ids(*kept.deliveries.take(Channel.EMAIL, NOW, LEASE, 10)) == [mail.id]
    assert taken(kept) == [slack.id]
    assert kept.deliveries.take(Channel.WEBHOOK, NOW, LEASE, 10) == []


def test_no_more_are_taken_than_asked_for(kept: Kept) -> None:
    several = owed(kept, *(delivery(approval(), f"C{number}") for number in range(5)))
    assert [taken(kept, limit=2) for _ in range(4)] == [ids(*several[:2]), ids(*several[2:4]), ids(several[4]), []]
    assert taken(kept, LEASE, LEASE + 1, limit=0) == []
    assert taken(kept, LEASE, LEASE + 1, limit=-1) == []


def test_of_several_to_one_recipient_about_one_approval_the_next_waits_for_the_first(kept: Kept) -> None:
    first, other, second = owed(
        kept, delivery(approval()), delivery(approval(), "C2"), delivery(approval(), event=Event.GRANTED)
    )
    elsewhere = owed(kept, delivery(approval(2)), of=approval(2))
    assert taken(kept) == ids(first, other, *elsewhere)
    kept.deliveries.settle(replace(first, due_at=NOW + 500, attempts=1, error="busy"))
    assert taken(kept, NOW + 499) == []  # an older one is to be tried again
    assert taken(kept, NOW + 500) == [first.id]
    assert taken(kept, NOW + 501) == []  # an older one is under way
    kept.deliveries.settle(replace(first, progress=Progress.SENT, attempts=2))
    assert taken(kept, NOW + 502) == [second.id]


def test_what_was_given_up_or_has_left_is_in_nobodys_way(kept: Kept) -> None:
    dead, sent, third = owed(kept, delivery(approval()), delivery(approval()), delivery(approval()))
    for message, progress in ((dead, Progress.DEAD), (sent, Progress.SENT)):
        assert taken(kept) == [message.id]
        kept.deliveries.settle(replace(message, progress=progress))
    assert taken(kept) == [third.id]


def test_of_many_that_take_at_once_each_gets_others(kept: Kept) -> None:
    several = owed(kept, *(delivery(approval(), f"C{number}") for number in range(40)))
    doubles = [delivery(approval(), f"C{number}", event=Event.GRANTED) for number in range(40)]
    kept.approvals.change(later(approval()), deliveries=doubles, notes=[])

    def take(_: int) -> list[str]:
        got: list[str] = []
        while more := taken(kept, limit=3):
            got += more
        return got

    got = all_at_once(8, take)
    # Who finds nothing free may leave while another still holds some: what is left is there for the next.
    assert sorted(sum(got, taken(kept))) == sorted(ids(*several))


# -- settling


def test_what_became_of_it_is_kept(kept: Kept) -> None:
    (one,) = owed(kept, delivery(approval()))
    taken(kept)
    tried = replace(one, due_at=LEASE + 7, attempts=1, error="Slack answers 503")
    kept.deliveries.settle(tried)
    assert state_of(kept, one) == tried
    sent = replace(tried, attempts=2, progress=Progress.SENT, ref="C1/12.5", error="")
    kept.deliveries.settle(sent)
    assert state_of(kept, one) == sent


def test_what_became_of_several_is_kept_at_once_in_the_order_given(kept: Kept) -> None:
    one, two = owed(kept, delivery(approval()), delivery(approval(), id="m2", recipient="C2"))
    begun = replace(two, attempts=1, due_at=LEASE)
    sent = replace(begun, progress=Progress.SENT, ref="C2/1")
    kept.deliveries.settle(begun, replace(one, progress=Progress.DEAD), sent)
    assert (state_of(kept, one).progress, state_of(kept, two)) == (Progress.DEAD, sent)
    kept.deliveries.settle()


@pytest.mark.parametrize("end", [Progress.SENT, Progress.DEAD])
def test_what_has_left_or_was_given_up_stays_so(kept: Kept, end: Progress) -> None:
    (one,) = owed(kept, delivery(approval()))
    ended = replace(one, progress=end, attempts=1, ref="C1/1")
    kept.deliveries.settle(ended)
    kept.deliveries.settle(replace(one, attempts=5, due_at=1))  # by whoever held a lease that has ended
    assert state_of(kept, one) == ended
    assert taken(kept) == []


def test_only_what_may_change_of_a_message_changes(kept: Kept) -> None:
    (one,) = owed(kept, delivery(approval()))
    kept.deliveries.settle(replace(one, recipient="C9", event=Event.DENIED, channel=Channel.EMAIL, created_at=1))
    assert state_of(kept, one) == one


def test_what_was_never_kept_cannot_be_settled(kept: Kept) -> None:
    kept.deliveries.settle(delivery(approval(), progress=Progress.DEAD))
    assert kept.given_up.dead("acme", 10) == []


# -- asking


def test_those_given_up_are_listed_newest_first(kept: Kept) -> None:
    several = owed(kept, *(delivery(approval(), f"C{number}") for number in range(4)))
    for one in (several[2], several[0], several[3]):
        kept.deliveries.settle(replace(one, progress=Progress.DEAD, error="no such channel"))
    assert ids(*kept.given_up.dead("acme", 10)) == ids(several[3], several[2], several[0])
    assert ids(*kept.given_up.dead("acme", 1)) == ids(several[3])
    assert kept.given_up.dead("other", 10) == []
    assert kept.given_up.dead("acme", -1) == []


def test_those_given_up_are_listed_by_channel(kept: Kept) -> None:
    slack, mail = owed(kept, delivery(approval()), delivery(approval(), "anna", channel=Channel.EMAIL))
    kept.deliveries.settle(*(replace(one, progress=Progress.DEAD) for one in (slack, mail)))
    assert ids(*kept.given_up.dead("acme", 10, Channel.SLACK)) == [slack.id]
    assert ids(*kept.given_up.dead("acme", 10, Channel.EMAIL)) == [mail.id]
    assert kept.given_up.dead("acme", 10, Channel.WEBHOOK) == []
    assert ids(*kept.given_up.dead("acme", 10)) == [mail.id, slack.id]


def test_the_next_time_is_that_of_the_soonest(kept: Kept) -> None:
    assert kept.deliveries.next_due(Channel.SLACK) is None
    one, two = owed(kept, delivery(approval(), "a", due_at=NOW + 9), delivery(approval(), "b", due_at=NOW + 5))
    assert kept.deliveries.next_due(Channel.SLACK) == NOW + 5
    assert kept.deliveries.next_due(Channel.EMAIL) is None
    kept.deliveries.settle(replace(two, progress=Progress.SENT))
    assert kept.deliveries.next_due(Channel.SLACK) == NOW + 9
    kept.deliveries.settle(replace(one, progress=Progress.DEAD))
    assert kept.deliveries.next_due(Channel.SLACK) is None


def test_what_was_taken_is_next_when_its_lease_ends_and_whoever_waits_for_it_no_sooner(kept: Kept) -> None:
    owed(kept, delivery(approval()), delivery(approval(), event=Event.GRANTED))
    assert kept.deliveries.next_due(Channel.SLACK) == approval().opened_at
    assert len(taken(kept)) == 1
    assert kept.deliveries.next_due(Channel.SLACK) == LEASE


# -- those given up, once more


def test_what_was_given_up_can_wait_again_as_if_it_were_new(kept: Kept) -> None:
    one, other = owed(kept, delivery(approval()), delivery(approval(), "C2"))
    for message in (one, other):
        kept.deliveries.settle(replace(message, progress=Progress.DEAD, attempts=9, error="no such channel"))
    fresh = replace(one, created_at=NOW, due_at=NOW)
    assert kept.given_up.again("acme", [one.id], NOW) == [fresh]
    assert ids(*kept.given_up.dead("acme", 10)) == [other.id]
    assert kept.deliveries.next_due(Channel.SLACK) == NOW
    assert taken(kept, NOW) == [one.id]


def test_only_what_is_given_up_waits_again_and_only_for_its_workspace(kept: Kept) -> None:
    waiting, sent, dead = owed(kept, *(delivery(approval(), f"C{number}") for number in range(3)))
    kept.deliveries.settle(replace(sent, progress=Progress.SENT, ref="C1/1"), replace(dead, progress=Progress.DEAD))
    everything = [waiting.id, sent.id, dead.id, "nowhere"]
    assert kept.given_up.again("other", everything, NOW) == []
    assert kept.given_up.again("acme", [], NOW) == []
    assert ids(*kept.given_up.again("acme", everything, NOW)) == [dead.id]
    assert kept.given_up.again("acme", everything, NOW + 1) == []
    assert state_of(kept, waiting) == waiting
    assert state_of(kept, sent).ref == "C1/1"


def test_those_that_wait_again_come_oldest_first_and_keep_their_places(kept: Kept) -> None:
    first, second = owed(kept, delivery(approval()), delivery(approval(), event=Event.GRANTED))
    kept.deliveries.settle(replace(first, progress=Progress.DEAD))
    kept.deliveries.settle(replace(second, progress=Progress.DEAD))
    assert ids(*kept.given_up.again("acme", [second.id, first.id, second.id], NOW)) == ids(first, second)
    assert taken(kept, NOW) == [first.id]


def test_of_many_that_ask_at_once_one_has_it_wait_again(kept: Kept) -> None:
    (one,) = owed(kept, delivery(approval()))
    kept.deliveries.settle(replace(one, progress=Progress.DEAD))
    got = all_at_once(6, lambda _: ids(*kept.given_up.again("acme", [one.id], NOW)))
    assert sorted(map(len, got)) == [0, 0, 0, 0, 0, 1]
