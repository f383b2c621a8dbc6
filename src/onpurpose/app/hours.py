"""Outcomes over time, from the newest decisions of each hour or day: bounded work, however many there were."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence

from msgspec import Struct

from onpurpose.app.projection import Decisions
from onpurpose.core.feed import WIDTHS, Bucket, Search
from onpurpose.core.outcome import Outcome

LOOKED = 200
"""How many decisions of one stretch are looked at, the newest ones."""

STRETCHES = {Bucket.HOUR: 24, Bucket.DAY: 30}
"""How many stretches there are, up to now."""

_KEPT = 2000
_SETTLED = 10 * 60 * 1_000_000
"""A stretch that ended so long ago (microseconds) gets no more decisions, as the feed is behind by seconds only."""


class Stretch(Struct, frozen=True, kw_only=True):
    """An hour or a day (UTC) that begins at `start`, in microseconds: what its newest decisions came to.

    `more` says that there were more than were looked at; `newly_blocked` are those that ran and that a policy in
    shadow would have stopped.
    """

    start: int
    outcomes: dict[Outcome, int]
    newly_blocked: int
    capabilities: frozenset[str]
    more: bool

    @property
    def looked(self) -> int:
        """How many decisions were looked at."""
        return sum(self.outcomes.values())


class Stretches:
    """Looks at stretches of time in the feed; what cannot change any more is remembered. Thread-safe."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions
        self._held: OrderedDict[tuple[str, str, Bucket, int], Stretch] = OrderedDict()
        self._lock = threading.Lock()

    def last(self, workspace: str, width: Bucket, now: int) -> list[Stretch]:
        """The stretches up to now (microseconds UTC), the oldest first. Raises `StoreError`."""
        size, epoch = WIDTHS[width], self._decisions.newest()[0]
        newest = now - now % size
        starts = range(newest - (STRETCHES[width] - 1) * size, newest + size, size)
        return [self._stretch(epoch, workspace, width, start, now) for start in starts]

    def _stretch(self, epoch: str, workspace: str, width: Bucket, start: int, now: int) -> Stretch:
        key, end = (epoch, workspace, width, start), start + WIDTHS[width]
        with self._lock:
            held = self._held.get(key)
        if held is not None:
            return held
        found = self._look(workspace, start, end)
        if end + _SETTLED < now:
            with self._lock:
                self._held[key] = found
                if len(self._held) > _KEPT:
                    self._held.popitem(last=False)
        return found

    def _look(self, workspace: str, start: int, end: int) -> Stretch:
        page = self._decisions.page(Search(workspace=workspace, since=start, until=end), limit=LOOKED)
        return Stretch(
            start=start,
            outcomes=dict(Counter(entry.outcome for entry in page.entries)),
            newly_blocked=sum(entry.newly_blocked for entry in page.entries),
            capabilities=frozenset(entry.capability for entry in page.entries),
            more=page.before is not None,
        )


class Course(Struct, frozen=True, kw_only=True):
    """What a chart of outcomes shows: `times` in seconds UTC, and of each outcome a number for each time.

    The numbers are counts of calls where every decision was looked at (`exact`), else shares of those looked at,
    in percent; a share is `None` where there was no call.
    """

    times: list[int]
    values: dict[Outcome, list[float | None]]
    exact: bool
    looked: int


def course(stretches: Sequence[Stretch]) -> Course:
    """The course of outcomes over the stretches."""
    exact = not any(one.more for one in stretches)
    return Course(
        times=[one.start // 1_000_000 for one in stretches],
        values={outcome: [_value(one, outcome, exact=exact) for one in stretches] for outcome in Outcome},
        exact=exact,
        looked=sum(one.looked for one in stretches),
    )


def _value(one: Stretch, outcome: Outcome, *, exact: bool) -> float | None:
    count = one.outcomes.get(outcome, 0)
    if exact:
        return count
    return round(100 * count / one.looked, 1) if one.looked else None
