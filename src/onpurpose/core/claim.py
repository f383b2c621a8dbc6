"""What is known of a client's idempotency key: whether its request was asked before, and answered. Values only."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

CLAIM_MICROSECONDS = 60_000_000
"""After how long a claim without an answer is void: the process that made it has died."""

ANSWER_MICROSECONDS = 24 * 3600 * 1_000_000
"""For how long an answer is kept."""


class ClaimState(StrEnum):
    """What is known of an idempotency key."""

    NEW = "new"
    """Nothing: it is the claimant's now, to be settled or released."""
    BUSY = "busy"
    """The same request is being answered at this moment."""
    ANSWERED = "answered"
    OTHER = "other"
    """It was used for another request."""


class Claim(Struct, frozen=True, kw_only=True):
    """What became of claiming an idempotency key; `body` is the first answer where there is one."""

    state: ClaimState
    body: bytes | None = None

    def __repr__(self) -> str:
        return f"Claim({self.state.value!r})"
