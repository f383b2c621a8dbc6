"""Shadow, promotion and its reversal."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from onpurpose.core.revision import Kind
from onpurpose.server.api.schemas.bounds import MAX_SET, Line, Name, Number, Time, Why, Wire
from onpurpose.server.api.schemas.documents import DocumentMeta


class Overrides(Wire):
    """Limits of readiness that are set aside: calls matched, days watched, the upper end of would-deny (0..1)."""

    min_matched: Annotated[int, Field(ge=0, le=10**12)] | None = None
    min_days: Annotated[float, Field(ge=0, le=10_000)] | None = None
    would_deny: Annotated[float, Field(ge=0, le=1)] | None = None


class Promoting(Wire):
    """Make what is in shadow live.

    `revision` is the one that was looked at: another one in shadow is a conflict. `overrides` sets limits
    aside by name; the log keeps them.
    """

    reason: Why
    revision: Number | None = None
    overrides: Overrides = Overrides()


class MemberName(Wire):
    """Which policy is meant."""

    kind: Literal[Kind.PURPOSE_POLICY, Kind.POLICY]
    name: Name


class Member(MemberName):
    """One policy of a set, and the revision of it that was looked at."""

    revision: Number | None = None


class PromotingSet(Wire):
    """Make a set live at once, judged as a set."""

    policies: Annotated[list[Member], Field(min_length=1, max_length=MAX_SET)]
    reason: Why
    overrides: Overrides = Overrides()


class Reverting(Wire):
    """Go back to what was live before the last promotion."""

    reason: Why


class RevertingSet(Wire):
    """Go back to what was live before the last promotion of each, all of them at once."""

    policies: Annotated[list[MemberName], Field(min_length=1, max_length=MAX_SET)]
    reason: Why


class Promoted(Wire):
    """What is live now. Until `undo_until`, a revert is offered as undo. `evidence` is what the log was told."""

    policies: list[DocumentMeta]
    promoted_at: int
    undo_until: int
    evidence: dict[str, JsonValue]


class Reverted(Wire):
    """Where the policies stand now."""

    policies: list[DocumentMeta]


class ShadowQuery(Wire):
    """Which numbers: of which revision (the one in shadow), of whom, of which days.

    `dimension` is `all`, `agent:X`, `group:X` or `capability:X`; a day counts that begins from `since` up
    to `until`. The series is per day or per hour.
    """

    revision: Number | None = None
    dimension: Line = "all"
    since: Time | None = None
    until: Time | None = None
    bucket: Literal["day", "hour"] = "day"


class RateBody(Wire):
    """`count` out of `of`, and the 95 % interval `low`..`high` of the share behind it."""

    count: int
    of: int
    low: float
    high: float


class DriftBody(Wire):
    """How far the classifier's confidence has moved, 0 to 1, and how far chance alone would move it."""

    distance: float
    noise: float


class NumbersBody(Wire):
    """The numbers of one revision in one window."""

    qualified: int
    unknown: int
    match: RateBody
    would_deny: RateBody
    would_ask: RateBody
    newly_blocked: RateBody
    unmatched: RateBody
    uncertain: RateBody
    first_uncertain: RateBody
    drift: DriftBody | None


class CountsBody(Wire):
    """What was counted in one stretch of time, in calls."""

    start: int
    qualified: int
    matched: int
    unknown: int
    would_deny: int
    would_ask: int
    newly_blocked: int
    unmatched: int
    classified: int
    uncertain: int


class ShadowBody(Wire):
    """The numbers of a revision in shadow, and whether it is ready; `missing` says in words what keeps it.

    `first_at` and `last_at` are the first and last qualifying call in the window, `seconds` lies between.
    """

    kind: Kind
    name: str
    revision: int
    dimension: str
    first_at: int | None
    last_at: int | None
    seconds: float
    numbers: NumbersBody
    ready: bool
    missing: list[str]
    series: list[CountsBody]


class DimensionQuery(Wire):
    """Of which revision; the one in shadow where none is named."""

    revision: Number | None = None


class DimensionBody(CountsBody):
    """What was counted of one agent, group or capability, in total."""

    dimension: str


class DimensionList(Wire):
    """The totals of every agent, group and capability, by name."""

    items: list[DimensionBody]
