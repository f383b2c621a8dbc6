"""Many requests to one person: the first few leave at once, the further ones as one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.app.digests import GATHER_SECONDS, MANY, WINDOW_SECONDS
from onpurpose.core.delivery import Channel, Delivery, Event, Progress, RetryError, UndeliverableError
from tests.app.courier_world import HOUR, DigestBox, World
from tests.app.test_courier import Dying

MAIL = (Channel.EMAIL, "anna")
EMAIL = [Channel.EMAIL]


def a_world() -> tuple[World, DigestBox]:
    world, box = World(), DigestBox()
    world.boxes[Channel.EMAIL] = box
    return world, box


def test_a_few_requests_leave_at_once_and_the_further_ones_as_one_mail() -> None:
    world, box = a_world()
    asked = [world.ask(MAIL)[1][0].id for _ in range(MANY + 3)]
    courier = world.courier()
    world.run(courier, GATHER_SECONDS - 1, EMAIL)
    assert (box.ids, box.digests) == (asked[:MANY], [])
    world.run(courier, 2, EMAIL)
    assert box.ids == asked[:MANY]
    assert box.digests == [(asked[MANY], asked[MANY:])]


def test_what_left_in_a_digest_is_kept_with_its_name() -> None:
    world, _ = a_world()
    asked = [world.ask(MAIL)[1][0] for _ in range(MANY + 2)]
    world.run(world.courier(), GATHER_SECONDS, EMAIL)
    kept = [world.kept(one) for one in asked[MANY:]]
    assert {(one.progress, one.ref) for one in kept} == {(Progress.SENT, f"digest-{asked[MANY].id}")}


def test_others_are_not_gathered_with_them() -> None:
    world, box = a_world()
    for _ in range(MANY + 1):
        world.ask(MAIL)
    _, (other,) = world.ask((Channel.EMAIL, "bob"))
    world.courier().step(Channel.EMAIL)
    assert other.id in box.ids


def test_a_further_one_that_stays_alone_leaves_by_itself() -> None:
    world, box = a_world()
    asked = [world.ask(MAIL)[1][0].id for _ in range(MANY + 1)]
    world.run(world.courier(), GATHER_SECONDS, EMAIL)
    assert (box.ids, box.digests) == (asked, [])


def test_after_a_while_requests_leave_at_once_again() -> None:
    world, box = a_world()
    courier = world.courier()
    for _ in range(MANY):
        world.ask(MAIL)
    world.run(courier, WINDOW_SECONDS, EMAIL)
    world.ask(MAIL)
    courier.step(Channel.EMAIL)
    assert len(box.ids) == MANY + 1


def test_while_requests_keep_coming_there_is_a_digest_now_and_then() -> None:
    world, box = a_world()
    courier = world.courier()
    asked = []
    for _ in range(60):
        asked.append(world.ask(MAIL)[1][0].id)
        world.run(courier, 5, EMAIL)
    world.run(courier, GATHER_SECONDS, EMAIL)
    assert len(box.ids) == MANY
    assert sorted([*box.ids, *(one for _, ids in box.digests for one in ids)]) == sorted(asked)
    assert 2 <= len(box.digests) <= 3


def test_gathering_never_takes_more_than_half_of_the_time_that_is_left() -> None:
    world, box = a_world()
    for _ in range(MANY):
        world.ask(MAIL)
    urgent = [world.ask(MAIL, timeout=60)[1][0].id for _ in range(2)]
    world.run(world.courier(), 30, EMAIL)
    assert box.digests == [(urgent[0], urgent)]


def test_what_was_settled_meanwhile_is_not_in_the_digest() -> None:
    world, box = a_world()
    asked = [world.ask(MAIL) for _ in range(MANY + 3)]
    courier = world.courier()
    courier.step(Channel.EMAIL)
    world.grant(asked[MANY][0], "bob", MAIL)
    world.run(courier, GATHER_SECONDS, EMAIL)
    assert [ids for _, ids in box.digests] == [[asked[MANY + 1][1][0].id, asked[MANY + 2][1][0].id]]
    assert len(box.ids) == MANY, "nor is the outcome told to who was never asked"


def test_what_may_have_left_by_itself_is_in_no_digest() -> None:
    world, box = a_world()
    _, (first,) = world.ask(MAIL)
    courier, failing = world.courier(), [RetryError("the line broke after the last byte")]

    def does(delivery: Delivery) -> None:
        if failing:
            raise failing.pop()

    box.does = does
    courier.step(Channel.EMAIL)
    asked = [world.ask(MAIL)[1][0].id for _ in range(MANY + 3)]
    world.run(courier, GATHER_SECONDS + 5, EMAIL)
    assert first.id in box.ids
    assert [name for name, _ in box.digests] == [asked[MANY - 1]]


def test_outcomes_are_not_gathered() -> None:
    world, box = a_world()
    courier = world.courier()
    asked = [world.ask(MAIL)[0] for _ in range(MANY)]
    courier.step(Channel.EMAIL)
    for approval in asked:
        world.grant(approval, "bob", MAIL)
    courier.step(Channel.EMAIL)
    assert [delivery.event for delivery, _ in box.got[MANY:]] == [Event.GRANTED] * MANY


def test_a_digest_that_fails_leaves_later_under_the_same_name() -> None:
    world, box = a_world()
    asked = [world.ask(MAIL)[1][0].id for _ in range(MANY + 3)]
    courier = world.courier()
    world.run(courier, GATHER_SECONDS - 1, EMAIL)
    failed: list[str] = []

    def does(delivery: Delivery) -> None:
        if not failed:
            failed.append(delivery.id)
            raise RetryError("greylisted")

    box.does = does
    world.run(courier, 1, EMAIL)
    late = world.ask(MAIL)[1][0].id
    world.run(courier, 5 + GATHER_SECONDS, EMAIL)
    assert box.digests[0] == (asked[MANY], asked[MANY:])
    assert late in box.ids + [one for _, ids in box.digests[1:] for one in ids]


def test_a_digest_that_can_never_arrive_is_laid_aside_whole() -> None:
    world, box = a_world()
    asked = [world.ask(MAIL)[1][0].id for _ in range(MANY + 2)]
    courier = world.courier()
    world.run(courier, GATHER_SECONDS - 1, EMAIL)

    def does(delivery: Delivery) -> None:
        raise UndeliverableError("no such user")

    box.does = does
    world.run(courier, 1, EMAIL)
    assert [one.id for one in world.dead] == asked[MANY:]


@given(st.integers(0, 10), st.booleans())
def test_whenever_a_process_dies_a_digest_has_one_identity(calls: int, after: bool) -> None:
    world, box = a_world()
    asked = [world.ask(MAIL)[1][0].id for _ in range(MANY + 4)]
    courier = world.courier()
    world.run(courier, GATHER_SECONDS - 1, EMAIL)
    # The same courier, whose store dies at some call from now on: what it has counted it still knows.
    courier._lanes[Channel.EMAIL]._deliveries = Dying(world, calls, after=after)  # type: ignore[assignment]  # a part
    world.pass_seconds(1)
    try:
        while courier.step(Channel.EMAIL):
            pass
    except KeyboardInterrupt:
        pass
    world.run(world.courier(), HOUR, EMAIL)
    names: dict[str, str] = {}
    for name, ids in [*box.digests, *((one, [one]) for one in box.ids)]:
        for one in ids:
            assert names.setdefault(one, name) == name, "sent twice under two names"
    assert sorted(names) == sorted(asked)


@pytest.mark.parametrize("number", [60, 130])
def test_more_than_one_round_of_requests_loses_none(number: int) -> None:
    world, box = a_world()
    asked = [world.ask(MAIL)[1][0].id for _ in range(number)]
    courier = world.courier()
    world.run(courier, GATHER_SECONDS * 2, EMAIL)
    assert sorted([*box.ids, *(one for _, ids in box.digests for one in ids)]) == sorted(asked)
    assert len(box.digests) <= 4
