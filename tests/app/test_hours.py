"""Outcomes over time: every decision is counted in its hour and its day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from onpurpose.app import hours
from onpurpose.app.hours import course
from onpurpose.core.call import Call
from onpurpose.core.feed import WIDTHS, Bucket, Called, Counted, OutcomeCount
from onpurpose.core.outcome import Outcome
from onpurpose.core.revision import Kind
from tests.app.past import Past, live, recorded

HOUR, DAY = WIDTHS[Bucket.HOUR], WIDTHS[Bucket.DAY]
NOON = 1_795_003_200_000_000


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    with recorded(tmp_path) as past:
        live(past, Kind.POLICY, "base", "allow:\n  - capability: files.read\n")
        yield past


class Listed:
    """What was counted, in lists."""

    def __init__(self, *counts: OutcomeCount, uncounted: int = 0) -> None:
        self._counted = Counted(counts=counts, uncounted=uncounted)
        self.asked: tuple[int, int] = (0, 0)

    def outcomes(self, workspace: str, width: Bucket, since: int, until: int) -> Counted:
        self.asked = since, until
        return self._counted

    def called(self, workspace: str, limit: int) -> list[Called]:
        return []


def count(start: int, outcome: Outcome, count: int, newly_blocked: int = 0) -> OutcomeCount:
    return OutcomeCount(start=start, outcome=outcome, count=count, newly_blocked=newly_blocked)


def test_each_hour_counts_what_was_decided_in_it(past: Past) -> None:
    past.decide(Call("bot", "files.read"))
    past.world.clock.at += HOUR
    past.decide(Call("bot", "files.read"))
    past.decide(Call("bot", "tool.unknown"))
    now = past.world.clock.at
    drawn = course(past.outcomes, "default", Bucket.HOUR, now)
    assert drawn.times[-1] == (now - now % HOUR) // 1_000_000
    assert drawn.values[Outcome.ALLOW][-3:] == [0, 1, 1]
    assert drawn.values[Outcome.DENY][-3:] == [0, 0, 1]
    assert drawn.sums == Counter({Outcome.ALLOW: 2, Outcome.DENY: 1, Outcome.WARN: 0, Outcome.REQUIRE_APPROVAL: 0})
    assert (drawn.count, drawn.uncounted) == (3, 0)


def test_more_calls_than_a_page_holds_are_all_counted(past: Past) -> None:
    for _ in range(230):
        past.decide(Call("bot", "files.read"))
    assert course(past.outcomes, "default", Bucket.DAY, past.world.clock.at).sums[Outcome.ALLOW] == 230


@pytest.mark.parametrize("width", [Bucket.HOUR, Bucket.DAY])
def test_hours_and_days_follow_each_other_up_to_now_whether_anything_was_decided_or_not(width: Bucket) -> None:
    listed, now = Listed(), NOON + 1
    drawn = course(listed, "default", width, now)
    assert len(drawn.times) == hours.STRETCHES[width]
    assert {1_000_000 * (after - before) for before, after in pairwise(drawn.times)} == {WIDTHS[width]}
    assert drawn.times[-1] * 1_000_000 <= now < drawn.times[-1] * 1_000_000 + WIDTHS[width]
    assert listed.asked == (drawn.times[0] * 1_000_000, drawn.times[-1] * 1_000_000 + WIDTHS[width])
    assert drawn.values == {outcome: [0] * len(drawn.times) for outcome in Outcome}


def test_what_ran_and_would_not_have_run_is_summed_over_all_outcomes() -> None:
    day = NOON - NOON % DAY
    listed = Listed(count(day - DAY, Outcome.ALLOW, 5, 2), count(day, Outcome.WARN, 3, 1))
    assert course(listed, "default", Bucket.DAY, NOON).newly_blocked == 3


def test_what_is_not_counted_yet_is_told() -> None:
    assert course(Listed(uncounted=7), "default", Bucket.DAY, NOON).uncounted == 7
