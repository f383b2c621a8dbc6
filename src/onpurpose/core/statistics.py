"""Shadow statistics: counts, rates with their intervals, drift, and what is missing before a policy is ready.

Pure arithmetic over counts that only ever grow: two sets of counts add up to the counts of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

Z = 1.959964
"""The standard normal quantile of a two-sided 95 % interval."""

BINS = 20
"""Into how many equal bins, from 0 to 1, the classifier's confidence is counted."""

MIN_MATCHED = 50
"""How many calls must have matched before a policy is called ready."""

MIN_DAYS = 3.0
"""How many days the policy must have been watched before it is called ready."""

MOST_DENIED = 0.05
"""The upper end of the would-deny rate must lie below this. Nothing overrides it."""

_DAY = 86_400
_SMIRNOV = 1.358102
"""sqrt(-ln(0.05 / 2) / 2), the factor of Smirnov's asymptotic bound at 5 %."""


class Rate(Struct, frozen=True, kw_only=True):
    """`count` out of `of`, and the 95 % interval `low`..`high` (0..1) of the share behind it.

    Without any trial the interval is everything: 0..1.
    """

    count: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float | None:
        """The share seen, 0..1; `None` where there was no trial."""
        return self.count / self.of if self.of else None


class Drift(Struct, frozen=True, kw_only=True):
    """How far two distributions of confidence lie apart: `distance`, 0 (alike) to 1.

    `noise` is the distance that chance alone exceeds in at most one of twenty pairs of samples of
    these sizes (1 where the samples are too small to tell anything).
    """

    distance: float
    noise: float

    @property
    def notable(self) -> bool:
        """Whether the distance is more than chance explains."""
        return self.distance > self.noise


class Counts(Struct, frozen=True, kw_only=True):
    """What was counted of one revision of a policy in shadow. All are numbers of calls.

    `unknown` are qualified calls of which could not be told whether they match; they are not among
    the matched. `would_deny` and `would_ask` are of the matched, `newly_blocked` of the qualified,
    `unmatched` of the newly blocked. `classified` are the matched that the intent classifier saw,
    `uncertain` those of them on which it was; `confidence` counts them in `BINS` bins.
    """

    qualified: int = 0
    matched: int = 0
    unknown: int = 0
    would_deny: int = 0
    would_ask: int = 0
    newly_blocked: int = 0
    unmatched: int = 0
    classified: int = 0
    uncertain: int = 0
    confidence: tuple[int, ...] = (0,) * BINS

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            qualified=self.qualified + other.qualified,
            matched=self.matched + other.matched,
            unknown=self.unknown + other.unknown,
            would_deny=self.would_deny + other.would_deny,
            would_ask=self.would_ask + other.would_ask,
            newly_blocked=self.newly_blocked + other.newly_blocked,
            unmatched=self.unmatched + other.unmatched,
            classified=self.classified + other.classified,
            uncertain=self.uncertain + other.uncertain,
            confidence=tuple(map(int.__add__, self.confidence, other.confidence)),
        )


