"""The wire form of the JSON resources: what a body may hold, and what an answer holds.

Unknown fields are refused, every text and list is bounded. Times are microseconds UTC, as in the log.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from onpurpose.core.access import Scope
from onpurpose.core.revision import Kind

MAX_TEXT = 1_000_000
"""Characters of a document's text."""

MAX_SET = 100
"""Policies that are promoted at once."""

MAX_PAGE = 500
"""Items of one page."""

MAX_NUMBER = 2**31 - 2
"""The highest number that a revision may be asked for by."""

NAME = r"^\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
"""What a document, a key's id, a user and a workspace may be called."""

Name = Annotated[str, StringConstraints(pattern=NAME, max_length=128)]
Line = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Words = Annotated[str, StringConstraints(max_length=2000)]
Why = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"\S")]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]
Number = Annotated[int, Field(ge=1, le=MAX_NUMBER)]
Version = Annotated[int, Field(ge=0, le=2**53)]
Time = Annotated[int, Field(ge=0, le=2**53)]


class Wire(BaseModel):
    """A body, exactly as stated."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- documents -----------------------------------------------------------------------------------


class Draft(Wire):
    """A new revision of a document: its YAML `text`, or its fields as a `document`; one of the two.

    `expected_version` is the version of the document that the change was made against, 0 for one that
    is not there yet; without it, whatever is there is followed.
    """

    text: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    document: dict[str, JsonValue] | None = None
    reason: Words = ""
    expected_version: Version | None = None


class Restoring(Wire):
    """Which revision's text to write anew, and why."""

    revision: Number
    reason: Words = ""
    expected_version: Version | None = None


class ChangeQuery(Wire):
    """What a change says of itself where the body is the document's text, or there is none."""

    reason: Words = ""
    expected_version: Version | None = None


class ListQuery(Wire):
    """Which part of a list: the `limit` items behind the name `after`."""

    after: Name | None = None
    limit: Limit = 100


class HistoryQuery(Wire):
    """Which part of a history: the `limit` revisions below the number `before`, newest first."""

    before: Number | None = None
    limit: Limit = 50


class DiffQuery(Wire):
    """Which two revisions to compare; 0 is the empty text before the first."""

    a: Annotated[int, Field(ge=0, le=MAX_NUMBER)]
    b: Number


class RevisionMeta(Wire):
    """One revision of a document, without its text. `digest` is the SHA-256 of the text, in hex."""

    number: int
    digest: str
    author: str
    at: int
    reason: str
    removed: bool


class RevisionBody(RevisionMeta):
    """One revision of a document. An empty text says that it was removed."""

    text: str


class DocumentMeta(Wire):
    """Where a document stands: which revisions of it are `live`, in `shadow`, `newest`.

    `version` changes with every change. Within 30 seconds after a promotion, `undo_until` says until when
    a revert is offered as undo; a later revert does the same.
    """

    kind: Kind
    name: str
    version: int
    newest: int
    live: int | None
    shadow: int | None
    promoted_at: int | None
    undo_until: int | None
    revertible: bool


class DocumentBody(DocumentMeta):
    """A document, with its newest revision."""

    revision: RevisionBody


class DocumentPage(Wire):
    """Documents in the order of their names; `next` is the `after` of the next page."""

    items: list[DocumentMeta]
    next: str | None


class RevisionPage(Wire):
    """Revisions, newest first; `next` is the `before` of the next page."""

    items: list[RevisionMeta]
    next: int | None


class Difference(Wire):
    """What differs between two revisions, as a unified diff; empty where nothing does."""

    a: int
    b: int
    diff: str


# --- promotion -----------------------------------------------------------------------------------


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


# --- decisions -----------------------------------------------------------------------------------


class DecisionQuery(Wire):
    """Which decisions: each field narrows. `since` is included, `until` is not. `cursor` is a page's `next`."""

    since: Time | None = None
    until: Time | None = None
    agent_id: Line | None = None
    user_id: Line | None = None
    capability: Line | None = None
    purpose_id: Line | None = None
    outcome: Literal["allow", "warn", "require_approval", "deny"] | None = None
    shadow_outcome: Literal["allow", "warn", "require_approval", "deny"] | None = None
    newly_blocked: bool | None = None
    policy: Line | None = None
    cursor: Annotated[str, StringConstraints(max_length=19, pattern=r"^[1-9][0-9]*$")] | None = None
    limit: Limit = 50


