"""How often a key may ask: so many a minute, a burst after a rest, and never for free."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.access import Scope
from onpurpose.server import limits
from onpurpose.server.identity import Authority
from onpurpose.server.limits import BURST_SECONDS, Limits
from tests.server.serving import api_key, services, serving


class Seconds:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 6000), st.lists(st.tuples(st.floats(0, 5), st.integers(1, 300)), max_size=60))
def test_no_key_gets_more_than_its_burst_and_its_share(per_minute: int, asked: list[tuple[float, int]]) -> None:
    clock = Seconds()
    bucket = Limits(per_minute, now=clock)
    granted, largest = 0, 0
    for rest, number in asked:
        clock.now += rest
        if not bucket.take("k", count=number):
            granted += number
            largest = max(largest, number)
    share = (clock.now - 1000 + BURST_SECONDS) * per_minute / 60
    assert granted <= share + largest + 1e-3


@given(st.integers(1, 6000), st.integers(1, 500))
def test_whoever_waits_as_told_is_let_in(per_minute: int, number: int) -> None:
    clock = Seconds()
    bucket = Limits(per_minute, now=clock)
    while not (wait := bucket.take("k", count=number)):
        pass
    clock.now += wait
    assert bucket.take("k") == 0


def test_a_burst_is_served_and_then_the_rate() -> None:
    clock = Seconds()
    bucket = Limits(60, now=clock)
    assert [bucket.take("k") for _ in range(12)] == [0] * 10 + [1, 1]
    clock.now += 1
    assert [bucket.take("k") for _ in range(2)] == [0, 1]


def test_each_key_has_its_own_bucket_and_its_own_rate() -> None:
    bucket = Limits(60, now=Seconds())
    assert [bucket.take("slow", 1) for _ in range(2)] == [0, 60]
    assert bucket.take("other") == 0
    assert bucket.take("never", 0) > 0


@pytest.mark.parametrize("per_minute", [-1, -60_000])
def test_a_rate_that_is_none_gives_nothing_away(per_minute: int) -> None:
    """None can be set; one that stands in a damaged store must not let everybody in."""
    clock = Seconds()
    bucket = Limits(now=clock)
    assert [bool(bucket.take("k", per_minute)) for _ in range(4)] == [False, True, True, True]


def test_a_batch_is_paid_for_afterwards() -> None:
    clock = Seconds()
    bucket = Limits(60, now=clock)
    bucket.take("k")
    bucket.charge("k", None, 99)
    assert bucket.take("k") == 91
    clock.now += 91
    assert bucket.take("k") == 0


def test_a_clock_that_stands_still_gives_nothing_away() -> None:
    bucket = Limits(60, now=Seconds())
    granted = sum(not bucket.take("k") for _ in range(1000))
    assert granted == 10


def test_buckets_that_are_full_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_KEPT", 10)
    clock = Seconds()
    bucket = Limits(60, now=clock)
    for number in count():
        bucket.take(f"k{number}")
        clock.now += 0.5
        if number == 1000:
            break
    assert len(bucket._full) <= 12


def test_a_key_that_asks_too_often_is_told_when_to_come_again() -> None:
    keys = [api_key("asker", Scope.EVALUATE, per_minute=6), api_key("reader", Scope.EVALUATE)]
    call = {"agent_id": "a", "capability": "open"}
    with serving(services(authority=Authority(keys))) as served, served.client() as client:
        responses = [client.post("/v1/evaluate", json=call) for _ in range(2)]
        elsewhere = client.get("/v1/decisions")
        with served.client("reader") as other:
            assert other.post("/v1/evaluate/batch", json={"calls": [call] * 100}).status_code == 200
    assert [response.status_code for response in (*responses, elsewhere)] == [200, 429, 429]
    assert 1 <= int(responses[1].headers["retry-after"]) <= 10
    assert responses[1].json()["type"] == "urn:onpurpose:problem:rate_limited"
