"""A set of policies on the recorded past."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from onpurpose.core.revision import Kind
from onpurpose.server.api.schemas.bounds import MAX_TEXT, Number, Time, Wire
from onpurpose.server.api.schemas.promotion import MemberName, NumbersBody, RateBody

MAX_TRIED = 20
"""Policies that are tried at once."""

MAX_CALLS = 200_000
"""Recorded calls that one backtest looks at."""


class Tried(MemberName):
    """A policy of the set: one of its revisions by number, or a text that was not saved."""

    revision: Number | None = None
    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)] | None = None

    @model_validator(mode="after")
    def one_of_two(self) -> Self:
        """Refuse both, and neither."""
        if (self.revision is None) == (self.text is None):
            raise ValueError("must hold either `revision` or `text`")
        return self


class Backtesting(Wire):
    """Try a set on the newest `calls` recorded calls of a window.

    The window is the last `days`, or from `since` up to `until` (microseconds UTC); 14 days unless given.
    """

    policies: Annotated[list[Tried], Field(min_length=1, max_length=MAX_TRIED)]
    days: Annotated[float, Field(gt=0, le=3660)] | None = None
    since: Time | None = None
    until: Time | None = None
    calls: Annotated[int, Field(ge=1, le=MAX_CALLS)] = 10_000

    @model_validator(mode="after")
    def one_window(self) -> Self:
        """Refuse two windows at once."""
        if self.days is not None and (self.since is not None or self.until is not None):
            raise ValueError("must hold either `days`, or `since` and `until`")
        return self


class TrialBody(Wire):
    """What a policy by itself, or the set together, would have come to.

    `newly_allowed` are, of the qualified, the calls that did not run and would have; `masked` is how many of the
    qualified hold something that the record hides. `examples` are ids of decisions by kind.
    """

    numbers: NumbersBody
    newly_allowed: RateBody
    masked: int
    examples: dict[
        Literal["would_deny", "would_ask", "newly_blocked", "unmatched", "newly_allowed", "unknown"], list[str]
    ]


class MemberTrial(TrialBody):
    """What one policy by itself would have come to, beside today's live ones; an unsaved text has no `revision`."""

    kind: Kind
    name: str
    revision: int | None


class BacktestBody(Wire):
    """What the set together and each of it by itself would have come to, and on what that stands.

    `calls` of the window were looked at, newest first, back to `first_at`. `unreadable` could not be read when
    they were made; `gone` are no more in the log; `masked` were judged with something unknown that their
    record hides. On `changed` others, what is live today comes to another outcome than was recorded. `stopped`
    is `limit` or `time` where the window holds more calls.
    """

    together: TrialBody
    policies: list[MemberTrial]
    since: int
    until: int
    calls: int
    masked: int
    unreadable: int
    gone: int
    changed: int
    first_at: int | None
    stopped: Literal["limit", "time"] | None
