"""What policies in shadow come to: verdicts in records are counted as they come, and read as numbers.

Counts are kept per hour, per day and in total, so that reading them costs the same however many
calls there were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Protocol

from msgspec import Meta, Struct

from onpurpose.core.feed import ALL, OTHER, WIDTHS, Bucket, Cell, Judged, kept
from onpurpose.core.intent import CERTAIN
from onpurpose.core.statistics import BINS, Counts, Numbers, Readiness, bin_of, numbers, readiness

MAX_NAMES = 1000
"""How many agents, groups and capabilities (each) are kept apart per revision; the rest is counted together."""

MAX_GROUPS = 100
"""How many groups of one caller are counted apart; the rest is counted together."""

FIRST_DAYS = 3
"""How many days a revision's first window is, which drift is measured against; and how many are now."""

_REMEMBERED = 500_000
_MICROSECONDS = 1_000_000

Whole = Annotated[int, Meta(ge=0, lt=1 << 62)]
"""A number that every database can hold."""


class Verdict(Struct, frozen=True, gc=False, kw_only=True):
    """What a record says of one policy in shadow; see `core.decision.ShadowVerdict`."""

    kind: str
    name: str
    revision: Annotated[int, Meta(ge=0, lt=1 << 31)]
    would: str
    matched: bool | None = None
    newly_blocked: bool = False
    unmatched: bool = False


class Judgement(Struct, frozen=True, kw_only=True):
    """One call as it is counted: when, who, what, and what each policy in shadow made of it.

    `confidence` is the intent classifier's (0..1), `None` where there was no classifier.
    """

    workspace: str
    at: int
    agent_id: str
    groups: Sequence[str]
    capability: str
    confidence: float | None
    verdicts: Sequence[Verdict]


class Names:
    """Which agents, groups and capabilities of a revision are kept apart: the first that come, up to a limit.

    `known` tells the dimensions that a revision has already; it is asked once for each revision that
    is met, and again for one that was not met for long.
    """

    def __init__(self, known: Callable[[Judged], Iterable[str]], *, most: int = MAX_NAMES) -> None:
        self._known = known
        self._most = most
        self._kept: dict[Judged, dict[str, set[str]]] = {}
        self._size = 0

    def dimension(self, judged: Judged, what: str, name: str) -> str:
        """The dimension (`agent:X`, or `other:agent`) of a name; `what` is agent, group or capability."""
        names = self._names(judged)[what]
        dimension = f"{what}:{kept(name)}"
        if dimension in names:
            return dimension
        if len(names) >= self._most:
            return f"{OTHER}:{what}"
        names.add(dimension)
        self._size += 1
        return dimension

    def forget(self) -> None:
        """Ask anew from now on: what was admitted may not have been kept."""
        self._kept.clear()
        self._size = 0

    def _names(self, judged: Judged) -> dict[str, set[str]]:
        found = self._kept.get(judged)
        if found is None:
            found = {"agent": set(), "group": set(), "capability": set()}
            for dimension in self._known(judged):
                names = found.get(dimension.partition(":")[0])
                if names is not None:
                    names.add(dimension)
                    self._size += 1
            while self._kept and self._size > _REMEMBERED:
                oldest = next(iter(self._kept))
                self._size -= sum(map(len, self._kept.pop(oldest).values()))
            self._kept[judged] = found
        return found


# A cell while it is counted: these, the earliest and latest time, then the bins of confidence.
_FIELDS = (
    "qualified", "matched", "unknown", "would_deny", "would_ask", "newly_blocked", "unmatched", "classified",
    "uncertain",
)  # fmt: skip
_FIRST, _LAST, _BINS = len(_FIELDS), len(_FIELDS) + 1, len(_FIELDS) + 2