class Numbers(Struct, frozen=True, kw_only=True):
    """The numbers of one revision in one window, as section 7 of the contract defines them.

    `unmatched` is, of the newly blocked, those that would stop because no policy matched them.
    `uncertain` is now, `first_uncertain` in the revision's first window; `drift` lies between the
    confidences of both, and is `None` where either has none.
    """

    qualified: int
    unknown: int
    match: Rate
    would_deny: Rate
    would_ask: Rate
    newly_blocked: Rate
    unmatched: Rate
    uncertain: Rate
    first_uncertain: Rate
    drift: Drift | None


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether enough was seen to promote; `missing` says in plain words what is not there yet."""

    ready: bool
    missing: tuple[str, ...]


def wilson(count: int, of: int) -> Rate:
    """The rate with its Wilson score interval at 95 %.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (1927) 209-212. It holds its promise at small
    counts and at shares near 0, where the usual `p +- z * sqrt(p(1-p)/n)` says "0 +- 0".
    Raises `ValueError` unless 0 <= count <= of.
    """
    if not 0 <= count <= of:
        raise ValueError(f"{count} is no count out of {of}")
    if of == 0:
        return Rate(count=0, of=0, low=0.0, high=1.0)
    share, square = count / of, Z * Z
    spread = Z * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    middle, scale = share + square / (2 * of), 1 + square / of
    # At both ends the formula gives 0 and 1 exactly, but for rounding.
    low = 0.0 if count == 0 else max(0.0, (middle - spread) / scale)
    high = 1.0 if count == of else min(1.0, (middle + spread) / scale)
    return Rate(count=count, of=of, low=low, high=high)


def drift(first: Sequence[int], now: Sequence[int]) -> Drift | None:
    """The Kolmogorov-Smirnov distance of two histograms over the same bins; `None` where one is empty.

    It is the greatest difference, at any bin's edge, between the shares of calls below that
    confidence. Chosen over the Jensen-Shannon distance since confidence is ordered (a shift to the
    next bin is a small change, to the other end a great one), since it reads in plain words, and
    since what chance does to it is known: N. Smirnov, "Table for Estimating the Goodness of Fit of
    Empirical Distributions", Annals of Mathematical Statistics 19 (1948) 279-281. On bins the
    distance is at most that of the values themselves, so that `noise` errs towards silence.
    """
    many, few = sum(first), sum(now)
    if not many or not few:
        return None
    distance = 0.0
    below_first = below_now = 0
    for one, other in zip(first, now, strict=True):
        below_first += one
        below_now += other
        distance = max(distance, abs(below_first / many - below_now / few))
    noise = min(1.0, _SMIRNOV * math.sqrt((many + few) / (many * few)))
    return Drift(distance=distance, noise=noise)


def bin_of(confidence: float) -> int:
    """The bin (from 0) that a confidence falls in; what lies outside 0..1 is counted at the nearer end."""
    return min(BINS - 1, max(0, int(confidence * BINS)))


def numbers(counts: Counts, *, first: Counts, now: Counts) -> Numbers:
    """The numbers of a window's counts; drift is from the `first` window to `now`."""
    return Numbers(
        qualified=counts.qualified,
        unknown=counts.unknown,
        match=wilson(counts.matched, counts.qualified),
        would_deny=wilson(counts.would_deny, counts.matched),
        would_ask=wilson(counts.would_ask, counts.matched),
        newly_blocked=wilson(counts.newly_blocked, counts.qualified),
        unmatched=wilson(counts.unmatched, counts.newly_blocked),
        uncertain=wilson(now.uncertain, now.classified),
        first_uncertain=wilson(first.uncertain, first.classified),
        drift=drift(first.confidence, now.confidence),
    )


def readiness(seen: Numbers, window: float, overrides: Mapping[str, float] | None = None) -> Readiness:
    """Whether the numbers of a window of so many seconds are enough to promote.

    `overrides` may set `min_matched` (calls) and `min_days`; the limit of would-deny stands whatever
    they say. Raises `ValueError` for any other name and for a value that is negative or no number.
    """
    limits = {"min_matched": float(MIN_MATCHED), "min_days": MIN_DAYS} | _checked(overrides or {})
    missing = []
    if seen.match.count < limits["min_matched"]:
        missing.append(f"{seen.match.count} calls matched; at least {limits['min_matched']:g} must have")
    if window < limits["min_days"] * _DAY:
        missing.append(f"it was watched for {_duration(window)}; {limits['min_days']:g} days are needed")
    if seen.would_deny.high >= MOST_DENIED:
        missing.append(_too_many(seen.would_deny))
    return Readiness(ready=not missing, missing=tuple(missing))


def _checked(overrides: Mapping[str, float]) -> dict[str, float]:
    for name, value in overrides.items():
        if name not in {"min_matched", "min_days"}:
            raise ValueError(f"`{name}` is no limit that can be overridden: `min_matched` and `min_days` are")
        if not 0 <= value < math.inf:
            raise ValueError(f"`{name}` must be a number from 0 on")
    return dict(overrides)


def _duration(seconds: float) -> str:
    return f"{seconds / _DAY:.1f} days" if seconds >= _DAY else f"{seconds / 3600:.1f} hours"


def _too_many(denied: Rate) -> str:
    if not denied.of:
        return "nothing matched, so what it would deny cannot be told"
    text = (
        f"it would have denied {denied.count} of {denied.of} matched calls, which may mean up to"
        f" {100 * denied.high:.1f} %; it must be under {100 * MOST_DENIED:g} %"
    )
    needed = _enough(denied.count)
    return text if needed <= denied.of else f"{text}: that takes {needed} matched calls at this count"


def _enough(count: int) -> int:
    """The fewest calls of which so many denied keep the upper end below the limit."""
    low, high = count, 64 * (count + 2)
    while low < high:
        middle = (low + high) // 2
        if wilson(count, middle).high < MOST_DENIED:
            high = middle
        else:
            low = middle + 1
    return low