class DecisionBody(Wire):
    """One decision as the feed tells it. `n` counts all decisions; `policy` is what decided, `code` why."""

    n: int
    id: str
    at: int
    agent_id: str
    user_id: str | None
    capability: str
    purpose_id: str | None
    outcome: Literal["allow", "warn", "require_approval", "deny"]
    code: str
    policy: str | None
    digest: str | None
    shadow_outcome: Literal["allow", "warn", "require_approval", "deny"] | None
    newly_blocked: bool


class DecisionPage(Wire):
    """Decisions, newest first; `next` is the `cursor` of the next page.

    A page may hold less than was asked for and have a next one: a search looks at so many at most.
    """

    items: list[DecisionBody]
    next: str | None


class DecisionRecord(Wire):
    """One decision: its record, byte for byte what was hashed, and where it stands in the log."""

    record: dict[str, JsonValue]
    chain: str
    seq: int
    hash: str


# --- tokens --------------------------------------------------------------------------------------


class TokenQuestion(Wire):
    """A token, and for whom it must be."""

    token: Annotated[str, Field(min_length=1, max_length=16_384)]
    audience: Annotated[Line, Field(min_length=1)]


class TokenAnswer(Wire):
    """Whether the token is good now; its claims if it is, else why not."""

    valid: bool
    claims: dict[str, JsonValue] | None = None
    reason: str | None = None


class TokenRevoking(Wire):
    """Revoke one token (`jti`), all of a purpose, or all of an agent, issued up to now."""

    kind: Literal["jti", "purpose", "agent"]
    value: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    reason: Words = ""


class KeySet(Wire):
    """The public keys that tokens are signed with (RFC 7517)."""

    keys: list[dict[str, JsonValue]]


# --- audit ---------------------------------------------------------------------------------------


class ExportQuery(Wire):
    """Which records: those behind the position `after`; of all workspaces with `whole`, for the operator's alone."""

    after: Time | None = None
    whole: bool = False


class AuditFinding(Wire):
    """One thing that is wrong with the log."""

    kind: str
    message: str
    chain: str | None
    seq: int | None


class AuditAnchor(Wire):
    """The newest checkpoint: note it elsewhere, and give it to a later check."""

    log: str
    n: int
    hash: str


class AuditReport(Wire):
    """What a check of the whole log found."""

    ok: bool
    total: int
    findings: list[AuditFinding]
    records: int
    chains: int
    checkpoints: int
    uncovered: int
    anchor: AuditAnchor | None
    key: str | None


# --- keys, users, workspaces ---------------------------------------------------------------------


class NewKey(Wire):
    """A key to be made."""

    name: Annotated[Line, Field(min_length=1)]
    scopes: Annotated[set[Scope], Field(min_length=1)]
    expires_in_seconds: Annotated[int, Field(ge=60, le=10 * 366 * 86_400)] | None = None
    per_minute: Annotated[int, Field(ge=1, le=10_000_000)] | None = None


class KeyBody(Wire):
    """A key, without its secret. `state` is `active`, `expired` or `revoked`."""

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    created_by: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None
    per_minute: int | None
    state: Literal["active", "expired", "revoked"]


class KeyMade(Wire):
    """A new key and its whole text, which is shown this once."""

    key: KeyBody
    secret: str


class KeyList(Wire):
    """Every key of the workspace, revoked ones too, newest first."""

    items: list[KeyBody]


class UserFields(Wire):
    """What a user is, to be written."""

    name: Annotated[Line, Field(min_length=1)]
    email: Annotated[
        str, StringConstraints(max_length=254, pattern=r"^[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}$")
    ]
    groups: Annotated[list[Name], Field(max_length=100)] = []


class NewUser(UserFields):
    """A user to be made; the id is made up where none is given."""

    id: Name | None = None


class UserBody(Wire):
    """A user. A disabled one approves nothing, and keeps its name under what it did."""

    id: str
    name: str
    email: str
    groups: list[str]
    created_at: int
    disabled_at: int | None


class UserPage(Wire):
    """Users in the order of their ids; `next` is the `after` of the next page."""

    items: list[UserBody]
    next: str | None


class NewWorkspace(Wire):
    """A workspace to be made."""

    id: Name
    name: Line = ""


class WorkspaceBody(Wire):
    """A workspace."""

    id: str
    name: str
    created_at: int


class WorkspaceMade(Wire):
    """A new workspace and the text of its first admin key, which is shown this once."""

    workspace: WorkspaceBody
    key: KeyBody
    secret: str


class WorkspaceList(Wire):
    """The workspaces that the caller may see, in the order of their ids."""

    items: list[WorkspaceBody]
