"""A process of the service, as it tells of itself to the others. Values only."""

from __future__ import annotations

from msgspec import Struct

TELL_US = 5_000_000
"""How often a process tells of itself, in microseconds."""

SILENT_US = 30_000_000
"""After so long without a word a process has died, or cannot reach the store."""

GONE_US = 86_400_000_000
"""After so long without a word a process is forgotten."""


class Process(Struct, frozen=True, kw_only=True):
    """One process of the service as it told of itself at `seen_at`. Times are in microseconds UTC.

    `name` says where it runs; `wrong` is what was not ready, one line each.
    """

    id: str
    name: str
    started_at: int
    seen_at: int
    wrong: tuple[str, ...] = ()

    def is_silent(self, now: int) -> bool:
        """Whether nothing was heard of it for too long."""
        return now - self.seen_at > SILENT_US
