"""A clock that is moved by hand, and the moments of a fortnight to move it to."""

from __future__ import annotations

from random import Random
from typing import Final

DAYS: Final = 14
"""How far back the history begins."""

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_NIGHT, _SHOULDER, _OFFICE = 1, 4, 10  # calls of an hour beside each other


class MovedClock:
    """Stands still between two moves."""

    def __init__(self, at: int) -> None:
        self._at = at

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return self._at

    def move(self, to: int) -> None:
        """Go on to that time; never back."""
        self._at = max(self._at, to)


def moments(random: Random, count: int, now: int) -> list[int]:
    """So many moments of the last `DAYS` days in order, most of them in office hours (UTC)."""
    hours = [now - DAYS * DAY + one * HOUR for one in range(DAYS * 24)]
    starts = random.choices(hours, [_busyness(start) for start in hours], k=count)
    return sorted(start + random.randrange(HOUR) for start in starts)


def _busyness(at: int) -> int:
    hour = at // HOUR % 24
    weight = _OFFICE if 8 <= hour < 18 else _SHOULDER if 6 <= hour < 22 else _NIGHT
    weekday = (at // DAY + 3) % 7  # the first day of 1970 was a Thursday
    return weight if weekday < 5 else max(1, weight // 3)