class Tally:
    """Counts the verdicts of many calls: each touches one hour only, days and totals are summed at the end."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._hours: dict[tuple[Judged, int, str], list[int]] = {}

    def add(self, judgement: Judgement) -> None:
        """Count one call."""
        hour = judgement.at - judgement.at % WIDTHS[Bucket.HOUR]
        for verdict in judgement.verdicts:
            judged = Judged(
                workspace=judgement.workspace, kind=verdict.kind, name=kept(verdict.name), revision=verdict.revision
            )
            counted = _indices(verdict, judgement.confidence)
            for dimension in self._dimensions(judged, judgement):
                cell = self._hours.get((judged, hour, dimension))
                if cell is None:
                    cell = [0] * (_BINS + BINS)
                    cell[_FIRST] = cell[_LAST] = judgement.at
                    self._hours[judged, hour, dimension] = cell
                cell[_FIRST] = min(cell[_FIRST], judgement.at)
                cell[_LAST] = max(cell[_LAST], judgement.at)
                for index in counted:
                    cell[index] += 1

    def cells(self) -> list[Cell]:
        """What was counted, per hour, per day and in total; in one order whatever came first."""
        sums: dict[tuple[Judged, Bucket, int, str], list[int]] = {}
        for (judged, hour, dimension), cell in self._hours.items():
            sums[judged, Bucket.HOUR, hour, dimension] = cell
            _merge(sums, (judged, Bucket.DAY, hour - hour % WIDTHS[Bucket.DAY], dimension), cell)
            _merge(sums, (judged, Bucket.TOTAL, 0, dimension), cell)
        return [_cell(key, sums[key]) for key in sorted(sums)]

    def _dimensions(self, judged: Judged, judgement: Judgement) -> Iterator[str]:
        yield ALL
        yield self._names.dimension(judged, "agent", judgement.agent_id)
        yield self._names.dimension(judged, "capability", judgement.capability)
        groups = judgement.groups
        if groups:
            found = {self._names.dimension(judged, "group", group) for group in groups[:MAX_GROUPS]}
            if len(groups) > MAX_GROUPS:
                found.add(f"{OTHER}:group")
            yield from found


def _indices(verdict: Verdict, confidence: float | None) -> list[int]:
    """Which fields of a cell one verdict adds one to."""
    field = _FIELDS.index
    counted = [field("qualified")]
    if verdict.newly_blocked:
        counted.append(field("newly_blocked"))
        if verdict.unmatched:
            counted.append(field("unmatched"))
    if verdict.matched is None:
        counted.append(field("unknown"))
    if not verdict.matched:
        return counted
    counted.append(field("matched"))
    if verdict.would == "deny":
        counted.append(field("would_deny"))
    elif verdict.would == "require_approval":
        counted.append(field("would_ask"))
    if confidence is not None and math.isfinite(confidence):
        counted += [field("classified"), _BINS + bin_of(confidence)]
        if confidence < CERTAIN:
            counted.append(field("uncertain"))
    return counted


def _merge(
    sums: dict[tuple[Judged, Bucket, int, str], list[int]], key: tuple[Judged, Bucket, int, str], cell: list[int]
) -> None:
    held = sums.get(key)
    if held is None:
        sums[key] = cell.copy()
        return
    first, last = min(held[_FIRST], cell[_FIRST]), max(held[_LAST], cell[_LAST])
    held[:] = map(int.__add__, held, cell)
    held[_FIRST], held[_LAST] = first, last


def _cell(key: tuple[Judged, Bucket, int, str], cell: list[int]) -> Cell:
    judged, bucket, start, dimension = key
    named = dict(zip(_FIELDS, cell, strict=False))
    return Cell(
        judged=judged,
        bucket=bucket,
        start=start,
        dimension=dimension,
        counts=Counts(**named, confidence=tuple(cell[_BINS:])),
        first_at=cell[_FIRST],
        last_at=cell[_LAST],
    )


# -- reading


class Rollups(Protocol):
    """What was counted of policies in shadow. Raises `StoreError` where the store cannot be reached."""

    def series(
        self, judged: Judged, bucket: Bucket, dimension: str, since: int | None = None, until: int | None = None
    ) -> list[Cell]:
        """The cells of one dimension in order of time, those that begin at `since` or later and before `until`."""
        ...

    def totals(self, judged: Judged) -> list[Cell]:
        """The totals of every dimension that the revision was counted in; at most a few thousand."""
        ...


class ShadowReport(Struct, frozen=True, kw_only=True):
    """The numbers of one revision in a window, and whether they are enough to promote.

    `first_at` and `last_at` are the times (microseconds UTC) of the first and last qualifying call in
    the window, `None` without any; `seconds` lies between them. `days` are what the numbers are summed of.
    """

    judged: Judged
    dimension: str
    numbers: Numbers
    first_at: int | None
    last_at: int | None
    seconds: float
    readiness: Readiness
    days: tuple[Cell, ...]


def report(  # noqa: PLR0913  a question has these parts
    rollups: Rollups,
    judged: Judged,
    *,
    dimension: str = ALL,
    since: int | None = None,
    until: int | None = None,
    overrides: Mapping[str, float] | None = None,
) -> ShadowReport:
    """The numbers of a revision, of all its days or of those from `since` up to `until` (microseconds UTC).

    A day counts if it begins in the window. Uncertainty is that of the window's last `FIRST_DAYS` days,
    and drift is from the revision's first ones to these; where the window has no later days than
    those, it is all of the window's, and there is no drift. Raises `ValueError` for an override that
    is none (see `readiness`).
    """
    life = rollups.series(judged, Bucket.DAY, dimension)
    days = [day for day in life if (since is None or day.start >= since) and (until is None or day.start < until)]
    first, now = _windows(life, days)
    seen = numbers(_sum(days), first=_sum(first), now=_sum(now))
    first_at = min((day.first_at for day in days), default=None)
    last_at = max((day.last_at for day in days), default=None)
    seconds = 0.0 if first_at is None or last_at is None else (last_at - first_at) / _MICROSECONDS
    return ShadowReport(
        judged=judged,
        dimension=dimension,
        numbers=seen,
        first_at=first_at,
        last_at=last_at,
        seconds=seconds,
        readiness=readiness(seen, seconds, overrides),
        days=tuple(days),
    )


def _windows(life: list[Cell], days: list[Cell]) -> tuple[list[Cell], list[Cell]]:
    """The days of the revision's first window, and those of now; while the first one lasts, it is now."""
    width = FIRST_DAYS * WIDTHS[Bucket.DAY]
    end = life[0].start + width if life else 0
    later = [day for day in days if day.start >= end]
    if not later:
        return [], days
    return [day for day in life if day.start < end], [day for day in later if day.start > later[-1].start - width]


def _sum(cells: Iterable[Cell]) -> Counts:
    return sum((cell.counts for cell in cells), Counts())
