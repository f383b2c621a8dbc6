"""Outcomes over time: every decision of the last hours or days is counted, however many there were."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from onpurpose.core.feed import WIDTHS, Bucket, Called, Counted
from onpurpose.core.outcome import Outcome

STRETCHES = {Bucket.HOUR: 24, Bucket.DAY: 30}
"""How many hours or days (UTC) there are, up to now."""


class Outcomes(Protocol):
    """What was counted of decisions. Raises `StoreError` where the store cannot be reached."""

    def outcomes(self, workspace: str, width: Bucket, since: int, until: int) -> Counted:
        """What a workspace's decisions came to in each hour or day that begins at `since` or later, before `until`.

        Times are in microseconds UTC; an hour or day in which nothing was decided is left out.
        """
        ...

    def called(self, workspace: str, limit: int) -> list[Called]:
        """The capabilities that a workspace's calls ever had, at most so many of them."""
        ...


class Course(Struct, frozen=True, kw_only=True):
    """What a chart of outcomes shows: when each hour or day begins, and of each outcome the decisions in each.

    `times` are in seconds UTC; `newly_blocked` are the calls that ran and that a policy in shadow would have stopped.
    `uncounted` decisions, of any workspace and time, are still being counted: until then there may be more of each.
    """

    times: list[int]
    values: dict[Outcome, list[int]]
    newly_blocked: int
    uncounted: int

    @property
    def sums(self) -> dict[Outcome, int]:
        """How many decisions came to what."""
        return {outcome: sum(counts) for outcome, counts in self.values.items()}

    @property
    def count(self) -> int:
        """How many decisions there were."""
        return sum(self.sums.values())


def course(outcomes: Outcomes, workspace: str, width: Bucket, now: int) -> Course:
    """The course of a workspace's outcomes up to now (microseconds UTC), the oldest first. Raises `StoreError`."""
    size = WIDTHS[width]
    newest = now - now % size
    starts = range(newest - (STRETCHES[width] - 1) * size, newest + size, size)
    counted = outcomes.outcomes(workspace, width, starts.start, starts.stop)
    values = {outcome: [0] * len(starts) for outcome in Outcome}
    for one in counted.counts:
        values[one.outcome][starts.index(one.start)] = one.count
    return Course(
        times=[start // 1_000_000 for start in starts],
        values=values,
        newly_blocked=sum(one.newly_blocked for one in counted.counts),
        uncounted=counted.uncounted,
    )
