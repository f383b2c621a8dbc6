"""The courier: what is kept leaves, in time, under one identity, and holds up nobody else."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.adapters.memory import MemoryLedger
from onpurpose.app.courier import Courier, recorder
from onpurpose.app.lane import BATCH, TOGETHER
from onpurpose.core.approval import Act, Move, Via, advance
from onpurpose.core.delivery import Channel, Delivery, Event, Progress, RetryError, UndeliverableError
from onpurpose.core.revision import StoreError
from onpurpose.core.routing import Route, Stage
from tests.app.courier_world import HOUR, LINKS, USERS, World, user
from tests.app.keys import SECOND

MAIL = (Channel.EMAIL, "anna")
SLACK = (Channel.SLACK, "C1")
HOOK = (Channel.WEBHOOK, "https://hooks.example/secret-path?token=s3cret")


def fails(*errors: Exception) -> object:
    """Raises these one after another, then lets everything pass."""
    left = list(errors)

    def does(delivery: Delivery) -> None:
        if left:
            raise left.pop(0)

    return does


def test_what_is_due_leaves_once_and_is_kept_with_what_the_channel_calls_it() -> None:
    world = World()
    _, (mail, post, hook) = world.ask(MAIL, SLACK, HOOK)
    courier = world.courier()
    for _ in range(3):
        for channel in Channel:
            courier.step(channel)
    for box, delivery in zip(world.boxes.values(), (post, mail, hook), strict=True):
        assert box.ids == [delivery.id]
        kept = world.kept(delivery)
        assert (kept.progress, kept.ref, kept.attempts) == (Progress.SENT, f"ref-{delivery.id}", 1)


def test_whoever_became_an_approver_just_before_they_were_asked_is_written() -> None:
    world = World()
    courier = world.courier()
    world.ask(MAIL)
    courier.step(Channel.EMAIL)
    world.users.append(user("dora"))
    _, (mail,) = world.ask((Channel.EMAIL, "dora"))
    courier.step(Channel.EMAIL)
    assert world.boxes[Channel.EMAIL].ids[-1] == mail.id


def test_a_view_is_the_approval_as_it_stands_for_whom_it_is() -> None:
    world = World()
    approval, (mail,) = world.ask(MAIL)
    world.courier().step(Channel.EMAIL)
    _, view = world.boxes[Channel.EMAIL].got[0]
    assert (view.approval, view.context, view.now) == (approval, {"payload": "{}"}, world.clock.now())
    assert (view.name, view.address) == ("Anna", "anna@example.com")
    assert view.link == LINKS.url(approval, "anna", mail.id)
    assert view.page == LINKS.page(approval)


def test_only_mail_carries_a_link() -> None:
    world = World()
    world.ask((Channel.SLACK, "UANNA"), HOOK)
    courier = world.courier()
    courier.step(Channel.SLACK)
    courier.step(Channel.WEBHOOK)
    slack, hook = (world.boxes[channel].got[0][1] for channel in (Channel.SLACK, Channel.WEBHOOK))
    assert (slack.name, slack.link, hook.name, hook.link) == ("Anna", "", "", "")
    assert slack.page == hook.page == "https://gate.example/approvals/a0000"


def test_whoever_must_sign_in_is_sent_no_link() -> None:
    world = World()
    route = Route(stages=(Stage(approvers=("anyone",)),), step_up=True)
    world.ask(MAIL, route=route)
    world.courier().step(Channel.EMAIL)
    _, view = world.boxes[Channel.EMAIL].got[0]
    assert (view.link, view.page) == ("", "https://gate.example/approvals/a0000")


@pytest.mark.parametrize("recipient", ["gone", "agent-owner", "nobody", "bob"])
def test_nobody_is_asked_who_cannot_decide(recipient: str) -> None:
    world = World()
    _, (mail,) = world.ask((Channel.EMAIL, recipient), requesters=("bob",))
    world.courier().step(Channel.EMAIL)
    assert world.boxes[Channel.EMAIL].got == []
    assert (world.kept(mail).progress, world.kept(mail).ref) == (Progress.SENT, "")


def test_nobody_is_asked_by_another_account_of_whom_the_request_comes_from() -> None:
    world = World(users=[*USERS, user("robert", email="BOB@example.com")])
    _, (mail,) = world.ask((Channel.EMAIL, "robert"), requesters=("bob",))
    world.courier().step(Channel.EMAIL)
    assert world.boxes[Channel.EMAIL].got == []
    assert world.kept(mail).error == "there is nothing left for them to decide"


def test_who_is_disabled_meanwhile_is_asked_no_more() -> None:
    world = World()
    courier = world.courier()
    world.ask(MAIL)
    courier.step(Channel.EMAIL)
    world.users[0] = user("anna", disabled_at=world.clock.now())
    world.ask(MAIL)
    world.pass_seconds(1)
    courier.step(Channel.EMAIL)
    assert len(world.boxes[Channel.EMAIL].got) == 1


def test_nobody_is_asked_by_mail_what_is_settled_and_then_told_that_it_is() -> None:
    world = World()
    approval, _ = world.ask(MAIL)
    world.grant(approval, "bob", MAIL)
    courier = world.courier()
    assert [courier.step(Channel.EMAIL) for _ in range(3)] == [1, 1, 0]
    assert world.boxes[Channel.EMAIL].got == []


def test_who_was_asked_by_mail_is_told_the_outcome_in_the_same_thread() -> None:
    world = World()
    approval, (asked,) = world.ask(MAIL)
    courier = world.courier()
    courier.step(Channel.EMAIL)
    world.grant(approval, "bob", MAIL)
    courier.step(Channel.EMAIL)
    told, view = world.boxes[Channel.EMAIL].got[1]
    assert (told.event, view.link) == (Event.GRANTED, "")
    assert [one.ref for one in view.sent] == [f"ref-{asked.id}"]


def test_nobody_is_mailed_a_second_outcome() -> None:
    world = World()
    approval, _ = world.ask(MAIL)
    courier = world.courier()
    courier.step(Channel.EMAIL)
    world.grant(approval, "bob", MAIL, HOOK)
    courier.step(Channel.EMAIL)
    granted = world.store.get("acme", approval.id)
    assert granted is not None
    used = advance(granted, Act(move=Move.USE, at=world.clock.now(), via=Via.AGENT, decision_id="d9"))
    world.store.change(used, deliveries=[world.message(used, *MAIL, Event.USED)], notes=[])
    assert courier.step(Channel.EMAIL) == 1
    assert [delivery.event for delivery, _ in world.boxes[Channel.EMAIL].got] == [Event.REQUESTED, Event.GRANTED]


def test_a_channel_is_told_the_outcome_though_it_was_never_asked() -> None:
    world = World()
    approval, _ = world.ask()
    world.grant(approval, "bob", HOOK, SLACK)
    courier = world.courier()
    assert (courier.step(Channel.WEBHOOK), courier.step(Channel.SLACK)) == (1, 1)
    assert len(world.boxes[Channel.WEBHOOK].got) == len(world.boxes[Channel.SLACK].got) == 1


def test_a_message_about_what_is_gone_is_let_go() -> None:
    world = World()
    approval, (mail,) = world.ask(MAIL)
    del world.store._approvals[approval.id]
    world.courier().step(Channel.EMAIL)
    assert world.kept(mail).error == "there is no such approval any more"
    assert world.boxes[Channel.EMAIL].got == []


# -- what does not arrive


def test_a_failure_is_tried_again_later_and_later() -> None:
    world = World()
    _, (post,) = world.ask(SLACK)
    times: list[float] = []
    began = world.clock.now()

    def down(delivery: Delivery) -> None:
        times.append((world.clock.now() - began) / SECOND)
        raise RetryError("no answer")

    world.boxes[Channel.SLACK].does = down
    world.run(world.courier(), 4 * HOUR, [Channel.SLACK])
    gaps = [round(later - earlier, 3) for earlier, later in itertools.pairwise(times)]
    assert gaps == sorted(gaps)
    assert 0.5 < gaps[0] < 2
    assert 300 < gaps[-1] < 601
    kept = world.kept(post)
    assert (kept.progress, kept.attempts, kept.error) == (Progress.WAITING, len(times), "no answer")


def test_a_messenger_knows_how_often_it_was_tried_before() -> None:
    world = World()
    world.ask(SLACK)
    box = world.boxes[Channel.SLACK]
    box.does = fails(RetryError("one"), RetryError("two"))  # type: ignore[assignment]  # raises
    world.run(world.courier(), 60, [Channel.SLACK])
    assert [delivery.attempts for delivery, _ in box.got] == [2]


def test_a_channel_that_says_when_is_left_alone_until_then() -> None:
    world = World()
    world.ask(SLACK)
    courier, box = world.courier(), world.boxes[Channel.SLACK]
    box.does = fails(RetryError("rate limited", after=90))  # type: ignore[assignment]  # raises
    world.run(courier, 89, [Channel.SLACK])
    assert box.got == []
    world.run(courier, 4, [Channel.SLACK])
    assert len(box.got) == 1


@pytest.mark.parametrize(("after", "most"), [(10.0**9, 3604), (-5.0, 4)])
def test_what_a_channel_asks_for_is_bounded(after: float, most: int) -> None:
    world = World()
    world.ask(SLACK)
    world.boxes[Channel.SLACK].does = fails(RetryError("x", after=after))  # type: ignore[assignment]  # raises
    world.run(world.courier(), most, [Channel.SLACK])
    assert len(world.boxes[Channel.SLACK].got) == 1


def test_one_recipient_who_cannot_be_reached_holds_up_no_other() -> None:
    world = World()
    for _ in range(30):
        world.ask((Channel.WEBHOOK, "https://down.example/"))
        world.ask((Channel.WEBHOOK, "https://up.example/"))
    tries = 0

    def does(delivery: Delivery) -> None:
        nonlocal tries
        if "down" in delivery.recipient:
            tries += 1
            raise RetryError("refused")

    world.boxes[Channel.WEBHOOK].does = does
    courier = world.courier()
    courier.step(Channel.WEBHOOK)
    courier.step(Channel.WEBHOOK)
    assert len(world.boxes[Channel.WEBHOOK].got) == 30
    assert tries == 1, "who is down is asked once in a while, not for every message"


def test_a_recipient_who_hangs_takes_a_small_part_of_the_time() -> None:
    world = World()
    hung = 0

    def does(delivery: Delivery) -> None:
        nonlocal hung
        if "hangs" in delivery.recipient:
            hung += 10
            world.pass_seconds(10)
            raise RetryError("no answer in time")

    world.boxes[Channel.WEBHOOK].does = does
    for _ in range(20):
        world.ask((Channel.WEBHOOK, "https://hangs.example/"))
    world.run(world.courier(), 1000, [Channel.WEBHOOK])
    assert 30 <= hung <= 200


def test_a_message_that_always_fails_keeps_the_others_back_no_longer_than_its_turn() -> None:
    world = World()
    _, (bad,) = world.ask(SLACK)
    for _ in range(20):
        world.ask(SLACK)

    def does(delivery: Delivery) -> None:
        if delivery.id == bad.id:
            raise RetryError("too odd")

    world.boxes[Channel.SLACK].does = does
    world.run(world.courier(), 30, [Channel.SLACK])
    assert len(world.boxes[Channel.SLACK].got) == 20


def test_a_channel_down_for_an_hour_loses_nothing_and_sends_nothing_twice() -> None:
    world = World()
    expected = [world.ask(SLACK, MAIL)[1][0].id for _ in range(5)]
    courier, up_again = world.courier(), world.clock.now() + HOUR * SECOND

    def does(delivery: Delivery) -> None:
        if world.clock.now() < up_again:
            raise RetryError("503")

    world.boxes[Channel.SLACK].does = does
    world.run(courier, 1)
    assert len(world.boxes[Channel.EMAIL].got) == 5, "mail does not wait for Slack"
    world.run(courier, HOUR / 2)
    expected += [world.ask(SLACK)[1][0].id for _ in range(100)]
    world.run(courier, HOUR / 2 - 1)
    assert world.boxes[Channel.SLACK].got == []
    assert courier.status()["slack"]["failing_since"] is not None
    world.run(courier, 620)
    assert sorted(world.boxes[Channel.SLACK].ids) == sorted(expected)
    assert courier.status()["slack"] | {"retried": 0} == {
        "sent": 105, "retried": 0, "dead": 0, "waiting_seconds": 0.0, "last_error": "503",
        "last_error_at": courier.status()["slack"]["last_error_at"], "failing_since": None,
    }  # fmt: skip
    assert world.dead == []


def test_what_cannot_leave_for_a_day_is_laid_aside_and_told() -> None:
    world = World()
    _, first = world.ask(SLACK)
    _, second = world.ask(SLACK)
    world.boxes[Channel.SLACK].does = fails(*[RetryError("no answer")] * 1000)  # type: ignore[assignment]  # raises
    courier = world.courier()
    world.run(courier, 24 * HOUR - 1, [Channel.SLACK])
    assert world.dead == []
    world.run(courier, 700, [Channel.SLACK])
    assert {one.id for one in world.dead} == {first[0].id, second[0].id}
    assert world.kept(first[0]).progress is Progress.DEAD
    assert world.kept(first[0]).error == "given up after a day: no answer"
    assert {one.id for one in world.store.dead("acme", 10)} == {first[0].id, second[0].id}
    assert courier.status()["slack"]["dead"] == 2


def test_what_can_never_arrive_is_laid_aside_at_once() -> None:
    world = World()
    _, (mail,) = world.ask(MAIL)
    world.boxes[Channel.EMAIL].does = fails(UndeliverableError("no such\r\naddress"))  # type: ignore[assignment]
    world.courier().step(Channel.EMAIL)
    assert [(one.id, one.error) for one in world.dead] == [(mail.id, "no such address")]
    assert world.kept(mail).progress is Progress.DEAD


def test_nothing_is_laid_aside_before_that_is_recorded() -> None:
    world = World()
    _, (mail,) = world.ask(MAIL)
    told = [StoreError("the log is full")]

    def undelivered(delivery: Delivery) -> None:
        if told:
            raise told.pop()
        world.dead.append(delivery)

    world.boxes[Channel.EMAIL].does = fails(*[UndeliverableError("gone")] * 2)  # type: ignore[assignment]  # raises
    courier = world.courier(undelivered=undelivered)
    courier.step(Channel.EMAIL)
    assert world.kept(mail).progress is Progress.WAITING
    world.run(courier, 2, [Channel.EMAIL])
    assert (len(world.dead), world.kept(mail).progress) == (1, Progress.DEAD)


def test_the_log_is_told_of_what_was_laid_aside_and_of_no_secret() -> None:
    world, ledger = World(), MemoryLedger()
    _, (hook,) = world.ask(HOOK)
    world.boxes[Channel.WEBHOOK].does = fails(UndeliverableError("410 Gone"))  # type: ignore[assignment]  # raises
    world.courier(undelivered=recorder(ledger, world.clock, lambda at: "id1")).step(Channel.WEBHOOK)
    _, record = ledger.records()
    assert orjson.loads(record.body) == {
        "v": 1, "kind": "approval.undelivered", "id": "id1", "at": world.clock.now(), "workspace": "acme", "by": "",
        "approval": hook.approval_id, "delivery": hook.id, "channel": "webhook", "event": "requested",
        "to": "hooks.example", "attempts": 1, "error": "410 Gone",
    }  # fmt: skip


def test_an_error_that_nobody_thought_of_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    _, (post,) = world.ask(SLACK)
    world.boxes[Channel.SLACK].does = fails(KeyError("secret"))  # type: ignore[assignment]  # raises
    courier = world.courier()
    courier.step(Channel.SLACK)
    assert world.kept(post).error == "unexpected: KeyError"
    world.run(courier, 3, [Channel.SLACK])
    assert world.boxes[Channel.SLACK].ids == [post.id]
    assert "`slack` could not be sent" in caplog.text


def test_a_message_that_cannot_be_made_holds_up_none_behind_it() -> None:
    world = World()
    approval, (bad,) = world.ask(MAIL)
    world.ask((Channel.EMAIL, "bob"))
    world.store._approvals[approval.id] = "no approval"  # type: ignore[assignment]  # a broken row
    world.courier().step(Channel.EMAIL)
    assert [delivery.recipient for delivery, _ in world.boxes[Channel.EMAIL].got] == ["bob"]
    assert world.kept(bad).error == "unexpected: AttributeError"


def test_a_channel_that_is_not_configured_keeps_its_messages_and_gives_up_in_the_end() -> None:
    world = World()
    _, (post,) = world.ask(SLACK)
    courier = world.courier({})
    courier.step(Channel.SLACK)
    assert world.kept(post).error == "nothing is configured by which `slack` could be sent"
    world.run(courier, 25 * HOUR, [Channel.SLACK])
    assert world.kept(post).progress is Progress.DEAD


# -- threads and processes


class Dying:
    """A store whose process dies at its n-th call: before the change, or just after it."""

    def __init__(self, world: World, calls: int, *, after: bool) -> None:
        self._store = world.store
        self._left = calls
        self._after = after

    def _die(self, after: bool) -> None:
        if after == self._after:
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt

    def take(self, channel: Channel, now: int, leased_until: int, limit: int) -> list[Delivery]:
        self._die(False)
        taken = self._store.take(channel, now, leased_until, limit)
        self._die(True)
        return taken

    def settle(self, *deliveries: Delivery) -> None:
        self._die(False)
        self._store.settle(*deliveries)
        self._die(True)


@given(st.integers(0, 12), st.booleans(), st.lists(st.sampled_from(["anna", "bob"]), min_size=1, max_size=25))
def test_whenever_a_process_dies_nothing_is_lost_and_nothing_has_two_identities(
    calls: int, after: bool, people: Sequence[str]
) -> None:
    world = World()
    expected = {world.ask((Channel.EMAIL, one))[1][0].id for one in people}
    dying = world.courier(deliveries=Dying(world, calls, after=after))
    try:
        while dying.step(Channel.EMAIL):
            pass
    except KeyboardInterrupt:
        pass
    died_with = list(world.boxes[Channel.EMAIL].ids)
    world.run(world.courier(), 130, [Channel.EMAIL])
    sent = world.boxes[Channel.EMAIL].ids
    assert set(sent) == expected
    assert len(sent) <= len(expected) + TOGETHER, "what was sent and not kept as sent is sent again, nothing else"
    again = [delivery for delivery, _ in world.boxes[Channel.EMAIL].got[len(died_with) :] if delivery.id in died_with]
    assert all(delivery.attempts for delivery in again), "whoever sends again knows that it may have left"


def test_two_processes_send_no_message_twice() -> None:
    world = World()
    expected = [world.ask((Channel.WEBHOOK, f"https://h{n}.example/"))[1][0].id for n in range(BATCH * 4)]
    couriers = [world.courier(), world.courier()]
    for courier in couriers:
        courier.start()
    for _ in expected:
        assert world.boxes[Channel.WEBHOOK].arrived.acquire(timeout=10)
    for courier in couriers:
        courier.close()
    assert sorted(world.boxes[Channel.WEBHOOK].ids) == sorted(expected)


def test_a_wake_up_is_immediate() -> None:
    world = World()
    courier = world.courier(poll_seconds=3600.0)
    courier.start()
    try:
        for _ in range(20):
            world.ask(SLACK)
            courier.wake(Channel.SLACK)
            assert world.boxes[Channel.SLACK].arrived.acquire(timeout=10), "nobody waited for the poll"
    finally:
        courier.close()


def test_what_another_process_kept_is_found_without_a_wake_up() -> None:
    world = World()
    courier = world.courier(poll_seconds=0.01)
    courier.start()
    try:
        world.ask(MAIL)
        assert world.boxes[Channel.EMAIL].arrived.acquire(timeout=10)
    finally:
        courier.close()
    assert world.boxes[Channel.EMAIL].rests > 0, "with nothing to send, the line is let go of"


def test_a_channel_that_hangs_holds_up_no_other() -> None:
    world = World()
    hung, released = threading.Event(), threading.Event()

    def hang(delivery: Delivery) -> None:
        hung.set()
        assert released.wait(10)

    world.boxes[Channel.SLACK].does = hang
    world.ask(SLACK, MAIL, HOOK)
    courier = world.courier()
    courier.start()
    try:
        assert hung.wait(10)
        assert world.boxes[Channel.EMAIL].arrived.acquire(timeout=10)
        assert world.boxes[Channel.WEBHOOK].arrived.acquire(timeout=10)
        assert world.boxes[Channel.SLACK].got == []
    finally:
        released.set()
        courier.close()
    assert len(world.boxes[Channel.SLACK].got) == 1


def test_a_close_gives_back_what_was_taken_and_not_begun() -> None:
    world = World()
    deliveries = [world.ask((Channel.WEBHOOK, f"https://h{n}.example/"))[1][0] for n in range(5)]
    held: list[Courier] = [world.courier()]
    world.boxes[Channel.WEBHOOK].does = lambda delivery: held[0].close()
    held[0].step(Channel.WEBHOOK)
    assert world.boxes[Channel.WEBHOOK].ids == [deliveries[0].id]
    assert all(world.kept(one).due_at <= world.clock.now() for one in deliveries[1:])


def test_what_is_not_begun_in_time_is_given_back_before_another_takes_it() -> None:
    world = World()
    for n in range(5):
        world.ask((Channel.WEBHOOK, f"https://h{n}.example/"))
    world.boxes[Channel.WEBHOOK].does = lambda delivery: world.pass_seconds(25)
    world.courier().step(Channel.WEBHOOK)
    assert len(world.boxes[Channel.WEBHOOK].got) == 2


def test_what_was_taken_by_a_courier_that_is_closed_already_is_given_back() -> None:
    world = World()
    _, (hook,) = world.ask(HOOK)
    courier = world.courier()
    courier.close()
    assert courier.step(Channel.WEBHOOK) == 1
    assert (world.kept(hook).due_at, world.kept(hook).attempts) == (world.clock.now(), 0)
    assert world.boxes[Channel.WEBHOOK].got == []


def test_a_start_and_a_close_at_once_end() -> None:
    world = World()
    for _ in range(20):
        courier = world.courier(poll_seconds=3600.0)
        courier.start()
        courier.close(patience=30.0)
    lanes = {f"onpurpose-{channel}" for channel in Channel}
    assert [thread.name for thread in threading.enumerate() if thread.name in lanes] == []


def test_a_store_that_fails_amid_a_round_leaves_the_rest_to_the_next() -> None:
    world = World()
    world.ask(MAIL)
    courier = world.courier(deliveries=Failing(world))
    with pytest.raises(StoreError):
        courier.step(Channel.EMAIL)
    assert world.boxes[Channel.EMAIL].got == []
    world.run(world.courier(), 61, [Channel.EMAIL])
    assert len(world.boxes[Channel.EMAIL].got) == 1


class Failing:
    """A store that gives messages, and can keep nothing of them."""

    def __init__(self, world: World) -> None:
        self.take = world.store.take

    def settle(self, *deliveries: Delivery) -> None:
        raise StoreError("disk full")


def test_a_store_that_cannot_be_used_is_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onpurpose.app.lane.TROUBLE_SECONDS", 0.001)
    world = World()
    world.ask(SLACK)

    class Flaky(Dying):
        def _die(self, after: bool) -> None:
            self._left -= 1
            if self._left >= 0:
                raise StoreError("locked")

        def next_due(self, channel: Channel) -> int | None:
            return None

    courier = world.courier(deliveries=Flaky(world, 12, after=False))
    courier.start()
    try:
        assert world.boxes[Channel.SLACK].arrived.acquire(timeout=10)
    finally:
        courier.close()
    assert "the store cannot be used: locked" in caplog.text
