"""How often a key may ask: a bucket of tokens for each key, in memory, of constant time and size."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil

PER_MINUTE = 60_000
"""Requests a minute, for a key without a limit of its own. A batch counts each of its calls."""

BURST_SECONDS = 10.0
"""How many seconds' worth of requests may come at once after a rest."""

_KEPT = 4096
_EXACT = 1e-6
"""Seconds by which sums of floats may be off: who waited as told is let in."""


class Limits:
    """Counts what each key asks. A key's bucket is one number: when it would be full again.

    For one event loop; `now` tells seconds that never go back. Many processes each count alone.
    """

    def __init__(self, per_minute: int = PER_MINUTE, *, now: Callable[[], float] = time.monotonic) -> None:
        self._interval = 60.0 / per_minute
        self._now = now
        self._full: dict[str, float] = {}
        self._most = _KEPT

    def take(self, key: str, per_minute: int | None = None, count: int = 1) -> int:
        """0 if the key may ask now, which is noted; else after how many whole seconds to come again.

        Whoever may ask at all may ask for `count` at once, and then waits until they are paid for.
        """
        now = self._now()
        interval = self._interval if per_minute is None else 60.0 / max(per_minute, 1)
        full = self._full.get(key, now)
        if full < now:  # noqa: PLR1730  `max` is a call, and this is asked of every one
            full = now
        ahead = full - now
        if interval < BURST_SECONDS:
            ahead -= BURST_SECONDS - interval
        if ahead > _EXACT or per_minute == 0:
            return max(1, ceil(ahead))
        self._full[key] = full + count * interval
        if len(self._full) > self._most:
            self._forget(now)
        return 0

    def charge(self, key: str, per_minute: int | None, count: int) -> None:
        """Note so many requests more, of a key that was let in."""
        interval = self._interval if per_minute is None else 60.0 / max(per_minute, 1)
        now = self._now()
        self._full[key] = max(self._full.get(key, now), now) + count * interval

    def _forget(self, now: float) -> None:
        """Leave out buckets that are full: as if they had never been touched."""
        self._full = {key: full for key, full in self._full.items() if full > now}
        self._most = max(_KEPT, 2 * len(self._full))
