"""Rates and their intervals, drift, and what is missing before a policy is ready."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.statistics import (
    BINS,
    MOST_DENIED,
    Counts,
    Drift,
    Numbers,
    bin_of,
    drift,
    numbers,
    readiness,
    wilson,
)

DAY = 86_400.0
trials = st.integers(0, 10**9).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))
histograms = st.lists(st.integers(0, 10**6), min_size=BINS, max_size=BINS).filter(any)
some_counts = st.builds(
    Counts,
    **{name: st.integers(0, 10**12) for name in Counts.__struct_fields__[:-1]},
    confidence=st.tuples(*[st.integers(0, 10**12)] * BINS),
)


def seen(matched: int, denied: int = 0, qualified: int | None = None) -> Numbers:
    qualified = matched if qualified is None else qualified
    counts = Counts(qualified=qualified, matched=matched, would_deny=denied)
    return numbers(counts, first=Counts(), now=Counts())


# -- the interval


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 1, 0.2065, 1.0),
        (81, 263, 0.2553, 0.3662),  # R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_has_the_values_of_the_literature(count: int, of: int, low: float, high: float) -> None:
    rate = wilson(count, of)
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=5e-5)


@given(trials)
def test_the_interval_holds_the_share_and_stays_within_0_and_1(trial: tuple[int, int]) -> None:
    rate = wilson(*trial)
    assert 0 <= rate.low <= rate.high <= 1
    if rate.share is not None:
        assert rate.low - 1e-12 <= rate.share <= rate.high + 1e-12


@given(trials)
def test_the_interval_of_the_others_is_the_mirror(trial: tuple[int, int]) -> None:
    count, of = trial
    rate, mirror = wilson(count, of), wilson(of - count, of)
    assert (rate.low, rate.high) == pytest.approx((1 - mirror.high, 1 - mirror.low), abs=1e-9)


@given(trials.filter(lambda trial: 0 < trial[1] < 10**8), st.integers(2, 10))
def test_more_calls_of_the_same_share_say_more(trial: tuple[int, int], times: int) -> None:
    one, more = wilson(*trial), wilson(trial[0] * times, trial[1] * times)
    assert more.high - more.low < one.high - one.low


def test_without_trials_anything_is_possible() -> None:
    rate = wilson(0, 0)
    assert (rate.share, rate.low, rate.high) == (None, 0.0, 1.0)


@pytest.mark.parametrize(("count", "of"), [(-1, 3), (4, 3), (1, 0), (0, -1)])
def test_what_is_no_count_is_refused(count: int, of: int) -> None:
    with pytest.raises(ValueError, match="is no count out of"):
        wilson(count, of)


# -- drift


def apart(one: list[int], other: list[int]) -> Drift:
    found = drift(one, other)
    assert found is not None
    return found


def single(place: int, many: int = 1000) -> list[int]:
    return [many if number == place else 0 for number in range(BINS)]


@given(histograms, histograms)
def test_the_distance_is_one_of_a_metric(one: list[int], other: list[int]) -> None:
    there, back, none = apart(one, other), apart(other, one), apart(one, one)
    assert 0 <= there.distance <= 1
    assert there.distance == back.distance
    assert (none.distance, none.notable) == (0, False)


@given(histograms, histograms, histograms)
def test_a_detour_is_never_shorter(one: list[int], two: list[int], three: list[int]) -> None:
    direct, first, second = apart(one, three), apart(one, two), apart(two, three)
    assert direct.distance <= first.distance + second.distance + 1e-9


@given(histograms, st.integers(2, 1000))
def test_the_distance_asks_for_shares_and_the_noise_for_counts(one: list[int], times: int) -> None:
    few, many = apart(one, single(3)), apart([times * count for count in one], single(3, 1000 * times))
    assert few.distance == pytest.approx(many.distance)
    assert many.noise <= few.noise


def test_two_distributions_apart_have_the_distance_one() -> None:
    far = apart(single(0), single(BINS - 1))
    assert (far.distance, far.notable) == (1.0, True)


def test_a_handful_of_calls_is_no_drift() -> None:
    few = apart(single(10, 2), single(11, 2))
    assert (few.distance, few.noise, few.notable) == (1.0, 1.0, False)


def test_the_noise_is_that_of_the_literature() -> None:
    found = apart(single(1, 100), single(1, 100))
    assert found.noise == pytest.approx(1.358 * math.sqrt(200 / 10_000), abs=1e-4)


def test_nothing_has_no_distance() -> None:
    assert drift([0] * BINS, single(1)) is None
    assert drift(single(1), [0] * BINS) is None


@pytest.mark.parametrize(
    ("confidence", "place"), [(0.0, 0), (0.049, 0), (0.05, 1), (0.7, 14), (0.999, 19), (1.0, 19), (-1.0, 0), (2.0, 19)]
)
def test_confidence_falls_into_its_bin(confidence: float, place: int) -> None:
    assert bin_of(confidence) == place


# -- counts and numbers


@given(some_counts, some_counts, some_counts)
def test_counts_add_up_in_any_order(one: Counts, two: Counts, three: Counts) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + Counts() == one


def test_the_numbers_are_of_what_the_contract_says() -> None:
    counts = Counts(
        qualified=200, matched=100, unknown=7, would_deny=4, would_ask=6, newly_blocked=20, unmatched=15,
        classified=90, uncertain=9, confidence=tuple(single(14, 90)),
    )  # fmt: skip
    first = Counts(classified=50, uncertain=1, confidence=tuple(single(19, 50)))
    found = numbers(counts, first=first, now=counts)
    rates = {
        name: (getattr(found, name).count, getattr(found, name).of)
        for name in (
            "match", "would_deny", "would_ask", "newly_blocked", "unmatched", "uncertain", "first_uncertain",
        )
    }  # fmt: skip
    assert rates == {
        "match": (100, 200),
        "would_deny": (4, 100),
        "would_ask": (6, 100),
        "newly_blocked": (20, 200),
        "unmatched": (15, 20),
        "uncertain": (9, 90),
        "first_uncertain": (1, 50),
    }
    assert (found.qualified, found.unknown) == (200, 7)
    assert found.drift is not None
    assert found.drift.distance == 1.0


# -- readiness


def test_enough_calls_over_enough_days_are_ready() -> None:
    found = readiness(seen(matched=100), 3 * DAY)
    assert (found.ready, found.missing) == (True, ())


def test_a_policy_that_saw_nothing_lacks_everything() -> None:
    found = readiness(seen(matched=0), 0)
    assert found.missing == (
        "0 calls matched; at least 50 must have",
        "it was watched for 0.0 hours; 3 days are needed",
        "nothing matched, so what it would deny cannot be told",
    )


def test_what_is_missing_is_said_with_numbers() -> None:
    found = readiness(seen(matched=49, denied=1), 1.5 * DAY)
    assert not found.ready
    assert found.missing == (
        "49 calls matched; at least 50 must have",
        "it was watched for 1.5 days; 3 days are needed",
        "it would have denied 1 of 49 matched calls, which may mean up to 10.7 %; it must be under 5 %: that takes 110 matched calls at this count",  # noqa: E501  a message
    )


def test_fifty_calls_without_a_denial_do_not_show_that_few_are_denied() -> None:
    found = readiness(seen(matched=50), 3 * DAY)
    assert found.missing == (
        "it would have denied 0 of 50 matched calls, which may mean up to 7.1 %; it must be under 5 %: that takes 73 matched calls at this count",  # noqa: E501  a message
    )
    assert not readiness(seen(matched=72), 3 * DAY).ready
    assert readiness(seen(matched=73), 3 * DAY).ready


@given(st.integers(0, 2000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_no_override_lifts_the_limit_of_denials(trial: tuple[int, int]) -> None:
    denied, matched = trial
    found = readiness(seen(matched=matched, denied=denied), 0, {"min_matched": 0, "min_days": 0})
    assert found.ready == (wilson(denied, matched).high < MOST_DENIED)
    assert found.ready == (found.missing == ())


def test_overrides_go_by_name() -> None:
    assert readiness(seen(matched=80), 3600, {"min_days": 0.04}).ready
    assert not readiness(seen(matched=80), 3 * DAY, {"min_matched": 81}).ready


@pytest.mark.parametrize(
    "overrides", [{"would_deny": 1.0}, {"min_days": -1}, {"min_days": math.nan}, {"min_matched": math.inf}]
)
def test_what_is_no_override_is_refused(overrides: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be a number|can be overridden"):
        readiness(seen(matched=100), 3 * DAY, overrides)


@given(st.integers(0, 500), st.integers(0, 10**5))
def test_the_calls_said_to_be_needed_are_enough_and_no_fewer(denied: int, more: int) -> None:
    matched = denied + more
    found = readiness(seen(matched=matched, denied=denied), 3 * DAY, {"min_matched": 0})
    told = [line for line in found.missing if "that takes" in line]
    if told:
        needed = int(told[0].partition("that takes ")[2].split()[0])
        assert needed > matched
        assert readiness(seen(matched=needed, denied=denied), 3 * DAY, {"min_matched": 0}).ready
        assert not readiness(seen(matched=needed - 1, denied=denied), 3 * DAY, {"min_matched": 0}).ready
