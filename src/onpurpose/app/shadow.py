"""What policies in shadow come to: verdicts in records are counted as they come, and read as numbers.

Counts are kept per hour, per day and in total, so that reading them costs the same however many
calls there were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Protocol, TypeAlias

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


class Judgement(Struct, frozen=True, gc=False, kw_only=True):
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
        self._kept: dict[Judged, dict[str, dict[str, str]]] = {}
        self._size = 0

    def dimensions(self, judged: Judged, judgement: Judgement) -> Iterator[str]:
        """The dimensions that a call counts in: `all`, and its agent's, its capability's and its groups'."""
        apart = self._kept.get(judged) or self._recall(judged)
        yield ALL
        yield apart["agent"].get(judgement.agent_id) or self._admit(apart, "agent", judgement.agent_id)
        yield apart["capability"].get(judgement.capability) or self._admit(apart, "capability", judgement.capability)
        groups = judgement.groups
        if groups:
            known = apart["group"]
            found = {known.get(group) or self._admit(apart, "group", group) for group in groups[:MAX_GROUPS]}
            if len(groups) > MAX_GROUPS:
                found.add(f"{OTHER}:group")
            yield from found

    def forget(self) -> None:
        """Ask anew from now on: what was admitted may not have been kept."""
        self._kept.clear()
        self._size = 0

    def _admit(self, apart: dict[str, dict[str, str]], what: str, name: str) -> str:
        names, name = apart[what], kept(name)
        if name in names:
            return names[name]
        if len(names) >= self._most:
            return f"{OTHER}:{what}"
        names[name] = f"{what}:{name}"
        self._size += 1
        return names[name]

    def _recall(self, judged: Judged) -> dict[str, dict[str, str]]:
        apart: dict[str, dict[str, str]] = {"agent": {}, "group": {}, "capability": {}}
        for dimension in self._known(judged):
            what, _, name = dimension.partition(":")
            if what in apart:
                apart[what][name] = dimension
                self._size += 1
        while self._kept and self._size > _REMEMBERED:
            oldest = next(iter(self._kept))
            self._size -= sum(map(len, self._kept.pop(oldest).values()))
        self._kept[judged] = apart
        return apart


# A cell while it is counted: these, the earliest and latest time, then the bins of confidence.
_FIELDS = (
    "qualified", "matched", "unknown", "would_deny", "would_ask", "newly_blocked", "unmatched", "classified",
    "uncertain",
)  # fmt: skip
_FIRST, _LAST, _BINS = len(_FIELDS), len(_FIELDS) + 1, len(_FIELDS) + 2
_PLACE = {name: place for place, name in enumerate(_FIELDS)}
_EMPTY = [0] * (_BINS + BINS)


class Tally:
    """Counts the verdicts of many calls: each touches one hour only, days and totals are summed at the end."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._hours: dict[tuple[Judged, int], dict[str, list[int]]] = {}

    def add(self, judgement: Judgement) -> None:
        """Count one call."""
        at = judgement.at
        hour = at - at % WIDTHS[Bucket.HOUR]
        for verdict in judgement.verdicts:
            judged = Judged(
                workspace=judgement.workspace, kind=verdict.kind, name=kept(verdict.name), revision=verdict.revision
            )
            cells = self._hours.setdefault((judged, hour), {})
            places = _places(verdict, judgement.confidence)
            for dimension in self._names.dimensions(judged, judgement):
                cell = cells.get(dimension)
                if cell is None:
                    cell = cells[dimension] = _EMPTY.copy()
                    cell[_FIRST] = cell[_LAST] = at
                elif at > cell[_LAST]:
                    cell[_LAST] = at
                elif at < cell[_FIRST]:
                    cell[_FIRST] = at
                for place in places:
                    cell[place] += 1

    def cells(self) -> list[Cell]:
        """What was counted, per hour, per day and in total; in one order whatever came first."""
        sums: dict[_Key, list[int]] = {}
        for (judged, hour), cells in self._hours.items():
            day = hour - hour % WIDTHS[Bucket.DAY]
            for dimension, cell in cells.items():
                sums[judged, Bucket.HOUR, hour, dimension] = cell
                _merge(sums, (judged, Bucket.DAY, day, dimension), cell)
                _merge(sums, (judged, Bucket.TOTAL, 0, dimension), cell)
        return [_cell(key, sums[key]) for key in sorted(sums)]


_Key: TypeAlias = tuple[Judged, Bucket, int, str]


class Count:
    """Counts the verdicts of one policy over all calls, each as a `Tally` counts it."""

    def __init__(self) -> None:
        self._cell = _EMPTY.copy()

    def add(self, verdict: Verdict, confidence: float | None) -> None:
        """Count one verdict; `confidence` is the intent classifier's (0..1), `None` without one."""
        for place in _places(verdict, confidence):
            self._cell[place] += 1

    def counts(self) -> Counts:
        """What was counted."""
        return _counts(self._cell)


def _places(verdict: Verdict, confidence: float | None) -> list[int]:
    """Where in a cell one verdict adds one."""
    places = [_PLACE["qualified"]]
    if verdict.newly_blocked:
        places.append(_PLACE["newly_blocked"])
        if verdict.unmatched:
            places.append(_PLACE["unmatched"])
    if verdict.matched is None:
        places.append(_PLACE["unknown"])
    if not verdict.matched:
        return places
    places.append(_PLACE["matched"])
    if verdict.would == "deny":
        places.append(_PLACE["would_deny"])
    elif verdict.would == "require_approval":
        places.append(_PLACE["would_ask"])
    if confidence is not None and math.isfinite(confidence):
        places += [_PLACE["classified"], _BINS + bin_of(confidence)]
        if confidence < CERTAIN:
            places.append(_PLACE["uncertain"])
    return places


def _merge(sums: dict[_Key, list[int]], key: _Key, cell: list[int]) -> None:
    held = sums.get(key)
    if held is None:
        sums[key] = cell.copy()
        return
    first, last = min(held[_FIRST], cell[_FIRST]), max(held[_LAST], cell[_LAST])
    held[:] = map(int.__add__, held, cell)
    held[_FIRST], held[_LAST] = first, last


def _cell(key: _Key, cell: list[int]) -> Cell:
    judged, bucket, start, dimension = key
    return Cell(
        judged=judged,
        bucket=bucket,
        start=start,
        dimension=dimension,
        counts=_counts(cell),
        first_at=cell[_FIRST],
        last_at=cell[_LAST],
    )


def _counts(cell: list[int]) -> Counts:
    named = dict(zip(_FIELDS, cell, strict=False))
    return Counts(**named, confidence=tuple(cell[_BINS:]))


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
