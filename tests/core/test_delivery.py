"""How often and how long a message is tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.delivery import (
    FIRST_RETRY_SECONDS,
    GIVE_UP_SECONDS,
    LONGEST_RETRY_SECONDS,
    Channel,
    Delivery,
    Event,
    RetryError,
    is_hopeless,
    retry_after,
)

DELIVERY = Delivery(
    id="m1", workspace="acme", approval_id="a1", channel=Channel.SLACK, event=Event.REQUESTED, recipient="C1",
    created_at=1000, due_at=1000,
)  # fmt: skip


@given(st.integers(0, 10**9), st.floats(0, 1))
def test_the_next_try_is_neither_at_once_nor_ever_far_away(attempts: int, chance: float) -> None:
    wait = retry_after(attempts, chance)
    assert FIRST_RETRY_SECONDS / 10 <= wait <= LONGEST_RETRY_SECONDS


@given(st.integers(0, 100), st.floats(0, 1), st.floats(0, 1))
def test_tries_become_rarer_and_chance_spreads_them(attempts: int, one: float, other: float) -> None:
    assert retry_after(attempts, one) <= retry_after(attempts + 1, one)
    assert (retry_after(attempts, min(one, other))) <= retry_after(attempts, max(one, other))


@pytest.mark.parametrize(("attempts", "longest"), [(1, 1), (2, 2), (3, 4), (10, 512), (11, 600)])
def test_the_bound_doubles(attempts: int, longest: float) -> None:
    assert retry_after(attempts, 1) == longest


def test_a_message_is_laid_aside_after_a_day_and_not_before() -> None:
    day = GIVE_UP_SECONDS * 1_000_000
    assert not is_hopeless(DELIVERY, 1000 + day - 1)
    assert is_hopeless(DELIVERY, 1000 + day)


def test_a_channel_may_say_how_long_it_wants_to_be_left_alone() -> None:
    assert RetryError("busy", 30).after == 30
    assert RetryError("busy").after is None
