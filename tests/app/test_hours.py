"""Outcomes over time, from the newest decisions of each stretch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from onpurpose.app import hours
from onpurpose.app.hours import Stretch, Stretches, course
from onpurpose.core.call import Call
from onpurpose.core.feed import WIDTHS, Bucket, Page, Search
from onpurpose.core.outcome import Outcome
from onpurpose.core.revision import Kind
from tests.app.past import Past, live, recorded

HOUR = WIDTHS[Bucket.HOUR]


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    with recorded(tmp_path) as past:
        live(past, Kind.POLICY, "base", "allow:\n  - capability: files.read\n")
        yield past


class Watched:
    """The feed, counting how often a page of it was read."""

    def __init__(self, past: Past) -> None:
        self._feed = past.feed
        self.reads = 0

    def newest(self) -> tuple[str, int]:
        return self._feed.newest()

    def page(self, search: Search, *, before: int | None = None, limit: int = 50) -> Page:
        self.reads += 1
        return self._feed.page(search, before=before, limit=limit)


def test_each_stretch_counts_what_was_decided_in_it(past: Past) -> None:
    past.decide(Call("bot", "files.read"))
    past.world.clock.at += HOUR
    past.decide(Call("bot", "files.read"))
    past.decide(Call("bot", "tool.unknown"))
    *_, earlier, now = Stretches(past.feed).last("default", Bucket.HOUR, past.world.clock.at)
    assert earlier.outcomes == {Outcome.ALLOW: 1}
    assert now.outcomes == {Outcome.ALLOW: 1, Outcome.DENY: 1}
    assert now.capabilities == {"files.read", "tool.unknown"}
    assert now.start == past.world.clock.at - past.world.clock.at % HOUR


@pytest.mark.parametrize("width", [Bucket.HOUR, Bucket.DAY])
def test_stretches_follow_each_other_up_to_now(past: Past, width: Bucket) -> None:
    now = past.world.clock.at
    found = Stretches(past.feed).last("default", width, now)
    assert len(found) == hours.STRETCHES[width]
    assert {b.start - a.start for a, b in pairwise(found)} == {WIDTHS[width]}
    assert found[-1].start <= now < found[-1].start + WIDTHS[width]


def test_what_is_over_is_read_once(past: Past) -> None:
    watched = Watched(past)
    stretches = Stretches(watched)  # type: ignore[arg-type]  the two questions that it asks
    now = past.world.clock.at - past.world.clock.at % HOUR + HOUR // 2
    first = stretches.last("default", Bucket.HOUR, now)
    watched.reads = 0
    assert stretches.last("default", Bucket.HOUR, now) == first
    assert watched.reads == 1
    stretches.last("other", Bucket.HOUR, now)
    assert watched.reads == 1 + hours.STRETCHES[Bucket.HOUR]


def test_of_very_many_decisions_only_the_newest_are_looked_at(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "LOOKED", 2)
    for _ in range(3):
        past.decide(Call("bot", "files.read"))
    last = Stretches(past.feed).last("default", Bucket.HOUR, past.world.clock.at)[-1]
    assert (last.looked, last.more) == (2, True)


def stretch(start: int, allow: int, deny: int, *, more: bool = False) -> Stretch:
    return Stretch(
        start=start * HOUR, outcomes={Outcome.ALLOW: allow, Outcome.DENY: deny}, newly_blocked=0,
        capabilities=frozenset(), more=more,
    )  # fmt: skip


def test_a_course_has_counts_where_everything_was_looked_at() -> None:
    drawn = course([stretch(0, 3, 1), stretch(1, 0, 0)])
    assert (drawn.exact, drawn.looked, drawn.times) == (True, 4, [0, 3600])
    assert drawn.values[Outcome.ALLOW] == [3, 0]
    assert drawn.values[Outcome.WARN] == [0, 0]


def test_a_course_has_shares_where_there_was_more() -> None:
    drawn = course([stretch(0, 2, 1, more=True), stretch(1, 0, 0)])
    assert not drawn.exact
    assert drawn.values[Outcome.ALLOW] == [66.7, None]
    assert drawn.values[Outcome.DENY] == [33.3, None]
